package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"haf/backend"
	"haf/paper"
	"haf/pref"
	"haf/recipe"
	"haf/reward"
	"haf/train"
)

type paperCmd struct {
	Recipe string   `arg:"" help:"Plan of cells: recipes/paper-small.toml and its like."`
	Out    string   `help:"Folder of the cells and the page. Default: runs/ and the plan's name."`
	Plan   bool     `help:"List the cells with an estimate of time and memory; train nothing."`
	Only   []string `help:"Only the cells of this table; may be repeated." sep:"none"`
	Page   bool     `help:"Make the page of what is finished; train nothing."`
}

// paperOutput is what -json prints.
type paperOutput struct {
	Cells     []string        `json:"cells"`
	Finished  int             `json:"finished"` // before this run
	Failed    []string        `json:"failed"`
	Estimated paper.Estimated `json:"estimated"`
	Markdown  string          `json:"markdown,omitempty"`
	HTML      string          `json:"html,omitempty"`
}

// Run trains and evaluates the plan's cells that are not finished, then makes the page.
func (c *paperCmd) Run(a *app) error {
	plan, err := paper.Load(c.Recipe)
	if err != nil {
		return err
	}
	if c.Out == "" {
		c.Out = filepath.Join("runs", strings.TrimSuffix(filepath.Base(c.Recipe), ".toml"))
	}
	data, err := plan.OpenData(c.Out)
	if errors.Is(err, fs.ErrNotExist) && !c.Plan && !c.Page {
		data, err = plan.MakeData(c.Out, a.data)
	} else if errors.Is(err, fs.ErrNotExist) {
		data, err = nil, nil
	}
	if err != nil {
		return err
	}
	cells, err := plan.Cells(data, c.Only)
	if err != nil {
		return err
	}
	out := paperOutput{Estimated: plan.Estimate(c.Out, data, cells)}
	out.Finished = out.Estimated.Finished
	for _, cell := range cells {
		out.Cells = append(out.Cells, cell.ID)
	}
	if c.Plan {
		return c.printPlan(a, plan, cells, out)
	}
	p := newProgress(a.stderr)
	p.Say("plan: %s", estimateText(out.Estimated))
	if !c.Page {
		runner := &paperRunner{a: a}
		if out.Failed, err = plan.Run(a.ctx, c.Out, data, cells, runner, p.Say); err != nil {
			return err
		}
	} else if data == nil {
		return fmt.Errorf("%s has no data of this plan: nothing was run there, so there is nothing to show", c.Out)
	}
	return c.page(a, plan, data, out)
}

// page writes the page and its data.
func (c *paperCmd) page(a *app, plan *paper.Plan, data *paper.Data, out paperOutput) error {
	results, err := plan.Results(c.Out, data)
	if err != nil {
		return err
	}
	page, err := results.Page("Command: haf paper " + c.Recipe)
	if err != nil {
		return err
	}
	if err := page.Write(filepath.Join(c.Out, "page"), "page"); err != nil {
		return err
	}
	if err := paper.WriteResults(filepath.Join(c.Out, "page", "results.jsonl"), results.Finished); err != nil {
		return err
	}
	out.Markdown, out.HTML = filepath.Join(c.Out, "page", "page.md"), filepath.Join(c.Out, "page", "page.html")
	if a.json {
		err = printJSON(a, out)
	} else {
		_, err = fmt.Fprintf(a.stdout, "%s\n%s\n", out.Markdown, out.HTML)
	}
	if err == nil && len(out.Failed) > 0 {
		err = fmt.Errorf("%d of %d cells: %w: %s; each folder has failed.txt, and the same command tries them again", len(out.Failed), len(out.Cells), paper.ErrFailed, strings.Join(out.Failed, ", "))
	}
	return err
}

// printPlan lists the cells.
func (c *paperCmd) printPlan(a *app, plan *paper.Plan, cells []*paper.Cell, out paperOutput) error {
	if a.json {
		return printJSON(a, out)
	}
	for _, cell := range cells {
		fmt.Fprintf(a.stdout, "%s\t%s\t%s\n", cell.ID, strings.Join(cell.Tables, ","), strings.Join(cell.Set, " "))
	}
	_, err := fmt.Fprintln(a.stdout, estimateText(out.Estimated))
	return err
}

func estimateText(e paper.Estimated) string {
	text := fmt.Sprintf("%d cells, %d finished", e.Cells, e.Finished)
	if e.Seconds > 0 {
		text += fmt.Sprintf("; the rest takes about %s by %s", time.Duration(e.Seconds*float64(time.Second)).Round(time.Second), e.From)
	}
	if e.Bytes > 0 {
		text += fmt.Sprintf("; weights, gradients and moments take %.1f GB of memory, activations come on top", e.Bytes/1e9)
	}
	return text
}

// A paperRunner is the program's own training and evaluation, on one device.
type paperRunner struct {
	a      *app
	device *backend.Device
}

func (r *paperRunner) open() (err error) {
	if r.device == nil {
		r.device, err = r.a.openDevice()
	}
	return err
}

// Train implements [paper.Runner].
func (r *paperRunner) Train(_ context.Context, of *recipe.Recipe, dir string) error {
	if err := r.open(); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, train.ManifestName)); err == nil {
		_, err := resumeRun(r.a, r.device, dir)
		return err
	}
	_, err := startRun(r.a, r.device, of, dir)
	return err
}

// Read implements [paper.Runner]. Validation and tests are read in one pass, so that they share programs.
func (r *paperRunner) Read(_ context.Context, dir string, valid []pref.Group, sets [][]pref.Group) (paper.Reading, error) {
	var out paper.Reading
	if err := r.open(); err != nil {
		return out, err
	}
	model, err := r.a.openModelOn(r.device, dir, reward.Options{})
	if err != nil {
		return out, err
	}
	defer model.Close()
	groups := append([]pref.Group{}, valid...)
	for _, set := range sets {
		groups = append(groups, set...)
	}
	all, err := read(r.a, model, groups, nil, newProgress(r.a.stderr))
	if err != nil {
		return out, err
	}
	names := all.names
	fitted, rest := all.cut(len(valid))
	if _, both := all.rewards[reward.ByScore]; both && all.rewards[reward.ByImplicit] != nil {
		c, _, err := fitHeads(fitted.groups, fitted.rewards, "the validation part, which chose the checkpoint, too")
		if err != nil {
			return out, err
		}
		out.Combination = &c
		rest.rewards[reward.ByCombined] = c.Of(rest.rewards[reward.ByScore], rest.rewards[reward.ByImplicit])
		rest.names = append(append([]string{}, names...), reward.ByCombined)
		if err := model.SetCombination(c); err != nil {
			return out, err
		}
	}
	for _, set := range sets {
		var part *reading
		part, rest = rest.cut(len(set))
		out.Sets = append(out.Sets, paper.SetReading{Index: part.index, Rewards: part.rewards})
	}
	return out, nil
}

// cut parts a reading into that of the first n groups that were given and that of the others, whose positions then begin at 0.
func (r *reading) cut(n int) (first, rest *reading) {
	at := 0
	for at < len(r.index) && r.index[at] < n {
		at++
	}
	first = &reading{groups: r.groups[:at], index: r.index[:at], names: r.names, rewards: map[string][][]float64{}}
	rest = &reading{groups: r.groups[at:], names: r.names, rewards: map[string][][]float64{}}
	for _, index := range r.index[at:] {
		rest.index = append(rest.index, index-n)
	}
	for name, of := range r.rewards {
		first.rewards[name], rest.rewards[name] = of[:at], of[at:]
	}
	return first, rest
}
