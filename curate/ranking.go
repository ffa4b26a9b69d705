package curate

import (
	"context"
	"fmt"

	"haf/eval"
	"haf/pref"
)

// A Ranking describes the result of [SampleSet.Rank], with its best-of-n curve.
type Ranking struct {
	Out     string        `json:"out"`
	Prompts int           `json:"prompts"`
	Curve   []eval.BestOf `json:"curve"`
	// how often the best response by gold is among the top k by the reward
	Recall *eval.Recall `json:"recall,omitempty"`
}

// Rank scores the samples, and also by gold unless it is nil, and writes a line for each prompt
// with all its samples. It leaves out prompts that either refuses. It passes the curve to measured,
// if not nil, before it writes the rows; after an error of measured, the same command resumes.
func (s *SampleSet) Rank(
	ctx context.Context, scorer, gold pref.Scorer, report Reporter, measured func(Ranking) error,
) (Ranking, error) {
	samples, err := keepAccepted(report, s.Samples, "prompts with their samples",
		func(of []Sample) []pref.Message { return of[0].Prompt }, scorer, gold)
	if err != nil {
		return Ranking{}, err
	}
	rows, err := Rank(ctx, samples, scorer, gold, report.pass("scoring"))
	if err != nil {
		return Ranking{}, err
	}
	out := Ranking{Out: s.out, Prompts: len(rows)}
	if out.Curve, out.Recall, err = Measure(rows); err != nil {
		return out, err
	}
	if measured != nil {
		if err := measured(out); err != nil {
			return out, err
		}
	}
	return out, Finish(s.journal, rows)
}

// Table returns the curve as lines of a table.
func (r Ranking) Table() [][]string { return eval.CurveTable(r.Curve, r.Recall) }

// String is a line about the result.
func (r Ranking) String() string {
	return fmt.Sprintf("%d prompts with their samples and rewards are in %s", r.Prompts, r.Out)
}
