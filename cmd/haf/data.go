package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"haf/pref"
	"haf/reward"
)

type dataCmd struct {
	Files    []string `arg:"" name:"file" help:"Preference files."`
	Format   string   `default:"auto" help:"auto, hh, pairs, groups, or a published set's: see docs/reference/data-formats.md."`
	Choose   string   `help:"Which label decides: safer or better (pku), or an attribute (helpsteer2, ultrafeedback)."`
	Subset   []string `help:"Only groups of this subset; may be repeated." sep:"none"`
	MaxChars int      `name:"max-chars" help:"Drop groups of more characters."`
	First    int      `help:"Only the first N groups of each file."`
	SkipBad  int      `name:"skip-bad" help:"Tolerate this many bad rows."`
	Model    string   `help:"Lengths in the tokens of this model instead of characters."`
	chatFlags
	Sample int `default:"1" help:"Show this many groups of each file in full."`
}

// fileSummary is one file of the data command's output.
type fileSummary struct {
	File    string       `json:"file"`
	Read    *pref.Counts `json:"read"`
	Unit    string       `json:"unit"` // of the lengths
	Summary pref.Summary `json:"summary"`
	Sample  []pref.Group `json:"sample"`
	Tokens  *tokenFacts  `json:"tokens,omitempty"` // with -model
}

// tokenFacts say what becomes of a file's groups as tokens of a model.
type tokenFacts struct {
	Report string `json:"report"`
	// Special counts the groups that hold the text of a special token, by token. A model reads it as that token, by which a text can
	// end a turn or begin another.
	Special     map[string]int `json:"special"`
	WithSpecial int            `json:"with_special"`
	Dropped     map[string]int `json:"dropped"` // groups that would be left out, by reason
}

// overlap is what two of the files share.
type overlap struct {
	A       string       `json:"a"`
	B       string       `json:"b"`
	Overlap pref.Overlap `json:"overlap"`
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
	opt := pref.Options{Format: c.Format, Choose: c.Choose, Subsets: c.Subset, MaxChars: c.MaxChars, First: c.First, SkipBad: c.SkipBad, KeepTies: true}
	var files []fileSummary
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
		file := fileSummary{File: path, Read: counts, Unit: unit, Summary: pref.Summarize(groups, length), Sample: spread(groups, c.Sample)}
		if model != nil {
			_, report, err := model.Encoder.Groups(groups)
			if report == nil {
				return err
			}
			file.Tokens = &tokenFacts{report.String(), report.Special, report.WithSpecial, report.Dropped}
		}
		files = append(files, file)
		sets = append(sets, groups)
	}
	overlaps := []overlap{}
	for i := range sets {
		for j := range i {
			overlaps = append(overlaps, overlap{c.Files[j], c.Files[i], pref.Overlaps(sets[j], sets[i])})
		}
	}
	if a.json {
		return printJSON(a, map[string]any{"files": files, "overlaps": overlaps})
	}
	for _, f := range files {
		printFile(a, f)
	}
	for _, o := range overlaps {
		fmt.Fprintf(a.stdout, "overlap: of the prompts of %s, %s has %d letter by letter, %d but for case, spaces and punctuation: %d groups, %d of them whole\n",
			o.B, o.A, o.Overlap.Exact, o.Overlap.Normalized, o.Overlap.Groups, o.Overlap.Pairs)
	}
	return nil
}

// spread takes n groups evenly over the file.
func spread(groups []pref.Group, n int) []pref.Group {
	n = min(n, len(groups))
	out := make([]pref.Group, n)
	for i := range n {
		out[i] = groups[i*len(groups)/n]
	}
	return out
}

func printFile(a *app, f fileSummary) {
	s := f.Summary
	fmt.Fprintln(a.stdout, f.File)
	say := func(format string, args ...any) { fmt.Fprintf(a.stdout, "  "+format+"\n", args...) }
	for _, line := range f.Read.Lines() {
		say("%s", line)
	}
	say("%d groups of %d prompts, %d responses, %d comparisons, %d ties", s.Groups, s.Prompts, s.Responses, s.Comparisons, s.Ties)
	say("repeated groups %d, pairs with opposite labels %d", s.Duplicates, s.Conflicts)
	for _, l := range []struct {
		what string
		l    pref.Lengths
	}{{"prompt", s.Prompt}, {"response", s.Response}, {"chosen", s.Chosen}, {"rejected", s.Rejected}} {
		say("%s length in %s: mean %.1f, median %d, 95 %% up to %d, longest %d", l.what, f.Unit, l.l.Mean, l.l.Median, l.l.P95, l.l.Max)
	}
	if f.Tokens != nil {
		say("as tokens: %s", f.Tokens.Report)
	}
	say("the chosen response is longer in %d, shorter in %d: rate %.4f", s.ChosenLonger, s.ChosenShorter, s.ChosenLongerRate)
	say("responses a group: %s", histogram(s.ResponsesPer))
	say("groups a prompt: %s", histogram(s.RowsPerPrompt))
	if _, unnamed := s.Subsets[""]; len(s.Subsets) > 1 || !unnamed {
		const most = 40
		for i, name := range slices.Sorted(maps.Keys(s.Subsets)) {
			if i == most {
				say("and %d more subsets", len(s.Subsets)-most)
				break
			}
			say("subset %s: %d", name, s.Subsets[name])
		}
	}
	for _, g := range f.Sample {
		data, err := json.Marshal(map[string]any{"prompt": g.Prompt, "responses": g.Responses, "comparisons": g.Comparisons, "subset": g.Subset})
		if err == nil { // texts and numbers always have a form
			say("row %d: %s", g.Source.Line, data)
		}
	}
}

// histogram lists counts by size.
func histogram(counts map[int]int) string {
	var parts []string
	for _, size := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d × %d", counts[size], size))
	}
	return strings.Join(parts, ", ")
}
