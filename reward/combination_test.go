package reward_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"haf/pref"
	"haf/reward"
	"haf/rewarder"
	"haf/rewarder/rewardertest"
	"haf/weights"
)

// TestCombined stores weights beside a model, names the combination, and gets the weighted sum of
// both heads.
func TestCombined(t *testing.T) {
	device, base := demoBase(t)
	dir := filepath.Join(t.TempDir(), "model")
	fresh := changed(t, device, base, true)
	fresh.Meta.Heads = []string{"score", "policy"}
	if err := fresh.Save(dir); err != nil {
		t.Fatal(err)
	}
	m := open(t, device, dir, reward.Options{})
	if _, err := rewarder.NewScorer(t.Context(), m.Reader(reward.ReaderOptions{}),
		reward.ByCombined); !errors.Is(err, fs.ErrNotExist) ||
		!strings.Contains(err.Error(), "haf combine") {
		t.Errorf("without weights: %v", err)
	}
	want := reward.Combination{Score: 0.7, Implicit: -0.3, Split: "the test's", Comparisons: 12,
		LogLikelihood: -0.5}
	if err := m.SetCombination(want); err != nil {
		t.Fatal(err)
	}
	again := open(t, device, dir, reward.Options{})
	if got, err := again.Combination(); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	if names := strings.Join(again.TrainedRewards(), " "); names != "score implicit "+
		"implicit-normalized combined" {
		t.Errorf("rewards are %s", names)
	}
	score, implicit, both := rewards(t, again, reward.ByScore), rewards(t, again, reward.ByImplicit),
		rewards(t, again, reward.ByCombined)
	for i := range both {
		if sum := 0.7*score[i] - 0.3*implicit[i]; math.Abs(both[i]-sum) > 1e-5 {
			t.Errorf("reward %d is %v, the weighted sum %v", i, both[i], sum)
		}
	}
	pair := []pref.Group{pref.NewPair(samples()[0].Prompt, "the fox eats mice", "the fox eats rain",
		pref.Location{})}
	of, err := again.Reader(reward.ReaderOptions{}).Read(t.Context(), pair,
		[]string{reward.ByScore, reward.ByImplicit, reward.ByCombined})
	if err != nil {
		t.Fatal(err)
	}
	read := of.Rewards
	for k := range 2 {
		if sum := 0.7*read[reward.ByScore][0][k] - 0.3*read[reward.ByImplicit][0][k]; math.Abs(
			read[reward.ByCombined][0][k]-sum) > 1e-5 {
			t.Errorf("read as a group, reward %d is %v, want %v", k, read[reward.ByCombined][0][k], sum)
		}
	}
	for _, text := range []string{"{", `{"score": 0, "implicit": 0}`} {
		if err := os.WriteFile(filepath.Join(dir, reward.CombinationName), []byte(text),
			0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := again.Combination(); err == nil || !strings.Contains(err.Error(), "fit it again") {
			t.Errorf("%s: %v", text, err)
		}
	}
	if err := m.SetCombination(reward.Combination{Score: math.NaN(), Implicit: 1}); err == nil {
		t.Error("a weight that is no number was stored")
	}
}

// TestReaders passes the suite of every Rewarder with every reward of a model, and with ensembles
// of models.
func TestReaders(t *testing.T) {
	device, base := demoBase(t)
	names := []string{reward.ByScore, reward.ByImplicit, reward.ByNormalized, reward.ByCombined}
	var members []rewarder.Member
	for _, lora := range []bool{true, false} {
		dir := filepath.Join(t.TempDir(), "model")
		if err := changed(t, device, base, lora).Save(dir); err != nil {
			t.Fatal(err)
		}
		m := open(t, device, dir, reward.Options{})
		if err := m.SetCombination(reward.Combination{Score: 1, Implicit: 0.5}); err != nil {
			t.Fatal(err)
		}
		r := m.Reader(reward.ReaderOptions{})
		members = append(members, rewarder.Member{Name: dir, Rewarder: r})
		t.Run(fmt.Sprintf("lora=%t", lora), func(t *testing.T) {
			rewardertest.Test(t, r, rewardertest.Options{Samples: samples(), Tolerance: 1e-5})
		})
		e := engine(t, m, reward.EngineOptions{Rewards: []string{reward.ByCombined}, MaxLength: 64})
		for i, got := range served(t, e) {
			if want := rewards(t, m, reward.ByCombined)[i]; math.Abs(got-want) > 1e-5 {
				t.Errorf("served reward %d is %v, want %v", i, got, want)
			}
		}
	}
	for _, rule := range rewarder.EnsembleRules() {
		t.Run(rule, func(t *testing.T) {
			e, err := rewarder.NewEnsemble(rewarder.Rule{Name: rule, Lambda: 0.5}, members...)
			if err != nil {
				t.Fatal(err)
			}
			rewardertest.Test(t, e, rewardertest.Options{Samples: samples(), Names: names, Tolerance: 1e-5})
		})
	}
}

// TestAverage averages two adapters of one base: every weight is the mean of the merged ones, and
// strangers are refused.
func TestAverage(t *testing.T) {
	device, base := demoBase(t)
	root := t.TempDir()
	saved := func(name string, scale float32, lora bool) *reward.Model {
		m := changed(t, device, base, lora)
		for _, p := range m.Trainable(reward.ScoreHead | reward.PolicyHead) {
			a, err := p.Read()
			if err != nil {
				t.Fatal(err)
			}
			for i := range a.Data {
				a.Data[i] *= scale
			}
			if err := m.Set(p, a); err != nil {
				t.Fatal(err)
			}
		}
		if err := m.Save(filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
		return open(t, device, filepath.Join(root, name), reward.Options{})
	}
	a, b := saved("a", 1, true), saved("b", -0.5, true)
	out := filepath.Join(root, "average")
	if err := reward.SaveAverage(out, a, b); err != nil {
		t.Fatal(err)
	}
	read := func(dir string) map[string]weights.Array {
		ck, err := weights.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer ck.Close()
		of := map[string]weights.Array{}
		for _, name := range ck.Names() {
			if of[name], err = ck.Read(name); err != nil {
				t.Fatal(err)
			}
		}
		return of
	}
	var merged []map[string]weights.Array
	for name, m := range map[string]*reward.Model{"merged-a": a, "merged-b": b} {
		if err := m.SaveMerged(filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
		merged = append(merged, read(filepath.Join(root, name)))
	}
	average := read(out)
	if len(average) != len(merged[0]) {
		t.Fatalf("%d weights, of the merged models %d", len(average), len(merged[0]))
	}
	for name, w := range average {
		for i, v := range w.Data {
			if want := (merged[0][name].Data[i] +
				merged[1][name].Data[i]) / 2; math.Abs(float64(v-want)) > 1e-6 {
				t.Fatalf("%s: value %d is %v, the mean %v", name, i, v, want)
			}
		}
	}
	m := open(t, device, out, reward.Options{})
	opt := rewardertest.Options{Samples: samples(), Names: []string{reward.ByScore}, Tolerance: 1e-5}
	rewardertest.Test(t, m.Reader(reward.ReaderOptions{}), opt)
	if m.Meta.BaseHash != a.Meta.BaseHash || len(rewards(t, m, reward.ByImplicit)) == 0 {
		t.Errorf("the average's base is %q, was %q", m.Meta.BaseHash, a.Meta.BaseHash)
	}

	stranger := saved("stranger", 1, true)
	stranger.Meta.BaseHash = "another"
	if err := reward.SaveAverage(filepath.Join(root, "no"), a, stranger); err == nil ||
		!strings.Contains(err.Error(), "trained from another base") {
		t.Errorf("%v", err)
	}
	if err := reward.SaveAverage(filepath.Join(root, "no"), a); err == nil {
		t.Error("one model was averaged")
	}
	if err := reward.SaveAverage(out, a, b); err == nil ||
		!strings.Contains(err.Error(), "exists already") {
		t.Errorf("%v", err)
	}
}
