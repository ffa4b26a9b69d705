package compare

import (
	"context"
	"fmt"
	"slices"

	"haf/paper"
)

// A Round is a round of a method's search: all settings, trained on the same pairs.
type Round struct {
	Method  string  `json:"method"`
	Pairs   int     `json:"pairs"`
	Entries []Entry `json:"entries"` // the best first
	Kept    int     `json:"kept"`    // number of entries in the next round
}

// An Entry is a setting in a round, with the validation that selected its checkpoint. Failed means
// that its training did not finish.
type Entry struct {
	Setting  `json:"setting"`
	Accuracy float64 `json:"accuracy"`
	Loss     float64 `json:"loss"`
	Failed   bool    `json:"failed,omitempty"`
}

// A Finalist is the setting of a method that won the search.
type Finalist struct {
	Setting
	Name  string
	cells [][]*paper.Cell // [size][seed]
}

// search halves the settings of every method round by round (Jamieson and Talwalkar 2016): the
// better half by validation accuracy is trained on twice as many pairs. It reads no cell on test
// data. It returns no finalists if it was stopped.
func (s *study) search(ctx context.Context) ([]*Finalist, error) {
	var out []*Finalist
	for _, method := range methods {
		left := s.plan.candidates(method)
		rounds := s.plan.rounds(len(left))
		for i := range rounds {
			round, err := s.round(ctx, method, left, s.plan.roundSize(i, len(rounds)))
			if err != nil {
				return nil, err
			}
			if round.Kept = (len(left) + 1) / 2; i == len(rounds)-1 {
				round.Kept = 1
			}
			left = left[:0]
			for _, e := range round.Entries[:round.Kept] {
				if !e.Failed {
					left = append(left, e.Setting)
				}
			}
			s.rounds = append(s.rounds, round)
			if len(left) == 0 {
				return nil, fmt.Errorf("compare: no training of %s came to its end: each folder below %s has "+
					"failed.txt; lower learning rates by -lr", method, s.Out)
			}
		}
		out = append(out, &Finalist{Setting: left[0], Name: method})
	}
	for _, f := range out {
		for _, size := range s.plan.Sizes {
			var row []*paper.Cell
			for _, seed := range s.plan.Seeds {
				c, err := s.cell(f.Setting, size, seed)
				if err != nil {
					return nil, err
				}
				c.KeepModel = size == s.plan.Sizes[len(s.plan.Sizes)-1]
				row = append(row, c)
			}
			f.cells = append(f.cells, row)
		}
	}
	return out, nil
}

// round trains the settings on that many pairs and sorts them.
func (s *study) round(
	ctx context.Context, method string, settings []Setting, pairs int,
) (Round, error) {
	r := Round{Method: method, Pairs: pairs}
	var cells []*paper.Cell
	for _, of := range settings {
		c, err := s.cell(of, pairs, searchSeed)
		if err != nil {
			return r, err
		}
		c.Tests = nil
		cells = append(cells, c)
	}
	if err := s.run(ctx, cells); err != nil {
		return r, err
	}
	for i, c := range cells {
		e := Entry{Setting: settings[i], Failed: true}
		if result := s.journal.Result(c); result != nil && result.Best != nil {
			e.Accuracy, e.Loss, e.Failed = result.Best.Accuracy, result.Best.Loss, false
		}
		r.Entries = append(r.Entries, e)
	}
	slices.SortStableFunc(r.Entries, func(a, b Entry) int {
		switch {
		case a.Failed != b.Failed:
			return map[bool]int{true: 1, false: -1}[a.Failed]
		case a.Accuracy != b.Accuracy:
			return map[bool]int{true: -1, false: 1}[a.Accuracy > b.Accuracy]
		case a.Loss != b.Loss:
			return map[bool]int{true: -1, false: 1}[a.Loss < b.Loss]
		}
		return 0
	})
	return r, nil
}

// full returns the trainings on all pairs, by seed.
func (f *Finalist) full() []*paper.Cell { return f.cells[len(f.cells)-1] }

// train runs the finalists: on all pairs first, seed by seed, so that a study that is cut short has
// complete comparisons.
func (s *study) train(ctx context.Context, finalists []*Finalist) error {
	var cells []*paper.Cell
	for size := len(s.plan.Sizes) - 1; size >= 0; size-- {
		for seed := range s.plan.Seeds {
			for _, f := range finalists {
				cells = append(cells, f.cells[size][seed])
			}
		}
	}
	if err := s.run(ctx, cells); err != nil {
		return err
	}
	for _, c := range cells {
		if s.failed[c.ID] {
			return fmt.Errorf("compare: %w: %s; its folder below %s has failed.txt", paper.ErrFailed, c.ID,
				s.Out)
		}
	}
	return nil
}
