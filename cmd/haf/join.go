package main

import (
	"fmt"
	"slices"

	"haf/curate"
	"haf/internal/onedash"
	"haf/pref"
)

// shardFlags divide the work of a verb among several commands.
type shardFlags struct {
	Shard curate.Shard `placeholder:"I/N" help:"Do part I of N of the work, such as 2/8; haf join puts the parts together. A part that exists already stays as it is."`
}

// sameRows are the flags that do not change the rows of a result.
var sameRows = []string{"out", "shard", "report", "timeout", "retries", "concurrency",
	"source-timeout", "source-concurrency", "price-in", "price-out"}

// part returns the part of the work that the command does, with the input files data. done means
// that the part exists already.
func (f shardFlags) part(a *app, out string, data ...string) (p curate.Part, done bool, err error) {
	p = curate.Part{Shard: f.Shard, Verb: a.command.Selected().Name}
	if f.Shard.Of > 0 && out == "" {
		return p, false, fmt.Errorf("%w: -shard goes with -out FILE", errUsage)
	}
	if out == "" || f.Shard.Of == 0 && p.Verb != "score" { // other journals have their own settings
		return p, false, nil
	}
	values := onedash.Values(a.command, sameRows...)
	data = slices.DeleteFunc(slices.Clone(data), func(name string) bool { return name == "" })
	files, err := a.data(data)
	if err != nil {
		return p, false, err
	}
	var sums []string
	for _, file := range files {
		sum, err := pref.Hash(file)
		if err != nil {
			return p, false, err
		}
		sums = append(sums, sum)
	}
	values["sha256 of the data"] = sums
	p.Command = values
	if done, err = p.Finished(out); done {
		a.notef("%s is part %s already, whole: nothing to do", out, f.Shard)
	}
	return p, done, err
}

type joinCmd struct {
	Parts []string `arg:"" name:"part" help:"Files that -shard I/N -out FILE wrote, all N, in any order."`
	Out   string   `new:"" required:"" help:"New JSONL file, with the rows of the command without -shard."`
}

// Run joins parts.
func (c *joinCmd) Run(a *app) error {
	out, err := curate.Join(a.ctx, c.Parts, c.Out)
	if err != nil {
		return err
	}
	return a.done(out, "done: %s", out)
}
