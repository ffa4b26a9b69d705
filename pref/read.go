package pref

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
)

// ErrEmpty is wrapped by the error of a read that kept nothing.
var ErrEmpty = errors.New("nothing left to use")

// Read yields the groups of the files that a path names ([shards]), in order. It holds one row at a
// time, or one record batch of an Arrow file. An error ends the sequence: a file cannot be read,
// more rows are malformed than opt.SkipBad allows ("pref: FILE:LINE: field …"), or no group was
// kept ([ErrEmpty]). Read adds its numbers to counts, which may be nil. Options.Fraction and
// Options.Weights are errors here, because they need all prompts at once: use [Load].
func Read(path string, opt Options, counts *Counts) iter.Seq2[Group, error] {
	return func(yield func(Group, error) bool) {
		if counts == nil {
			counts = &Counts{}
		}
		if err := opt.Check(); err != nil {
			yield(Group{}, err)
			return
		}
		if opt.part() {
			yield(Group{}, fmt.Errorf("pref: %s: fraction %v of a stream, want the whole set: use Load",
				path, opt.Fraction))
			return
		}
		if len(opt.Weights) > 0 {
			yield(Group{}, fmt.Errorf("pref: %s: a mix of one stream, want all sets: use Load", path))
			return
		}
		kept := 0
		for g, err := range readGroups([]string{path}, opt, counts) {
			kept++
			counts.Flipped += addNoise(&g, opt.LabelNoise, opt.Seed)
			if !yield(g, err) || err != nil {
				return
			}
			if kept == opt.Limit {
				break
			}
		}
		if err := counts.unseen(path, opt.Columns); kept == opt.Limit && err != nil {
			yield(Group{}, err)
			return
		}
		if err := counts.unstated(path, opt.Attributes); err != nil {
			yield(Group{}, err)
			return
		}
		if kept == 0 {
			yield(Group{}, emptyError(path, counts))
		}
	}
}

// Load reads all files in order, or with Options.Weights mixes them ([Mix]). Options.Limit counts
// over all files and ends the reading. Options.Fraction is then a share of the prompts that were
// read, rounded, at least one. The counts are never nil, so that a failure can be explained. Errors
// are those of [Read], [ErrEmpty] if no file kept a group, and an attribute that no row of any file
// states.
func Load(paths []string, opt Options) ([]Group, *Counts, error) {
	sets := make([][]string, len(paths))
	for i := range paths {
		sets[i] = paths[i : i+1]
	}
	return LoadSets(sets, opt)
}

// LoadSets is Load for sets of several files. The files of a set are read as one, and
// Options.Weights has one weight for each set.
func LoadSets(paths [][]string, opt Options) ([]Group, *Counts, error) {
	counts := &Counts{}
	if err := opt.Check(); err != nil {
		return nil, counts, err
	}
	if len(paths) == 0 {
		return nil, counts, errors.New("pref: no file, want at least one path")
	}
	if len(opt.Weights) > 0 && len(opt.Weights) != len(paths) {
		return nil, counts, fmt.Errorf("pref: %d weights for %d files, want one for each file",
			len(opt.Weights), len(paths))
	}
	groups, err := loadAll(paths, opt, counts)
	if err != nil {
		return nil, counts, err
	}
	if len(groups) == 0 {
		return nil, counts, emptyError(strings.Join(slices.Concat(paths...), ", "), counts)
	}
	if opt.part() {
		taken := takeFraction(groups, opt)
		counts.retake(len(groups), taken, DropFraction)
		groups = taken
	}
	for i := range groups {
		counts.Flipped += addNoise(&groups[i], opt.LabelNoise, opt.Seed)
	}
	return groups, counts, nil
}

// loadAll reads the files in order, or mixes them where they have weights.
func loadAll(paths [][]string, opt Options, counts *Counts) (groups []Group, err error) {
	sets := make([][]Group, len(paths))
	kept := 0
	for i, path := range paths {
		if len(opt.Weights) == 0 && opt.Limit > 0 && kept == opt.Limit {
			break
		}
		for g, err := range readGroups(path, opt, counts) {
			if err != nil {
				return nil, err
			}
			sets[i] = append(sets[i], g)
			kept++
			if len(opt.Weights) == 0 && kept == opt.Limit {
				// the reading ends before its own check
				if err := counts.unseen(strings.Join(path, ", "), opt.Columns); err != nil {
					return nil, err
				}
				break
			}
		}
	}
	if err := counts.unstated(strings.Join(slices.Concat(paths...), ", "),
		opt.Attributes); err != nil {
		return nil, err
	}
	if len(opt.Weights) == 0 {
		return slices.Concat(sets...), nil
	}
	for i, set := range sets {
		if len(set) == 0 {
			// a set without groups would empty the mix
			return nil, emptyError(strings.Join(paths[i], ", "), counts)
		}
	}
	mixed, err := Mix(sets, opt.Weights, opt.Limit, opt.Seed)
	if err != nil {
		return nil, err
	}
	counts.retake(kept, mixed, DropMix)
	return mixed, nil
}

