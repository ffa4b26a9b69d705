package pack

import (
	"os"
	"slices"
	"testing"
	"time"

	"haf/chat"
	"haf/encode"
	"haf/internal/shared"
	"haf/pref"
	"haf/tokenizer"
)

// TestHHBytes packs HH-helpful in the tokens of a small vocabulary, which needs no model: real
// tokens fill 95 % and more of the positions, and the read-out sizes, which every batch pays, are
// not far above what a batch needs on average.
func TestHHBytes(t *testing.T) {
	data, err := os.ReadFile("../tokenizer/testdata/tokenizer-gpt2.json")
	if err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	tpl, err := chat.Named("plain", "", "")
	if err != nil {
		t.Fatal(err)
	}
	e, err := encode.New(tok, tpl, encode.Options{MaxLength: 4096})
	if err != nil {
		t.Fatal(err)
	}
	planHH(t, e)
}

// TestHHModel is the same with the tokens of a real model.
func TestHHModel(t *testing.T) {
	tok, err := tokenizer.Load(shared.Model(t, "smollm2-135m-instruct"))
	if err != nil {
		t.Fatal(err)
	}
	tpl, err := chat.Of(tok)
	if err != nil {
		t.Fatal(err)
	}
	e, err := encode.New(tok, tpl, encode.Options{MaxLength: 2048})
	if err != nil {
		t.Fatal(err)
	}
	planHH(t, e)

	g, err := e.Samples([]pref.Message{{Role: pref.User, Content: "Hello there"}},
		[]string{"Hi!", "Hi!<|im_end|>"})
	if err != nil {
		t.Fatal(err)
	}
	const want = "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by " +
		"Hugging Face<|im_end|>\n<|im_start|>user\nHello there<|im_end|>\n<|im_start|>assistant\n"
	if got := tok.Decode(g.Prompt, false); got != want {
		t.Errorf("prompt %q, want %q", got, want)
	}
	for k, want := range []string{"Hi!<|im_end|>\n", "Hi!<|im_end|><|im_end|>\n"} {
		if got := tok.Decode(g.Responses[k].Tokens, false); got != want {
			t.Errorf("response %q, want %q", got, want)
		}
	}
}

func planHH(t *testing.T, e *encode.Encoder) {
	input, counts, err := pref.Load([]string{shared.Path(t, "data/hh/helpful-base.test.jsonl.gz")},
		pref.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(counts)
	start := time.Now()
	groups, report, err := e.Groups(input)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%v; %v", report, time.Since(start).Round(time.Millisecond))
	for _, opt := range []Options{{}, {MaxLengths: 1}, {Positions: 1024}, {Positions: 8192},
		{Positions: 16384}} {
		start = time.Now()
		p := newPlan(t, groups, opt)
		t.Logf("%+v: %v; %v", opt, p, time.Since(start).Round(time.Millisecond))
		if p.Efficiency() < 0.95 {
			t.Errorf("%+v: fill %.3f, want 0.95", opt, p.Efficiency())
		}
		checkTight(t, groups, p)
		t.Logf("  %v", p.StepStats(p.Steps(32, 1, 0)))
	}
	checkPlan(t, groups[:200], Options{}, newPlan(t, groups[:200], Options{}))
}

// checkTight wants the predicted tokens of each shape within a chunk of what no dealing of its rows
// can beat by much: a little above the mean of its batches, or its heaviest row together with its
// lightest ones.
func checkTight(t *testing.T, groups []encode.Group, p *Packing) {
	t.Helper()
	const chunk = 128
	for i, s := range p.Shapes {
		var sum, batches int
		var responses, comparisons float64
		var rows []int // response tokens of each
		for _, planned := range p.Batches {
			if planned.Shape != i {
				continue
			}
			batches++
			for _, row := range planned.Rows {
				tokens := 0
				for _, g := range row {
					tokens += groups[g].ResponseTokens()
					responses += float64(len(groups[g].Responses))
					comparisons += float64(len(groups[g].Comparisons))
				}
				sum += tokens
				rows = append(rows, tokens)
			}
		}
		n := float64(batches)
		mean := float64(sum) / n
		t.Logf("  %+v in %d batches; on average %.1f predicted, %.1f responses, %.1f comparisons", s,
			batches, mean, responses/n, comparisons/n)
		slices.Sort(rows)
		least := rows[len(rows)-1]
		for _, tokens := range rows[:min(s.NumRows(), len(rows))-1] {
			least += tokens
		}
		if bound := max(1.05*mean, float64(least)); float64(s.Predicted) >= bound+chunk {
			t.Errorf("  %+v: want no more than a chunk above %.0f predicted", s, bound)
		}
	}
}
