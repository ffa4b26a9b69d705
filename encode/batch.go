package encode

// A Batch is a planned batch as the arrays that go to the device. Flat positions count through the rows, row behind row as
// Shape.Row says. Slots number the responses of the batch.
type Batch struct {
	Shape Shape

	// [Shape.Positions]; at padding 0, Segments −1.
	Tokens    []int32
	Positions []int32 // place in the sequence, which every response continues from the prompt's end
	Segments  []int32 // number of the group within the batch
	Branches  []int32 // 0 the prompt, k+1 response k

	// [Predicted]; padding has Owner −1, the others 0.
	Predict []int32 // flat position whose hidden state predicts the token
	Target  []int32 // the token
	Owner   []int32 // the response slot that the token belongs to

	// [Responses]; padding 0.
	Last   []int32   // flat position of the response's last token, its end token
	Stated []float32 // Group.Targets, 0 where there are none

	// [Comparisons]; padding 0.
	Chosen, Rejected []int32   // response slots
	Weight           []float32 // 1, at padding 0
	Margin           []float32 // Group.Stated
	Tie              []float32 // 1 where the two were judged equal, which the order then does not say

	Groups         []int   // the groups in the batch, as indices into the plan's input; by row
	Slots          [][]int // Slots[i][k] is the slot of response k of Groups[i]
	Real           int     // tokens that are not padding
	NumComparisons int     // comparisons that are not padding, ties among them
}

// Batch makes batch i of Plan.Batches.
func (p *Plan) Batch(i int) *Batch {
	planned := p.Batches[i]
	shape := p.Shapes[planned.Shape]
	n := shape.Positions()
	b := &Batch{
		Shape:  shape,
		Tokens: make([]int32, n), Positions: make([]int32, n), Segments: make([]int32, n), Branches: make([]int32, n),
		Predict: make([]int32, 0, shape.Predicted), Target: make([]int32, 0, shape.Predicted), Owner: make([]int32, 0, shape.Predicted),
		Last:   make([]int32, 0, shape.Responses),
		Stated: make([]float32, 0, shape.Responses),
		Chosen: make([]int32, 0, shape.Comparisons), Rejected: make([]int32, 0, shape.Comparisons),
		Weight: make([]float32, 0, shape.Comparisons), Margin: make([]float32, 0, shape.Comparisons), Tie: make([]float32, 0, shape.Comparisons),
	}
	for at := range b.Segments {
		b.Segments[at] = -1
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
	for len(b.Last) < shape.Responses {
		b.Last, b.Stated = append(b.Last, 0), append(b.Stated, 0)
	}
	for len(b.Weight) < shape.Comparisons {
		b.Chosen, b.Rejected = append(b.Chosen, 0), append(b.Rejected, 0)
		b.Weight, b.Margin, b.Tie = append(b.Weight, 0), append(b.Margin, 0), append(b.Tie, 0)
	}
	return b
}

// lay writes a group from a flat position on and returns the position behind it.
func (b *Batch) lay(index int, g *Group, at int) int {
	segment := int32(len(b.Groups))
	put := func(token int32, position, branch int) {
		b.Tokens[at], b.Positions[at], b.Segments[at], b.Branches[at] = token, int32(position), segment, int32(branch)
		at++
		b.Real++
	}
	for i, token := range g.Prompt {
		put(token, i, 0)
	}
	promptEnd := at - 1
	slots, stated := make([]int, len(g.Responses)), g.Targets()
	for k, response := range g.Responses {
		slots[k] = len(b.Last)
		predict := promptEnd // of every response: it is the token before its first
		for i, token := range response {
			b.Predict = append(b.Predict, int32(predict))
			b.Target = append(b.Target, token)
			b.Owner = append(b.Owner, int32(slots[k]))
			predict = at
			put(token, len(g.Prompt)+i, k+1)
		}
		b.Last, b.Stated = append(b.Last, int32(predict)), append(b.Stated, 0)
		if stated != nil {
			b.Stated[slots[k]] = float32(stated[k])
		}
	}
	compare := func(chosen, rejected int, margin, tie float32) {
		b.Chosen, b.Rejected = append(b.Chosen, int32(slots[chosen])), append(b.Rejected, int32(slots[rejected]))
		b.Weight, b.Margin, b.Tie = append(b.Weight, 1), append(b.Margin, margin), append(b.Tie, tie)
	}
	for _, c := range g.Comparisons {
		compare(c.Chosen, c.Rejected, float32(g.Stated(c)), 0)
	}
	for _, t := range g.Ties {
		compare(t[0], t[1], 0, 1)
	}
	b.Groups = append(b.Groups, index)
	b.Slots = append(b.Slots, slots)
	return at
}

// Visible is the attention mask, the reference for the one made on the device: in a row, the token in column i sees
// the one in column j if j is not after i, both are of one group, and j is of the prompt or of i's own response.
// Padding is a group of its own, so that every token sees one at least and no softmax is over nothing.
func Visible(b *Batch, row, i, j int) bool {
	at, _ := b.Shape.Row(row)
	from, to := at+i, at+j
	return j <= i && b.Segments[from] == b.Segments[to] && (b.Branches[to] == 0 || b.Branches[to] == b.Branches[from])
}
