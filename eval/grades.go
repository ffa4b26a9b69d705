package eval

import (
	"math"

	"gonum.org/v1/gonum/stat"
)

// Attributes measures the outputs of a score head, or rewards, against the grades of responses.
// Both are [g][k][a]; a grade is NaN if the data has none for attribute a.
func Attributes(names []string, outputs, grades [][][]float64) map[string]GradeResult {
	out := map[string]GradeResult{}
	for a, name := range names {
		var xs, ys []float64
		for g := range grades {
			for k := range grades[g] {
				if y := grades[g][k][a]; !math.IsNaN(y) {
					xs, ys = append(xs, outputs[g][k][a]), append(ys, y)
				}
			}
		}
		if len(xs) > 0 {
			out[name] = gradeResult(xs, ys)
		}
	}
	return out
}

// A GradeResult measures predictions of one attribute.
type GradeResult struct {
	Responses int     `json:"responses"`
	RMSE      float64 `json:"rmse"` // root of the mean squared error
	// that of predicting the grades' mean, the best constant prediction
	Deviation float64 `json:"deviation"`
	Pearson   float64 `json:"pearson"` // 0 if either does not vary
	Spearman  float64 `json:"spearman"`
}

func gradeResult(outputs, grades []float64) GradeResult {
	r := GradeResult{Responses: len(grades), Pearson: correlation(outputs, grades)}
	r.Spearman = correlation(ranks(outputs), ranks(grades))
	mean := stat.Mean(grades, nil)
	var squares, around float64
	for i, y := range grades {
		squares += (outputs[i] - y) * (outputs[i] - y)
		around += (y - mean) * (y - mean)
	}
	n := float64(len(grades))
	r.RMSE, r.Deviation = math.Sqrt(squares/n), math.Sqrt(around/n)
	return r
}
