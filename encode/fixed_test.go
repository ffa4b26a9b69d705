package encode

import (
	"errors"
	"math/rand/v2"
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
			if len(b.Predict) != b.Shape.Predicted || len(b.Last) != b.Shape.Responses || len(b.Tokens) != b.Shape.Positions() {
				t.Fatalf("batch of %v has %d tokens, %d predicted and %d responses", b.Shape, len(b.Tokens), len(b.Predict), len(b.Last))
			}
			for j, g := range b.Groups {
				seen[g]++
				for k, slot := range b.Slots[j] {
					if got, want := b.Tokens[b.Last[slot]], groups[g].Responses[k][len(groups[g].Responses[k])-1]; got != want {
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
	small := []Group{{Prompt: []int32{10}, Responses: [][]int32{{11, 12}}}}
	if p, err := NewFixedPlan(small, shapes); err != nil || p.Batches[0].Shape != 0 {
		t.Errorf("%+v, %v", p, err)
	}
	long := []Group{{Prompt: make([]int32, 600), Responses: [][]int32{{1}}}}
	if _, err := NewFixedPlan(long, shapes); err == nil || !strings.Contains(err.Error(), "601 tokens and 1 responses, which fit none of the 3 shapes") {
		t.Error(err)
	}
	if _, err := NewFixedPlan(nil, shapes); !errors.Is(err, ErrEmpty) {
		t.Error(err)
	}
}

func TestVerbatim(t *testing.T) {
	e, err := New(words{bos: true, eos: true, addBOS: true}, turns{}, Options{MaxLength: 10})
	if err != nil {
		t.Fatal(err)
	}
	piece := func(text string) []int32 { return words{}.Encode(text, false) }
	for _, c := range []struct {
		in     pref.Input
		prompt int
		want   []int32
	}{
		{pref.Input{Text: "a b"}, 3, slices.Concat([]int32{bosID}, piece("a b"), []int32{eosID})},
		{pref.Input{Text: "<s>a b</s>\n"}, 3, slices.Concat([]int32{bosID}, piece("a b"), []int32{eosID})},
		{pref.Input{Text: "<s>a b</s>", PromptText: "<s>a"}, 2, slices.Concat([]int32{bosID}, piece("a b"), []int32{eosID})},
		{pref.Input{Text: "a b", NoBOS: true}, 2, slices.Concat(piece("a b"), []int32{eosID})},
		{pref.Input{Tokens: []int32{7, 8}}, 2, []int32{7, 8, eosID}},
		{pref.Input{Tokens: []int32{7, eosID}}, 1, []int32{7, eosID}},
		{pref.Input{Text: "a b", PromptText: "a b"}, 3, slices.Concat([]int32{bosID}, piece("a b"), []int32{eosID})},
	} {
		g, err := e.Verbatim(c.in, false)
		if err != nil {
			t.Errorf("%+v: %v", c.in, err)
			continue
		}
		if got := slices.Concat(g.Prompt, g.Responses[0]); !slices.Equal(got, c.want) || len(g.Prompt) != c.prompt {
			t.Errorf("%+v: %v with a prompt of %d, want %v with %d", c.in, got, len(g.Prompt), c.want, c.prompt)
		}
	}
	// A tokenizer that marks where a text begins marks the response, too, as it does when a sample is encoded.
	mark, err := New(marking{words{bos: true, eos: true, addBOS: true}}, turns{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	sample, err := mark.Samples([]pref.Message{{Role: "user", Content: "a"}}, []string{"b c"})
	if err != nil {
		t.Fatal(err)
	}
	prompt := strings.Repeat("x ", len(sample.Prompt)-2) + "x" // BOS and the mark, as many more words as the prompt has
	g0, err := mark.Verbatim(pref.Input{Text: prompt + " b c", PromptText: prompt}, true)
	if err != nil || !slices.Equal(g0.Responses[0], sample.Responses[0]) {
		t.Errorf("%v, %v: the response is %v, of a sample %v", g0, err, g0.Responses, sample.Responses)
	}
	// Where the template alone writes BOS, a client that has taken it off is helped, too.
	own, err := New(words{bos: true, eos: true}, turns{before: "<s>"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if g, err := own.Verbatim(pref.Input{Text: "a b"}, false); err != nil || g.Prompt[0] != bosID || len(g.Prompt) != 3 {
		t.Errorf("%+v, %v: want BOS in front", g, err)
	}
	g, err := e.Verbatim(pref.Input{Text: strings.Repeat("a ", 30)}, false)
	if err != nil || !g.Truncated || g.Positions() != 10 || g.Prompt[0] != bosID || g.Responses[0][0] != eosID {
		t.Errorf("%+v, %v: want BOS, the text's end and the end token", g, err)
	}
}

// marking puts a token of its own in front of every text.
type marking struct{ words }

func (m marking) Encode(text string, special bool) []int32 {
	return append([]int32{900}, m.words.Encode(text, special)...)
}
