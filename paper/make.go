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

// Options set which parts of a grid [Grid.Make] makes.
type Options struct {
	Dir string // folder of the cells
	// Results is the folder for results.jsonl and the page; "" is page under Dir.
	Results  string
	Only     []string      // only the cells of these tables; none: all cells
	PageOnly bool          // make the page from finished cells and train nothing
	Time     time.Duration // stop at a checkpoint after this time; 0: never
	Note     string        // for the page: command and program
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

// An Outcome describes what Make did with a grid, or would do.
type Outcome struct {
	Cells     []string  `json:"cells"`
	Finished  int       `json:"finished"` // before this run
	Failed    []string  `json:"failed"`
	Estimated Estimated `json:"estimated"`
	Need      *Need     `json:"need,omitempty"` // memory; only in an [Outlook]
	// the need is an upper bound, because data or base model are not on disk
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

// Make trains and evaluates the unfinished cells of the grid, then writes the page. The outcome
// lists cells that failed: see [Outcome.Err].
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
	defer func() { _ = journal.Close() }() // every line is on disk already
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

// prepare opens the journal and finds the data. For the page alone it opens only the journal.
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
			return nil, nil, err // before fetching and writing data
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

// OpenJournal opens the journal in a folder for adding results on the data, or begins one. It
// refuses a journal with other data or another base model. It drops a last line that was cut off.
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

// origin is everything that results on the data depend on.
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

// Write writes the location of the page.
func (o Outcome) Write(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%s\n%s\n", o.Markdown, o.HTML)
	return err
}

// Err returns an [ErrFailed] that names the failed cells, or nil.
func (o Outcome) Err() error {
	if len(o.Failed) == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d cells: %w: %s; each folder has failed.txt, and the same command "+
		"tries them again", len(o.Failed), len(o.Cells), ErrFailed, strings.Join(o.Failed, ", "))
}

// Outcome returns the outlook as an outcome. available is the available memory in bytes.
func (o Outlook) Outcome(available int64) Outcome {
	out := newOutcome(o.Cells, o.Estimated)
	out.Need, out.Bounded, out.Available = o.Need, o.Bounded, available
	return out
}

// Write lists the cells and their need.
func (o Outlook) Write(w io.Writer) error {
	for _, cell := range o.Cells {
		if _, err := fmt.Fprintln(w, cell); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "%s\n%s\n", o.Estimated, o.Memory())
	return err
}

// A Local trains and reads models on the local device. It is a [Runner].
type Local struct {
	Open func() (launch.Env, error) // called once, for the first cell that needs it

	env launch.Env
}

// open opens the device. The device keeps its programs, so that cells that differ only in weights,
// seeds and numbers compile nothing.
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
