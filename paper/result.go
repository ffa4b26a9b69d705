package paper

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"haf/eval"
	"haf/internal/wholefile"
	"haf/pref"
	"haf/reward"
	"haf/run"
)

// chosen returns the checkpoint that validation selected, or nil.
func chosen(records run.Records) *Chosen {
	best, name, ok := records.Best()
	if !ok {
		return nil
	}
	loss := best.Loss
	if name == reward.ByScore { // comparable across weights of the policy loss
		loss = best.RewardLoss
	}
	return &Chosen{Step: best.Step, Reward: name, Accuracy: best.Rewards[name].Accuracy,
		Loss: loss}
}

// Results are a grid's finished cells with their rewards, for the tables.
type Results struct {
	grid     *Grid
	data     *Data
	journal  *Journal
	cells    map[string]*Cell // by hash
	Finished []*Result        // in the grid's order
	Missing  []string         // unfinished cells
	Failed   map[string]string
}

// Results returns the results in the journal. dir is the folder of the cells, where failed cells
// leave their reasons; it need not exist.
func (p *Grid) Results(journal *Journal, dir string, data *Data) (*Results, error) {
	cells, err := p.Cells(data, nil)
	if err != nil {
		return nil, err
	}
	r := &Results{grid: p, data: data, journal: journal, cells: map[string]*Cell{},
		Failed: map[string]string{}}
	for _, c := range cells {
		r.cells[c.hash()] = c
		if result := journal.Result(c); result != nil {
			r.Finished = append(r.Finished, result)
			continue
		}
		r.Missing = append(r.Missing, c.ID)
		failed := filepath.Join(c.Folder(dir), failedName)
		if why, err := wholefile.Read(failed, wholefile.Settings); err == nil {
			r.Failed[c.ID] = string(why)
		}
	}
	return r, nil
}

// errMissing is wrapped by the error for a table's unfinished cell.
var errMissing = errors.New("not finished")

// A Measurement has one method's trainings on one test set: the rewards of every seed on the same
// groups, [seed][group][response].
type Measurement struct {
	Groups  []pref.Group
	Rewards [][][]float64
}

// measure collects the results of a want's trainings on a test set, for the named reward.
func (r *Results) measure(w want, test, rewardName string) (Measurement, error) {
	var cells []*Cell
	for _, seed := range r.grid.Seeds {
		cell, err := r.grid.cell(r.data, w, seed)
		if err != nil {
			return Measurement{}, err
		}
		cells = append(cells, cell)
	}
	return r.journal.Measure(cells, test, rewardName)
}

// Measure collects the results of cells that differ only in their seed, on a test set and for the
// named reward. The groups stand in for the test set's: they have the real prompt identities and
// response lengths.
func (j *Journal) Measure(cells []*Cell, test, rewardName string) (Measurement, error) {
	var m Measurement
	var index []int
	for _, cell := range cells {
		result := j.Result(cell) // the same for any label
		if result == nil {
			return m, fmt.Errorf("paper: %s: %w", cell.ID, errMissing)
		}
		of, ok := result.Tests[test]
		if !ok {
			return m, fmt.Errorf("paper: %s on %s: %w", cell.ID, test, errMissing)
		}
		margins, ok := of[rewardName]
		if !ok {
			return m, fmt.Errorf("paper: %s has no reward %q", result.ID, rewardName)
		}
		at, values, err := margins.reading(j.tests[test])
		if err != nil {
			return m, fmt.Errorf("paper: %s: %w", result.ID, err)
		}
		if index != nil && !slices.Equal(index, at) {
			return m, fmt.Errorf("paper: %s could read other groups of %s than other seeds: models of "+
				"one grid must have one tokenizer and length limit", result.ID, test)
		}
		index = at
		m.Rewards = append(m.Rewards, values)
	}
	m.Groups = pick(j.testGroups(test), index)
	return m, nil
}

// Accuracy is the mean over seeds and comparisons.
func (m Measurement) Accuracy() (eval.Estimate, error) {
	return eval.SeedAccuracy(m.Groups, m.Rewards)
}

// Against is the accuracy minus that of other, paired by comparison and seed.
func (m Measurement) Against(other Measurement) (eval.Estimate, error) {
	if len(m.Groups) != len(other.Groups) {
		return eval.Estimate{}, fmt.Errorf("paper: %d groups against %d: models of one grid must read "+
			"the same groups", len(m.Groups), len(other.Groups))
	}
	return eval.SeedDifference(m.Groups, m.Rewards, other.Rewards)
}
