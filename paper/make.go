package paper

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"haf/hub"
	"haf/launch"
	"haf/recipe"
	"haf/reward"
)

// Options say what of a grid [Grid.Make] makes.
type Options struct {
	Dir string // folder of the cells
	// Results is the folder of results.jsonl and the page; "": page under Dir
	Results  string
	Only     []string      // only the cells of these tables; none: of all
	PageOnly bool          // make the page of what is finished and train nothing
	Time     time.Duration // after it a training is stopped at a checkpoint; 0: never
	Note     string        // for the page: how it came about
	Hub      *hub.Client
	Runner   Runner
	Logf     func(format string, args ...any)
}

func (o Options) results() string {
	if o.Results != "" {
		return o.Results
	}
	return filepath.Join(o.Dir, pageName)
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
	if opt.Time > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, opt.Time, ErrTime)
		defer cancel()
	}
	journal, data, err := p.prepare(ctx, opt)
	if err != nil {
		return Outcome{}, err
	}
	defer func() { _ = journal.Close() }() // every line is on disk
	cells, err := p.Cells(data, opt.Only)
	if err != nil {
		return Outcome{}, err
	}
	out := newOutcome(cells, p.Estimate(journal, data, cells))
	opt.Logf("grid: %s", out.Estimated)
	if !opt.PageOnly && out.Finished < len(cells) {
		if p.World != nil {
			if err := p.makeBase(ctx, opt.Dir, cells, opt.Runner, opt.Logf); err != nil {
				return out, err
			}
		}
		out.Failed, err = p.Run(ctx, opt.Dir, data, cells, journal, opt.Runner, opt.Logf)
		if err != nil {
			return out, err
		}
	}
	files, err := p.WritePage(opt, journal, data)
	out.Markdown, out.HTML = files.Markdown, files.HTML
	return out, err
}

// prepare opens the journal and finds the data. A page alone needs the journal alone.
func (p *Grid) prepare(ctx context.Context, opt Options) (*Journal, *Data, error) {
	if opt.PageOnly {
		journal, err := ReadJournal(opt.results())
		if missing(err) {
			return nil, nil, fmt.Errorf("%s has no results of this grid: nothing was run there, so there "+
				"is nothing to show", opt.results())
		}
		if err != nil {
			return nil, nil, err
		}
		p.Base = journal.base(p)
		return journal, journal.data(), nil
	}
	if p.World == nil {
		p.Base = BaseHashes(ctx, opt.Hub)
		if _, err := p.Cells(nil, opt.Only); err != nil {
			return nil, nil, err // before data is fetched and written
		}
	}
	data, err := p.MakeData(opt.Dir, func(named []string) ([]string, error) {
		return opt.Hub.Files(ctx, named)
	})
	if err != nil {
		return nil, nil, err
	}
	if p.Base = BaseHashes(ctx, opt.Hub); p.World != nil {
		p.Base = p.worldBase
	}
	journal, err := p.OpenJournal(opt.results(), data)
	return journal, data, err
}

// OpenJournal opens the journal in a folder to add results on the data to it, and begins it where
// there is none. One of other data or another base model is refused. A last line that was cut off
// is dropped.
func (p *Grid) OpenJournal(folder string, data *Data) (*Journal, error) {
	of, err := p.origin(data)
	if err != nil {
		return nil, err
	}
	var tests []TestSet
	for _, s := range p.Sets {
		groups, err := data.Groups(s.Name, "test")
		if err != nil {
			return nil, err
		}
		tests = append(tests, newTestSet(s.Name, groups))
	}
	return openJournal(folder, of, tests)
}

// origin is what results on the data depend on.
func (p *Grid) origin(data *Data) (origin, error) {
	of := origin{Format: journalFormat, Title: p.Title, Data: *data, Bases: map[string]string{}}
	cells, err := p.Cells(data, nil)
	if err != nil || p.Base == nil {
		return of, err
	}
	for _, c := range cells {
		key, err := p.modelKey(c.Recipe)
		if err != nil {
			return of, err
		}
		if of.Bases[key], err = p.Base(c.Recipe); err != nil {
			return of, err
		}
	}
	return of, nil
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

// open opens the device. It keeps its programs, so that cells that differ in weights, seeds and
// numbers alone compile nothing.
func (l *Local) open() (err error) {
	if l.env.Device != nil {
		return nil
	}
	if l.env, err = l.Open(); err == nil {
		l.env.Device.KeepPrograms()
	}
	return err
}

// Train implements [Runner].
func (l *Local) Train(ctx context.Context, r *recipe.Recipe, dir string) (Trained, error) {
	if err := l.open(); err != nil {
		return Trained{}, err
	}
	result, err := launch.TrainIn(ctx, l.env, r, dir)
	return Trained{Steps: result.Steps, Programs: result.Programs, Seconds: result.Seconds}, err
}

// Read implements [Runner].
func (l *Local) Read(ctx context.Context, dir string, of Parts) (Reading, error) {
	if err := l.open(); err != nil {
		return Reading{}, err
	}
	model, err := l.env.OpenModel(ctx, dir, reward.Options{})
	if err != nil {
		return Reading{}, err
	}
	defer model.Close()
	began := time.Now()
	out, err := ReadModel(ctx, model.Reader(l.env.ReaderOptions()), of)
	out.Programs, out.Seconds = model.Programs(), time.Since(began).Seconds()
	return out, err
}
