package paper

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
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
	dir      string
	cells    map[string]*Cell // by hash
	Finished []*Result        // in the grid's order
	Missing  []string         // cells that are not finished
	Failed   map[string]string
	tests    map[string][]pref.Group
	rewards  map[string]map[string]SetReading // by the cell's folder
}

// Results reads what is finished.
func (p *Grid) Results(dir string, data *Data) (*Results, error) {
	cells, err := p.Cells(data, nil)
	if err != nil {
		return nil, err
	}
	r := &Results{grid: p, data: data, dir: dir, cells: map[string]*Cell{},
		Failed: map[string]string{}, tests: map[string][]pref.Group{},
		rewards: map[string]map[string]SetReading{}}
	for _, c := range cells {
		r.cells[c.hash()] = c
		result, err := readResult(c.folder(dir))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			r.Missing = append(r.Missing, c.ID)
			if why, err := os.ReadFile(filepath.Join(c.folder(dir), failedName)); err == nil {
				r.Failed[c.ID] = string(why)
			}
		case err != nil:
			return nil, err
		default:
			r.Finished = append(r.Finished, result)
		}
	}
	for _, s := range p.Sets {
		if r.tests[s.Name], err = data.Groups(s.Name, "test"); err != nil {
			return nil, err
		}
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
		c := r.cells[probe.hash()] // the same under the label that its folder has
		if c == nil || slices.Contains(r.Missing, c.ID) {
			return m, fmt.Errorf("paper: %s: %w", probe.ID, errMissing)
		}
		of, err := r.rewardsOf(c)
		if err != nil {
			return m, err
		}
		reading := of[test]
		values, ok := reading.Rewards[rewardName]
		if !ok {
			return m, fmt.Errorf("paper: %s has no reward %q", c.ID, rewardName)
		}
		if index != nil && !slices.Equal(index, reading.Index) {
			return m, fmt.Errorf("paper: %s could read other groups of %s than its neighbours: models of "+
				"one grid must have one tokenizer and length limit", c.ID, test)
		}
		index = reading.Index
		m.rewards = append(m.rewards, values)
	}
	m.groups = pick(r.tests[test], index)
	return m, nil
}

func (r *Results) rewardsOf(c *Cell) (map[string]SetReading, error) {
	if of, ok := r.rewards[c.ID]; ok {
		return of, nil
	}
	path := filepath.Join(c.folder(r.dir), rewardsName)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("paper: %w", err)
	}
	var of map[string]SetReading
	if err := json.Unmarshal(data, &of); err != nil {
		return nil, fmt.Errorf("paper: %s: %w", path, err)
	}
	r.rewards[c.ID] = of
	return of, nil
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
