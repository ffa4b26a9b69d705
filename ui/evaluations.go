package ui

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"haf/eval"
)

// An evaluationRow is one reward of one run on one data set.
type evaluationRow struct {
	Run, Data, Reward string
	eval.Result
	Length *eval.LengthControl
}

// evaluations reads the files eval*.json of the runs: what haf -json eval printed.
func evaluations(runs []folder) (rows []evaluationRow, problems []string) {
	for _, f := range runs {
		for _, name := range filesOf(f.Dir, "eval*.json") {
			of, err := readEvaluation(filepath.Join(f.Dir, name))
			if err != nil {
				problems = append(problems, fmt.Sprintf("%s/%s: %v", f.Name, name, err))
				continue
			}
			data := strings.Join(eval.ShortNames(of.Data), ", ")
			for _, reward := range sortedKeys(of.Rewards) {
				row := evaluationRow{Run: f.Name, Data: data, Reward: reward, Result: of.Rewards[reward]}
				if c, ok := of.Length[reward]; ok {
					row.Length = &c
				}
				rows = append(rows, row)
			}
		}
	}
	return rows, problems
}

// maxEvaluation bounds a file that is read whole.
const maxEvaluation = 64 << 20

func readEvaluation(path string) (e eval.Evaluation, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return e, err
	}
	if info.Size() > maxEvaluation {
		return e, fmt.Errorf("%d bytes, want what haf -json eval prints", info.Size())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return e, err
	}
	if err := json.Unmarshal(data, &e); err != nil {
		return e, fmt.Errorf("%w: want what haf -json eval prints", err)
	}
	if len(e.Rewards) == 0 && len(e.Labels) == 0 {
		return e, fmt.Errorf("no result of a reward: want what haf -json eval prints")
	}
	return e, nil
}

// A heatMap has the accuracy of runs on data sets.
type heatMap struct {
	Data []string
	Rows []heatRow
}

type heatRow struct {
	Run, Trained, Reward string
	Cells                []heatCell
}

// A heatCell is empty where the run was not evaluated on the set. Level grows with the accuracy,
// from 0 to 9.
type heatCell struct {
	Known               bool
	Accuracy, Low, High float64
	N, Level            int
}

// heat makes the map of training data against test data.
func heat(rows []evaluationRow, trained map[string]string) heatMap {
	var m heatMap
	for _, r := range rows {
		if !slices.Contains(m.Data, r.Data) {
			m.Data = append(m.Data, r.Data)
		}
	}
	at := map[[2]string]int{}
	for _, r := range rows {
		key := [2]string{r.Run, r.Reward}
		i, ok := at[key]
		if !ok {
			i = len(m.Rows)
			at[key] = i
			m.Rows = append(m.Rows, heatRow{Run: r.Run, Trained: trained[r.Run], Reward: r.Reward,
				Cells: make([]heatCell, len(m.Data))})
		}
		// From 0.5, which chance has, to 1.
		level := min(9, max(0, int((r.Accuracy-0.5)*20)))
		m.Rows[i].Cells[slices.Index(m.Data, r.Data)] = heatCell{true, r.Accuracy, r.AccuracyLow,
			r.AccuracyHigh, r.Comparisons, level}
	}
	return m
}

// A difference is a recipe key whose values differ between runs.
type difference struct {
	Key    string
	Values []string
}

// differences lists the keys in which runs differ; of one run those that are not the default.
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

// short writes a value of a recipe.
func short(v any) string {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false) // the template escapes
	if err := encoder.Encode(v); err != nil {
		return fmt.Sprint(v)
	}
	return strings.Trim(strings.TrimSpace(b.String()), `"`)
}
