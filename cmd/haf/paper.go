package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"haf/backend"
	"haf/hub"
	"haf/paper"
	"haf/pref"
	"haf/recipe"
	"haf/reward"
	"haf/run"
)

type paperCmd struct {
	Recipe string   `arg:"" help:"Plan of cells: recipes/paper-small.toml and its like."`
	Out    string   `help:"Folder of the cells and the page. Default: runs/ and the plan's name."`
	Plan   bool     `help:"List the cells with an estimate of time and memory; fetch and train nothing; exit code 3 where it does not fit."`
	Only   []string `help:"Only the cells of this table; may be repeated." sep:"none"`
	Page   bool     `help:"Make the page of what is finished; train nothing."`
}

// paperOutput is what -json prints.
type paperOutput struct {
	Cells     []string        `json:"cells"`
	Finished  int             `json:"finished"` // before this run
	Failed    []string        `json:"failed"`
	Estimated paper.Estimated `json:"estimated"`
	Need      *paper.Need     `json:"need,omitempty"`      // of memory, with -plan
	Bounded   bool            `json:"bounded,omitempty"`   // the need is a bound: data or base model are not on disk
	Available int64           `json:"available,omitempty"` // bytes of memory
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
	if c.Plan {
		return c.plan(a, plan)
	}
	data, err := plan.OpenData(c.Out)
	if errors.Is(err, fs.ErrNotExist) && !c.Page {
		data, err = plan.MakeData(c.Out, a.data)
	} else if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s has no data of this plan: nothing was run there, so there is nothing to show", c.Out)
	}
	if err != nil {
		return err
	}
	plan.Base = a.bases(false)
	cells, err := plan.Cells(data, c.Only)
	if err != nil {
		return err
	}
	out := newPaperOutput(cells, plan.Estimate(c.Out, data, cells))
	p := newProgress(a.stderr)
	p.Logf("plan: %s", estimateText(out.Estimated))
	if !c.Page {
		runner := &paperRunner{a: a}
		if out.Failed, err = plan.Run(a.ctx, c.Out, data, cells, runner, p.Logf); err != nil {
			return err
		}
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

func newPaperOutput(cells []*paper.Cell, estimated paper.Estimated) paperOutput {
	out := paperOutput{Finished: estimated.Finished, Estimated: estimated}
	for _, cell := range cells {
		out.Cells = append(out.Cells, cell.ID)
	}
	return out
}

// bases finds what a recipe's base model is, once for all recipes that name the same; offline, only on disk.
func (a *app) bases(offline bool) func(*recipe.Recipe) (string, error) {
	known := map[string]string{}
	return func(r *recipe.Recipe) (string, error) {
		key, err := json.Marshal(r.Model)
		if err != nil || known[string(key)] != "" {
			return known[string(key)], err
		}
		named := *r
		named.Data.Train, named.Data.Valid = nil, nil
		client, err := a.hub()
		if err != nil {
			return "", err
		}
		client.Offline = client.Offline || offline
		if err := named.Fetch(a.ctx, client); err != nil {
			return "", err
		}
		base, encoder, err := named.BaseHashes()
		known[string(key)] = base + " " + encoder
		return known[string(key)], err
	}
}

// plan lists the cells, says how long they take and what memory they need. Where data or base model are not on disk, the
// memory is a bound by the plan's base_config.
func (c *paperCmd) plan(a *app, plan *paper.Plan) error {
	need, data, cells, unknown := c.need(a, plan)
	if unknown != nil {
		plan.Base = nil
		var err error
		if cells, err = plan.Cells(data, c.Only); err != nil {
			return err
		}
	}
	out := newPaperOutput(cells, plan.Estimate(c.Out, data, cells))
	text, short := c.memory(a, plan, cells, need, unknown, &out)
	if a.json {
		if err := printJSON(a, out); err != nil {
			return err
		}
		return short
	}
	for _, cell := range cells {
		fmt.Fprintf(a.stdout, "%s\t%s\t%s\n", cell.ID, strings.Join(cell.Tables, ","), strings.Join(cell.Set, " "))
	}
	if _, err := fmt.Fprintf(a.stdout, "%s\n%s\n", estimateText(out.Estimated), text); err != nil {
		return err
	}
	return short
}

// memory says what the cells need, known or not, beside what there is. Only what is known to need more is an error: a bound is
// for whatever data, and for a machine that may be another.
func (c *paperCmd) memory(a *app, plan *paper.Plan, cells []*paper.Cell, need paper.Need, unknown error, out *paperOutput) (text string, short error) {
	bounded := errors.Is(unknown, hub.ErrOffline)
	if bounded {
		need, unknown = plan.Bound(cells)
	}
	if unknown != nil {
		return fmt.Sprintf("memory: not known: %v", unknown), nil
	}
	available, err := backend.AvailableMemory()
	if err != nil {
		fmt.Fprintf(a.stderr, "haf: %v: nothing to compare the need with\n", err)
	}
	out.Need, out.Bounded, out.Available = &need, bounded, available.Bytes
	bytes := hub.Bytes(need.Bytes)
	switch {
	case bounded:
		return fmt.Sprintf("memory: no more than %s on whatever data, by %s and [base_config]: data and base model are not on disk, and -plan fetches nothing", bytes, need.Cell), nil
	case available.Bytes > 0 && need.Bytes > available.Bytes:
		short = fmt.Errorf("%w: %s needs %s, there are %s (%s): lower a setting of [recipe], or wait for "+
			"memory", errGate, need.Cell, bytes, hub.Bytes(available.Bytes), available.Source)
	}
	return fmt.Sprintf("memory: at most %s, by %s; haf train -plan says what of", bytes, need.Cell), short
}

// need splits the data, in a folder of its own where that was not done yet, and plans the cells' trainings.
func (c *paperCmd) need(a *app, plan *paper.Plan) (need paper.Need, data *paper.Data, cells []*paper.Cell, err error) {
	client, err := a.hub()
	if err != nil {
		return need, nil, nil, err
	}
	client.Offline = true
	if data, err = plan.OpenData(c.Out); errors.Is(err, fs.ErrNotExist) {
		var dir string
		if dir, err = os.MkdirTemp("", "haf-paper-"); err != nil {
			return need, nil, nil, err
		}
		defer func() { _ = os.RemoveAll(dir) }() // what is left there is no harm
		data, err = plan.MakeData(dir, func(named []string) ([]string, error) { return filesOf(a, client, named) })
	}
	if err != nil {
		return need, nil, nil, err
	}
	plan.Base = a.bases(true)
	if cells, err = plan.Cells(data, c.Only); err != nil {
		return need, data, nil, err
	}
	for _, cell := range cells {
		if err := cell.Recipe.Fetch(a.ctx, client); err != nil {
			return need, data, nil, err
		}
	}
	need, err = plan.Need(cells)
	return need, data, cells, err
}

func estimateText(e paper.Estimated) string {
	text := fmt.Sprintf("%d cells, %d finished", e.Cells, e.Finished)
	if e.Seconds > 0 {
		text += fmt.Sprintf("; the rest takes about %s by %s", time.Duration(e.Seconds*float64(time.Second)).Round(time.Second), e.From)
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
	if run.Exists(dir) {
		return resumeTraining(r.a, r.device, dir)
	}
	return startTraining(r.a, r.device, of, dir)
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
