package ui

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// A heatMap shows the accuracy of models on data sets.
type heatMap struct {
	Title, File string // for a grid of haf paper
	Data        []string
	Rows        []heatRow
	More        int // number of rows left out
}

type heatRow struct {
	Model, Trained, Reward string
	IsRun                  bool
	Seeds                  int // trainings averaged in the row; 0: a single one
	Cells                  []heatCell
}

// A heatCell is empty if the model was not evaluated on the set. Level grows with the accuracy,
// from 0 to 9.
type heatCell struct {
	Known               bool
	Accuracy, Low, High float64
	N, Level            int
}

// A heatEntry is an accuracy on N comparisons with its 95 % interval.
type heatEntry struct {
	Model, Trained, Reward, Data string
	IsRun                        bool
	Accuracy, Low, High          float64
	N, Seeds                     int
}

// add puts an entry into its cell. A second entry with the same model, reward and data, for
// instance from another file, gets its own row.
func (m *heatMap) add(e heatEntry) {
	column := slices.Index(m.Data, e.Data)
	if column < 0 {
		column = len(m.Data)
		m.Data = append(m.Data, e.Data)
		for i := range m.Rows {
			m.Rows[i].Cells = append(m.Rows[i].Cells, heatCell{})
		}
	}
	i := slices.IndexFunc(m.Rows, func(r heatRow) bool {
		return r.Model == e.Model && r.IsRun == e.IsRun && r.Reward == e.Reward &&
			!r.Cells[column].Known
	})
	if i < 0 {
		i = len(m.Rows)
		m.Rows = append(m.Rows, heatRow{Model: e.Model, Trained: e.Trained, Reward: e.Reward,
			IsRun: e.IsRun, Seeds: e.Seeds, Cells: make([]heatCell, len(m.Data))})
	}
	// Levels run from 0.5, the accuracy of chance, to 1.
	level := min(9, max(0, int((e.Accuracy-0.5)*20)))
	m.Rows[i].Cells[column] = heatCell{true, e.Accuracy, e.Low, e.High, e.N, level}
}

// heat makes the map of training data against test data.
func heat(rows []evaluationRow, trained map[string]string) (m heatMap) {
	for _, r := range rows {
		of := "–"
		if r.IsRun {
			of = trained[r.Model]
		}
		m.add(heatEntry{Model: r.Model, IsRun: r.IsRun, Trained: of, Reward: r.Reward, Data: r.Data,
			Accuracy: r.Accuracy, Low: r.AccuracyLow, High: r.AccuracyHigh, N: r.Comparisons})
	}
	return m
}

// A difference is a recipe key whose values differ between runs.
type difference struct {
	Key    string
	Values []string
}

// differences lists the keys in which runs differ. For a single run it lists those that are not
// defaults.
func differences(manifests []*manifest) (out []difference) {
	keys := map[string]bool{}
	for _, m := range manifests {
		for table, fields := range m.Recipe {
			for field := range fields {
				keys[table+"."+field] = true
			}
		}
	}
	for _, key := range sortedKeys(keys) {
		table, field, _ := strings.Cut(key, ".")
		d := difference{Key: key}
		differs := false
		for _, m := range manifests {
			value := "–"
			if v, ok := m.Recipe[table][field]; ok {
				value = short(v)
			}
			d.Values = append(d.Values, value)
			differs = differs || value != d.Values[0]
		}
		if origin := manifests[0].Origin[key]; len(manifests) == 1 {
			differs = origin != "" && origin != "default"
			d.Values = append(d.Values, origin)
		}
		if differs {
			out = append(out, d)
		}
	}
	return out
}

// short formats a value of a recipe.
func short(v any) string {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false) // the template escapes
	if err := encoder.Encode(v); err != nil {
		return fmt.Sprint(v)
	}
	return strings.Trim(strings.TrimSpace(b.String()), `"`)
}
