package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"haf/eval"
	"haf/launch"
	"haf/pref"
	"haf/recipe"
	"haf/reward"
	"haf/run"
)

type demoCmd struct {
	Out  string `help:"Keep everything in this new folder. Default: a temporary one, removed at the end."`
	Seed uint64 `default:"1" help:"Of the world, the weights and the order."`
}

// Run trains Baseline, DPO and HaF on the built-in world and prints how often each is right on
// held-out prompts.
func (c *demoCmd) Run(a *app) (err error) {
	dir := c.Out
	if dir == "" {
		if dir, err = os.MkdirTemp("", "haf-demo-"); err != nil {
			return err
		}
		defer func() {
			if errors.Is(err, run.ErrInterrupted) {
				err = context.Canceled // the checkpoint goes with the folder
			}
			err = errors.Join(err, os.RemoveAll(dir))
		}()
	} else if err = os.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("demo folder: %w; name a new folder, or none to keep nothing", err)
	}
	began := time.Now()
	env, err := a.env()
	if err != nil {
		return err
	}
	demo, err := recipe.WriteDemo(dir, c.Seed)
	if err != nil {
		return err
	}
	fmt.Fprintln(a.stderr, "== a small language model of the demo's world")
	pretrained := filepath.Join(dir, "pretrain")
	pretrain := demo.Pretrain()
	pretrain.Train.Seed = c.Seed
	if _, err := launch.TrainIn(a.ctx, env, pretrain, pretrained); err != nil {
		return err
	}
	groups, _, err := pref.Load([]string{demo.Test}, pref.Options{})
	if err != nil {
		return err
	}
	var rows []eval.Row
	for _, of := range demo.Recipes(filepath.Join(pretrained, run.ModelName)) {
		fmt.Fprintln(a.stderr, "==", of.Name)
		of.Recipe.Train.Seed = c.Seed
		folder := filepath.Join(dir, of.Name)
		if _, err := launch.TrainIn(a.ctx, env, of.Recipe, folder); err != nil {
			return err
		}
		opt, err := a.readerOptions(reading{once: true})
		if err != nil {
			return err
		}
		model, err := reward.Open(env.Device, folder, reward.Options{})
		if err != nil {
			return err
		}
		reader := model.Reader(opt)
		read, err := reader.Read(a.ctx, groups, nil)
		if err = closed(reader, err); err != nil {
			return err
		}
		out, err := eval.Evaluate(read)
		if err != nil {
			return err
		}
		for _, row := range out.Rows() {
			rows = append(rows, eval.Row{Name: of.Name + " " + row.Name, Result: row.Result})
		}
	}
	seconds := time.Since(began).Seconds()
	return a.print(map[string]any{"rows": rows, "limit": demo.Limit, "seconds": seconds}, func(w io.Writer) error {
		if err := eval.Table(w, rows); err != nil {
			return err
		}
		_, err := fmt.Fprintf(w, "\nThe test choices are noisy: the very use they were drawn from is right on %.3f of them.\n%s, %.0f s.\n",
			demo.Limit, env.Device.Describe(), seconds)
		return err
	})
}
