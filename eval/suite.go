package eval

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"haf/pref"
)

// Names of the benchmark suites.
const (
	SuiteRewardBench  = "rewardbench"
	SuiteRewardBench2 = "rewardbench2"
	SuiteRMBench      = "rmbench"
	SuiteJudgeBench   = "judgebench"
	SuiteRMB          = "rmb"
	SuiteLLMBar       = "llmbar"
	SuiteHHH          = "hhh"
)

// Suites lists the names.
func Suites() []string {
	return []string{SuiteRewardBench, SuiteRewardBench2, SuiteRMBench, SuiteJudgeBench, SuiteRMB, SuiteLLMBar, SuiteHHH}
}

// A Score is one number of a suite: of a subset, of a section, or of all of it.
type Score struct {
	Name  string  `json:"name"`
	N     int     `json:"n"`     // prompts in it
	Score float64 `json:"score"` // by the suite's published rule, 0 to 1
	// 95 % interval: Wilson's for a subset that is a share of right answers, else 0
	Low    float64 `json:"low"`
	High   float64 `json:"high"`   // and 0
	Weight float64 `json:"weight"` // in what it is part of
}

// A SuiteResult holds the scores of a suite.
type SuiteResult struct {
	Suite    string  `json:"suite"`
	Score    float64 `json:"score"` // overall, of the sections present
	Sections []Score `json:"sections"`
	Subsets  []Score `json:"subsets"`
	// subsets and sections of the published suite that the data has no prompt of
	Missing []string `json:"missing"`
	Ties    int      `json:"ties"` // comparisons of equal rewards
}

// RunSuite turns rewards into the scores of the named suite; rewards[g][k] is the reward of
// response k of group g. A group's subset says which part it belongs to; one that the suite does
// not know is an error.
func RunSuite(name string, groups []pref.Group, rewards [][]float64) (SuiteResult, error) {
	rules := map[string]func([]pref.Group, [][]float64) (SuiteResult, error){
		SuiteRewardBench: rewardBench, SuiteRewardBench2: rewardBench2, SuiteRMBench: rmBench,
		SuiteJudgeBench: judgeBench, SuiteRMB: rmb, SuiteLLMBar: llmBar, SuiteHHH: hhh,
	}
	rule, ok := rules[name]
	if !ok {
		return SuiteResult{}, fmt.Errorf("eval: suite %q, wanted one of %s", name, strings.Join(Suites(), ", "))
	}
	if err := check(groups, rewards); err != nil {
		return SuiteResult{}, err
	}
	r, err := rule(groups, rewards)
	if err != nil {
		return SuiteResult{}, err
	}
	r.Suite = name
	for _, m := range Margins(groups, rewards) {
		if m == 0 {
			r.Ties++
		}
	}
	return r, nil
}

// bySubset gathers a value of each group by the group's subset.
type bySubset map[string][]float64

func gather(groups []pref.Group, value func(g int) float64) bySubset {
	s := bySubset{}
	for g, group := range groups {
		s[group.Subset] = append(s[group.Subset], value(g))
	}
	return s
}

// score is the mean of a subset, with Wilson's interval where all values are 0 or 1.
func (s bySubset) score(name string) Score {
	x := s[name]
	sum, binary := 0.0, true
	for _, v := range x {
		sum += v
		binary = binary && (v == 0 || v == 1)
	}
	out := Score{Name: name, N: len(x), Score: ratio(sum, len(x))}
	if binary && len(x) > 0 {
		out.Low, out.High = wilson(out.Score, float64(len(x)))
	}
	return out
}

// known returns an error for the first subset that is not among the names.
func (s bySubset) known(suite string, names []string) error {
	for _, name := range slices.Sorted(maps.Keys(s)) {
		if !slices.Contains(names, name) {
			return fmt.Errorf("eval: suite %s has no subset %q, wanted %s: is this the file of another suite, or a row without \"subset\"?", suite, name, strings.Join(names, ", "))
		}
	}
	return nil
}

// right is 1 where every comparison of the group has a positive margin, else 0: a tie is wrong.
func right(g pref.Group, rewards []float64) float64 {
	for _, c := range g.Comparisons {
		if !(rewards[c.Chosen] > rewards[c.Rejected]) {
			return 0
		}
	}
	return 1
}

// weighted is the mean of the scores present (N > 0) by their weights.
func weighted(scores []Score) (mean float64, n int) {
	sum, weight := 0.0, 0.0
	for _, s := range scores {
		if s.N > 0 {
			sum, weight, n = sum+s.Score*s.Weight, weight+s.Weight, n+s.N
		}
	}
	if weight == 0 {
		return 0, 0
	}
	return sum / weight, n
}

// add puts a section over the subsets of it that are present and names those that are missing.
func (r *SuiteResult) add(name string, weight float64, parts []Score) {
	for _, p := range parts {
		if p.N == 0 {
			r.Missing = append(r.Missing, p.Name)
		} else {
			r.Subsets = append(r.Subsets, p)
		}
	}
	if mean, n := weighted(parts); n > 0 {
		r.Sections = append(r.Sections, Score{Name: name, N: n, Score: mean, Weight: weight})
	}
}

// close makes the overall score of the sections.
func (r *SuiteResult) close() { r.Score, _ = weighted(r.Sections) }

// Lines returns the result as lines of a table: overall, sections, subsets.
func (r SuiteResult) Lines() [][]string {
	lines := [][]string{{r.Suite, "n", "score", "95 % interval"}}
	row := func(indent string, s Score) {
		interval := ""
		if s.High > 0 {
			interval = fmt.Sprintf("[%.4f, %.4f]", s.Low, s.High)
		}
		lines = append(lines, []string{indent + s.Name, fmt.Sprint(s.N), fmt.Sprintf("%.4f", s.Score), interval})
	}
	n := 0
	for _, s := range r.Sections {
		n += s.N
	}
	row("", Score{Name: "overall", N: n, Score: r.Score})
	for _, s := range r.Sections {
		row("", s)
	}
	for _, s := range r.Subsets {
		row("  ", s)
	}
	return lines
}
