package encode

import (
	"reflect"
	"slices"
	"testing"

	"haf/pref"
)

// TestConsume wants the tokens of Groups, without room to spare, and no text left.
func TestConsume(t *testing.T) {
	e := newEncoder(t, plain, turns{}, Options{MaxLength: 12})
	texts := func() []pref.Group {
		var out []pref.Group
		for _, prompt := range []string{"a b c", "a b c d e f g h i j k l"} {
			out = append(out, pref.Group{
				Prompt: user(prompt), Responses: []string{"x y", "z"},
				Comparisons: []pref.Comparison{{Chosen: 0, Rejected: 1}},
			})
		}
		return out
	}
	input := texts()
	got, report, err := e.Consume(input)
	if err != nil {
		t.Fatal(err)
	}
	want, _, err := e.Groups(texts())
	if err != nil {
		t.Fatal(err)
	}
	if report.Truncated != 1 {
		t.Errorf("%s: the second prompt was to be cut", report)
	}
	for i, g := range got {
		if !slices.Equal(g.Prompt, want[i].Prompt) || !reflect.DeepEqual(g.Responses, want[i].Responses) {
			t.Errorf("group %d: %v %v, want %v %v", i, g.Prompt, g.Responses, want[i].Prompt,
				want[i].Responses)
		}
		all := [][]int32{g.Prompt}
		for _, r := range g.Responses {
			all = append(all, r.Tokens)
		}
		for _, ids := range all {
			if cap(ids) != len(ids) {
				t.Errorf("group %d: %d tokens in room for %d", i, len(ids), cap(ids))
			}
		}
		if input[i].Prompt != nil || input[i].Responses != nil {
			t.Errorf("group %d: its texts are still there", i)
		}
	}
}
