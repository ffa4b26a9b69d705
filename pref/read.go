package pref

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"strings"
)

// ErrEmpty is wrapped by the error of a read that left nothing to use.
var ErrEmpty = errors.New("nothing left to use")

// Read yields the groups of a .jsonl or .json file (an array), plain or gzipped, in order and without holding
// more than a row. An error ends the sequence: the file cannot be read, a row is malformed
// ("pref: FILE:LINE: field …") beyond what opt.SkipBad tolerates, or no group was kept ([ErrEmpty]).
// What was read is added to counts, which may be nil. Options.Fraction needs every prompt at once: it is an error
// here, use [Load].
func Read(path string, opt Options, counts *Counts) iter.Seq2[Group, error] {
	return func(yield func(Group, error) bool) {
		if counts == nil {
			counts = &Counts{}
		}
		if err := opt.check(); err != nil {
			yield(Group{}, err)
			return
		}
		if opt.part() {
			yield(Group{}, fmt.Errorf("pref: %s: fraction %v of a stream, wanted the whole set: use Load", path, opt.Fraction))
			return
		}
		kept := 0
		for g, err := range readGroups(path, opt, counts) {
			kept++
			if !yield(g, err) || err != nil || kept == opt.First {
				return
			}
		}
		if kept == 0 {
			yield(Group{}, emptyError(path, counts))
		}
	}
}

// Load reads all files in order. Options.First counts over the files together and ends the reading;
// Options.Fraction is then taken of the prompts that were read, rounded, at least one. The counts are never nil,
// so that a failure can be explained. Errors are those of [Read], and [ErrEmpty] where no file kept a group.
func Load(paths []string, opt Options) ([]Group, *Counts, error) {
	counts := &Counts{}
	if err := opt.check(); err != nil {
		return nil, counts, err
	}
	if len(paths) == 0 {
		return nil, counts, errors.New("pref: no file, wanted at least one path")
	}
	var groups []Group
	for _, path := range paths {
		if opt.First > 0 && len(groups) == opt.First {
			break
		}
		for g, err := range readGroups(path, opt, counts) {
			if err != nil {
				return nil, counts, err
			}
			groups = append(groups, g)
			if len(groups) == opt.First {
				break
			}
		}
	}
	if len(groups) == 0 {
		return nil, counts, emptyError(strings.Join(paths, ", "), counts)
	}
	if opt.part() {
		groups = takeFraction(groups, opt, counts)
	}
	return groups, counts, nil
}

// takeFraction leaves out the prompts that Options.Fraction does not draw, and counts what is left anew.
func takeFraction(groups []Group, opt Options, counts *Counts) []Group {
	rest, taken := pick(groups, opt.Seed, "fraction", func(n int) int {
		return max(1, int(math.Round(opt.Fraction*float64(n))))
	})
	for range rest {
		counts.drop(DropFraction)
	}
	counts.Kept, counts.Comparisons, counts.Duplicates, counts.seen = 0, 0, 0, nil
	for _, g := range taken {
		counts.keep(g)
	}
	return taken
}

func emptyError(what string, counts *Counts) error {
	return fmt.Errorf("pref: %s: %w: %s", what, ErrEmpty, counts)
}

// readGroups yields the groups of one file whatever their number.
func readGroups(path string, opt Options, counts *Counts) iter.Seq2[Group, error] {
	return func(yield func(Group, error) bool) {
		for row, err := range fileRows(path) {
			if err != nil {
				yield(Group{}, err)
				return
			}
			counts.Read++
			source := Source{File: path, Line: row.line}
			d, err := decodeRow(row.data, opt.Format)
			if err != nil {
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
			counts.Identical += d.identical
			counts.Tied += d.tied
			if d.drop != "" {
				counts.drop(d.drop)
				continue
			}
			d.group.Source = source
			counts.keep(d.group)
			if !yield(d.group, nil) {
				return
			}
		}
	}
}
