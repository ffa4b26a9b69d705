package rlhf

import (
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"haf/pack"
	"haf/reward"
)

// tokenInputs are the inputs of a gradient program beside the packed batch and the weights: tensors
// [N] on the host (any) or graph nodes (*Node). [Readout] describes them.
type tokenInputs[T any] struct {
	OldN, RefN, AdvantageN, OldValueN, ReturnN, WeightN T
}

// fields lists all inputs, in the order of the program.
func (in *tokenInputs[T]) fields() []*T {
	return []*T{
		&in.OldN, &in.RefN, &in.AdvantageN, &in.OldValueN, &in.ReturnN, &in.WeightN,
	}
}

func (in tokenInputs[T]) pack() []T { return reward.PackInputs(in.fields()) }

func unpackTokenInputs[T any](from []T) (in tokenInputs[T], rest []T) {
	rest = reward.UnpackInputs(in.fields(), from)
	return in, rest
}

// newTokenInputs returns the inputs for a packed batch. weight gives the weight of each token of a
// response.
func newTokenInputs(
	b *pack.Batch, rollouts []*rollout, weight func(*response) float64,
) tokenInputs[any] {
	array := func(of func(r *response, t int) float64) any {
		x := make([]float32, b.Shape.Predicted)
		eachToken(b, rollouts, func(n int, r *response, t int) { x[n] = float32(of(r, t)) })
		return tensors.FromFlatDataAndDimensions(x, len(x))
	}
	// Without a value head there are neither values nor returns.
	orZero := func(list []float64, t int) float64 {
		if list == nil {
			return 0
		}
		return list[t]
	}
	return tokenInputs[any]{
		OldN:       array(func(r *response, t int) float64 { return r.logps[t] }),
		RefN:       array(func(r *response, t int) float64 { return r.refs[t] }),
		AdvantageN: array(func(r *response, t int) float64 { return r.advantages[t] }),
		OldValueN:  array(func(r *response, t int) float64 { return orZero(r.values, t) }),
		ReturnN:    array(func(r *response, t int) float64 { return orZero(r.returns, t) }),
		WeightN:    array(func(r *response, t int) float64 { return weight(r) }),
	}
}

// readoutOf returns the inputs of the loss except the model's outputs and the KL coefficient.
func readoutOf(in tokenInputs[*Node]) Readout {
	return Readout{
		OldN: in.OldN, RefN: in.RefN, AdvantageN: in.AdvantageN, OldValueN: in.OldValueN,
		ReturnN: in.ReturnN, WeightN: in.WeightN,
	}
}

// policyInputs are the inputs of the policy's gradient program: the [tokenInputs] and, as a scalar,
// the coefficient of the KL in the loss.
type policyInputs[T any] struct {
	tokenInputs[T]
	KL T
}

func (in *policyInputs[T]) fields() []*T { return append(in.tokenInputs.fields(), &in.KL) }

func (in policyInputs[T]) pack() []T { return reward.PackInputs(in.fields()) }

func unpackPolicyInputs[T any](from []T) (in policyInputs[T], rest []T) {
	rest = reward.UnpackInputs(in.fields(), from)
	return in, rest
}
