package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"haf/backend"
	"haf/hub"
	"haf/launch"
	"haf/paper"
	"haf/pref"
	"haf/recipe"
	"haf/reward"
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
	Need      *paper.Need     `json:"need,omitempty"` // of memory, with -plan
	// the need is a bound: data or base model are not on disk
	Bounded   bool   `json:"bounded,omitempty"`
	Available int64  `json:"available,omitempty"` // bytes of memory
	Markdown  string `json:"markdown,omitempty"`
	HTML      string `json:"html,omitempty"`
}

// Run trains and evaluates the plan's cells that are not finished, then makes the page.
func (c *paperCmd) Run(a *app) error {
	plan, err := paper.Load(c.Recipe)
	if err != nil {
		return err
	}
	if c.Out == "" {
		c.Out = launch.DefaultDir(c.Recipe)
	}
	client, err := a.hub()
	if err != nil {
		return err
	}
	if c.Plan {
		client.Offline = true
		return c.plan(a, plan, client)
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
	plan.Base = paper.BaseHashes(a.ctx, client)
	cells, err := plan.Cells(data, c.Only)
	if err != nil {
		return err
	}
	out := newPaperOutput(cells, plan.Estimate(c.Out, data, cells))
	a.p.Logf("plan: %s", out.Estimated)
	if !c.Page {
		runner := &paperRunner{a: a}
		if out.Failed, err = plan.Run(a.ctx, c.Out, data, cells, runner, a.p.Logf); err != nil {
			return err
		}
	}
	files, err := plan.WritePage(c.Out, data, "Command: haf paper "+c.Recipe)
	if err != nil {
		return err
	}
	out.Markdown, out.HTML = files.Markdown, files.HTML
	err = a.print(out, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s\n%s\n", files.Markdown, files.HTML)
		return err
	})
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

// plan lists the cells, says how long they take and what memory they need. Only what is known to
// need more than there is is an error.
func (c *paperCmd) plan(a *app, plan *paper.Plan, client *hub.Client) error {
	look, err := plan.Look(a.ctx, client, c.Out, c.Only)
	if err != nil {
		return err
	}
	out := newPaperOutput(look.Cells, look.Estimated)
	out.Need, out.Bounded = look.Need, look.Bounded
	var available backend.Memory
	if look.Need != nil {
		if available, err = backend.AvailableMemory(); err != nil {
			fmt.Fprintf(a.stderr, "haf: %v: nothing to compare the need with\n", err)
		}
		out.Available = available.Bytes
	}
	err = a.print(out, func(w io.Writer) error {
		for _, cell := range look.Cells {
			fmt.Fprintln(w, cell)
		}
		_, err := fmt.Fprintf(w, "%s\n%s\n", look.Estimated, look.Memory())
		return err
	})
	if err == nil && look.Short(available.Bytes) {
		err = fmt.Errorf("%w: %s needs %s, there are %s (%s): lower a setting of [recipe], or wait for memory", errGate, look.Need.Cell,
			hub.Bytes(look.Need.Bytes), hub.Bytes(available.Bytes), available.Source)
	}
	return err
}

// A paperRunner is the program's own training and evaluation, on one device.
type paperRunner struct {
	a   *app
	env launch.Env // zero until the first use
}

func (r *paperRunner) open() (err error) {
	if r.env.Device == nil {
		r.env, err = r.a.env()
	}
	return err
}

// Train implements [paper.Runner].
func (r *paperRunner) Train(ctx context.Context, of *recipe.Recipe, dir string) error {
	if err := r.open(); err != nil {
		return err
	}
	_, err := launch.TrainIn(ctx, r.env, of, dir)
	return err
}

// Read implements [paper.Runner].
func (r *paperRunner) Read(
	ctx context.Context, dir string, valid []pref.Group, sets [][]pref.Group,
) (paper.Reading, error) {
	if err := r.open(); err != nil {
		return paper.Reading{}, err
	}
	opt, err := r.a.readerOptions(reading{once: true})
	if err != nil {
		return paper.Reading{}, err
	}
	model, err := r.a.openModelOn(r.env.Device, dir, reward.Options{})
	if err != nil {
		return paper.Reading{}, err
	}
	defer model.Close()
	return paper.ReadModel(ctx, model.Reader(opt), valid, sets)
}
