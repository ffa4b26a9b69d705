package main

import (
	"fmt"
	"os"
	"time"

	"haf/backend"
	"haf/internal/bench"
	"haf/launch"
	"haf/recipe"
)

type benchCmd struct {
	Model  string   `arg:"" help:"Model folder, or a Hugging Face id."`
	Data   []string `help:"Preference pairs." required:""`
	Groups []string `help:"Groups of more than two responses."`
	Case   []string `help:"Only these cases."`
	Pairs  int      `range:"[1,inf)" help:"Pairs to measure on." default:"32"`
	Batch  int      `range:"[1,inf)" help:"Approximate number of groups per step." default:"8"`
	Rank   int      `range:"[0,inf)" help:"Rank of the adapter on gate, up and down projections." default:"64"`
	Runs   int      `range:"[1,inf)" help:"Runs of every case, of which haf shows medians." default:"3"`
	One    string   `hidden:"" help:"Measure this case in this process."`
	Set    []string `help:"Override a key of the benchmark's recipe, e.g. train.tokens_per_batch=8192." placeholder:"KEY=VALUE" sep:"none"`
}

// processBegan is the approximate start of the process.
var processBegan = time.Now()

// Run measures the cases, each in its own process.
func (c *benchCmd) Run(a *app) error {
	for _, named := range []*[]string{&c.Data, &c.Groups} {
		paths, err := a.data(*named)
		if err != nil {
			return err
		}
		*named = paths
	}
	if c.One != "" {
		return c.one(a)
	}
	if err := recipe.CheckSets(c.Set); err != nil {
		return err
	}
	client, err := a.hub()
	if err != nil {
		return err
	}
	model, err := client.Model(a.ctx, c.Model)
	if err != nil {
		return err
	}
	c.Model = model.Paths[0]
	names, err := bench.SelectCases(c.Case, len(c.Groups) > 0)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	arguments := func(name string) []string { return c.options().Arguments(name, a.deviceName) }
	results, err := bench.RunCases(a.ctx, names, c.Runs, self, arguments, a.p.Logf)
	if err != nil {
		return err
	}
	return a.print(results, results.Write)
}

// options returns the options of the flags.
func (c *benchCmd) options() bench.Options {
	return bench.Options{
		Model: c.Model, Data: c.Data, Groups: c.Groups, Pairs: c.Pairs, Batch: c.Batch,
		Rank: c.Rank, Began: processBegan, Sets: c.Set,
	}
}

// one measures a case in this process.
func (c *benchCmd) one(a *app) error {
	var device *backend.Device
	var err error
	if c.One != "encode" {
		if device, err = a.openDevice(); err != nil {
			return err
		}
	}
	cache, err := launch.CacheDir()
	if err != nil {
		return err
	}
	opt := c.options()
	opt.Cache = cache
	result, err := bench.Measure(a.ctx, device, c.One, opt, a.p)
	if err != nil {
		return err
	}
	return printJSON(a, result)
}
