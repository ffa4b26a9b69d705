package encode

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"haf/pref"
)

// A Report counts the groups of a data set by outcome.
type Report struct {
	Read      int            // groups given
	Kept      int            // groups encoded
	Truncated int            // kept groups whose tokens were cut
	Dropped   map[string]int // groups left out, by reason
	Compared  int            // comparisons kept, ties among them
	// Kept responses with labels, the desirable ones of them, and kept groups with grades.
	Labelled, Desirable, Graded int
	// Comparisons removed because both responses have the same tokens, in kept and in dropped
	// groups; and how many of these responses differed before truncation.
	Identical, IdenticalByTruncation int
	// Special counts the kept groups that hold each special token in the text of a message or
	// response. haf reads such text as the token, as transformers does, so text that looks like the
	// end of a turn ends the turn.
	Special map[string]int
	// WithSpecial is the number of kept groups that hold any special token in their text.
	WithSpecial int
}

// Left returns the number of dropped groups.
func (r *Report) Left() int { return r.Read - r.Kept }

// String is one line: read, kept, truncated, dropped by reason, identical pairs.
func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d groups read, %d kept", r.Read, r.Kept)
	if r.Truncated > 0 {
		fmt.Fprintf(&b, " (%d of them truncated)", r.Truncated)
	}
	if len(r.Dropped) > 0 {
		fmt.Fprintf(&b, ", %d dropped (%s)", r.Left(), r.reasons())
	}
	if r.Compared > 0 || r.Labelled+r.Graded == 0 {
		fmt.Fprintf(&b, ", %d comparisons", r.Compared)
	}
	if r.Labelled > 0 {
		fmt.Fprintf(&b, ", %d labelled responses (%d desirable)", r.Labelled, r.Desirable)
	}
	if r.Graded > 0 {
		fmt.Fprintf(&b, ", %d groups with grades", r.Graded)
	}
	if r.Identical > 0 {
		fmt.Fprintf(&b, ", %d between identical responses removed (%d became identical by truncation)",
			r.Identical, r.IdenticalByTruncation)
	}
	if r.WithSpecial > 0 {
		fmt.Fprintf(&b, ", special tokens in the text of %d groups (%s)", r.WithSpecial,
			counted(r.Special))
	}
	return b.String()
}

func (r *Report) reasons() string { return counted(r.Dropped) }

// advice says how to keep groups that were dropped.
func (e *Encoder) advice(r *Report) string {
	var long, refused bool
	for reason := range r.Dropped {
		long = long || slices.Contains([]string{tooLong, noPromptRoom, noAnswerRoom, allCutTheSame},
			reason)
		refused = refused || strings.HasPrefix(reason, refusedReason)
	}
	out := ""
	if long {
		out += fmt.Sprintf("; the max length is %d: raise it, or choose another truncation",
			e.opt.MaxLength)
	}
	if refused {
		out += "; choose a chat template that takes such conversations (-template, or model.template " +
			"in the recipe)"
	}
	return out
}

// counted lists counts, the most frequent first, and cuts a long list.
func counted(counts map[string]int) string {
	const most = 12
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(counts[b]-counts[a], strings.Compare(a, b))
	})
	var parts []string
	for i, name := range names {
		if i == most {
			parts = append(parts, fmt.Sprintf("%d others", len(names)-most))
			break
		}
		parts = append(parts, fmt.Sprintf("%s: %d", name, counts[name]))
	}
	return strings.Join(parts, ", ")
}

// Groups encodes a data set, in order, on all cores. The report counts dropped groups. Any other
// error ends the encoding and names the first faulty group of the input. The error wraps
// [ErrEmpty], with the reasons, if no group is left. The report is nil only with another error.
func (e *Encoder) Groups(groups []pref.Group) ([]Group, *Report, error) {
	return e.groups(groups, false)
}

// Consume is Groups, but clears prompt and responses of each group once they are tokens, so that a
// large data set is not in memory in both forms.
func (e *Encoder) Consume(groups []pref.Group) ([]Group, *Report, error) {
	return e.groups(groups, true)
}

func (e *Encoder) groups(groups []pref.Group, clear bool) ([]Group, *Report, error) {
	encoded := make([]Group, len(groups))
	failed := make([]error, len(groups))
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(groups)) {
		workers.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(groups) {
					return
				}
				encoded[i], failed[i] = e.group(groups[i])
				if clear {
					groups[i].Prompt, groups[i].Responses = nil, nil
				}
				var drop *dropped
				if failed[i] != nil && !errors.As(failed[i], &drop) {
					// groups taken earlier are still encoded, so the first error is known
					next.Store(int64(len(groups)))
				}
			}
		})
	}
	workers.Wait()

	report := &Report{Read: len(groups), Dropped: map[string]int{}, Special: map[string]int{}}
	kept := encoded[:0]
	for i, g := range encoded {
		var drop *dropped
		if err := failed[i]; err != nil && !errors.As(err, &drop) {
			return nil, nil, at(groups[i].Source, err)
		}
		report.Identical += g.identical
		report.IdenticalByTruncation += g.cutIdentical
		if drop != nil {
			report.Dropped[drop.reason]++
			continue
		}
		report.Compared += g.Compared()
		report.Labelled += len(g.Labels)
		for _, desirable := range g.Labels {
			if desirable {
				report.Desirable++
			}
		}
		if g.Grades != nil {
			report.Graded++
		}
		if g.Truncated {
			report.Truncated++
		}
		if len(g.special) > 0 {
			report.WithSpecial++
		}
		for _, token := range g.special {
			report.Special[token]++
		}
		g.Index = i
		kept = append(kept, g)
	}
	report.Kept = len(kept)
	if len(kept) == 0 {
		why := "none was read"
		if len(groups) > 0 {
			why = report.reasons()
		}
		return nil, report, fmt.Errorf("encode: %w of %d: %s%s", ErrEmpty, len(groups), why,
			e.advice(report))
	}
	return kept, report, nil
}
