package reward

import (
	"slices"
	"testing"

	"haf/encode"
)

// TestByBeginning: what has most in common is clustered first, whatever the others share with it,
// and clusters stay small unless they save much.
func TestByBeginning(t *testing.T) {
	next := int32(100)
	fresh := func(n int) []int32 {
		x := make([]int32, n)
		for i := range x {
			next++
			x[i] = next
		}
		return x
	}
	item := func(parts ...[]int32) *engineItem {
		whole := slices.Concat(parts...)
		return &engineItem{Conversation: encode.Conversation{Tokens: whole, Response: len(whole),
			Read: len(whole) - 1}}
	}
	header, a, b, c, d := fresh(20), fresh(150), fresh(150), fresh(150), fresh(200)
	e := &Engine{row: 640}
	for _, test := range []struct {
		name  string
		items []*engineItem
		want  [][]int // of each cluster, sorted
	}{
		{"pairs under a header", []*engineItem{item(header, a, fresh(50)), item(header, b, fresh(40)),
			item(header, a, fresh(30)), item(header, b, fresh(60))}, [][]int{{0, 2}, {1, 3}}},
		{"a header alone, within half a row",
			[]*engineItem{item(header, fresh(100)), item(header, fresh(100))}, [][]int{{0, 1}}},
		{"a header alone, of what fills more", []*engineItem{item(header, c, fresh(80)),
			item(header, d, fresh(80))}, [][]int{{0}, {1}}},
		{"nothing", []*engineItem{item(fresh(30)), item(fresh(30))}, [][]int{{0}, {1}}},
		{"a beginning of another", []*engineItem{item(a), item(a, fresh(10))}, [][]int{{0, 1}}},
		{"the same", []*engineItem{item(a), item(a)}, [][]int{{0, 1}}},
		{"more than a row holds", []*engineItem{item(a, fresh(300)), item(a, fresh(250)),
			item(a, fresh(20))}, [][]int{{0}, {1, 2}}},
	} {
		var got [][]int
		for _, cl := range e.groupByPrefix(test.items) {
			slices.Sort(cl.items)
			got = append(got, cl.items)
			sum := 0
			for _, i := range cl.items {
				whole := test.items[i].Tokens
				if sum += len(whole); cl.shared >= len(whole) ||
					!slices.Equal(whole[:cl.shared], test.items[cl.items[0]].Tokens[:cl.shared]) {
					t.Errorf("%s: %v do not share %d tokens", test.name, cl.items, cl.shared)
				}
			}
			if sum != cl.sum || cl.positions() > e.row {
				t.Errorf("%s: %v has %d tokens in %d positions, want %d", test.name, cl.items, cl.sum,
					cl.positions(), sum)
			}
		}
		slices.SortFunc(got, slices.Compare)
		if !slices.EqualFunc(got, test.want, slices.Equal) {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}
