package launch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"haf/eval"
	"haf/pref"
	"haf/recipe"
	"haf/reward"
	"haf/run"
)

// A DemoResult has the demo's accuracies on held-out prompts.
type DemoResult struct {
	// accuracy of the true rule that the test choices come from
	Limit   float64    `json:"limit"`
	Rows    []eval.Row `json:"rows"`
	Seconds float64    `json:"seconds"`

	device string
}

// Demo writes the demo's world into a folder, trains a small language model of it and then
// Baseline, DPO and HaF from that, and evaluates the three.
func Demo(ctx context.Context, env Env, dir string, seed uint64) (DemoResult, error) {
	began := time.Now()
	out := DemoResult{device: env.Device.Describe()}
	demo, err := recipe.WriteDemo(dir, seed)
	if err != nil {
		return out, err
	}
	out.Limit = demo.Limit
	groups, _, err := pref.Load([]string{demo.Test}, pref.Options{})
	if err != nil {
		return out, err
	}
	env.Progress.Logf("== a small language model of the demo's world")
	pretrained := filepath.Join(dir, "pretrain")
	pretrain := demo.Pretrain()
	pretrain.Train.Seed = seed
	if _, err := TrainIn(ctx, env, pretrain, pretrained); err != nil {
		return out, err
	}
	for _, of := range demo.Recipes(filepath.Join(pretrained, run.ModelName)) {
		env.Progress.Logf("== %s", of.Name)
		of.Recipe.Train.Seed = seed
		folder := filepath.Join(dir, of.Name)
		if _, err := TrainIn(ctx, env, of.Recipe, folder); err != nil {
			return out, err
		}
		rows, err := env.evaluate(ctx, folder, groups)
		if err != nil {
			return out, err
		}
		for _, row := range rows {
			out.Rows = append(out.Rows, eval.Row{Name: of.Name + " " + row.Name, Result: row.Result})
		}
	}
	out.Seconds = time.Since(began).Seconds()
	return out, nil
}

// evaluate measures every reward of the run's model on groups.
func (e Env) evaluate(ctx context.Context, dir string, groups []pref.Group) ([]eval.Row, error) {
	model, err := reward.Open(e.Device, dir, reward.Options{})
	if err != nil {
		return nil, err
	}
	reader := model.Reader(e.ReaderOptions())
	read, err := reader.Read(ctx, groups, nil)
	if err := errors.Join(err, reader.Close()); err != nil {
		return nil, err
	}
	out, err := eval.Evaluate(read)
	return out.Rows(), err
}

// Write writes the table.
func (d DemoResult) Write(w io.Writer) error {
	if err := eval.Table(w, d.Rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w,
		"\nThe test choices are noisy: the very use they were drawn from is right "+
			"on %.3f of them.\n%s, %.0f s.\n", d.Limit, d.device, d.Seconds)
	return err
}
