package paper

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"haf/eval"
	"haf/pref"
	"haf/run"
)

// chosen reads which checkpoint the run's validations chose.
func chosen(folder string) (*Chosen, error) {
	records, err := run.ReadRecords(folder, run.VerbTrain)
	if err != nil {
		return nil, err
	}
	best, name, ok := records.Best()
	if !ok {
		return nil, nil
	}
	return &Chosen{Step: best.Step, Reward: name, Accuracy: best.Rewards[name].Accuracy}, nil
}

// Results are a grid's finished cells with their rewards, for the tables.
type Results struct {
	grid     *Grid
	data     *Data
	journal  *Journal
	cells    map[string]*Cell // by hash
	Finished []*Result        // in the grid's order
	Missing  []string         // cells that are not finished
	Failed   map[string]string
	tests    map[string][]pref.Group
}

// Results are those of the journal. dir is the folder of the cells, which says why some failed; it
// need not exist.
func (p *Grid) Results(journal *Journal, dir string, data *Data) (*Results, error) {
	cells, err := p.Cells(data, nil)
	if err != nil {
		return nil, err
	}
	r := &Results{grid: p, data: data, journal: journal, cells: map[string]*Cell{},
		Failed: map[string]string{}, tests: map[string][]pref.Group{}}
	for _, c := range cells {
		r.cells[c.hash()] = c
		if result := journal.of(c); result != nil {
			r.Finished = append(r.Finished, result)
			continue
		}
		r.Missing = append(r.Missing, c.ID)
		if why, err := os.ReadFile(filepath.Join(c.folder(dir), failedName)); err == nil {
			r.Failed[c.ID] = string(why)
		}
	}
	for name, t := range journal.tests {
		r.tests[name] = t.groups()
	}
	return r, nil
}

// errMissing is wrapped where a table's cell is not finished.
var errMissing = errors.New("not finished")

// A measured is one method's trainings on one test set: every seed's rewards on the same groups.
type measured struct {
	groups  []pref.Group
	rewards [][][]float64
}

// measure gathers what the trainings of a want gave on a test set by the named reward.
func (r *Results) measure(w want, test, rewardName string) (measured, error) {
	var m measured
	var index []int
	for _, seed := range r.grid.Seeds {
		probe, err := r.grid.cell(r.data, w, seed)
		if err != nil {
			return m, err
		}
		result := r.journal.of(probe) // the same under whatever label
		if result == nil {
			return m, fmt.Errorf("paper: %s: %w", probe.ID, errMissing)
		}
		of, ok := result.Tests[test]
		if !ok {
			return m, fmt.Errorf("paper: %s on %s: %w", probe.ID, test, errMissing)
		}
		margins, ok := of[rewardName]
		if !ok {
			return m, fmt.Errorf("paper: %s has no reward %q", result.ID, rewardName)
		}
		at, values, err := margins.reading(r.journal.tests[test])
		if err != nil {
			return m, fmt.Errorf("paper: %s: %w", result.ID, err)
		}
		if index != nil && !slices.Equal(index, at) {
			return m, fmt.Errorf("paper: %s could read other groups of %s than other seeds: models of "+
				"one grid must have one tokenizer and length limit", result.ID, test)
		}
		index = at
		m.rewards = append(m.rewards, values)
	}
	m.groups = pick(r.tests[test], index)
	return m, nil
}

func (m measured) accuracy() (eval.Estimate, error) {
	return eval.SeedAccuracy(m.groups, m.rewards)
}

func (m measured) against(other measured) (eval.Estimate, error) {
	if len(m.groups) != len(other.groups) {
		return eval.Estimate{}, fmt.Errorf("paper: %d groups against %d: models of one grid must read "+
			"the same groups", len(m.groups), len(other.groups))
	}
	return eval.SeedDifference(m.groups, m.rewards, other.rewards)
}
