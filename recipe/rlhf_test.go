package recipe

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"haf/rlhf"
	"haf/run"
)

// TestRLHFRecipe: defaults follow the algorithm, wherever it is named, and what is set stays.
func TestRLHFRecipe(t *testing.T) {
	const file = "../recipes/rlhf-small.toml"
	r, err := Load(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.ForRLHF(); err != nil {
		t.Error(err)
	}
	if o := r.RLHFOptions(); o.Algorithm != rlhf.PPO || o.Estimator != rlhf.K1 || o.KLInLoss ||
		o.NumGenerations != 2 || o.KL.Target != 6 || o.Shaping.MissingEOS != 1 || o.MaxSteps != 20 {
		t.Errorf("%+v", o)
	}
	r, err = Load(file, []string{"rlhf.algorithm=grpo", "rlhf.kl_estimator=k2", "rlhf.stop=STOP"})
	if err != nil {
		t.Fatal(err)
	}
	if o := r.RLHFOptions(); o.Algorithm != rlhf.GRPO || o.Estimator != rlhf.K2 || !o.KLInLoss ||
		o.LossAggregation != rlhf.AggregateBySequence || o.NumGenerations != 2 ||
		o.Shaping.Normalize != rlhf.NormalizeNone || len(o.Stop) != 1 {
		t.Errorf("%+v", o)
	}
	for _, algorithm := range []string{rlhf.PPO, rlhf.RLOO, rlhf.GRPO} {
		want := rlhf.Default(algorithm)
		r := Default()
		r.RLHF = defaultRLHF(algorithm)
		got := r.RLHFOptions()
		// the recipe's own
		got.Optimizer, got.Batch, got.Stop = want.Optimizer, want.Batch, nil
		got.Seed, got.Rows, got.CheckpointEvery, got.CriticLR = 0, 0, 0, 0
		if strings.Join([]string{got.Algorithm, string(got.Estimator), got.LossAggregation, got.Value,
			got.Shaping.Normalize}, " ") != strings.Join([]string{want.Algorithm, string(want.Estimator),
			want.LossAggregation, want.Value, want.Shaping.Normalize}, " ") ||
			got.KL != want.KL || got.KLInLoss != want.KLInLoss || got.Shaping != want.Shaping ||
			got.NumGenerations != want.NumGenerations || got.NumPPOEpochs != want.NumPPOEpochs ||
			got.Gamma != want.Gamma ||
			got.Lambda != want.Lambda || got.Clip != want.Clip || got.ValueClip != want.ValueClip ||
			got.ValueCoef != want.ValueCoef || got.WhitenAdvantages != want.WhitenAdvantages ||
			got.ScaleGroup != want.ScaleGroup || got.KLLimit != want.KLLimit ||
			got.MinLength != want.MinLength || got.MaxTokens != want.MaxTokens || got.Epochs != want.Epochs {
			t.Errorf("%s: the recipe's defaults are\n%+v\nthose of the package\n%+v", algorithm, got, want)
		}
	}
	for set, want := range map[string]string{
		"data.label_noise=0.1":                       "data.label_noise has no effect",
		"rlhf.kl_placement=both":                     "rlhf.kl_placement",
		`rlhf.rewards=[{source="x", reward="best"}]`: "rlhf.rewards[0].reward",
		"rlhf.value=both":                            "value is",
		"rlhf.algorithm=trpo":                        `"trpo" is not known`,
	} {
		r, err := Load(file, []string{set})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.ForRLHF(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", set, err)
		}
		if r.ForTrain() == nil {
			t.Errorf("%s: haf train would take it", set)
		}
	}
}

// TestServedReward: a reward model behind a server stands in the manifest by the server's name, at
// whatever address; another one is another run.
func TestServedReward(t *testing.T) {
	r, err := Load("../recipes/rlhf-small.toml", []string{"rlhf.rewards=http://127.0.0.1:8080#a",
		"model.path=base"})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.ForRLHF(); err != nil {
		t.Error(err)
	}
	absolute, err := r.absolute()
	if err != nil || absolute.RLHF.Rewards[0].Source != "http://127.0.0.1:8080#a" ||
		!filepath.IsAbs(absolute.Model.Path) {
		t.Errorf("%+v, %v", absolute.RLHF, err)
	}
	is := &Manifest{run.Manifest[*Recipe]{Recipe: absolute,
		Models: []run.ModelFile{{Path: absolute.RLHF.Rewards[0].Source, Served: "reward score of a"}}}}
	for _, c := range []struct {
		address, served, sum string
		same                 bool
	}{
		{"http://127.0.0.1:9090#a", "reward score of a", "", true},
		{"http://127.0.0.1:8080#a", "reward score of b", "", false},
		{"http://127.0.0.1:8080#a", "reward implicit of a", "", false},
		{"runs/a", "", "0123", false},
	} {
		other := *absolute
		other.RLHF.Rewards = slices.Clone(other.RLHF.Rewards)
		other.RLHF.Rewards[0].Source = c.address
		was := &Manifest{run.Manifest[*Recipe]{Recipe: &other,
			Models: []run.ModelFile{{Path: c.address, Served: c.served, SHA256: c.sum}}}}
		if same, err := is.SameRun(was); err != nil || same != c.same {
			t.Errorf("%+v: the same run %v, %v", c, same, err)
		}
	}
}

func TestHashModel(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		sum, err := hashModel(dir)
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	one := write("a", "1")
	if write("b", "2") == one || write("b", "3") == write("b", "2") {
		t.Error("another file has the same hash")
	}
	if _, err := hashModel(filepath.Join(dir, "none")); err == nil {
		t.Error("no folder has a hash")
	}
}
