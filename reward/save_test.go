package reward_test

import (
	"bytes"
	"context"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"haf/backend"
	"haf/encode"
	"haf/lm"
	"haf/objective"
	"haf/pref"
	"haf/recipe"
	"haf/reward"
	"haf/rewarder"
)

// demoBase writes the demo's small base model and opens the pure Go backend, on which small
// programs compile at once.
func demoBase(t *testing.T) (*backend.Device, string) {
	t.Helper()
	device, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	demo, err := recipe.WriteDemo(t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	return device, demo.Base
}

// open opens a model and closes it at the end.
func open(t *testing.T, device *backend.Device, dir string, opt reward.Options) *reward.Model {
	t.Helper()
	opt.Positions = 256
	m, err := reward.Open(device, dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// changed is a model as training would leave it: with a score head, and an adapter or weights that
// differ from the base.
func changed(t *testing.T, device *backend.Device, base string, lora bool) *reward.Model {
	t.Helper()
	opt := reward.Options{Train: true}
	if lora {
		opt.LoRA = &lm.LoRA{Rank: 4, Alpha: 8, Targets: []string{"q_proj", "down_proj"}}
		opt.Random = rand.New(rand.NewPCG(1, 1))
	}
	m := open(t, device, base, opt)
	setScore(t, m)
	random := rand.New(rand.NewPCG(2, 2))
	for _, p := range m.Trainable(reward.ScoreHead | reward.PolicyHead) {
		a, err := p.Read()
		if err != nil {
			t.Fatal(err)
		}
		for i := range a.Data {
			a.Data[i] += float32(0.05 * random.NormFloat64())
		}
		if err := m.Set(p, a); err != nil {
			t.Fatal(err)
		}
	}
	m.Meta.Objective = objective.Default()
	m.Meta.Heads = []string{"score", "policy"}
	return m
}

func samples() []pref.Sample {
	ask := func(prompt, response string) pref.Sample {
		return pref.Sample{Prompt: []pref.Message{{Role: pref.User, Content: prompt}}, Response: response}
	}
	return []pref.Sample{
		ask("what does the fox eat", "the fox eats berries"),
		ask("what does the fox eat", "the fox eats mice"),
		ask("where does the owl live", "i am glad you asked the owl lives in trees"),
		ask("what does the fox eat", "the owl eats fish"),
	}
}

// scored returns the named rewards of samples.
func scored(
	ctx context.Context, m *reward.Model, name string, of []pref.Sample,
) ([]float64, error) {
	scorer, err := rewarder.NewScorer(ctx, m.Reader(reward.ReaderOptions{}), name)
	if err != nil {
		return nil, err
	}
	return scorer.Score(ctx, of)
}

func rewards(t *testing.T, m *reward.Model, name string) []float64 {
	t.Helper()
	out, err := scored(t.Context(), m, name, samples())
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestSaveOpen saves full and adapted models, opens them again, merged too, and wants the same
// rewards of both heads.
func TestSaveOpen(t *testing.T) {
	device, base := demoBase(t)
	for name, lora := range map[string]bool{"full": false, "lora": true} {
		t.Run(name, func(t *testing.T) {
			m := changed(t, device, base, lora)
			dir := filepath.Join(t.TempDir(), "model")
			if err := m.Save(dir); err != nil {
				t.Fatal(err)
			}
			if err := m.Save(dir); err == nil || !strings.Contains(err.Error(), "exists already") {
				t.Errorf("saved twice: %v", err)
			}
			folders := []string{dir}
			if lora {
				merged := filepath.Join(t.TempDir(), "merged")
				if err := m.SaveMerged(merged); err != nil {
					t.Fatal(err)
				}
				folders = append(folders, merged)
			}
			score := rewards(t, m, reward.ByScore)
			var implicit []float64
			for _, folder := range folders {
				opened := open(t, device, folder, reward.Options{})
				for i, r := range rewards(t, opened, reward.ByScore) {
					if math.Abs(r-score[i]) > 1e-5 {
						t.Errorf("%s: reward %d is %v, before saving %v", folder, i, r, score[i])
					}
				}
				got := rewards(t, opened, reward.ByImplicit)
				if implicit == nil {
					implicit = got
				}
				for i, r := range got {
					if r == 0 || math.Abs(r-implicit[i]) > 1e-5 {
						t.Errorf("%s: implicit reward %d is %v, of the other folder %v", folder, i, r, implicit[i])
					}
				}
				if folder == dir {
					for i, r := range rewards(t, opened, reward.ByNormalized) {
						group, err := opened.Encoder.Samples(samples()[i].Prompt, []string{samples()[i].Response})
						if err != nil {
							t.Fatal(err)
						}
						if want := implicit[i] / float64(group.Responses[0].Predicted()); math.Abs(r-want) > 1e-6 {
							t.Errorf("normalized reward %d is %v, want %v", i, r, want)
						}
					}
				}
			}
		})
	}
}

// TestReplacedBase refuses an adapter, and the implicit reward of a full model, on a base that has
// changed.
func TestReplacedBase(t *testing.T) {
	device, base := demoBase(t)
	adapter, full := filepath.Join(t.TempDir(), "adapter"), filepath.Join(t.TempDir(), "full")
	if err := changed(t, device, base, true).Save(adapter); err != nil {
		t.Fatal(err)
	}
	if err := changed(t, device, base, false).Save(full); err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile(filepath.Join(base, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	other := strings.Replace(string(config), `"rope_theta": 10000.0`, `"rope_theta": 500000.0`, 1)
	if other == string(config) {
		t.Fatal("the base's config.json has no rope_theta to change")
	}
	if err := os.WriteFile(filepath.Join(base, "config.json"), []byte(other), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := reward.Open(device, adapter, reward.Options{}); err == nil ||
		!strings.Contains(err.Error(), "have changed") {
		t.Errorf("an adapter on a changed base: %v", err)
	}
	m := open(t, device, full, reward.Options{})
	if _, err := rewarder.NewScorer(t.Context(), m.Reader(reward.ReaderOptions{}),
		reward.ByImplicit); err == nil || !strings.Contains(err.Error(), "has changed") &&
		!strings.Contains(err.Error(), "have changed") {
		t.Errorf("the implicit reward on a changed base: %v", err)
	}
	if err := os.RemoveAll(base); err != nil {
		t.Fatal(err)
	}
	if _, err := reward.Open(device, adapter, reward.Options{}); err == nil ||
		!strings.Contains(err.Error(), "put it back") {
		t.Errorf("an adapter without its base: %v", err)
	}
}

// TestReferenceCache finds log-probabilities again on disk, leaves damaged files out, and is the
// base for an adapter.
func TestReferenceCache(t *testing.T) {
	device, base := demoBase(t)
	m, cache := changed(t, device, base, true), t.TempDir()
	group, err := m.Encoder.Samples(samples()[0].Prompt,
		[]string{samples()[0].Response, samples()[1].Response})
	if err != nil {
		t.Fatal(err)
	}
	groups := []encode.Group{group}
	first, made := logProbs(t, m, cache, groups)
	again, madeAgain := logProbs(t, m, cache, groups)
	if made != 2 || madeAgain != 0 || first[0][0] != again[0][0] {
		t.Errorf("%d made, then %d; %v, then %v", made, madeAgain, first, again)
	}
	plain, err := open(t, device, base, reward.Options{}).Read(t.Context(), groups, reward.PolicyHead,
		nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(plain.LogProbs[0][0]-first[0][0]) > 1e-4 {
		t.Errorf("with the adapter off %v, the base gives %v", first[0][0], plain.LogProbs[0][0])
	}
	files, err := filepath.Glob(filepath.Join(cache, "*", "*.logp"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	if err := os.WriteFile(files[0], []byte("damaged"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, made := logProbs(t, m, cache, groups); made != 2 {
		t.Errorf("%d were recomputed after the file was damaged, want 2", made)
	}
}

// A response of several groups has one value, whether it was made now or is read from the cache.
func TestReferenceCacheOfSharedResponses(t *testing.T) {
	device, base := demoBase(t)
	m, cache := changed(t, device, base, true), t.TempDir()
	var groups []encode.Group
	for i, s := range samples() {
		for _, other := range []string{" Yes.", " No, never, and here is why it is not done.",
			s.Response} {
			group, err := m.Encoder.Samples(samples()[i].Prompt, []string{s.Response, other})
			if err != nil {
				t.Fatal(err)
			}
			groups = append(groups, group)
		}
	}
	first, made := logProbs(t, m, cache, groups)
	again, madeAgain := logProbs(t, m, cache, groups)
	if distinct, _ := reward.CacheSize(groups); made != distinct || madeAgain != 0 {
		t.Errorf("of %d different responses %d were made, then %d", distinct, made, madeAgain)
	}
	if !reflect.DeepEqual(first, again) {
		t.Errorf("made %v, read from the cache %v", first, again)
	}
}

func logProbs(
	t *testing.T, m *reward.Model, cache string, groups []encode.Group,
) ([][]float64, int) {
	t.Helper()
	reference, err := m.Reference(cache)
	if err != nil {
		t.Fatal(err)
	}
	logps, made, err := reference.LogProbs(t.Context(), groups, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return logps, made
}

// TestDamagedWeights refuses saved weights that have changed, unless the checksums are removed.
func TestDamagedWeights(t *testing.T) {
	device, base := demoBase(t)
	for name, lora := range map[string]bool{"model.safetensors": false,
		"adapter_model.safetensors": true} {
		m := changed(t, device, base, lora)
		dir := filepath.Join(t.TempDir(), "model")
		if err := m.Save(dir); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		data[len(data)-1] ^= 1
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		_, err = reward.Open(device, dir, reward.Options{})
		if err == nil || !strings.Contains(err.Error(), path+" is damaged or was changed") {
			t.Errorf("got %v", err)
		}
		meta, err := os.ReadFile(filepath.Join(dir, reward.MetaName))
		if err != nil {
			t.Fatal(err)
		}
		meta = bytes.Replace(meta, []byte("weights_crc32c"), []byte("weights_crc32c_old"), 1)
		if err := os.WriteFile(filepath.Join(dir, reward.MetaName), meta, 0o644); err != nil {
			t.Fatal(err)
		}
		open(t, device, dir, reward.Options{})
	}
}
