package train

import (
	"fmt"
	"path/filepath"

	. "github.com/gomlx/gomlx/core/graph"

	"haf/mesh"
	"haf/objective"
	"haf/optim"
)

// ewc is the state of the elastic schedule, after Hbat (arXiv 2406.15178): elastic weight
// consolidation. In a block of steps by one loss, a penalty pulls a weight p back to its value p₀
// at the block's begin, in proportion to the weight's importance to the other loss. With g the
// gradient of the block's loss, F its importance and F' that of the other loss,
//
//	F ← ρ F + (1 − ρ) g²        g ← g + λ F' (p − p₀)        ρ = 0.9
//
// before the clipping. It takes three more copies of the trained weights.
type ewc struct {
	schedule    objective.Schedule
	anchor      []*mesh.Array    // p₀
	importance  [2][]*mesh.Array // F of the reward and of the policy loss
	penaltyExec *mesh.Exec
}

const importanceDecay = 0.9

func (s *Stepper) newEWC() error {
	s.ewc = &ewc{schedule: s.objective.Schedule}
	for _, p := range s.optimizer.Params() {
		for i := range s.ewc.importance {
			zeros := mesh.Zeros(s.model.Device(), p.Value.Shape())
			s.ewc.importance[i] = append(s.ewc.importance[i], zeros)
		}
	}
	s.ewc.penaltyExec = mesh.NewExec(s.model.Device(), "elastic", s.buildPenalty)
	return s.setAnchor()
}

// setAnchor makes the present weights those that changes are measured from.
func (s *Stepper) setAnchor() error {
	if err := optim.Free(s.ewc.anchor); err != nil {
		return err
	}
	s.ewc.anchor = s.ewc.anchor[:0]
	for _, p := range s.optimizer.Params() {
		copied, err := p.Value.Clone()
		if err != nil {
			return fmt.Errorf("train: copying %s for the elastic penalty: %w", p.Name, err)
		}
		s.ewc.anchor = append(s.ewc.anchor, copied)
	}
	return nil
}

// buildPenalty: n each of gradients, importances, the other loss's importances, weights, anchors →
// the sum of squares of the new gradients, new gradients, new importances.
func (s *Stepper) buildPenalty(in []*Node) []*Node {
	s.built++
	n := len(in) / 5
	gradients, importances := make([]*Node, n), make([]*Node, n)
	for i := range n {
		g, own, other, p, anchor := in[i], in[n+i], in[2*n+i], in[3*n+i], in[4*n+i]
		importances[i] = Add(MulScalar(own, importanceDecay), MulScalar(Mul(g, g), 1-importanceDecay))
		pull := MulScalar(Mul(other, Sub(p, anchor)), s.ewc.schedule.Strength)
		gradients[i] = Add(g, pull)
	}
	return append(append([]*Node{optim.SumOfSquares(gradients)}, gradients...), importances...)
}

// addPenalty adds the penalty of step t ≥ 1 to the gradients, in place, and returns their new
// squared norm.
func (s *Stepper) addPenalty(gradients []*mesh.Array, t int) (squares float64, err error) {
	e, params := s.ewc, s.optimizer.Params()
	block := e.schedule.Block(t - 1)
	if block != e.schedule.Block(t-2) || t == 1 {
		if err := s.setAnchor(); err != nil {
			return 0, err
		}
	}
	own, other := e.importance[block%2], e.importance[1-block%2]
	for _, part := range s.optimizer.Parts() {
		args := optim.Donate(nil, part, gradients, own)
		for _, at := range part {
			args = append(args, other[at])
		}
		for _, at := range part {
			args = append(args, params[at].Value)
		}
		for _, at := range part {
			args = append(args, e.anchor[at])
		}
		out, err := e.penaltyExec.Call(args...)
		if err != nil {
			return 0, fmt.Errorf("train: elastic penalty: %w", err)
		}
		squares += out[0].Scalar()
		for i, at := range part {
			gradients[at], own[at] = out[1+i], out[1+len(part)+i]
		}
	}
	return squares, nil
}

// tables are the lists of arrays that a checkpoint keeps, by the prefix of their names in it.
func (e *ewc) tables() map[string][]*mesh.Array {
	return map[string][]*mesh.Array{
		"anchor.": e.anchor, "reward.": e.importance[0], "policy.": e.importance[1],
	}
}

// elasticName is a checkpoint's file with the state of the elastic schedule.
const elasticName = "elastic.safetensors"

func (s *Stepper) saveEWC(dir string) error {
	if s.ewc == nil {
		return nil
	}
	return s.optimizer.SaveTables(filepath.Join(dir, elasticName), s.ewc.tables())
}

func (s *Stepper) loadEWC(dir string) error {
	if s.ewc == nil {
		return nil
	}
	return s.optimizer.LoadTables(filepath.Join(dir, elasticName), s.ewc.tables())
}

func (e *ewc) close() {
	if e == nil {
		return
	}
	e.penaltyExec.Finalize()
	for _, list := range e.tables() {
		for _, t := range list {
			t.MustFree()
		}
	}
}
