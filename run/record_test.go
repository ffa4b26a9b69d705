package run_test

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"haf/eval"
	"haf/run"
)

// TestRecords writes records of every type and reads them back as the verb's.
func TestRecords(t *testing.T) {
	folder := opened(t)
	valid := run.Validation{
		Kind: run.KindEval, Step: 1, Loss: 0.5,
		Rewards: map[string]eval.Result{"score": {Accuracy: 0.75}},
	}
	want := []run.Record{
		run.TrainStep{Kind: run.KindStep, Step: 1, Loss: 0.25, Tokens: 7},
		valid,
		run.TrainStep{Kind: run.KindStep, Step: 2, GradNorm: 3},
	}
	for _, r := range want {
		if err := folder.Record(r); err != nil {
			t.Fatal(err)
		}
	}
	got, err := run.ReadRecords(folder.Path, run.VerbTrain)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Steps) != 2 || got.Steps[0] != want[0] || got.Steps[1] != want[2] ||
		!reflect.DeepEqual(got.Validations, []run.Validation{valid}) {
		t.Errorf("read %+v", got)
	}
	policy := opened(t)
	step := run.PolicyStep{Kind: run.KindStep, Step: 1, Reward: 2, Estimator: "k1"}
	if err := policy.Record(step); err != nil {
		t.Fatal(err)
	}
	got, err = run.ReadRecords(policy.Path, run.VerbRLHF)
	if err != nil || len(got.PolicySteps) != 1 || !reflect.DeepEqual(got.PolicySteps[0], step) ||
		len(got.Steps) != 0 {
		t.Errorf("read %+v: %v", got, err)
	}
}

// TestReadRecords leaves out a line that is cut off and other kinds, and names a line that is bad.
func TestReadRecords(t *testing.T) {
	folder := create(t, t.TempDir())
	if got, err := run.ReadRecords(folder.Path, run.VerbTrain); err != nil || len(got.Steps) != 0 {
		t.Errorf("without metrics: %+v, %v", got, err)
	}
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(folder.Join(run.MetricsName), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put(`{"kind":"other","step":"x"}` + "\n" + `{"kind":"step","step":1}` + "\n" + `{"kind":"st`)
	if got, err := run.ReadRecords(folder.Path, run.VerbTrain); err != nil || len(got.Steps) != 1 {
		t.Errorf("read %+v: %v", got, err)
	}
	put(`{"kind":"step","step":1}` + "\n" + `{"kind":"step","step":"x"}` + "\n")
	_, err := run.ReadRecords(folder.Path, run.VerbTrain)
	if err == nil || !strings.Contains(err.Error(), "metrics.jsonl:2: ") {
		t.Errorf("a bad line: %v", err)
	}
}

// TestBest picks by the score head where there is one, and breaks ties by the loss.
func TestBest(t *testing.T) {
	of := func(step int, loss float64, by map[string]float64) run.Validation {
		v := run.Validation{Step: step, Loss: loss, Rewards: map[string]eval.Result{}}
		for name, accuracy := range by {
			v.Rewards[name] = eval.Result{Accuracy: accuracy}
		}
		return v
	}
	r := run.Records{Validations: []run.Validation{
		of(1, 0.7, map[string]float64{"score": 0.6, "implicit": 0.9}),
		of(2, 0.6, map[string]float64{"score": 0.6, "implicit": 0.8}),
		of(3, 0.1, map[string]float64{"score": 0.5}),
	}}
	if best, name, ok := r.Best(); !ok || name != "score" || best.Step != 2 {
		t.Errorf("best is step %d by %s", best.Step, name)
	}
	if _, _, ok := (run.Records{}).Best(); ok {
		t.Error("there is a best of no validations")
	}
	v := of(1, 1, map[string]float64{"implicit": 0.5, run.ByLogProb: 0.5})
	if v.Selected().Name != "implicit" {
		t.Errorf("selected by %+v", v.Selected())
	}
}
