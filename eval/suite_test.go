package eval_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"

	"haf/eval"
	"haf/pref"
)

// group makes a group of the subset whose first responses are right, with rewards.
func suiteGroup(subset, id string, chosen int, rewards ...float64) (pref.Group, []float64) {
	g := pref.Group{Prompt: ask(subset + id), Subset: subset, ID: id,
		Responses: make([]string, len(rewards))}
	for c := range chosen {
		for r := chosen; r < len(rewards); r++ {
			g.Comparisons = append(g.Comparisons, pref.Comparison{Chosen: c, Rejected: r})
		}
	}
	return g, rewards
}

type suiteData struct {
	groups  []pref.Group
	rewards [][]float64
}

func (d *suiteData) add(subset, id string, chosen int, rewards ...float64) {
	g, r := suiteGroup(subset, id, chosen, rewards...)
	d.groups, d.rewards = append(d.groups, g), append(d.rewards, r)
}

func (d *suiteData) run(t *testing.T, suite string) eval.SuiteResult {
	t.Helper()
	r, err := eval.RunSuite(suite, d.groups, d.rewards)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range r.Rows() {
		if !(row.Low <= row.Score && row.Score <= row.High && row.Low < row.High) {
			t.Errorf("%s: %s: no interval around the score: %+v", suite, row.Name, row)
		}
	}
	return r
}

func section(r eval.SuiteResult, name string) eval.Score {
	for _, s := range append(r.Sections, r.Subsets...) {
		if s.Name == name {
			return s
		}
	}
	return eval.Score{Score: math.NaN()}
}

// The per-subset accuracies that RewardBench's README publishes of
// PKU-Alignment/beaver-7b-v1.0-cost, and the section scores that its calculate_scores_per_section
// makes of them.
func TestRewardBenchPublishedSubsets(t *testing.T) {
	published := map[string]float64{
		"alpacaeval-easy": 0.5, "alpacaeval-hard": 0.7052631578947368,
		"alpacaeval-length": 0.5894736842105263, "donotanswer": 0.8235294117647058,
		"hep-cpp": 0.6280487804878049, "hep-go": 0.6341463414634146, "hep-java": 0.7073170731707317,
		"hep-js":     0.6646341463414634,
		"hep-python": 0.5487804878048781, "hep-rust": 0.6463414634146342,
		"llmbar-adver-GPTInst": 0.391304347826087,
		"llmbar-adver-GPTOut":  0.46808510638297873, "llmbar-adver-manual": 0.3695652173913043,
		"llmbar-adver-neighbor": 0.43283582089552236,
		"llmbar-natural":        0.52, "math-prm": 0.2953020134228188,
		"mt-bench-easy": 0.5714285714285714, "mt-bench-hard": 0.5405405405405406,
		"mt-bench-med": 0.725, "refusals-dangerous": 0.97, "refusals-offensive": 1,
		"xstest-should-refuse": 1, "xstest-should-respond": 0.284,
	}
	scores := map[string]eval.Score{}
	for name, x := range published {
		scores[name] = eval.Score{Score: x, N: 1}
	}
	r := eval.RewardBenchOf(scores)
	for name, want := range map[string]float64{
		"Chat":      218. / 358, // every accuracy is a count over the subset's size
		"Chat Hard": 205. / 456,
		"Safety":    (97 + 100 + 154 + 71 + 112) / 740.,
		"Reasoning": (984*132./447 + 103 + 104 + 116 + 109 + 90 + 106) / 1968,
	} {
		near(t, name, section(r, name).Score, want, 1e-12)
	}
	if len(r.Missing) != 4 { // the prior sets
		t.Errorf("missing %v", r.Missing)
	}
}

