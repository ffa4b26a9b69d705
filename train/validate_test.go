package train

import (
	"testing"

	"haf/encode"
	"haf/pack"
	"haf/pref"
)

// TestTiesAreNotRight counts accuracy over decided comparisons alone.
func TestTiesAreNotRight(t *testing.T) {
	g := encode.Group{
		Prompt: []int32{1}, Ties: [][2]int{{0, 1}}, Comparisons: []pref.Comparison{},
		Responses: []encode.Response{encode.Answer([]int32{2}), encode.Answer([]int32{3})},
	}
	plan, err := pack.New([]encode.Group{g}, pack.Options{Positions: 64})
	if err != nil {
		t.Fatal(err)
	}
	b := plan.Batch(0)
	if b.NumComparisons != 1 || b.Tie[0] != 1 || b.Weight[0] != 1 {
		t.Errorf("a tie is laid out as %+v", b)
	}
	values := (&trainer{}).valuesOf(&g, nil, nil, nil)
	if len(values.Comparisons) != 1 || !values.Comparisons[0].Tie {
		t.Errorf("its float64 reference is %+v", values)
	}
}
