package objective

import (
	"fmt"
	"slices"
	"strings"
)

// Kinds of [Schedule].
const (
	Constant   = "constant"
	Ramp       = "ramp"
	Alternate  = "alternate"
	Complement = "complement"
	Elastic    = "elastic"
)

var schedules = []string{Constant, Ramp, Alternate, Complement, Elastic}

// A Schedule changes the weights of the two losses during a run.
//
//	constant    w and α
//	ramp        α rises (or falls) linearly from From to its value over the first Share of the
//	            steps, and stays
//	alternate   blocks of Steps steps with the reward loss alone, then as many with the policy loss
//	            alone (arXiv 2407.04185)
//	complement  (1 − α) w and α: GRM's form (arXiv 2406.10216), whose α is 0.01
//	elastic     as alternate, with a penalty on what a block changes that matters to the other loss
//	            (Hbat, arXiv 2406.15178)
type Schedule struct {
	Kind     string
	From     float64 // where a ramp begins
	Share    float64 // share of all steps that a ramp takes
	Steps    int     // of a block
	Strength float64 // λ of the elastic penalty
}

// Check returns an error that names the first setting out of range.
func (s Schedule) Check() error {
	switch {
	case !slices.Contains(schedules, s.Kind):
		return fmt.Errorf("schedule %q is not known: there are %s", s.Kind, strings.Join(schedules, ", "))
	case !weight(s.From):
		return fmt.Errorf("schedule_from is %g, want 0 or more", s.From)
	case !(s.Share > 0 && s.Share <= 1):
		return fmt.Errorf("schedule_share is %g, want a share of the steps above 0 and up to 1",
			s.Share)
	case s.Steps < 1:
		return fmt.Errorf("schedule_steps is %d, want at least 1", s.Steps)
	case !weight(s.Strength):
		return fmt.Errorf("elastic is %g, want 0 or more", s.Strength)
	case s.From != 0 && s.Kind != Ramp:
		return fmt.Errorf("schedule_from is %g, but schedule %q has no ramp", s.From, s.Kind)
	case s.Kind == Elastic && s.Strength == 0:
		return fmt.Errorf("schedule is elastic, but elastic, the strength of its penalty, is 0: give a " +
			"positive one, or take alternate")
	case s.Strength != 0 && s.Kind != Elastic:
		return fmt.Errorf("elastic is %g, but schedule is %q, not elastic", s.Strength, s.Kind)
	}
	return nil
}

// Weights are w and α of a step counted from 0, of total.
func (s Schedule) Weights(w, alpha float64, step, total int) (float64, float64) {
	switch s.Kind {
	case Ramp:
		length := s.Share * float64(total)
		if at := float64(step); at < length {
			alpha = s.From + (alpha-s.From)*at/length
		}
	case Alternate, Elastic:
		if s.Block(step)%2 == 0 {
			alpha = 0
		} else {
			w = 0
		}
	case Complement:
		w *= 1 - alpha
	}
	return w, alpha
}

// Final returns w and α after their last change; for a schedule of blocks, the weights of both
// kinds.
func (s Schedule) Final(w, alpha float64) (float64, float64) {
	if s.Kind == Complement {
		w *= 1 - alpha
	}
	return w, alpha
}

// Block counts the blocks of a schedule that alternates: even ones are the reward loss's.
func (s Schedule) Block(step int) int { return step / s.Steps }
