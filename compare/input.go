package compare

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"haf/backend"
	"haf/paper"
	"haf/pref"
	"haf/recipe"
	"haf/run"
)

// Demo names the built-in data or model.
const Demo = "demo"

// ErrInput is wrapped by the error for data or options that cannot be compared.
var ErrInput = errors.New("nothing to compare")

// ownKeys are the recipe keys that a comparison sets itself, with the alternative.
var ownKeys = map[string]string{
	"model.path": "name the model behind the data", "data.train": "name the data first",
	"data.valid": "it is a part of the data", "data.valid_fraction": "the budget decides it",
	"data.fraction": "set data.limit", "train.seed": "it takes several seeds",
	"train.lr": "use -lr", "train.max_steps": "set train.epochs", "train.eval_every": "leave it out",
	"objective.policy_weight": "use -alpha", "objective.reward_weight": "use -alpha",
}

func (s *study) checkOptions() error {
	for _, set := range s.Set {
		key, _, _ := strings.Cut(set, "=")
		if instead, own := ownKeys[strings.TrimSpace(key)]; own {
			return fmt.Errorf("compare: -set %s: a comparison sets %s itself: %s", set, key, instead)
		}
	}
	for _, alpha := range s.Alphas {
		if alpha <= 0 {
			return fmt.Errorf("compare: -alpha %g, want a weight above 0: Baseline, which has 0, is always "+
				"compared", alpha)
		}
	}
	return nil
}

// makeDemo writes the built-in data and trains the built-in language model, if they are used.
func (s *study) makeDemo(ctx context.Context) error {
	if s.Data != Demo && s.Model != Demo {
		return nil
	}
	dir := filepath.Join(s.Out, demoName)
	trained := filepath.Join(dir, "pretrain")
	if s.Model != Demo || !run.Finished(trained) {
		demo, err := recipe.WriteDemo(dir, 1)
		if err != nil {
			return err
		}
		if s.Model == Demo {
			s.Logf("the demo's language model")
			_, err := s.Runner.Train(ctx, demo.Pretrain(), trained)
			switch {
			case errors.Is(err, run.ErrInterrupted):
				return fmt.Errorf("compare: stopped at the demo's language model; the same command goes "+
					"on: %w", ctx.Err())
			case err != nil:
				return fmt.Errorf("compare: the demo's language model: %w", err)
			}
		}
	}
	if s.Model == Demo {
		s.Model = filepath.Join(trained, run.ModelName)
	}
	if s.Data == Demo {
		s.Data = filepath.Join(dir, "train.jsonl")
		if s.Test == "" {
			s.Test = filepath.Join(dir, "test.jsonl")
		}
	}
	return nil
}

// findTest looks for a test split of the data, unless test data is given.
func (s *study) findTest(ctx context.Context) {
	if s.Test != "" || strings.ContainsAny(filepath.Base(s.Data), ":*") {
		return
	}
	if info, err := os.Stat(s.Data); err == nil && !info.IsDir() || errors.Is(err, fs.ErrPermission) {
		return
	}
	split := s.Data + ":test"
	files, err := s.Hub.Files(ctx, []string{split})
	if err != nil {
		return
	}
	if _, _, err := pref.Load(files, pref.Options{Limit: 1}); err == nil {
		s.Test = split
		s.Logf("test data: %s, the data's own test split", split)
	}
}

// mostOverlap is the share of test prompts in the training data above which the test data does not
// count as held out. Below it haf leaves out the training groups concerned and counts them.
const mostOverlap = 0.05

// checkTest checks that the test data is held out. It returns its number of groups, or 0 without
// separate test data.
func (s *study) checkTest(ctx context.Context, read pref.Options) (int, error) {
	if s.Test == "" {
		return 0, nil
	}
	load := func(named string) ([]pref.Group, error) {
		files, err := s.Hub.Files(ctx, []string{named})
		if err != nil {
			return nil, err
		}
		groups, _, err := pref.Load(files, read)
		return groups, err
	}
	test, err := load(s.Test)
	if err != nil {
		return 0, fmt.Errorf("compare: test data: %w", err)
	}
	trained, err := load(s.Data)
	if err != nil {
		return 0, fmt.Errorf("compare: data: %w", err)
	}
	seen := map[string]bool{}
	for _, g := range trained {
		seen[paper.Opening(g)] = true
	}
	leaked := 0
	for _, g := range test {
		if seen[paper.Opening(g)] {
			leaked++
		}
	}
	if share := float64(leaked) / float64(len(test)); share > mostOverlap {
		return 0, fmt.Errorf("compare: %w: %d of %d test groups (%.0f %%) of %s begin with a prompt of "+
			"the training data, want at most %.0f %%: name held-out pairs by -test, or leave it out to "+
			"have haf split the data by prompt", ErrInput, leaked, len(test), 100*share, s.Test,
			100*mostOverlap)
	}
	return len(test), nil
}

// draft makes the common recipe of all trainings.
func (s *study) draft(ctx context.Context) (*recipe.Draft, error) {
	available, err := backend.AvailableMemory()
	if err != nil {
		s.Logf("%v: nothing to compare the need with", err)
	}
	d, err := recipe.NewDraft(ctx, s.Hub, []string{s.Data}, s.Model, available.Bytes, s.Set...)
	switch {
	case err != nil:
		return nil, err
	case d.Labels():
		return nil, fmt.Errorf("compare: %w: %s has labelled single responses, and a comparison wants "+
			"pairs: haf relabel makes pairs, haf train learns from labels", ErrInput, s.Data)
	case !d.Estimate.Fits:
		return nil, fmt.Errorf("compare: a training of %s needs more than the %.1f GB of memory that "+
			"are available: lower it by -set model.max_length=256, -set lora.rank=8 or -set "+
			"model.dtype=bfloat16", s.Model, float64(available.Bytes)/1e9)
	}
	return d, nil
}

// readingSets returns the overrides that set how the data's files are read, and the rest. The first
// are not needed for the parts that the data is split into.
func readingSets(sets []string) (reading, rest []string) {
	rest = slices.Clone(sets)
	for _, set := range sets {
		if strings.HasPrefix(set, "data.") && !strings.HasPrefix(set, "data.label_noise") {
			reading = append(reading, set)
		}
	}
	rest = slices.DeleteFunc(rest, func(set string) bool { return slices.Contains(reading, set) })
	return reading, rest
}
