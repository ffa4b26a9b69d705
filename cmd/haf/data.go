package main

import (
	"fmt"
	"reflect"

	"haf/pref"
	"haf/reward"
)

type dataCmd struct {
	Files []string `arg:"" name:"file" help:"Preference files."`
	Limit int      `range:"[0,inf)" help:"Only the first N groups of each file."`
	pairFlags
	Model string `help:"Lengths in the tokens of this model instead of characters."`
	chatFlags
	Sample int `range:"[0,inf)" default:"1" help:"Show this many groups of each file in full."`
}

// Run summarizes preference files.
func (c *dataCmd) Run(a *app) error {
	if c.Model == "" && !reflect.ValueOf(c.chatFlags).IsZero() {
		return fmt.Errorf("%w: -template, -template-arg, -date, -read and -bos say how a model reads "+
			"conversations: give -model, too", errUsage)
	}
	opt := pref.SummaryOptions{Options: c.pairOptions(), Resolve: a.data, Sample: c.Sample}
	opt.Limit, opt.KeepTies, opt.KeepUnpaired = c.Limit, true, true
	if opt.NegativeMargin == "" {
		opt.NegativeMargin = pref.NegativeKeep
	}
	if c.Model != "" {
		chat, err := c.chatFlags.options()
		if err != nil {
			return err
		}
		model, err := a.openModel(a.ctx, c.Model, reward.Options{Chat: chat})
		if err != nil {
			return err
		}
		defer model.Close()
		opt.Tokens = model.Tokens()
	}
	out, err := pref.SummarizeFiles(c.Files, opt)
	if err != nil {
		return err
	}
	return a.print(out, out.Write)
}
