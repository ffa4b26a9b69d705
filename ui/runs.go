package ui

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"haf/run"
)

// Bounds of the search for run folders.
const (
	maxDepth = 3    // folders below one that was named
	maxRuns  = 1000 // runs of a list
)

// A folder is a run folder under the name that pages give it.
type folder struct{ Name, Dir string }

// findRuns lists the run folders that are named, or that are in the folders that are named.
func findRuns(named []string) (found []folder, problems []string) {
	c := look(named)
	return c.runs, c.problems
}

func baseName(dir string) string {
	if absolute, err := filepath.Abs(dir); err == nil {
		return filepath.Base(absolute)
	}
	return filepath.Base(dir)
}

func relative(root, path string) string {
	rel, err := filepath.Rel(root, path)
	if err != nil {
		return path
	}
	return filepath.ToSlash(rel)
}

// A manifest is what pages read of a run's manifest.json.
type manifest = run.Manifest[map[string]map[string]any]

// A state says how far a run has come.
type state string

// The states of a run.
const (
	running  state = "running"
	finished state = "finished"
	stopped  state = "stopped"
)

// stateOf is the state of the run in dir.
func stateOf(dir string) state {
	switch {
	case run.InUse(dir):
		return running
	case run.Finished(dir):
		return finished
	}
	return stopped
}

// A card is a run in the list.
type card struct {
	folder
	Manifest *manifest
	State    state
	Problem  string   // why the run cannot be shown
	Damaged  []string // lines of its records that cannot be read
	Step     int
	Loss     float64
	Rate     float64 // tokens a second
	Kept     *selection
	Policy   *run.PolicyEval
	Age      time.Duration // since the last record
}

// A selection is the validation that selected the weights.
type selection struct {
	Step int
	run.Selection
}

// card reads what the list shows of a run.
func (a *App) card(f folder) card {
	c := card{folder: f}
	var err error
	if c.Manifest, err = run.ReadManifest[map[string]map[string]any](f.Dir, nil); err != nil {
		c.Problem = a.said(err)
		return c
	}
	c.State = stateOf(f.Dir)
	m, err := a.metrics(f.Dir)
	if err != nil {
		c.Problem = a.said(err)
		return c
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if last, ok, err := m.last(); err != nil {
		c.Problem = a.said(err)
	} else if ok {
		c.Step, c.Loss, c.Rate = last.step, last.values["loss"], last.values["tokens_per_second"]
	}
	c.Age, c.Damaged = time.Since(m.changed), m.problems()
	if c.Manifest.Verb == run.VerbRLHF {
		if best, ok := m.records.BestPolicy(); ok {
			c.Policy = &best
		}
	} else if best, _, ok := m.records.Best(); ok {
		c.Kept = &selection{best.Step, best.Selected()}
	}
	return c
}

// cards reads the list of runs, the newest first.
func (a *App) cards() (cards []card, problems []string) {
	found, problems := findRuns(a.config.Runs)
	for _, f := range found {
		cards = append(cards, a.card(f))
	}
	slices.SortStableFunc(cards, func(x, y card) int {
		if x.Manifest == nil || y.Manifest == nil {
			return 0
		}
		return y.Manifest.Created.Compare(x.Manifest.Created)
	})
	return cards, problems
}

// mostCompared is how many runs one page or series may have.
const mostCompared = 64

// errMany is returned for more runs than a page may have.
var errMany = fmt.Errorf("more than %d runs are asked for: choose fewer", mostCompared)

// errNoRun is returned for a name that no run has.
var errNoRun = errors.New("there is no run of that name")

// find returns the runs of the names, each once. They come from a request: only names of the list
// are opened.
func (a *App) find(names []string) ([]folder, error) {
	found, _ := findRuns(a.config.Runs)
	var out []folder
	for _, name := range names {
		if slices.ContainsFunc(out, func(f folder) bool { return f.Name == name }) {
			continue
		}
		if len(out) == mostCompared {
			return nil, errMany
		}
		i := slices.IndexFunc(found, func(f folder) bool { return f.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("%w: %q", errNoRun, name)
		}
		out = append(out, found[i])
	}
	return out, nil
}

// filesOf lists the files of a run folder that match a pattern, regular ones alone.
func filesOf(dir, pattern string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		if ok, _ := filepath.Match(pattern, e.Name()); ok && e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	return names
}
