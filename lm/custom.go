package lm

import . "github.com/gomlx/gomlx/core/graph"

// custom returns out with its own gradient. vjp gets the inputs, the output and the gradient by the
// output, and returns the gradients by the inputs, all of one dtype. keep marks the output as saved
// for the backward pass; it is nil if the output is recomputed or the caller marks it. The
// arguments of vjp are recomputed as checkpointing requires. Other nodes that vjp refers to are
// saved.
//
// The tensor library supports custom gradients only for the identity of one node. So the inputs are
// packed into one node, which a barrier ties to the output. The compiler removes packing and
// barrier again.
func custom(
	inputs []*Node, out *Node, keep func(*Node) *Node, vjp func(inputs []*Node, out, by *Node) []*Node,
) *Node {
	var output, by *Node
	packed := IdentityWithCustomGradient(pack(inputs), func(again, _ *Node) *Node {
		return pack(vjp(unpack(again.Inputs()[0], inputs), output, by))
	})
	out = OptimizationBarriers(StopGradient(out), Slice(packed, AxisElem(0)))[0]
	if keep != nil {
		out = keep(out)
	}
	return IdentityWithCustomGradient(out, func(again, v *Node) *Node {
		output, by = again.Inputs()[0], v
		return v
	})
}

// pack lays nodes one after the other, [Σ sizes].
func pack(nodes []*Node) *Node {
	flat := make([]*Node, len(nodes))
	for i, n := range nodes {
		flat[i] = Reshape(n, n.Shape().Size())
	}
	return Concatenate(flat, 0)
}

// unpack is the inverse of pack, for nodes of the shapes of like.
func unpack(packed *Node, like []*Node) []*Node {
	out := make([]*Node, len(like))
	at := 0
	for i, n := range like {
		size := n.Shape().Size()
		out[i] = Reshape(Slice(packed, AxisRange(at, at+size)), n.Shape().Dimensions...)
		at += size
	}
	return out
}
