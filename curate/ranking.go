package curate

import (
	"context"
	"fmt"

	"haf/eval"
	"haf/pref"
)

// A Ranking is what [SampleSet.Rank] wrote, and the best-of-n curve of it.
type Ranking struct {
	Out     string        `json:"out"`
	Prompts int           `json:"prompts"`
	Curve   []eval.BestOf `json:"curve"`
	// of the gold reward's best among the reward's top k
	Recall *eval.Recall `json:"recall,omitempty"`
}

// Rank scores the samples, and by gold too if it is not nil, and writes one prompt with all its
// samples a line. Prompts that one of the two refuses are left out. measured, if not nil, is told
// the curve before the rows are written: after its error the same command resumes.
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

// Table is the curve as lines of a table.
func (r Ranking) Table() [][]string { return eval.CurveTable(r.Curve, r.Recall) }

// String is a line about what was written.
func (r Ranking) String() string {
	return fmt.Sprintf("%d prompts with their samples and rewards are in %s", r.Prompts, r.Out)
}
