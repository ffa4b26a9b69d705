package main

import "haf/pref"

// columnFlags are those of every command that reads rows.
type columnFlags struct {
	Columns pref.Columns `placeholder:"NAME=COLUMN,..." help:"Where the columns of the files have other names, as in prompt=question,chosen=answers.best: see docs/reference/data-formats.md."`
}

// rowFlags are those of every command that reads preferences.
type rowFlags struct {
	columnFlags
	NonText        string `name:"non-text" default:"error" help:"Rows of images and other media: error or drop."`
	NegativeMargin string `name:"negative-margin" help:"Margins below 0: error makes them bad rows, flip turns the pairs round. Default: error; haf data counts them."`
}

// rowOptions are the same for package pref.
func (f rowFlags) rowOptions() pref.Options {
	return pref.Options{Columns: f.Columns, NonText: f.NonText, NegativeMargin: f.NegativeMargin}
}

// pairFlags are those of commands that measure preferences.
type pairFlags struct {
	Format     string   `default:"auto" help:"auto, hh, pairs, groups, or a published set's: see docs/reference/data-formats.md."`
	Attributes []string `help:"Columns that rate the response of a row {prompt, response}: helpfulness,correctness. Default: none."`
	Label      string   `help:"Which label decides: safer or better (pku), or an attribute (helpsteer2, ultrafeedback)."`
	Subset     []string `help:"Only groups of this subset; may be repeated." sep:"none"`
	MaxChars   int      `range:"[0,inf)" name:"max-chars" help:"Drop groups of more characters."`
	SkipBad    int      `range:"[0,inf)" name:"skip-bad" help:"Tolerate this many bad rows."`
	rowFlags
}

// pairOptions are the same for package pref.
func (f pairFlags) pairOptions() pref.Options {
	opt := f.rowOptions()
	opt.Format, opt.Label, opt.Subsets = f.Format, f.Label, f.Subset
	opt.MaxChars, opt.SkipBad, opt.Attributes = f.MaxChars, f.SkipBad, f.Attributes
	return opt
}
