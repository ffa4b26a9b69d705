package reward

import (
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"haf/lm"
	"haf/mesh"
	"haf/pack"
)

// PackInputs returns the values that the fields point to, in order, as inputs of a program. A
// struct of inputs lists its fields once, for PackInputs on the host and for [UnpackInputs] in the
// graph.
func PackInputs[T any](fields []*T) []T {
	out := make([]T, len(fields))
	for i, f := range fields {
		out[i] = *f
	}
	return out
}

// UnpackInputs sets the fields to the first values of in, in order, and returns the rest.
func UnpackInputs[T any](fields []*T, in []T) (rest []T) {
	for i, f := range fields {
		*f = in[i]
	}
	return in[len(fields):]
}

// BatchInputs are the first inputs of a program that reads a packed batch: tensors on the host
// (any) or nodes of the graph (*Node). N are the predicted tokens, S the response slots.
type BatchInputs[T any] struct {
	PredictN T   // positions whose states predict a response's tokens
	TargetN  T   // the tokens
	OwnerN   T   // response slot of the token, −1 at padding
	ReadS    T   // positions where rewards are read
	Rows     []T // of [lm.Config.RowInputs]
}

// fields are those before Rows, whose number depends on the model and the batch.
func (in *BatchInputs[T]) fields() []*T {
	return []*T{&in.PredictN, &in.TargetN, &in.OwnerN, &in.ReadS}
}

func (in *BatchInputs[T]) pack() []T { return append(PackInputs(in.fields()), in.Rows...) }

// unpack reads the inputs off the front of in and returns the rest. numRows counts those of Rows at
// the front of its argument.
func (in *BatchInputs[T]) unpack(from []T, numRows func([]T) int) (rest []T) {
	rest = UnpackInputs(in.fields(), from)
	n := numRows(rest)
	in.Rows = rest[:n]
	return rest[n:]
}

// Inputs returns a packed batch's arrays as the first inputs of a program.
func (m *Model) Inputs(b *pack.Batch) []any {
	flat := func(x []int32) any { return tensors.FromFlatDataAndDimensions(x, len(x)) }
	divided := func(x []int32) any {
		return mesh.Rows{Tensor: tensors.FromFlatDataAndDimensions(x, len(x))}
	}
	stripes := []lm.Stripe{{Rows: b.Shape.Rows, Length: b.Shape.Length}}
	if b.Shape.ShortRows > 0 {
		stripes = append(stripes, lm.Stripe{Rows: b.Shape.ShortRows, Length: b.Shape.ShortLength})
	}
	in := BatchInputs[any]{
		PredictN: divided(b.Predict), TargetN: divided(b.Target), OwnerN: divided(b.Owner),
		ReadS: flat(b.Read),
		Rows: m.Config.RowInputs(lm.Layout{
			Stripes: stripes, Tokens: b.Tokens, Positions: b.Positions, Until: b.Until,
		}),
	}
	for i, x := range in.Rows { // masks, tokens, positions, angles: each has rows or positions first
		if t, ok := x.(*tensors.Tensor); ok {
			in.Rows[i] = mesh.Rows{Tensor: t}
		}
	}
	return in.pack()
}

// UnpackBatch returns the inputs from [Model.Inputs] at the beginning of a program's inputs, and
// the rest.
func (m *Model) UnpackBatch(in []*Node) (batch BatchInputs[*Node], rest []*Node) {
	rest = batch.unpack(in, m.Config.NumRowInputs)
	return batch, rest
}