// takeFraction leaves out the prompts that Options.Fraction does not draw.
func takeFraction(groups []Group, opt Options) []Group {
	_, taken := pick(groups, opt.Seed, "fraction", func(n int) int {
		return max(1, int(math.Round(opt.Fraction*float64(n))))
	})
	return taken
}

func emptyError(what string, counts *Counts) error {
	return fmt.Errorf("pref: %s: %w: %s", what, ErrEmpty, counts)
}

// readGroups yields the groups of files, which are one set, whatever their number.
func readGroups(paths []string, opt Options, counts *Counts) iter.Seq2[Group, error] {
	return func(yield func(Group, error) bool) {
		// pending holds adjacent rows of one response each until their prompt changes.
		var pending joined
		emit := func(d decoded) bool {
			counts.Identical += d.identical
			counts.Tied += d.tied
			if d.drop != "" {
				counts.drop(d.drop)
				return true
			}
			counts.keep(d.group)
			return yield(d.group, nil)
		}
		for row, err := range setRows(paths) {
			if err != nil {
				yield(Group{}, err)
				return
			}
			counts.Read++
			source := row.source()
			d, f, err := decodeRow(row.data, opt)
			if err != nil {
				err = row.times.explain(err)
				counts.Bad++
				if counts.Bad <= opt.SkipBad {
					continue
				}
				err = fmt.Errorf("pref: %s: %w", source, err)
				if opt.SkipBad > 0 {
					err = fmt.Errorf("%w (bad row %d, %d tolerated)", err, counts.Bad, opt.SkipBad)
				}
				yield(Group{}, err)
				return
			}
			counts.note(d, f, opt)
			d.group.Source = source
			if d.single && pending.any() && pending.add(d) {
				counts.Joined++
				continue
			}
			if pending.any() && !emit(pending.close(opt)) {
				counts.Read-- // this row is left for nobody
				return
			}
			if d.single {
				pending.add(d)
			} else if !emit(d) {
				return
			}
		}
		if pending.any() && !emit(pending.close(opt)) {
			return
		}
		if err := counts.unseen(strings.Join(paths, ", "), opt.Columns); err != nil {
			yield(Group{}, err)
		}
	}
}

// joined are rows of one response each that share their prompt.
type joined struct {
	group  Group
	scores []float64
}

func (j *joined) any() bool { return len(j.scores) > 0 }

// add takes the row in, unless it has another prompt than the rows before it or there is no room.
func (j *joined) add(d decoded) bool {
	switch {
	case !j.any():
		j.group = d.group
	case len(j.scores) == maxResponses || !slices.Equal(j.group.Prompt, d.group.Prompt):
		return false
	default:
		j.group.Responses = append(j.group.Responses, d.group.Responses...)
		j.addGrades(d.group.Grades)
	}
	j.scores = append(j.scores, d.score)
	return true
}

// addGrades takes in the ratings of the last response; NaN stands where a row lacks an attribute.
func (j *joined) addGrades(grades map[string][]float64) {
	n := len(j.group.Responses)
	for attribute, values := range grades {
		for len(j.group.Grades[attribute]) < n-1 {
			j.group.Grades[attribute] = append(j.group.Grades[attribute], math.NaN())
		}
		j.group.Grades[attribute] = append(j.group.Grades[attribute], values...)
	}
	for attribute, values := range j.group.Grades {
		if len(values) < n {
			j.group.Grades[attribute] = append(values, math.NaN())
		}
	}
}

// close makes the group of the rows and forgets them.
func (j *joined) close(opt Options) decoded {
	g, scores := j.group, j.scores
	*j = joined{}
	if len(scores) < 2 && g.Grades == nil {
		return decoded{drop: DropAlone}
	}
	all, ties := ordered(scores)
	if g.Ties = ties; !slices.ContainsFunc(scores, math.IsNaN) {
		g.Scores = scores
	}
	d := groupOf(g, all, false, opt)
	if d.drop == "" {
		d.settle(opt)
	}
	return d
}