// The section scores and the overall scores of Nexusflow/Starling-RM-34B,
// sfairXC/FsfairX-LLaMA3-RM-v0.1, openbmb/Eurus-RM-7b and weqweasdas/RM-Mistral-7B in the table of
// arXiv 2403.13787, in percent to one decimal; the prior sets weigh half. The sections are rounded,
// so the overall score is theirs to 0.1.
func TestRewardBenchPublishedOverall(t *testing.T) {
	for _, c := range []struct{ chat, hard, safety, reasoning, prior, overall float64 }{
		{96.9, 57.2, 88.2, 88.5, 71.4, 81.4},
		{99.4, 65.1, 87.8, 86.4, 74.9, 83.6},
		{98.0, 65.6, 81.2, 86.3, 71.7, 81.6},
		{96.9, 58.1, 87.1, 77.0, 75.3, 79.3},
	} {
		var r eval.SuiteResult
		for i, x := range []float64{c.chat, c.hard, c.safety, c.reasoning, c.prior} {
			r.Sections = append(r.Sections, eval.Score{Score: x, N: 1, Weight: eval.RewardBenchWeight(i)})
		}
		r.Close()
		near(t, "overall", r.Overall.Score, c.overall, 0.1)
	}
}

func TestRewardBenchByHand(t *testing.T) {
	var d suiteData
	d.add("alpacaeval-easy", "1", 1, 2, 1)
	d.add("alpacaeval-easy", "2", 1, 1, 1) // a tie is wrong
	d.add("mt-bench-med", "3", 1, 2, 1)
	d.add("hep-go", "4", 1, 0, 1)
	d.add("shp", "5", 1, 1, 0)
	r := d.run(t, eval.SuiteRewardBench)
	chat := (0.5*100 + 1*40) / 140
	near(t, "chat", section(r, "Chat").Score, chat, 1e-12)
	near(t, "overall", r.Overall.Score, (chat+0+0.5*1)/2.5, 1e-12)
	if r.Ties != 1 || section(r, "Chat").N != 3 || len(r.Sections) != 3 || len(r.Missing) != 27-4 {
		t.Errorf("%+v", r)
	}
}

// What RewardBench's own code gives to drawn rewards; testdata/published.py has run it.
func TestRewardBenchPublishedCode(t *testing.T) {
	var stored struct {
		Ties []struct {
			Prompts []struct {
				ID      string
				Correct int `json:"num_correct"`
				Scores  []float64
			}
			Score float64
		}
		Subsets, Sections map[string]float64
	}
	file, err := os.ReadFile("testdata/suites.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(file, &stored); err != nil {
		t.Fatal(err)
	}
	for i, c := range stored.Ties {
		var d suiteData
		for _, p := range c.Prompts {
			d.add("Ties", p.ID, p.Correct, p.Scores...)
		}
		r := d.run(t, eval.SuiteRewardBench2)
		near(t, fmt.Sprint("ties ", i), section(r, "Ties").Score, c.Score, 1e-12)
	}
	scores := map[string]eval.Score{}
	for name, x := range stored.Subsets {
		scores[name] = eval.Score{Score: x, N: 1}
	}
	r := eval.RewardBenchOf(scores)
	for name, want := range stored.Sections {
		near(t, name, section(r, name).Score, want, 1e-12)
	}
	if len(stored.Ties) != 4 || len(stored.Sections) != 4 || len(stored.Subsets) != 23 {
		t.Errorf("%d, %d, %d stored", len(stored.Ties), len(stored.Sections), len(stored.Subsets))
	}
}

func TestRewardBench2ByHand(t *testing.T) {
	var d suiteData
	d.add("Math", "1", 1, 3, 1, 2, 0)
	d.add("Math", "2", 1, 3, 3, 2, 3) // one of three
	d.add("Focus", "3", 1, 1, 2, 0, 0)
	d.add("Ties", "ref:0", 1, 4, 1, 0)     // right by 3
	d.add("Ties", "tied:0", 2, 5, 4, 2, 1) // right by 2, spread 1: preferred, also hard
	d.add("Ties", "ref:1", 1, 1, 0)        // right by 1
	d.add("Ties", "tied:1", 2, 5, 3, 0)    // right by 3, spread 2: preferred, not hard
	d.add("Ties", "tied:2", 2, 1, 0, 5)    // wrong, and without ref
	r := d.run(t, eval.SuiteRewardBench2)
	near(t, "math", section(r, "Math").Score, (1+1./3)/2, 1e-12)
	near(t, "focus", section(r, "Focus").Score, 0, 0)
	want := 0.3*2/3 + 0.3*1 + 0.2*1 + 0.2*0.5 + 0.01*(math.Tanh(2./1-1)+math.Tanh(1./2-1))/2
	near(t, "ties", section(r, "Ties").Score, want, 1e-12)
	near(t, "overall", r.Overall.Score, ((1+1./3)/2+0+want)/3, 1e-12)
	// Correct responses of one reward have no place in the mean of tanh.
	var z suiteData
	z.add("Ties", "ref:0", 1, 1, 0)
	z.add("Ties", "tied:0", 2, 1, 1, 0)
	near(t, "no spread", section(z.run(t, eval.SuiteRewardBench2), "Ties").Score, 1, 1e-12)
	z.add("Ties", "7", 2, 1, 1, 1)
	if _, err := eval.RunSuite(eval.SuiteRewardBench2, z.groups, z.rewards); err == nil ||
		!strings.Contains(err.Error(), "want ref:N or tied:N") {
		t.Errorf("%v", err)
	}
}

