package train

import (
	"slices"
	"testing"
)

// TestStepInputs packs and unpacks. The literal names no fields, so that one that is added has to
// be added here, and is lost on the way if it is not listed.
func TestStepInputs(t *testing.T) {
	want := stepInputs[int]{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}
	packed := want.pack()
	if !slices.Equal(packed, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}) {
		t.Errorf("packed as %v", packed)
	}
	got, rest := unpackStepInputs(append(packed, 14, 15))
	if got != want || !slices.Equal(rest, []int{14, 15}) {
		t.Errorf("unpacked as %+v and %v", got, rest)
	}
}
