package compare

import (
	"fmt"
	"path/filepath"
	"slices"

	"haf/eval"
	"haf/paper"
)

// An Answer is the result of a comparison.
type Answer struct {
	Finished bool `json:"finished"`
	// trainings of the plan, and how many of them are finished
	Trainings int `json:"trainings"`
	Done      int `json:"done"`
	// Recommended is the simplest finalist that no other is decidedly better than. It is nil until the
	// finalists' trainings on all pairs are finished.
	Recommended *Recommended `json:"recommended"`
	// Decided reports whether the recommended finalist is better than every other one. Otherwise it is
	// tied with some and simpler than these.
	Decided     bool         `json:"decided"`
	Sentences   []string     `json:"sentences"` // the answer, the most important first
	Finalists   []Result     `json:"finalists"`
	Comparisons []Comparison `json:"comparisons"`
	Curve       *Curve       `json:"curve"`
	Search      []Round      `json:"search"`
	Plan        *Plan        `json:"plan"`
	Data        paper.Data   `json:"data"`
	Next        []string     `json:"next"` // commands to run next
	Markdown    string       `json:"markdown"`
	HTML        string       `json:"html"`
}

// Recommended is the finalist to use and its best run.
type Recommended struct {
	Setting
	Name string `json:"name"`
	Seed uint64 `json:"seed"` // the seed of Run, the best on validation data
	Run  string `json:"run"`  // its folder
	best int    // index of the seed
}

// A Result has the measurements of one finalist on the test data.
type Result struct {
	Setting
	Validation float64       `json:"validation"` // accuracy, mean over the seeds
	Accuracy   eval.Estimate `json:"accuracy"`
	// accuracy on pairs whose lengths differ by less than a fifth, and how often the longer response
	// has the higher reward; nil without such pairs
	SimilarLengths *eval.Estimate `json:"similar_lengths"`
	Longer         *eval.Estimate `json:"longer"`

	measured paper.Measurement
}

// A Comparison is the paired difference of two finalists' accuracies on the test data. The
// intervals of all comparisons hold simultaneously with 95 %.
type Comparison struct {
	A          string      `json:"a"`
	B          string      `json:"b"`
	Difference float64     `json:"difference"`
	Low        float64     `json:"low"`
	High       float64     `json:"high"`
	P          float64     `json:"p"` // adjusted for all comparisons
	BySeed     []float64   `json:"by_seed"`
	Spread     eval.Spread `json:"spread"`
	// what would decide it; nil if it is decided
	Needed *Needed `json:"needed"`
}

// level is the adjusted p-value below which a comparison is decided.
const level = 0.05

// decided reports whether one of the two is better.
func (c Comparison) decided() bool { return c.P < level }

// answer makes the answer from the finished trainings.
func (s *study) answer(finalists []*Finalist) (*Answer, error) {
	a := &Answer{Plan: s.plan, Search: s.rounds, Trainings: s.plan.Trainings, Data: *s.data,
		Done: len(s.journal.Results())}
	whole := len(finalists) > 0
	for _, f := range finalists {
		for _, c := range f.full() {
			whole = whole && s.journal.Result(c) != nil
		}
	}
	if !whole {
		a.Sentences = []string{a.unfinished() + " Nothing can be said yet: the finalists' trainings on " +
			"all pairs are not finished."}
		return a, nil
	}
	if err := s.measureFinalists(a, finalists); err != nil {
		return nil, err
	}
	if err := a.compare(); err != nil {
		return nil, err
	}
	s.recommend(a, finalists)
	if err := s.addCurve(a, finalists); err != nil {
		return nil, err
	}
	a.Finished = a.Curve != nil
	for i := range a.Comparisons {
		a.Comparisons[i].need(a)
	}
	a.say()
	return a, nil
}

// unfinished says how many trainings are missing.
func (a *Answer) unfinished() string {
	return fmt.Sprintf("Not finished: %d of %d trainings are done, and the same command resumes.",
		a.Done, a.Trainings)
}

