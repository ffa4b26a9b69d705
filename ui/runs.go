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

// Limits of the search for run folders.
const (
	maxDepth = 3    // folder levels below a named one
	maxRuns  = 1000 // runs in the list
)

// A folder is a run folder with its name on the pages.
type folder struct{ Name, Dir string }

// findRuns lists the named run folders, and those inside named folders.
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

// A manifest is a run's manifest.json, as pages read it.
type manifest = run.Manifest[map[string]map[string]any]

// A state is the state of a run.
type state string

// The states of a run.
const (
	running  state = "running"
	finished state = "finished"
	stopped  state = "stopped"
)

// stateOf returns the state of the run in dir.
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
	Problem  string   // reason that the run cannot be shown
	Damaged  []string // descriptions of unreadable records
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

// card reads a run for the list.
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

// mostCompared is the largest number of runs in one page or series.
const mostCompared = 64

// errMany is returned for a request with too many runs.
var errMany = fmt.Errorf("more than %d runs are asked for: choose fewer", mostCompared)

// errNoRun is returned for an unknown name.
var errNoRun = errors.New("there is no run of that name")

// find returns the runs with these names, without duplicates. The names come from a request, so
// only runs in the list are opened.
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

// filesOf lists the regular files of a run folder that match a pattern.
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
