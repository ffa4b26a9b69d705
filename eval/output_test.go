package eval_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"haf/eval"
	"haf/pref"
)

func TestWriteExamples(t *testing.T) {
	groups, rewards := pairs(1, -2)
	groups[0].Subset, groups[0].ID = "s", "7"
	groups[1].Ties = [][2]int{{0, 1}}
	var b bytes.Buffer
	err := eval.WriteExamples(&b, "m", groups, map[string][][]float64{"score": rewards})
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != 3 {
		t.Fatalf("%d lines", len(lines))
	}
	var e eval.Example
	if err := json.Unmarshal([]byte(lines[0]), &e); err != nil {
		t.Fatal(err)
	}
	want := eval.Example{Model: "m", Source: groups[0].Source, ID: "7", Subset: "s",
		Prompt: groups[0].Prompt, Chosen: "chosen", Rejected: "rejected",
		Rewards: map[string]eval.Rewards{"score": {1, 0, 1}}}
	if !reflect.DeepEqual(e, want) {
		t.Errorf("%+v", e)
	}
	if !strings.Contains(lines[2], `"tied":true`) {
		t.Errorf("%s", lines[2])
	}
	if err := eval.WriteExamples(&b, "m", groups,
		map[string][][]float64{"score": rewards[:1]}); err == nil {
		t.Error("rewards of fewer groups: no error")
	}
}

func TestMatrix(t *testing.T) {
	groups, good := pairs(1, 1, 1, 1)
	_, bad := pairs(1, -1, -1, -1)
	all := []int{0, 1, 2, 3}
	readings := [][]eval.Reading{
		{{groups, all, good}, {groups, all, bad}},
		// The second model could not read the first group of the first set.
		{{groups[1:], all[1:], bad[1:]}, {groups, all, good}},
	}
	m, err := eval.NewMatrix([]string{"a", "b"}, []string{"x", "y"}, readings)
	if err != nil {
		t.Fatal(err)
	}
	if m.Cells[0][0].Result.Accuracy != 1 || m.Cells[0][1].Result.Accuracy != 0.25 ||
		m.Cells[1][0].Groups != 3 || !reflect.DeepEqual(m.Means, []float64{0.625, 0.5}) {
		t.Errorf("%+v", m)
	}
	if len(m.Pairs) != 2 || m.Pairs[0].A != "a" || m.Pairs[0].B != "b" || m.Pairs[0].Common != 3 ||
		m.Pairs[0].Paired.Difference != 1 || m.Pairs[0].Paired.BetterA != 3 {
		t.Errorf("%+v", m.Pairs)
	}
	near(t, "difference on y", m.Pairs[1].Paired.Difference, -0.75, 1e-12)
	near(t, "McNemar", m.Pairs[0].Paired.McNemarP, 0.25, 1e-12)
	var b strings.Builder
	if err := m.Write(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"accuracy ",
		"a                           1.0000 [0.5101, 1.0000]  0.2500", "always the longer response  " +
			"0.0000 [0.0000, 0.4899]", "0.6250", "a − b", "+1.0000", "0.25"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

func TestDescribe(t *testing.T) {
	groups, rewards := pairs(3, -1, 2)
	groups[0].Subset, groups[1].Subset = "s", "u"
	groups = append(groups, pref.Group{Prompt: ask("t"), Responses: []string{"a", "b"},
		Ties: [][2]int{{0, 1}}})
	rewards = append(rewards, []float64{1, 1.5})
	groups = append(groups, pref.Group{Prompt: ask("k"), Responses: []string{"a", "b", "c"},
		Comparisons: []pref.Comparison{{Chosen: 0, Rejected: 1}, {Chosen: 0, Rejected: 2}}})
	rewards = append(rewards, []float64{1, 2, 0})
	d, err := eval.Describe(groups, rewards, []float64{2, 2, 2, -2})
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Subsets) != 3 || len(d.Sources) != 2 || d.Calibration == nil || d.Recall == nil ||
		d.Recall.Groups != 4 || len(d.Recall.At) != 2 || d.Recall.At[0] != 0.5 {
		t.Errorf("%+v", d)
	}
	if d.Tied == nil || d.Tied.Pairs != 1 || d.Tied.Margin != 0.5 || d.Tied.DecidedMargin != 8./5 ||
		d.Tied.AUC != 1 {
		t.Errorf("%+v", d.Tied)
	}
	if text := strings.Join(d.Lines(), "\n"); !strings.Contains(text, "ties: 1 pairs") ||
		!strings.Contains(text, "subset s: accuracy 1.0000") {
		t.Errorf("%s", text)
	}
	if _, err := json.Marshal(d); err != nil {
		t.Error(err)
	}
}

func TestRewardBenchFile(t *testing.T) {
	var d suiteData
	d.add("hep-go", "12", 1, 2, 1)
	d.add("hep-go", "13", 1, 1, 1)
	f, err := eval.NewRewardBenchFile(d.run(t, eval.SuiteRewardBench), "org/m", "plain", d.groups,
		d.rewards)
	if err != nil {
		t.Fatal(err)
	}
	wantResults := "{\n    \"chat_template\": \"plain\",\n    \"hep-go\": 0.5,\n    \"model\": " +
		"\"org/m\",\n    \"model_type\": \"Seq. Classifier\"\n}"
	if string(f.Results) != wantResults {
		t.Errorf("%s", f.Results)
	}
	var scores map[string]any
	if err := json.Unmarshal(f.Scores, &scores); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{"results": []any{1., 0.}, "id": []any{12., 13.},
		"subset": []any{"hep-go", "hep-go"}, "scores_chosen": []any{2., 1.},
		"scores_rejected": []any{1., 1.}} {
		if !reflect.DeepEqual(scores[key], want) {
			t.Errorf("%s: %v, want %v", key, scores[key], want)
		}
	}
	if len(scores["text_chosen"].([]any)[0].([]any)) != 2 {
		t.Errorf("%v", scores["text_chosen"])
	}
	var e suiteData
	e.add("Math", "5", 1, 2, 2, 1)
	e.add("Ties", "ref:0", 1, 2, 1)
	e.add("Ties", "tied:0", 2, 2, 2, 1)
	if f, err = eval.NewRewardBenchFile(e.run(t, eval.SuiteRewardBench2), "m", "plain", e.groups,
		e.rewards); err != nil {
		t.Fatal(err)
	}
	scores = nil
	if err := json.Unmarshal(f.Scores, &scores); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{"results": []any{0.5, nil, nil},
		"num_correct": []any{1., 1., 2.}, "id": []any{"5", "ref:0", "tied:0"}} {
		if !reflect.DeepEqual(scores[key], want) {
			t.Errorf("%s: %v, want %v", key, scores[key], want)
		}
	}
	if _, err := eval.NewRewardBenchFile(eval.SuiteResult{Suite: eval.SuiteHHH}, "m", "", e.groups,
		e.rewards); err == nil {
		t.Error("the files of another suite: no error")
	}
}
