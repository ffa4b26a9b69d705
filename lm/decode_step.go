package lm

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
)

// Prefill runs the prompts of packed rows, of which there must be one, and returns the values with
// which generation continues: the logits after each of the flat positions lastN (float32 [N, V]),
// their log-sum-exp (float32 [N]), and the keys and values of all layers, [2·Layers, K, T, D] in
// the body's dtype: those of layer l at 2l and 2l+1.
func (d *Decoder) Prefill(w Weights, rows Rows, lastN *Node) (logitsNV, sumN, kv *Node) {
	b := d.forward().block(w, rows)
	var all []*Node
	b.mix = func(xMH *Node, layer int, name string, v *view) *Node {
		kTKD, vTKD := b.keysValues(xMH, name, v)
		for _, x := range []*Node{kTKD, vTKD} {
			all = append(all, ExpandAxes(TransposeAllAxes(x, 1, 0, 2), 0))
		}
		return b.attention(xMH, name, v) // the compiler sees that keys and values are the same
	}
	hiddenMH := b.run(rows)
	logitsNV, sumN = d.predict(w, false, Gather(hiddenMH, ExpandAxes(lastN, -1)))
	return logitsNV, sumN, Concatenate(all, 0)
}

// Step runs one token in each of R rows, which are all of the packed rows. The token's position is
// the number of the row's tokens in the cache. The token sees these and itself. caches are the keys
// and values, [R, K, S, D], of layer l at 2l and 2l+1. Step returns the logits after the token
// (float32 [R, V]), their log-sum-exp (float32 [R]) and the token's own keys and values, [R, K, D],
// in the order of caches.
func (d *Decoder) Step(w Weights, rows Rows, caches []*Node) (logitsRV, sumR *Node, kv []*Node) {
	positionsR := rows.Positions
	b := d.forward().block(w, rows)
	if d.Columns {
		b.columns = map[*Node]*Node{}
	}
	length := caches[0].Shape().Dimensions[2]
	full, windowed := cacheBias(positionsR, length, 0), (*Node)(nil)
	if window := d.Config.Window; window > 0 {
		windowed = cacheBias(positionsR, length, window)
	}
	b.mix = func(xMH *Node, layer int, name string, v *view) *Node {
		biasRS := full
		if d.Config.windowed(layer) {
			biasRS = windowed
		}
		kRKD, vRKD := b.keysValues(xMH, name, v)
		kv = append(kv, kRKD, vRKD)
		return b.attendCached(xMH, name, v, kRKD, vRKD, caches[2*layer], caches[2*layer+1], biasRS)
	}
	logitsRV, sumR = d.predict(w, d.Columns, b.run(rows))
	return logitsRV, sumR, kv
}

// forward is the decoder without differentiation.
func (d *Decoder) forward() *Decoder {
	plain := *d
	plain.Recompute = RecomputeNone
	return &plain
}

// run is the blocks and the final norm: [M, H] in float32.
func (b *block) run(rows Rows) *Node {
	x := b.embed(rows)
	for layer := range b.Config.Layers {
		x = b.layer(x, layer)
	}
	return b.normalize(x, b.family.names.norm)
}

// predict returns the logits of hidden states [N, H] and their log-sum-exp.
func (d *Decoder) predict(w Weights, columns bool, hiddenNH *Node) (logitsNV, sumN *Node) {
	output := d.Config.Output(w)
	output.columns = columns
	logitsNV = output.Logits(ConvertDType(hiddenNH, d.DType))
	largest := ReduceAndKeep(logitsNV, ReduceMax, -1)
	sum := Log(ReduceAndKeep(Exp(Sub(logitsNV, largest)), ReduceSum, -1))
	return logitsNV, Reshape(Add(sum, largest), hiddenNH.Shape().Dimensions[0])
}

// keysValues returns the keys, rotated, and values of x [M, H]: [M, K, D].
func (b *block) keysValues(xMH *Node, name string, v *view) (keys, values *Node) {
	kv, dim := b.Config.KVHeads, b.Config.HeadDim
	_, k, value := b.project(xMH, name)
	k = b.rotate(b.headNorm(k, kv, name, b.family.names.kNorm), kv, v)
	m := xMH.Shape().Dimensions[0]
	return Reshape(k, m, kv, dim), Reshape(value, m, kv, dim)
}

// cacheBias is 0 for the places of the cache that a token at positionsR sees, else hiddenBias:
// float32 [R, S]. A place is its token's position.
func cacheBias(positionsR *Node, length, window int) *Node {
	r := positionsR.Shape().Size()
	g := positionsR.Graph()
	at := Iota(g, shapes.Make(dtypes.Int32, r, length), 1)
	position := BroadcastToDims(Reshape(positionsR, r, 1), r, length)
	visible := LessThan(at, position)
	if window > 0 {
		distance := Sub(position, at)
		visible = And(visible, LessThan(distance, AddScalar(ZerosLike(distance), float64(window))))
	}
	return bias(visible)
}

// attendCached is the attention of one token a row to the cache and to itself: the cache and the
// token's own key and value are never copied together.
func (b *block) attendCached(
	xMH *Node, name string, v *view, k, value, cacheK, cacheV, biasRS *Node,
) *Node {
	c := b.Config
	kv, group, dim := c.KVHeads, c.Heads/c.KVHeads, c.HeadDim
	q, _, _ := b.project(xMH, name)
	q = b.rotate(b.headNorm(q, c.Heads, name, b.family.names.qNorm), c.Heads, v)
	qRKGD := Reshape(q, b.positions, kv, group, dim)
	k, value = ExpandAxes(k, 2), ExpandAxes(value, 2) // [R, K, 1, D]
	scores := func(keys *Node) *Node {
		return ConvertDType(dot(qRKGD, keys).General([]int{3}, []int{0, 1}, []int{3}, []int{0, 1}),
			dtypes.Float32)
	}
	length := biasRS.Shape().Dimensions[1]
	all := Concatenate([]*Node{scores(cacheK), scores(k)}, -1) // [R, K, G, S+1]
	biasRS = Concatenate(
		[]*Node{biasRS, Zeros(biasRS.Graph(), shapes.Make(dtypes.Float32, b.positions, 1))}, -1)
	spread := BroadcastToDims(Reshape(biasRS, b.positions, 1, 1, length+1), all.Shape().Dimensions...)
	all, _ = b.scaled(all, b.scale())
	weights := ConvertDType(Softmax(Add(all, spread), -1), b.DType)
	mix := func(from, to int, values *Node) *Node {
		part := Slice(weights, AxisRange(), AxisRange(), AxisRange(), AxisRange(from, to))
		return dot(part, values).General([]int{3}, []int{0, 1}, []int{2}, []int{0, 1})
	}
	out := Add(mix(0, length, cacheV), mix(length, length+1, value)) // [R, K, G, D]
	return b.linear(Reshape(out, b.positions, c.Heads*dim), name+b.family.names.o)
}
