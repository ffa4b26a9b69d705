package paper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"haf/hub"
	"haf/launch"
	"haf/recipe"
	"haf/report"
)

// An Outlook lists a grid's cells, with the time that the unfinished ones take and the memory they
// need.
type Outlook struct {
	Cells     []*Cell
	Estimated Estimated
	Need      *Need // memory; nil if unknown
	Bounded   bool  // an upper bound: data or base model are not on disk
	Unknown   error // why the need is unknown
}

// Look makes the outlook for the cells of the named tables, or of all tables, with an offline
// client. If the data in dir is not split yet, it is split in a temporary folder. If data or base
// model are not on disk, the need is an upper bound from the grid's base_config.
func (p *Grid) Look(
	ctx context.Context, client *hub.Client, dir, results string, only []string,
) (o Outlook, err error) {
	need, data, cells, unknown := p.look(ctx, client, dir, only)
	if unknown != nil {
		if p.Base = nil; p.World != nil {
			p.Base = p.worldBase
		}
		if cells, err = p.Cells(data, only); err != nil {
			return o, err
		}
	}
	journal, err := ReadJournal(Options{Dir: dir, Results: results}.results())
	if err != nil && !missing(err) {
		return o, err
	}
	o.Cells, o.Estimated = cells, p.Estimate(journal, data, cells)
	if o.Bounded = errors.Is(unknown, hub.ErrOffline); o.Bounded {
		need, unknown = p.Bound(cells)
	}
	if o.Unknown = unknown; unknown == nil {
		o.Need = &need
	}
	return o, nil
}

func (p *Grid) look(
	ctx context.Context, client *hub.Client, dir string, only []string,
) (need Need, data *Data, cells []*Cell, err error) {
	if data, err = p.OpenData(dir); errors.Is(err, fs.ErrNotExist) {
		var temporary string
		if temporary, err = os.MkdirTemp("", "haf-paper-"); err != nil {
			return need, nil, nil, fmt.Errorf("paper: %w", err)
		}
		defer func() { _ = os.RemoveAll(temporary) }() // leftovers do no harm
		data, err = p.MakeData(temporary, func(named []string) ([]string,
			error) {
			return client.Files(ctx, named)
		})
	}
	if err != nil {
		return need, nil, nil, err
	}
	if p.Base = BaseHashes(ctx, client); p.World != nil {
		p.Base = p.worldBase
	}
	if cells, err = p.Cells(data, only); err != nil {
		return need, data, nil, err
	}
	if p.World != nil {
		return need, data, cells, errors.New("the world's language model is not made yet")
	}
	for _, cell := range cells {
		if err := cell.Recipe.Fetch(ctx, client); err != nil {
			return need, data, nil, err
		}
	}
	need, err = p.Need(cells)
	return need, data, cells, err
}

// Short reports whether the need is known to exceed the available bytes, 0 if unknown. A bound
// never counts, because it holds for any data and perhaps another machine.
func (o Outlook) Short(available int64) bool {
	return o.Need != nil && !o.Bounded && available > 0 && o.Need.Bytes > available
}

// Err returns a [launch.ErrGate] if the need is known to exceed the available bytes, which source
// measured.
func (o Outlook) Err(available int64, source string) error {
	if !o.Short(available) {
		return nil
	}
	return fmt.Errorf("%w: %s needs %s, there are %s (%s): lower a setting of [recipe], or wait "+
		"for memory", launch.ErrGate, o.Need.Cell, hub.Bytes(o.Need.Bytes), hub.Bytes(available),
		source)
}

// Memory is a line about the need.
func (o Outlook) Memory() string {
	switch {
	case o.Unknown != nil:
		return fmt.Sprintf("memory: not known: %v", o.Unknown)
	case o.Bounded:
		return fmt.Sprintf("memory: no more than %s on whatever data, by %s and [base_config]: "+
			"data and base model are not on disk, and -plan fetches nothing",
			hub.Bytes(o.Need.Bytes), o.Need.Cell)
	}
	return fmt.Sprintf("memory: at most %s, by %s; haf train -plan says what of",
		hub.Bytes(o.Need.Bytes), o.Need.Cell)
}

// String is a line about the cells and their time.
func (e Estimated) String() string {
	text := fmt.Sprintf("%d cells, %d finished", e.Cells, e.Finished)
	if e.Seconds > 0 {
		text += fmt.Sprintf("; the rest takes about %s by %s",
			time.Duration(e.Seconds*float64(time.Second)).Round(time.Second), e.From)
	}
	return text
}

// String is the cell as a line in the grid's list.
func (c *Cell) String() string {
	return fmt.Sprintf("%s\t%s\t%s", c.ID, strings.Join(c.Tables, ","), strings.Join(c.Set, " "))
}

// BaseHashes returns a function that hashes a recipe's base model, once for all recipes with the
// same base.
func BaseHashes(ctx context.Context, client *hub.Client) func(*recipe.Recipe) (string, error) {
	known := map[string]string{}
	return func(r *recipe.Recipe) (string, error) {
		key, err := json.Marshal(r.Model)
		if err != nil || known[string(key)] != "" {
			return known[string(key)], err
		}
		named := *r
		named.Data.Train, named.Data.Valid = nil, nil
		if err := named.Fetch(ctx, client); err != nil {
			return "", err
		}
		base, encoder, err := named.BaseHashes()
		known[string(key)] = base + " " + encoder
		return known[string(key)], err
	}
}

const pageName = "page"

// WritePage writes the page of the journal's results into its folder.
func (p *Grid) WritePage(
	opt Options, journal *Journal, data *Data,
) (files report.Files, err error) {
	results, err := p.Results(journal, opt.Dir, data)
	if err != nil {
		return files, err
	}
	page, err := results.Page(opt.Note)
	if err != nil {
		return files, err
	}
	if opt.Results == "" {
		folder := opt.results()
		return report.FilesOf(folder, pageName), page.Write(folder, pageName)
	}
	path, err := page.WriteMarkdown(opt.Results, "README")
	return report.Files{Markdown: path}, err
}
