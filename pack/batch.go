package pack

import (
	"slices"

	"haf/encode"
)

// A Batch is one batch of a Packing as the arrays that go to the device. Flat positions count
// through the rows in the order of Shape.Row. Slots number the responses of the batch.
type Batch struct {
	Shape Shape

	// [Shape.Positions]. Padding is 0, except in Until, by which padding attends to itself.
	Tokens    []int32
	Positions []int32 // in the sequence; every response continues from the prompt's end
	// Flat position behind the last token that continues this one, directly or not: positions
	// before it attend to this token.
	Until []int32

	// [Predicted]. Padding has Owner −1 and 0 in the others.
	Predict []int32 // flat position whose hidden state predicts the token
	Target  []int32 // the token
	Owner   []int32 // the response slot that the token belongs to

	// [Responses]. Padding is 0.
	Read   []int32   // flat position of the token at which the response's reward is read
	Stated []float32 // encode.Group.Targets, or 0 without any

	// [Comparisons]. Padding is 0.
	Chosen, Rejected []int32   // response slots
	Weight           []float32 // 1, or 0 for padding
	Margin           []float32 // encode.Group.Stated
	NoMargin         []float32 // 1 for a comparison, not a tie, without a stated margin
	Tie              []float32 // 1 for a tie, whose order then means nothing

	Groups         []int   // the groups in the batch, as indices into the packing's input; by row
	Slots          [][]int // Slots[i][k] is the slot of response k of Groups[i]
	Real           int     // tokens that are not padding
	NumComparisons int     // comparisons that are not padding, ties among them
}

// Batch makes batch i of Packing.Batches.
func (p *Packing) Batch(i int) *Batch {
	planned := p.Batches[i]
	shape := p.Shapes[planned.Shape]
	n := shape.Positions()
	b := &Batch{
		Shape:  shape,
		Tokens: make([]int32, n), Positions: make([]int32, n), Until: make([]int32, n),
		Predict: make([]int32, 0, shape.Predicted), Target: make([]int32, 0, shape.Predicted),
		Owner:  make([]int32, 0, shape.Predicted),
		Read:   make([]int32, 0, shape.Responses),
		Stated: make([]float32, 0, shape.Responses),
		Chosen: make([]int32, 0, shape.Comparisons), Rejected: make([]int32, 0, shape.Comparisons),
		Weight: make([]float32, 0, shape.Comparisons), Margin: make([]float32, 0, shape.Comparisons),
		Tie:      make([]float32, 0, shape.Comparisons),
		NoMargin: make([]float32, 0, shape.Comparisons),
	}
	for at := range b.Until {
		b.Until[at] = int32(at + 1)
	}
	for row, groups := range planned.Rows {
		at, _ := shape.Row(row)
		for _, index := range groups {
			at = b.lay(index, &p.groups[index], at)
		}
	}
	b.NumComparisons = len(b.Weight)
	for len(b.Owner) < shape.Predicted {
		b.Predict, b.Target, b.Owner = append(b.Predict, 0), append(b.Target, 0), append(b.Owner, -1)
	}
	for len(b.Read) < shape.Responses {
		b.Read, b.Stated = append(b.Read, 0), append(b.Stated, 0)
	}
	for len(b.Weight) < shape.Comparisons {
		b.Chosen, b.Rejected = append(b.Chosen, 0), append(b.Rejected, 0)
		b.Weight, b.Margin, b.Tie = append(b.Weight, 0), append(b.Margin, 0), append(b.Tie, 0)
		b.NoMargin = append(b.NoMargin, 0)
	}
	return b
}

// lay writes a group from a flat position on: the prompt, then the responses as a tree, depth
// first. It returns the position behind the group.
func (b *Batch) lay(index int, g *encode.Group, at int) int {
	order, shared := g.Tree()
	put := func(tokens []int32, position int) {
		for i, token := range tokens {
			b.Tokens[at], b.Positions[at] = token, int32(position+i)
			at++
			b.Real++
		}
	}
	first := at
	put(g.Prompt, 0)
	// flat positions of the previous response's tokens, in order
	var path []int32
	places := make([][]int32, len(g.Responses)) // the same for every response
	leave := func(tokens int) {                 // ends path's tokens from this index on
		for _, left := range path[tokens:] {
			b.Until[left] = int32(at)
		}
		path = path[:tokens]
	}
	for i, k := range order {
		response := g.Responses[k].Tokens
		leave(shared[i])
		for n := range response[shared[i]:] {
			path = append(path, int32(at+n))
		}
		put(response[shared[i]:], len(g.Prompt)+shared[i])
		places[k] = slices.Clone(path)
	}
	leave(0)
	for i := range g.Prompt {
		b.Until[first+i] = int32(at)
	}
	slots, stated := make([]int, len(g.Responses)), g.Targets()
	for k, response := range g.Responses {
		slots[k] = len(b.Read)
		place := func(i int) int32 { // flat position of the response's token i; −1 is the prompt's last
			if i < 0 {
				return int32(first + len(g.Prompt) - 1)
			}
			return places[k][i]
		}
		for i := response.Policy; i < len(response.Tokens); i++ {
			b.Predict = append(b.Predict, place(i-1))
			b.Target, b.Owner = append(b.Target, response.Tokens[i]), append(b.Owner, int32(slots[k]))
		}
		b.Read, b.Stated = append(b.Read, place(response.Read)), append(b.Stated, 0)
		if stated != nil {
			b.Stated[slots[k]] = float32(stated[k])
		}
	}
	compare := func(chosen, rejected int, margin, noMargin, tie float32) {
		b.Chosen, b.Rejected = append(b.Chosen, int32(slots[chosen])),
			append(b.Rejected, int32(slots[rejected]))
		b.Weight, b.Margin, b.Tie = append(b.Weight, 1), append(b.Margin, margin), append(b.Tie, tie)
		b.NoMargin = append(b.NoMargin, noMargin)
	}
	for _, c := range g.Comparisons {
		var noMargin float32
		if !g.HasMargin(c) {
			noMargin = 1
		}
		compare(c.Chosen, c.Rejected, float32(g.Stated(c)), noMargin, 0)
	}
	for _, t := range g.Ties {
		compare(t[0], t[1], 0, 0, 1)
	}
	b.Groups = append(b.Groups, index)
	b.Slots = append(b.Slots, slots)
	return at
}

// Visible is the attention mask, as a reference for the mask made on the device. In a row, the
// token in column i attends to the token in column j if j ≤ i and i continues j: j is in the prompt
// or in an earlier part of i's own response. Padding attends to itself, so that every softmax has
// an input.
func Visible(b *Batch, row, i, j int) bool {
	at, _ := b.Shape.Row(row)
	return j <= i && int32(at+i) < b.Until[at+j]
}
