package main

import (
	"fmt"
	"io"
	"unicode/utf8"

	"haf/pref"
	"haf/reward"
)

type dataCmd struct {
	Files []string `arg:"" name:"file" help:"Preference files."`
	Limit int      `help:"Only the first N groups of each file."`
	pairFlags
	Model string `help:"Lengths in the tokens of this model instead of characters."`
	chatFlags
	Sample int `default:"1" help:"Show this many groups of each file in full."`
}

// Run says what is in preference files.
func (c *dataCmd) Run(a *app) error {
	if c.Sample < 0 {
		return fmt.Errorf("%w: -sample %d, wanted 0 or more", errUsage, c.Sample)
	}
	unit, length := "characters", utf8.RuneCountInString
	var model *reward.Model
	if c.Model != "" {
		chat, err := c.chatFlags.options()
		if err != nil {
			return err
		}
		if model, err = a.openModel(c.Model, reward.Options{Chat: chat}); err != nil {
			return err
		}
		defer model.Close()
		unit, length = "tokens", func(text string) int { return len(model.Tokenizer.Encode(text, false)) }
	}
	opt := c.pairOptions()
	opt.Limit, opt.KeepTies, opt.KeepUnpaired = c.Limit, true, true
	if opt.NegativeMargin == "" {
		opt.NegativeMargin = pref.NegativeKeep
	}
	var files []pref.FileSummary
	var sets [][]pref.Group
	for _, path := range c.Files {
		paths, err := a.data([]string{path})
		if err != nil {
			return err
		}
		groups, counts, err := pref.Load(paths, opt)
		if err != nil {
			return err
		}
		file := pref.FileSummary{File: path, Read: counts, Unit: unit, Summary: pref.Summarize(groups, length), Sample: pref.Spread(groups, c.Sample)}
		if model != nil {
			_, report, err := model.Encoder.Groups(groups)
			if report == nil {
				return err
			}
			file.Tokens = &pref.TokenFacts{Report: report.String(), Special: report.Special, WithSpecial: report.WithSpecial, Dropped: report.Dropped}
		}
		files = append(files, file)
		sets = append(sets, groups)
	}
	overlaps := []pref.FileOverlap{}
	for i := range sets {
		for j := range i {
			overlaps = append(overlaps, pref.FileOverlap{A: c.Files[j], B: c.Files[i], Overlap: pref.Overlaps(sets[j], sets[i])})
		}
	}
	return a.print(map[string]any{"files": files, "overlaps": overlaps}, func(w io.Writer) error {
		for _, f := range files {
			if err := f.Write(w); err != nil {
				return err
			}
		}
		for _, o := range overlaps {
			if _, err := fmt.Fprintf(w, "overlap: %s\n", o); err != nil {
				return err
			}
		}
		return nil
	})
}
