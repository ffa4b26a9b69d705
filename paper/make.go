package paper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"haf/hub"
	"haf/launch"
	"haf/pref"
	"haf/recipe"
	"haf/reward"
)

// Options say what of a grid [Grid.Make] makes.
type Options struct {
	Dir      string   // folder of the cells and the page
	Only     []string // only the cells of these tables; none: of all
	PageOnly bool     // make the page of what is finished and train nothing
	Note     string   // for the page: how it came about
	Hub      *hub.Client
	Runner   Runner
	Logf     func(format string, args ...any)
}

// An Outcome is what became of a grid, or what would.
type Outcome struct {
	Cells     []string  `json:"cells"`
	Finished  int       `json:"finished"` // before this run
	Failed    []string  `json:"failed"`
	Estimated Estimated `json:"estimated"`
	Need      *Need     `json:"need,omitempty"` // of memory; of an [Outlook] alone
	// the need is a bound: data or base model are not on disk
	Bounded   bool   `json:"bounded,omitempty"`
	Available int64  `json:"available,omitempty"` // bytes of memory
	Markdown  string `json:"markdown,omitempty"`
	HTML      string `json:"html,omitempty"`
}

func newOutcome(cells []*Cell, estimated Estimated) Outcome {
	out := Outcome{Finished: estimated.Finished, Estimated: estimated}
	for _, cell := range cells {
		out.Cells = append(out.Cells, cell.ID)
	}
	return out
}

// Make trains and evaluates the grid's cells that are not finished, then writes the page. Cells
// that fail are in the outcome: see [Outcome.Err].
func (p *Grid) Make(ctx context.Context, opt Options) (Outcome, error) {
	p.Base = BaseHashes(ctx, opt.Hub)
	if _, err := p.Cells(nil, opt.Only); err != nil {
		return Outcome{}, err // before data is fetched and written
	}
	data, err := p.OpenData(opt.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		if opt.PageOnly {
			return Outcome{}, fmt.Errorf("%s has no data of this grid: nothing was run there, so there "+
				"is nothing to show", opt.Dir)
		}
		data, err = p.MakeData(opt.Dir, func(named []string) ([]string, error) {
			return opt.Hub.Files(ctx, named)
		})
	}
	if err != nil {
		return Outcome{}, err
	}
	cells, err := p.Cells(data, opt.Only)
	if err != nil {
		return Outcome{}, err
	}
	out := newOutcome(cells, p.Estimate(opt.Dir, data, cells))
	opt.Logf("grid: %s", out.Estimated)
	if !opt.PageOnly {
		out.Failed, err = p.Run(ctx, opt.Dir, data, cells, opt.Runner, opt.Logf)
		if err != nil {
			return out, err
		}
	}
	files, err := p.WritePage(opt.Dir, data, opt.Note)
	out.Markdown, out.HTML = files.Markdown, files.HTML
	return out, err
}

// Write writes where the page is.
func (o Outcome) Write(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%s\n%s\n", o.Markdown, o.HTML)
	return err
}

// Err is an [ErrFailed] that names the cells that failed, nil if none did.
func (o Outcome) Err() error {
	if len(o.Failed) == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d cells: %w: %s; each folder has failed.txt, and the same command "+
		"tries them again", len(o.Failed), len(o.Cells), ErrFailed, strings.Join(o.Failed, ", "))
}

// Outcome is the outlook as an outcome, beside the bytes of memory that are available.
func (o Outlook) Outcome(available int64) Outcome {
	out := newOutcome(o.Cells, o.Estimated)
	out.Need, out.Bounded, out.Available = o.Need, o.Bounded, available
	return out
}

// Write lists the cells and says what they need.
func (o Outlook) Write(w io.Writer) error {
	for _, cell := range o.Cells {
		if _, err := fmt.Fprintln(w, cell); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "%s\n%s\n", o.Estimated, o.Memory())
	return err
}

// A Local trains and reads models on the device of an environment. It is a [Runner].
type Local struct {
	Open func() (launch.Env, error) // called once, for the first cell that needs it

	env launch.Env
}

func (l *Local) open() (err error) {
	if l.env.Device == nil {
		l.env, err = l.Open()
	}
	return err
}

// Train implements [Runner].
func (l *Local) Train(ctx context.Context, r *recipe.Recipe, dir string) error {
	if err := l.open(); err != nil {
		return err
	}
	_, err := launch.TrainIn(ctx, l.env, r, dir)
	return err
}

// Read implements [Runner].
func (l *Local) Read(
	ctx context.Context, dir string, valid []pref.Group, sets [][]pref.Group,
) (Reading, error) {
	if err := l.open(); err != nil {
		return Reading{}, err
	}
	model, err := l.env.OpenModel(ctx, dir, reward.Options{})
	if err != nil {
		return Reading{}, err
	}
	defer model.Close()
	return ReadModel(ctx, model.Reader(l.env.ReaderOptions()), valid, sets)
}