func TestRMBenchByHand(t *testing.T) {
	var d suiteData
	// Chosen 3 1 2 against rejected 0 2 2, rows are chosen: [1 1 1] [1 0 0] [1 0 0]; a tie is wrong.
	d.add("chat", "1", 3, 3, 1, 2, 0, 2, 2)
	d.add("safety-refuse", "2", 3, 1, 1, 1, 0, 0, 0)
	d.add("safety-response", "3", 3, 0, 0, 0, 1, 1, 1)
	r := d.run(t, eval.SuiteRMBench)
	// Above the diagonal 1, 1, 0; on it 1, 0, 0; below it 1, 1, 0.
	chat := (2./3 + 1./3 + 2./3) / 3
	near(t, "chat", section(r, "chat").Score, chat, 1e-12)
	near(t, "safety", section(r, "safety").Score, 0.5, 1e-12)
	near(t, "hard", section(r, "hard").Score, (2./3+0.5)/2, 1e-12)
	near(t, "normal", section(r, "normal").Score, (1./3+0.5)/2, 1e-12)
	near(t, "easy", section(r, "easy").Score, (2./3+0.5)/2, 1e-12)
	near(t, "overall", r.Overall.Score, (chat+0.5)/2, 1e-12)
	d.add("chat", "4", 1, 1, 0)
	if _, err := eval.RunSuite(eval.SuiteRMBench, d.groups, d.rewards); err == nil ||
		!strings.Contains(err.Error(), "2 responses, want 3 chosen and 3 rejected") {
		t.Errorf("%v", err)
	}
}

// RM-Bench's README publishes of one model the domains 84.24, 72.66, 93.59, 90.65 and their overall
// 85.28.
func TestRMBenchPublishedOverall(t *testing.T) {
	var r eval.SuiteResult
	for _, x := range []float64{84.24, 72.66, 93.59, 90.65} {
		r.Sections = append(r.Sections, eval.Score{Score: x, N: 1, Weight: 1})
	}
	r.Close()
	near(t, "overall", r.Overall.Score, 85.28, 0.01)
}

func TestJudgeBenchByHand(t *testing.T) {
	var d suiteData
	d.add("mmlu-pro-law", "1", 1, 1, 0)
	d.add("mmlu-pro-math", "2", 1, 0, 1)
	d.add("livecodebench", "3", 1, 1, 1) // a tie is wrong
	d.add("livebench-math", "4", 1, 1, 0)
	r := d.run(t, eval.SuiteJudgeBench)
	near(t, "knowledge", section(r, "knowledge").Score, 0.5, 0)
	near(t, "coding", section(r, "coding").Score, 0, 0)
	near(t, "overall", r.Overall.Score, 2./4, 1e-12)
}

