package doctor

import (
	"context"
	"math"
	"strings"

	"haf/backend"
	"haf/pref"
	"haf/reward"
	"haf/rewarder"
	"haf/weights"
)

// Model examines a model's files, and the rewards of a few conversations on the device.
func Model(
	ctx context.Context, device *backend.Device, dir string, opt reward.Options,
) (*Report, error) {
	in, err := reward.Inspect(dir, opt.Chat)
	if err != nil {
		return nil, err
	}
	r := &Report{Path: dir, Kind: KindModel}
	found := map[string][]Finding{}
	for _, w := range in.Warnings {
		if opt.Column != "" && strings.Contains(w, "say which is the reward") {
			continue // -column answers it
		}
		check := checkOf(w)
		if strings.HasPrefix(w, "cannot be opened") {
			found[check] = append(found[check], problem("fix the files as the message says", "%s", w))
		} else {
			found[check] = append(found[check], warning("see docs/reference/model-formats.md", "%s", w))
		}
	}
	for _, t := range in.Unread {
		found["files"] = append(found["files"], problem("the model has weights that haf does not know",
			"%s has the tensor %s of shape %v, which haf does not read", t.File, t.Name, t.Shape))
	}
	for _, check := range []string{"files", "tokenizer", "end token"} {
		r.checked(check, found[check]...)
	}
	r.checked("weights", weightsOf(dir)...)
	model, err := reward.Open(device, dir, opt)
	if err != nil {
		r.checked("open", problem("fix what the message names", "%v", err))
		return r, nil
	}
	defer model.Close()
	r.checked("open")
	if in.ScoreHead.Kind == "none" {
		return r, nil
	}
	alone, together, err := probeRewards(ctx, model)
	if err != nil {
		r.checked("rewards", problem("run the same by hand: haf score", "%v", err))
		return r, nil
	}
	r.checked("rewards", finite(together)...)
	r.checked("equal rewards", equal(together)...)
	r.checked("padding", padded(alone, together, model.Meta.DType)...)
	return r, nil
}

// checkOf returns the check to which a warning of [reward.Inspect] belongs.
func checkOf(warning string) string {
	switch {
	case strings.Contains(warning, "end token"):
		return "end token"
	case strings.HasPrefix(warning, "the tokenizer has ids"),
		strings.HasPrefix(warning, "the embedding has"):
		return "tokenizer"
	}
	return "files"
}

// weightsOf finds weights that are not finite.
func weightsOf(dir string) (found []Finding) {
	ck, err := weights.Open(dir)
	if err != nil {
		return nil // an adapter alone, or reported by another check
	}
	defer ck.Close()
	for _, name := range ck.Names() {
		a, err := ck.Read(name)
		if err != nil {
			return append(found, problem("copy the model again", "%v", err))
		}
		for i, v := range a.Data {
			if v-v != 0 { // NaN or an infinity
				found = append(found, problem("copy the model again, or train it again with a lower train.lr",
					"the weight %d of %s is %g", i, name, v))
				break
			}
		}
	}
	return found
}

// probes are conversations of different lengths and quality.
var probes = []struct{ question, answer string }{
	{"What is the capital of France?", "The capital of France is Paris."},
	{"What is the capital of France?", "I do not know."},
	{"Write a haiku about the sea.", "Grey waves fold and fall,\nfoam writes and unwrites the " +
		"sand,\nthe shore forgets all."},
	{"How many legs does a spider have?", "Eight."},
	{"How many legs does a spider have?", "A spider has four legs, two wings and a tail."},
	{"Hello!", "Hi there! How can I help you today?"},
}

// probeRewards scores the probes one by one and all at once.
func probeRewards(
	ctx context.Context, model *reward.Model,
) (alone, together []float64, err error) {
	samples := make([]pref.Sample, len(probes))
	for i, p := range probes {
		samples[i] = pref.Sample{
			Prompt:   []pref.Message{{Role: pref.User, Content: p.question}},
			Response: p.answer,
		}
	}
	scorer, err := rewarder.NewScorer(ctx, model.Reader(reward.ReaderOptions{}), reward.ByScore)
	if err != nil {
		return nil, nil, err
	}
	if together, err = scorer.Score(ctx, samples); err != nil {
		return nil, nil, err
	}
	for i := range samples {
		one, err := scorer.Score(ctx, samples[i:i+1])
		if err != nil {
			return nil, nil, err
		}
		alone = append(alone, one...)
	}
	return alone, together, nil
}

func finite(rewards []float64) (found []Finding) {
	for i, r := range rewards {
		if math.IsNaN(r) || math.IsInf(r, 0) {
			found = append(found, problem(
				"train it with -set model.dtype=float32, or copy its weights again",
				"the reward of %q is %g", probes[i].answer, r))
		}
	}
	return found
}

// equal finds a model that gives different texts the same reward.
func equal(rewards []float64) []Finding {
	for _, r := range rewards[1:] {
		if r != rewards[0] {
			return nil
		}
	}
	return []Finding{problem("train the score head, or name the right -column",
		"%d different conversations all have the reward %g", len(rewards), rewards[0])}
}

// padded finds rewards that depend on the rest of the batch by more than rounding.
func padded(alone, together []float64, dtype string) (found []Finding) {
	tolerance := 1e-4
	if dtype != "float32" {
		tolerance = 5e-2
	}
	for i := range alone {
		if d := math.Abs(alone[i] - together[i]); d > tolerance*max(1, math.Abs(alone[i])) {
			found = append(found, problem("report the model: haf has a bug with it",
				"the reward of %q is %g alone and %g in a batch", probes[i].answer, alone[i], together[i]))
		}
	}
	return found
}
