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

// A scoring makes the scores of a suite from the weights of its groups: 1 each for the score
// itself, and in a draw of the bootstrap the number of times that the group was drawn. Which rows
// the result has does not depend on the weights.
type scoring func(weight []float64) SuiteResult

// A suite is a published benchmark: where its data is and how its authors score it.
type suite struct {
	name string
	data []SuiteSource
	// said where there is no data to fetch: why, and where it is
	noData string
	// how the published code counts a response that ties with one that it should beat
	ties string
	// the code that the rule was checked against, with its version
	source string
	rule   func(groups []pref.Group, rewards [][]float64) (scoring, error)
	// names what is resampled; nil: the prompt
	cluster func(pref.Group) string
}

var suites = []suite{
	{
		name:   SuiteRewardBench,
		data:   []SuiteSource{{Named: []string{"datasets/allenai/reward-bench/filtered"}}},
		ties:   "wrong",
		source: "rewardbench 0.1.4 on PyPI: scripts/run_rm.py, rewardbench/constants.py",
		rule:   rewardBench,
	},
	{
		name: SuiteRewardBench2,
		data: []SuiteSource{{Named: []string{"datasets/allenai/reward-bench-2/test"}}},
		ties: "1/t right where t responses share the highest reward",
		source: "rewardbench 0.1.4 on PyPI: reroll_and_score_dataset and process_single_model " +
			"of rewardbench/utils.py",
		rule:    rewardBench2,
		cluster: tiesNumber,
	},
	{
		name:   SuiteRMBench,
		data:   []SuiteSource{{Named: []string{"datasets/THU-KEG/RM-Bench/total_dataset.json"}}},
		ties:   "wrong",
		source: "THU-KEG/RM-Bench on GitHub, 2119ec5: compute_accuracy of README.md",
		rule:   rmBench,
	},
	{
		name:   SuiteJudgeBench,
		data:   []SuiteSource{{Named: []string{"datasets/ScalerLab/JudgeBench/gpt"}}},
		ties:   "wrong", // the judge's verdicts on the two orders contradict each other
		source: "ScalerLab/JudgeBench on GitHub, 12a499c: utils/judges.py, utils/metrics.py",
		rule:   judgeBench,
	},
	{
		name: SuiteRMB,
		noData: "its authors have no data set on the hub: take RMB_dataset of " +
			"Zhou-Zoey/RMB-Reward-Model-Benchmark on GitHub and name its files with -data",
		// The best-of-n script takes the first of equals, in an order that the published files do
		// not keep.
		ties: "wrong",
		source: "Zhou-Zoey/RMB-Reward-Model-Benchmark on GitHub, 2be3180: " +
			"eval/scripts/my_run_rm.py, my_run_bon.py",
		rule: rmb,
	},
	{
		name: SuiteLLMBar,
		// The set of its authors is a script; RewardBench has all of its 419 pairs.
		data: []SuiteSource{{Named: []string{"datasets/allenai/reward-bench/filtered"},
			Only: append([]string{llmBarNatural}, llmBarAdversarial...)}},
		ties:   "half right", // rated alone, equal outputs win one of the two orders each
		source: "princeton-nlp/LLMBar on GitHub, caa7bee: LLMEvaluator/evaluate.py",
		rule:   llmBar,
	},
	{
		name:   SuiteHHH,
		data:   hhhSources(),
		ties:   "half right", // the published code chooses among equals by a hash
		source: "bigbench 1.0.0 on PyPI: measure_multiple_choice_grade of bigbench/api/task_metrics.py",
		rule:   hhh,
	},
}

// hhhSources are the four parts of the HHH alignment set as the hub converts them. Their rows do
// not name the part.
func hhhSources() []SuiteSource {
	var sources []SuiteSource
	for _, part := range []string{"harmless", "helpful", "honest", "other"} {
		sources = append(sources, SuiteSource{Subset: part,
			Named: []string{"datasets/HuggingFaceH4/hhh_alignment/" + part +
				"/test/0000.parquet@refs/convert/parquet"}})
	}
	return sources
}

// Suites lists the names.
func Suites() []string {
	names := make([]string, len(suites))
	for i, s := range suites {
		names[i] = s.name
	}
	return names
}

func suiteOf(name string) (suite, error) {
	for _, s := range suites {
		if s.name == name {
			return s, nil
		}
	}
	return suite{}, fmt.Errorf("eval: suite %q, want one of %s", name,
		strings.Join(Suites(), ", "))
}

// A Score is one number of a suite: of a subset, of a section, or of all of it.
type Score struct {
	Name  string  `json:"name"`
	N     int     `json:"n"`     // prompts in it
	Score float64 `json:"score"` // by the suite's published rule, 0 to 1
	// Low and High are the 95 % interval; see [RunSuite].
	Low  float64 `json:"low"`
	High float64 `json:"high"`
	// Longest is the score with the response's length in characters as reward, Constant the score of a
	// constant reward.
	Longest  float64 `json:"longest"`
	Constant float64 `json:"constant"`
	Weight   float64 `json:"weight"` // in the section or total that it is part of
}

