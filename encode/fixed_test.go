package encode

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"haf/pref"
)

// TestFixedPlan wants every group in one row, in shapes among those given and within their read-out.
func TestFixedPlan(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	shapes := []Shape{{Rows: 1, Length: 128, Predicted: 128, Responses: 16}, {Rows: 1, Length: 512, Predicted: 512, Responses: 32}, {Rows: 4, Length: 512, Predicted: 1024, Responses: 32}}
	for n := range 60 {
		groups := randomGroups(r, 1+n, 64)
		for i := range groups {
			groups[i].Comparisons = nil
		}
		p, err := NewFixedPlan(groups, shapes)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(p.Shapes, shapes) {
			t.Fatalf("shapes %v, want %v", p.Shapes, shapes)
		}
		seen := make([]int, n+1)
		for i := range p.Batches {
			b := p.Batch(i)
			if len(b.Predict) != b.Shape.Predicted || len(b.Read) != b.Shape.Responses || len(b.Tokens) != b.Shape.Positions() {
				t.Fatalf("batch of %v has %d tokens, %d predicted and %d responses", b.Shape, len(b.Tokens), len(b.Predict), len(b.Read))
			}
			for j, g := range b.Groups {
				seen[g]++
				for k, slot := range b.Slots[j] {
					response := groups[g].Responses[k]
					want := append(slices.Clone(groups[g].Prompt), response.Tokens...)[len(groups[g].Prompt)+response.Read]
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
	small := []Group{{Prompt: []int32{10}, Responses: []Response{Answer([]int32{11, 12})}}}
	if p, err := NewFixedPlan(small, shapes); err != nil || p.Batches[0].Shape != 0 {
		t.Errorf("%+v, %v", p, err)
	}
	long := []Group{{Prompt: make([]int32, 600), Responses: []Response{Answer([]int32{1})}}}
	if _, err := NewFixedPlan(long, shapes); err == nil || !strings.Contains(err.Error(), "601 tokens and 1 responses, which fit none of the 3 shapes") {
		t.Error(err)
	}
	if _, err := NewFixedPlan(nil, shapes); !errors.Is(err, ErrEmpty) {
		t.Error(err)
	}
}

// TestVerbatim: a text of a template is read as it stands, but for BOS, and its response is what follows the prompt's text.
func TestVerbatim(t *testing.T) {
	e := newEncoder(t, words{bos: true, eos: true, addBOS: true}, turns{before: "<s>"}, Options{MaxLength: 10})
	bos, eos := []int32{bosID}, []int32{eosID}
	for _, c := range []struct {
		in     pref.Input
		prompt int
		want   []int32
	}{
		{pref.Input{Text: "a b"}, 3, join(bos, ids("a b"))},
		{pref.Input{Text: "<s>a b</s>\n"}, 5, join(bos, ids("a b"), eos, ids("\n"))},
		{pref.Input{Text: "<s>a b</s>", PromptText: "<s>a"}, 2, join(bos, ids("a b"), eos)},
		{pref.Input{Text: "a b</s>", PromptText: "a"}, 2, join(bos, ids("a b"), eos)},
		{pref.Input{Text: "a b", NoBOS: true}, 2, ids("a b")},
		{pref.Input{Tokens: []int32{7, 8}}, 2, []int32{7, 8}},
		{pref.Input{Tokens: []int32{7, eosID}}, 2, []int32{7, eosID}},
	} {
		got, truncated, err := e.Verbatim(c.in, false)
		if err != nil || truncated {
			t.Errorf("%+v: truncated %v, %v", c.in, truncated, err)
			continue
		}
		if !slices.Equal(got.Tokens, c.want) || got.Response != c.prompt || got.Read != len(c.want)-1 {
			t.Errorf("%+v: %+v, want %v with a prompt of %d", c.in, got, c.want, c.prompt)
		}
	}
	for _, in := range []pref.Input{{Text: "a b"}, {Text: "a b", PromptText: "c"}, {Text: "a b", PromptText: "a b"}, {Tokens: []int32{7, 8}}} {
		if _, _, err := e.Verbatim(in, true); !errors.Is(err, ErrNoResponse) {
			t.Errorf("%+v: error %v, want ErrNoResponse", in, err)
		}
	}
	// The same conversation as messages and as text is the same.
	prompt := user("hi there")
	whole, _, err := e.Conversation(prompt, "fine")
	if err != nil {
		t.Fatal(err)
	}
	text, _, err := e.Verbatim(pref.Input{Text: "<s>user hi there\nassistant fine\n", PromptText: "<s>user hi there\nassistant "}, true)
	if err != nil || !reflect.DeepEqual(text, whole) {
		t.Errorf("text %+v, %v; messages %+v", text, err, whole)
	}
	// Where the template writes no BOS, a text gets none, whatever the tokenizer would add.
	bare := newEncoder(t, words{bos: true, eos: true, addBOS: true}, turns{}, Options{})
	if c, _, err := bare.Verbatim(pref.Input{Text: "a b"}, false); err != nil || c.Tokens[0] == bosID {
		t.Errorf("%+v, %v: want no BOS", c, err)
	}
	c, truncated, err := e.Verbatim(pref.Input{Text: strings.Repeat("a ", 30)}, false)
	if err != nil || !truncated || len(c.Tokens) != 10 || c.Tokens[0] != bosID || c.Read != 9 {
		t.Errorf("%+v, %v, %v: want BOS and the text's end", c, truncated, err)
	}
}