// measureFinalists reads the finalists' margins on the test data.
func (s *study) measureFinalists(a *Answer, finalists []*Finalist) (err error) {
	for _, f := range finalists {
		r := Result{Setting: f.Setting}
		if r.measured, err = s.journal.Measure(f.full(), setName, f.reward()); err != nil {
			return err
		}
		if r.Accuracy, err = r.measured.Accuracy(); err != nil {
			return err
		}
		if r.SimilarLengths, err = r.measured.SimilarLengths(); err != nil {
			return err
		}
		if r.Longer, err = r.measured.TowardsLonger(); err != nil {
			return err
		}
		for _, c := range f.full() {
			if best := s.journal.Result(c).Best; best != nil {
				r.Validation += best.Accuracy / float64(len(f.full()))
			}
		}
		a.Finalists = append(a.Finalists, r)
	}
	return nil
}

// compare compares all pairs of finalists.
func (a *Answer) compare() error {
	tests := len(a.Finalists) * (len(a.Finalists) - 1) / 2
	for i, one := range a.Finalists {
		for _, other := range a.Finalists[:i] {
			e, err := one.measured.Against(other.measured)
			if err != nil {
				return err
			}
			c := Comparison{A: one.Method, B: other.Method, Difference: e.Mean, BySeed: e.BySeed}
			c.Low, c.High, c.P = e.Among(tests)
			if c.Spread, err = eval.DifferenceSpread(one.measured.Groups, one.measured.Rewards,
				other.measured.Rewards); err != nil {
				return err
			}
			a.Comparisons = append(a.Comparisons, c)
		}
	}
	return nil
}

// between returns the comparison of two finalists, with the first as A.
func (a *Answer) between(one, other string) Comparison {
	for _, c := range a.Comparisons {
		switch {
		case c.A == one && c.B == other:
			return c
		case c.A == other && c.B == one:
			c.A, c.B, c.Difference, c.Low, c.High = c.B, c.A, -c.Difference, -c.High, -c.Low
			return c
		}
	}
	return Comparison{A: one, B: other, P: 1}
}

// recommend chooses the simplest finalist that no other is decidedly better than, and the seed
// whose run was best in validation.
func (s *study) recommend(a *Answer, finalists []*Finalist) {
	for _, f := range finalists {
		if slices.ContainsFunc(finalists, func(other *Finalist) bool {
			c := a.between(other.Name, f.Name)
			return c.decided() && c.Difference > 0
		}) {
			continue
		}
		r := &Recommended{Setting: f.Setting, Name: f.Name}
		highest, lowest := -1.0, 0.0
		for i, c := range f.full() {
			best := s.journal.Result(c).Best
			if best != nil && (best.Accuracy > highest || best.Accuracy == highest && best.Loss < lowest) {
				r.best, highest, lowest = i, best.Accuracy, best.Loss
			}
		}
		r.Seed = f.full()[r.best].Seed
		r.Run = f.full()[r.best].Folder(s.Out)
		a.Recommended = r
		break // finalists are sorted, the simplest first
	}
	a.Decided = true
	for _, f := range finalists {
		if f.Name != a.Recommended.Name && !a.between(a.Recommended.Name, f.Name).decided() {
			a.Decided = false
		}
	}
	test := s.Test
	if test == "" {
		test = s.data.File(setName, "test")
	}
	chosen := filepath.Join(s.Out, chosenName)
	a.Next = []string{
		fmt.Sprintf("haf eval %s -data %s", chosen, test),
		"haf serve " + chosen,
		"haf merge " + chosen + " -out merged",
	}
	if a.Recommended.Method != Baseline {
		a.Next = append(a.Next, "haf export -policy "+chosen+" -out policy")
	}
}

// addCurve fits the learning curve once the trainings of all sizes are finished.
func (s *study) addCurve(a *Answer, finalists []*Finalist) error {
	measured := make([][]paper.Measurement, len(finalists))
	var names []string
	for i, f := range finalists {
		names = append(names, f.Name)
		for _, cells := range f.cells {
			if slices.ContainsFunc(cells, func(c *paper.Cell) bool { return s.journal.Result(c) == nil }) {
				return nil
			}
			m, err := s.journal.Measure(cells, setName, f.reward())
			if err != nil {
				return err
			}
			measured[i] = append(measured[i], m)
		}
	}
	var err error
	a.Curve, err = newCurve(names, s.plan.Sizes, measured)
	return err
}