// A SuiteResult holds the scores of a suite.
type SuiteResult struct {
	Suite    string  `json:"suite"`
	Overall  Score   `json:"overall"` // of the sections that are present
	Sections []Score `json:"sections"`
	Subsets  []Score `json:"subsets"`
	// subsets and sections of the published suite without a prompt in the data
	Missing     []string `json:"missing"`
	Comparisons int      `json:"comparisons"`
	Ties        int      `json:"ties"` // comparisons of equal rewards
	// TieRule is the published code's rule for ties, Source names that code.
	TieRule string `json:"tie_rule"`
	Source  string `json:"source"`
}

// RunSuite turns rewards into the scores of the named suite; rewards[g][k] is the reward of
// response k of group g. A group's subset decides the part to which it belongs; an unknown subset
// is an error.
//
// The interval of every score comes from 2000 draws of prompts; the published rule computes all
// scores of each draw. Prompts are drawn with replacement among those of the same subsets, so every
// draw has subsets of the suite's sizes. If all draws agree, the interval is Wilson's, of the
// score's prompts.
func RunSuite(name string, groups []pref.Group, rewards [][]float64) (SuiteResult, error) {
	s, err := suiteOf(name)
	if err != nil {
		return SuiteResult{}, err
	}
	if err := check(groups, rewards); err != nil {
		return SuiteResult{}, err
	}
	score, err := s.rule(groups, rewards)
	if err != nil {
		return SuiteResult{}, err
	}
	r := score(ones(len(groups)))
	r.bootstrap(score, groups, s.cluster)
	if err := r.baselines(s, groups); err != nil {
		return SuiteResult{}, err
	}
	r.Suite, r.TieRule, r.Source = name, s.ties, s.source
	for _, m := range Margins(groups, rewards) {
		r.Comparisons++
		if m == 0 {
			r.Ties++
		}
	}
	return r, nil
}

func ones(n int) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = 1
	}
	return x
}

// baselines adds what the length alone and a constant reward achieve.
func (r *SuiteResult) baselines(s suite, groups []pref.Group) error {
	constant := make([][]float64, len(groups))
	for g, group := range groups {
		constant[g] = make([]float64, len(group.Responses))
	}
	for _, baseline := range []struct {
		rewards [][]float64
		at      func(*Score) *float64
	}{
		{responseLengths(groups), func(s *Score) *float64 { return &s.Longest }},
		{constant, func(s *Score) *float64 { return &s.Constant }},
	} {
		score, err := s.rule(groups, baseline.rewards)
		if err != nil {
			return err
		}
		scored := score(ones(len(groups)))
		theirs := scored.rows()
		for i, row := range r.rows() {
			*baseline.at(row) = theirs[i].Score
		}
	}
	return nil
}

// bySubset holds a value of each group by the group's subset.
type bySubset map[string][]groupValue

type groupValue struct {
	group int
	value float64
}

func valuesBySubset(groups []pref.Group, value func(g int) float64) bySubset {
	s := bySubset{}
	for g, group := range groups {
		s[group.Subset] = append(s[group.Subset], groupValue{g, value(g)})
	}
	return s
}

// score is the weighted mean of a subset.
func (s bySubset) score(name string, weight []float64) Score {
	var m weightedMean
	for _, v := range s[name] {
		m.add(v.value, weight[v.group])
	}
	return Score{Name: name, N: len(s[name]), Score: m.mean()}
}

// known returns an error for the first subset that is not among the names.
func (s bySubset) known(suite string, names []string) error {
	for _, name := range slices.Sorted(maps.Keys(s)) {
		if !slices.Contains(names, name) {
			return fmt.Errorf("eval: suite %s has no subset %q, want %s: is this the file of "+
				"another suite, or a row without \"subset\"?", suite, name,
				strings.Join(names, ", "))
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
func (r *SuiteResult) close() {
	r.Overall = Score{Name: "overall"}
	r.Overall.Score, r.Overall.N = weighted(r.Sections)
}

// rows are all scores: overall, sections, subsets.
func (r *SuiteResult) rows() []*Score {
	rows := []*Score{&r.Overall}
	for i := range r.Sections {
		rows = append(rows, &r.Sections[i])
	}
	for i := range r.Subsets {
		rows = append(rows, &r.Subsets[i])
	}
	return rows
}

// Lines returns the result as lines of a table: overall, sections, subsets.
func (r SuiteResult) Lines() [][]string {
	lines := [][]string{{r.Suite, "n", "score", "95 % interval", "longest", "constant"}}
	row := func(name string, s Score) {
		lines = append(lines, []string{name, fmt.Sprint(s.N), fmt.Sprintf("%.4f", s.Score),
			interval(s.Low, s.High), fmt.Sprintf("%.4f", s.Longest),
			fmt.Sprintf("%.4f", s.Constant)})
	}
	row(r.Overall.Name, r.Overall)
	for _, s := range r.Sections {
		row(s.Name, s)
	}
	for _, s := range r.Subsets {
		row("  "+s.Name, s)
	}
	return lines
}

// TieLine returns a line with the number of ties and the suite's rule for them.
func (r SuiteResult) TieLine() string {
	return fmt.Sprintf("%s: %d of %d comparisons tie; a tie counts as %s", r.Suite, r.Ties,
		r.Comparisons, r.TieRule)
}

func interval(low, high float64) string { return fmt.Sprintf("[%.4f, %.4f]", low, high) }
