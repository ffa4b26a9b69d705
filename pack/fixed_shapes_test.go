package pack

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"haf/encode"
)

// TestFixedPlan wants every group in one row, in shapes among those given and within their
// read-out.
func TestFixedPlan(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	shapes := []Shape{{Rows: 1, Length: 128, Predicted: 128, Responses: 16},
		{Rows: 1, Length: 512, Predicted: 512, Responses: 32},
		{Rows: 4, Length: 512, Predicted: 1024, Responses: 32}}
	for n := range 60 {
		groups := randomGroups(r, 1+n, 64)
		for i := range groups {
			groups[i].Comparisons = nil
		}
		p, err := IntoShapes(groups, shapes)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(p.Shapes, shapes) {
			t.Fatalf("shapes %v, want %v", p.Shapes, shapes)
		}
		seen := make([]int, n+1)
		for i := range p.Batches {
			b := p.Batch(i)
			if len(b.Predict) != b.Shape.Predicted || len(b.Read) != b.Shape.Responses ||
				len(b.Tokens) != b.Shape.Positions() {
				t.Fatalf("batch of %v has %d tokens, %d predicted and %d responses", b.Shape, len(b.Tokens),
					len(b.Predict), len(b.Read))
			}
			for j, g := range b.Groups {
				seen[g]++
				for k, slot := range b.Slots[j] {
					response := groups[g].Responses[k]
					want := append(slices.Clone(groups[g].Prompt),
						response.Tokens...)[len(groups[g].Prompt)+response.Read]
					if got := b.Tokens[b.Read[slot]]; got != want {
						t.Fatalf("response %d of group %d is read at token %d, want %d", k, g, got, want)
					}
				}
			}
		}
		if slices.ContainsFunc(seen, func(n int) bool { return n != 1 }) {
			t.Fatalf("groups stand in %v rows, want each in one", seen)
		}
	}
	// A small group alone goes into the small shape.
	small := []encode.Group{
		{Prompt: []int32{10}, Responses: []encode.Response{encode.Answer([]int32{11, 12})}}}
	if p, err := IntoShapes(small, shapes); err != nil || p.Batches[0].Shape != 0 {
		t.Errorf("%+v, %v", p, err)
	}
	long := []encode.Group{{Prompt: make([]int32, 600),
		Responses: []encode.Response{encode.Answer([]int32{1})}}}
	if _, err := IntoShapes(long, shapes); err == nil ||
		!strings.Contains(err.Error(), "601 tokens and 1 responses, which fit none of the 3 shapes") {
		t.Error(err)
	}
	if _, err := IntoShapes(nil, shapes); !errors.Is(err, encode.ErrEmpty) {
		t.Error(err)
	}
}
