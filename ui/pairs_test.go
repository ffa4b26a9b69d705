package ui

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func setOf(t testing.TB, n int) *pairSet {
	t.Helper()
	var b strings.Builder
	for i := range n {
		b.Write(append(asJSON(t, examplePair(i)), '\n'))
	}
	set, err := readPairs(strings.NewReader(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// TestChoose wants each filter to choose its kind of pairs, and filters to add up.
func TestChoose(t *testing.T) {
	set := setOf(t, 12)
	for i := range set.Pairs {
		set.Pairs[i].length = 100 + i
	}
	set.summarize()
	set.Pairs[5].Subset = "hard"
	for name, test := range map[string]struct {
		q    query
		want []int
	}{
		"all":        {query{Reward: "score"}, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
		"wrong":      {query{Reward: "score", Wrong: true}, []int{1, 5, 9}},
		"wrong too":  {query{Reward: "implicit", Wrong: true}, []int{1, 2, 5, 6, 9, 10}},
		"close":      {query{Reward: "score", Close: true}, []int{3, 7, 11}},
		"disagree":   {query{Reward: "score", Disagree: true}, []int{2, 6, 10}},
		"long":       {query{Reward: "score", Long: true}, []int{9, 10, 11}},
		"words":      {query{Reward: "score", Text: "QUESTION 10"}, []int{10}},
		"source":     {query{Reward: "score", Source: "hard"}, []int{5}},
		"two":        {query{Reward: "score", Disagree: true, Long: true}, []int{10}},
		"none":       {query{Reward: "score", Text: "nothing of the kind"}, []int{}},
		"by margin":  {query{Reward: "score", Wrong: true, Sort: "margin"}, []int{1, 5, 9}},
		"by size":    {query{Reward: "implicit", Disagree: true, Sort: "size"}, []int{2, 6, 10}},
		"by length":  {query{Reward: "score", Wrong: true, Sort: "length"}, []int{9, 5, 1}},
		"other name": {query{Reward: "absent", Wrong: true}, []int{}},
	} {
		if got := set.choose(test.q); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

// TestReadPairsRefuses wants what is no file of pairs to be refused by its line.
func TestReadPairsRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                     "no pair",
		"{\"chosen\": \"a\"}":  "line 1: no rewards",
		"[1]\n":                "line 1: json",
		"{\"rewards\": 3}\n{}": "want what haf eval -out writes",
	} {
		if _, err := readPairs(strings.NewReader(text)); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// TestPairPage wants the tokens of both responses by two models on one scale, and their sum.
func TestPairPage(t *testing.T) {
	root := t.TempDir()
	writeRun(t, filepath.Join(root, "run"), 2, 4)
	code, body := get(t, app(t, nil, root), "/pair"+values("run", "run", "file", "pairs.jsonl",
		"n", "3", "tokens", "1", "model", "one", "model", "two", "model", "broken",
		"model", "four"))
	if code != http.StatusOK {
		t.Fatalf("status %d", code)
	}
	for want, n := range map[string]int{
		"The heads disagree":          1,
		`<h1>Pair 3 `:                 1, // as in its address
		`name="n" value="3"`:          1,
		"At most 3 models are read":   1,     // of four that are marked
		`class="tok p5"`:              2,     // "rejected ", the longest word
		"= implicit reward</p>":       4,     // two responses by two models
		"no weights: &lt;script&gt;":  1,     // the error of the third
		`<span class="figure">&#43;5`: 1,     // one scale
		`data-beta="0.1"`:             4 * 3, // tokens
		"chosen − rejected: ":         2,     // by model
		`aria-label="Tokens of the`:   4,     //
		`<meta name="viewport"`:       1,     //
		`tabindex="0" dat`:            4,     // one stop of the keyboard for each map
	} {
		if got := strings.Count(body, want); got != n {
			t.Errorf("%q stands %d times, want %d", want, got, n)
		}
	}
}

// TestDrawings wants the page of a run to open without reading its pairs, and to lead to their
// drawings.
func TestDrawings(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	writeRun(t, dir, 5, 8)
	pairs := filepath.Join(dir, "pairs.jsonl")
	written, err := os.ReadFile(pairs)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(pairs, []byte("no pairs\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := app(t, nil, dir)
	link := `"/figures?file=pairs.jsonl&amp;run=run"`
	if code, body := get(t, a, "/runs?run=run"); code != http.StatusOK ||
		!strings.Contains(body, link) || strings.Contains(body, "no pairs") {
		t.Errorf("the run: status %d, want %s in\n%s", code, link, body)
	}
	figures := "/figures" + values("run", "run", "file", "pairs.jsonl")
	if code, _ := get(t, a, figures); code == http.StatusOK {
		t.Error("drawings are shown of a file that has no pairs")
	}
	if err := os.WriteFile(pairs, written, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{figures: 1, figures + "&fragment=1": 0} {
		_, body := get(t, a, path)
		// Three drawings of each of two rewards.
		if n := strings.Count(body, "<svg"); n != 6 || strings.Count(body, "<h1") != want {
			t.Errorf("%s has %d drawings, want 6, and %d headings: %s", path, n, want, body)
		}
	}
}

// TestParseTurns wants a typed conversation to become its messages.
func TestParseTurns(t *testing.T) {
	for text, want := range map[string]string{
		"":                           "[]",
		" \n ":                       "[]",
		"How?\r\nReally":             "[{user How?\nReally}]",
		"User: a\nAssistant: b\nc":   "[{user a} {assistant b\nc}]",
		"System: s\n\nUser: u: v\n":  "[{system s} {user u: v}]",
		"first\nAssistant: x\nUser:": "[{user first} {assistant x}]",
	} {
		var got []string
		for _, m := range parseTurns(text) {
			got = append(got, "{"+m.Role+" "+m.Content+"}")
		}
		if turns := fmt.Sprint(got); turns != want {
			t.Errorf("%q: %s, want %s", text, turns, want)
		}
	}
	if _, _, err := typed("User: a\nAssistant: b", []string{"c"}); err == nil {
		t.Error("a conversation that ends with the assistant was taken")
	}
	if samples, labels, err := typed("a", []string{"", "b"}); err != nil || len(samples) != 1 ||
		labels[0] != "answer B" {
		t.Errorf("%v %v %v", samples, labels, err)
	}
}

// BenchmarkChoose filters 20,000 pairs of 2,000 characters.
func BenchmarkChoose(b *testing.B) {
	set := setOf(b, 20_000)
	for i := range set.Pairs {
		set.Pairs[i].text += strings.Repeat("some more words of text ", 80)
	}
	for b.Loop() {
		set.choose(query{Reward: "score", Text: "question answer absent", Sort: "margin"})
		set.choose(query{Reward: "score", Disagree: true, Sort: "length"})
	}
}