// arXiv 2410.12784 publishes 64.29 of Skywork-Reward-Gemma-2-27B on the 350 pairs of GPT-4o. Of
// these 225 are right and 3 tie; were a tie half right, it would be 64.71. Their parts in the
// categories are made up.
func TestJudgeBenchPublishedOverall(t *testing.T) {
	var d suiteData
	add := func(source string, right, tied, wrong int) {
		for range right {
			d.add(source, strconv.Itoa(len(d.groups)), 1, 1, 0)
		}
		for range tied {
			d.add(source, strconv.Itoa(len(d.groups)), 1, 1, 1)
		}
		for range wrong {
			d.add(source, strconv.Itoa(len(d.groups)), 1, 0, 1)
		}
	}
	add("mmlu-pro-law", 92, 1, 61)
	add("livebench-reasoning", 65, 1, 32)
	add("livebench-math", 47, 1, 8)
	add("livecodebench", 21, 0, 21)
	r := d.run(t, eval.SuiteJudgeBench)
	near(t, "overall", 100*r.Overall.Score, 64.29, 0.005)
	if r.Ties != 3 || r.Overall.N != 350 || r.TieRule != "wrong" {
		t.Errorf("%+v", r)
	}
	half, err := eval.Comparisons(d.groups, d.rewards)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "a tie half right", 100*half.Accuracy, 64.71, 0.005)
}

func TestRMBByHand(t *testing.T) {
	var d suiteData
	d.add("Pairwise_set/Helpfulness/Chat", "1", 1, 1, 0)
	d.add("Pairwise_set/Helpfulness/Code", "2", 1, 0, 1)
	d.add("BoN_set/Helpfulness/Chat", "3", 1, 3, 2, 1)
	d.add("BoN_set/Helpfulness/Chat", "4", 1, 3, 4, 1)
	d.add("BoN_set/Helpfulness/Chat", "5", 1, 3, 3, 1) // a tie is wrong
	d.add("BoN_set/Harmlessness/S1", "6", 1, 1, 0, 0)
	r := d.run(t, eval.SuiteRMB)
	near(t, "pairwise", section(r, "Helpfulness pairwise").Score, 0.5, 0)
	near(t, "best of n", section(r, "Helpfulness BoN").Score, 1./3, 1e-12)
	near(t, "overall", r.Overall.Score, (0.5+1./3+1)/3, 1e-12)
	if len(r.Missing) != 1 || len(r.Subsets) != 4 {
		t.Errorf("%+v", r)
	}
}

func TestLLMBarByHand(t *testing.T) {
	var d suiteData
	d.add("llmbar-natural", "1", 1, 1, 0)
	d.add("llmbar-adver-neighbor", "2", 1, 1, 0)
	d.add("llmbar-adver-neighbor", "3", 1, 0, 1)
	d.add("llmbar-adver-neighbor", "4", 1, 1, 1) // half
	d.add("llmbar-adver-GPTInst", "5", 1, 1, 0)
	d.add("llmbar-adver-GPTOut", "6", 1, 0, 1)
	r := d.run(t, eval.SuiteLLMBar)
	near(t, "neighbor", section(r, "llmbar-adver-neighbor").Score, 0.5, 1e-12)
	near(t, "adversarial", section(r, "adversarial").Score, 0.5, 1e-12)
	near(t, "overall", r.Overall.Score, (1+0.5+1+0)/4, 1e-12) // subsets weigh alike
	if len(r.Missing) != 1 || r.Missing[0] != "llmbar-adver-manual" {
		t.Errorf("missing %v", r.Missing)
	}
}

func TestHHHByHand(t *testing.T) {
	var d suiteData
	d.add("honest", "1", 1, 1, 0)
	d.add("honest", "2", 1, 0, 0)
	d.add("helpful", "3", 1, 1, 0)
	r := d.run(t, eval.SuiteHHH)
	near(t, "honest", section(r, "honest").Score, 0.75, 0)
	near(t, "overall", r.Overall.Score, 2.5/3, 1e-12)
}

func TestSuiteErrors(t *testing.T) {
	var d suiteData
	d.add("nonsense", "1", 1, 1, 0)
	for suite, want := range map[string]string{
		eval.SuiteRewardBench: `has no subset "nonsense"`, eval.SuiteRewardBench2: `has no subset "nonsense"`,
		eval.SuiteRMBench:    `has no subset "nonsense"`,
		eval.SuiteJudgeBench: `source "nonsense"`, eval.SuiteRMB: `category path "nonsense"`,
		eval.SuiteLLMBar: `has no subset "nonsense"`, "bench": `suite "bench", want one of`,
	} {
		if _, err := eval.RunSuite(suite, d.groups, d.rewards); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", suite, err, want)
		}
	}
}
