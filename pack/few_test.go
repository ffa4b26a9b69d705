package pack

import (
	"slices"
	"testing"
)

// TestPackFullest packs what leaves no gap, and what taking the best fit item by item has no room
// for.
func TestPackFullest(t *testing.T) {
	var items []item
	for i, size := range []int{44, 40, 35, 32, 25, 24} {
		items = append(items, item{index: i, size: size, load: load{size, 2, 1}})
	}
	lengths, most := []int{100}, []int{2}
	if _, ok := pack(items, lengths, most); ok {
		t.Error("best fit had room, and says nothing of the other")
	}
	rows, ok := packBySlack(items, lengths, most)
	if !ok {
		t.Fatal("no room")
	}
	for i, want := range [][]int{{0, 3, 5}, {1, 2, 4}} {
		got := slices.Sorted(slices.Values(rows[i].groups))
		if !slices.Equal(got, want) || rows[i].load != (load{100, 6, 3}) {
			t.Errorf("row %d has %v, load %v; want %v", i, got, rows[i].load, want)
		}
	}
	if rows, ok := packBySlack(items, lengths, []int{1}); ok {
		t.Errorf("200 positions stand in one row of 100: %v", rows)
	}
	// The longer rows first; a row that nothing fits stays empty.
	rows, ok = packBySlack(items[:2], []int{10, 50}, []int{3, 3})
	if !ok || len(rows) != 2 || rows[0].length != 50 || rows[1].length != 50 {
		t.Errorf("got %v, %v", rows, ok)
	}
}
