package train

import (
	"fmt"
	"path/filepath"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"haf/objective"
	"haf/optim"
)

// elastic is what the elastic schedule keeps of the trained weights, after Hbat (arXiv 2406.15178): in a block of steps by one
// loss, a change of a weight p since the block's begin p₀ is pulled back the more, the more the weight matters to the
// other loss. With g the gradient of the block's loss, F its importance and F' that of the other loss,
//
//	F ← ρ F + (1 − ρ) g²        g ← g + λ F' (p − p₀)        ρ = 0.9
//
// before the clipping. It takes three more copies of the trained weights.
type elastic struct {
	schedule   objective.Schedule
	anchor     []*tensors.Tensor    // p₀
	importance [2][]*tensors.Tensor // F of the reward and of the policy loss
	pull       *Exec
}

const importanceDecay = 0.9

func (s *stepper) newElastic() error {
	s.elastic = &elastic{schedule: s.objective.Schedule}
	for _, p := range s.Params() {
		for i := range s.elastic.importance {
			s.elastic.importance[i] = append(s.elastic.importance[i], tensors.FromShape(p.Value.Shape()))
		}
	}
	s.elastic.pull = MustNewExec(s.model.Device().Backend, s.buildPull).SetMaxCache(-1).WithName("elastic")
	return s.setAnchor()
}

// setAnchor makes the weights as they are those that changes are measured from.
func (s *stepper) setAnchor() error {
	if err := optim.Free(s.elastic.anchor); err != nil {
		return err
	}
	s.elastic.anchor = s.elastic.anchor[:0]
	for _, p := range s.Params() {
		copied, err := p.Value.OnDeviceClone(s.model.Device().Backend, 0)
		if err != nil {
			return fmt.Errorf("train: copying %s for the elastic penalty: %w", p.Name, err)
		}
		s.elastic.anchor = append(s.elastic.anchor, copied)
	}
	return nil
}

// buildPull: n each of gradients, importances, the other loss's importances, weights, anchors → the sum of squares of
// the new gradients, new gradients, new importances.
func (s *stepper) buildPull(in []*Node) []*Node {
	s.built++
	n := len(in) / 5
	gradients, importances := make([]*Node, n), make([]*Node, n)
	for i := range n {
		g, own, other, p, anchor := in[i], in[n+i], in[2*n+i], in[3*n+i], in[4*n+i]
		importances[i] = Add(MulScalar(own, importanceDecay), MulScalar(Mul(g, g), 1-importanceDecay))
		gradients[i] = Add(g, MulScalar(Mul(other, Sub(p, anchor)), s.elastic.schedule.Strength))
	}
	return append(append([]*Node{optim.SumOfSquares(gradients)}, gradients...), importances...)
}

// pullBack adds the penalty of step t ≥ 1 to the gradients, in place, and returns their new squared norm.
func (s *stepper) pullBack(gradients []*tensors.Tensor, t int) (squares float64, err error) {
	e := s.elastic
	block := e.schedule.Block(t - 1)
	if block != e.schedule.Block(t-2) || t == 1 {
		if err := s.setAnchor(); err != nil {
			return 0, err
		}
	}
	own, other := e.importance[block%2], e.importance[1-block%2]
	for _, part := range s.Parts() {
		args, err := s.Donate(nil, part, gradients, own)
		if err != nil {
			return 0, err
		}
		for _, at := range part {
			args = append(args, other[at])
		}
		for _, at := range part {
			args = append(args, s.Params()[at].Value)
		}
		for _, at := range part {
			args = append(args, e.anchor[at])
		}
		out, err := e.pull.Call(args...)
		if err != nil {
			return 0, fmt.Errorf("train: elastic penalty: %w", err)
		}
		squares += float64(tensors.ToScalar[float32](out[0]))
		for i, at := range part {
			gradients[at], own[at] = out[1+i], out[1+len(part)+i]
		}
	}
	return squares, nil
}

// tables are the lists of tensors that a checkpoint keeps, by the prefix of their names in it.
func (e *elastic) tables() map[string][]*tensors.Tensor {
	return map[string][]*tensors.Tensor{"anchor.": e.anchor, "reward.": e.importance[0], "policy.": e.importance[1]}
}

const elasticName = "elastic.safetensors" // what the elastic schedule keeps

func (s *stepper) writeElastic(dir string) error {
	if s.elastic == nil {
		return nil
	}
	return s.SaveTables(filepath.Join(dir, elasticName), s.elastic.tables())
}

func (s *stepper) readElastic(dir string) error {
	if s.elastic == nil {
		return nil
	}
	return s.LoadTables(filepath.Join(dir, elasticName), s.elastic.tables())
}

func (e *elastic) close() {
	if e == nil {
		return
	}
	e.pull.Finalize()
	for _, list := range e.tables() {
		for _, t := range list {
			t.MustFinalizeAll()
		}
	}
}
