package main

import "haf/pref"

// columnFlags are shared by all commands that read rows.
type columnFlags struct {
	Columns pref.Columns `placeholder:"NAME=COLUMN,..." help:"Columns of the files with other names, such as prompt=question,chosen=answers.best: see docs/reference/data-formats.md."`
}

// rowFlags are shared by all commands that read preferences.
type rowFlags struct {
	columnFlags
	NonText        string `name:"non-text" default:"error" help:"Treatment of rows with images or other media: error or drop."`
	NegativeMargin string `name:"negative-margin" help:"Margins below 0: error makes them bad rows, flip swaps chosen and rejected. Default: error; haf data counts them."`
}

// rowOptions returns the options for package pref.
func (f rowFlags) rowOptions() pref.Options {
	return pref.Options{Columns: f.Columns, NonText: f.NonText, NegativeMargin: f.NegativeMargin}
}

// pairFlags are shared by commands that measure preferences.
type pairFlags struct {
	Format     string   `default:"auto" help:"auto, hh, pairs, groups, or a published set's: see docs/reference/data-formats.md."`
	Attributes []string `help:"Columns that rate the response of a row {prompt, response}: helpfulness,correctness. Default: none."`
	Label      string   `help:"Which label decides: safer or better (pku), or an attribute (helpsteer2, ultrafeedback)."`
	Subset     []string `help:"Only groups of this subset; may be repeated." sep:"none"`
	MaxChars   int      `range:"[0,inf)" name:"max-chars" help:"Drop groups with more characters."`
	SkipBad    int      `range:"[0,inf)" name:"skip-bad" help:"Tolerate this many bad rows."`
	rowFlags
}

// pairOptions returns the options for package pref.
func (f pairFlags) pairOptions() pref.Options {
	opt := f.rowOptions()
	opt.Format, opt.Label, opt.Subsets = f.Format, f.Label, f.Subset
	opt.MaxChars, opt.SkipBad, opt.Attributes = f.MaxChars, f.SkipBad, f.Attributes
	return opt
}
