package reward

import (
	"reflect"
	"slices"
	"testing"
)

// TestBatchInputs packs and unpacks. The literal names no fields, so that one that is added has to
// be added here, and is lost on the way if it is not listed.
func TestBatchInputs(t *testing.T) {
	want := BatchInputs[int]{1, 2, 3, 4, []int{5, 6}}
	packed := want.pack()
	if !slices.Equal(packed, []int{1, 2, 3, 4, 5, 6}) {
		t.Errorf("packed as %v", packed)
	}
	var got BatchInputs[int]
	rest := got.unpack(append(packed, 7, 8), func(in []int) int { return 2 })
	if !reflect.DeepEqual(got, want) || !slices.Equal(rest, []int{7, 8}) {
		t.Errorf("unpacked as %+v and %v", got, rest)
	}
}
