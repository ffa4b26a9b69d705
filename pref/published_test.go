package pref

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"haf/internal/shared"
)

// published has rows of each published schema, with its own keys.
var published = map[string][]string{
	PKU: {
		`{"prompt":"q","response_0":"a","response_1":"b","is_response_0_safe":false,"is_response_1_safe":true,"better_response_id":0,"safer_response_id":1}`,
		`{"prompt":"q","response_0":"a","response_1":"b","is_response_0_safe":true,"is_response_1_safe":true,"safer_response_id":0}`,
		`{"prompt":"q","response_0":"a","response_1":"b","is_response_0_safe":false,"is_response_1_safe":false,"safer_response_id":-1}`,
	},
	Arena: {
		`{"question_id":"7","model_a":"x","model_b":"y","winner":"model_b","conversation_a":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}],"conversation_b":[{"role":"user","content":"q"},{"role":"assistant","content":"b"}],"turn":1,"language":"English"}`,
		`{"winner":"tie (bothbad)","conversation_a":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}],"conversation_b":[{"role":"user","content":"q"},{"role":"assistant","content":"b"}]}`,
		`{"winner":"model_a","turn":1,"conversation_a":[{"role":"user","content":"q"},{"role":"assistant","content":"a"},{"role":"user","content":"r"},{"role":"assistant","content":"s"}],"conversation_b":[{"role":"user","content":"q"},{"role":"assistant","content":"b"},{"role":"user","content":"r"},{"role":"assistant","content":"t"}]}`,
		`{"winner":"model_a","turn":2,"conversation_a":[{"role":"user","content":"q"},{"role":"assistant","content":"a"},{"role":"user","content":"r"},{"role":"assistant","content":"s"}],"conversation_b":[{"role":"user","content":"q"},{"role":"assistant","content":"b"},{"role":"user","content":"r"},{"role":"assistant","content":"t"}]}`,
	},
	Alpaca: {
		`{"instruction":"do","input":"it","output_1":"a","output_2":"b","preference":2}`,
		`{"instruction":"do","input":"","output_1":"a","output_2":"b","preference":1.2}`,
		`{"instruction":"do","input":"","output_1":"a","output_2":"b","preference":0}`,
		`{"input":"do","output_1":"a","output_2":"b","label":1}`,
		`{"idx":3,"instruction":"do","input":"","response1":"a","response2":"b","annotator1":1,"annotator2":2,"annotator3":2}`,
		`{"idx":3,"instruction":"do","input":"","response1":"a","response2":"b","annotator1":0,"annotator2":1,"annotator3":2}`,
	},
	UltraFeedback: {
		`{"source":"flan","instruction":"q","completions":[
		 {"response":"a","overall_score":9,"annotations":{"helpfulness":{"Rating":"3"},"honesty":{"Rating":"5"},"instruction_following":{"Rating":"4"},"truthfulness":{"Rating":"N/A"}}},
		 {"response":"b","overall_score":2,"annotations":{"helpfulness":{"Rating":"5"},"honesty":{"Rating":"5"},"instruction_following":{"Rating":"5"},"truthfulness":{"Rating":"5"}}},
		 {"response":"c","overall_score":2,"annotations":{"helpfulness":{"Rating":"4"},"honesty":{"Rating":"4"},"instruction_following":{"Rating":"4"},"truthfulness":{"Rating":"4"}}},
		 {"response":"d","annotations":{}}]}`,
	},
	HelpSteer: {
		`{"prompt":"q","response_1":"a","response_2":"b","preference_strength":-2}`,
		`{"prompt":"q","response_1":"a","response_2":"b","preference_strength":3}`,
		`{"prompt":"q","response_1":"a","response_2":"b","preference_strength":0}`,
		`{"prompt":"q","response":"a","helpfulness":3,"correctness":4,"coherence":4,"complexity":1,"verbosity":1}`,
	},
	BestOf: {
		`{"id":"12","prompt":"q","chosen":["a"],"rejected":["b","c","d"],"num_correct":1,"subset":"Factuality"}`,
		`{"id":"c-1","prompt":"q","chosen":["a","aa","aaa"],"rejected":["b","bb","bbb"],"domain":"chat"}`,
	},
	JudgeBench: {
		`{"pair_id":"p1","source":"mmlu-pro-law","question":"q","response_model":"m","response_A":"a","response_B":"b","label":"B>A"}`,
	},
	RMB: {
		`{"pair_uid":"u","conversation_input":[{"role":"user","content":"q"}],"chosen":{"answer":"a","llm_name":"m"},"reject":{"answer":"b","llm_name":"n"},"category_path":"Pairwise_set/Helpfulness/Chat"}`,
		`{"bon_uid":"u","conversation_input":[{"role":"user","content":"q"}],"bon_best":{"answer":"a","llm_name":"m"},"loser_list":[{"answer":"b"},{"answer":"c"}],"category_path":"BoN_set/Harmlessness/S1"}`,
	},
	HHH: {
		`{"input":"q","targets":{"choices":["a","b"],"labels":[0,1]}}`,
	},
}

// Each row of published, by its keys and with its format stated, against what a person reads in it.
func TestPublishedFormats(t *testing.T) {
	q := user("q")
	pair := func(prompt []Message, chosen, rejected string) Group {
		return NewPair(prompt, chosen, rejected, Location{})
	}
	tie := func(prompt []Message, a, b string) Group {
		return Group{Prompt: prompt, Responses: []string{a, b}, Ties: [][2]int{{0, 1}}}
	}
	with := func(g Group, subset, id string, margin float64) Group {
		g.Subset, g.ID = subset, id
		if len(g.Comparisons) > 0 {
			g.Comparisons[0].Margin = margin
		}
		return g
	}
	bestof := func(chosen int, responses ...string) Group {
		g := Group{Prompt: q, Responses: responses}
		for c := range chosen {
			for r := chosen; r < len(responses); r++ {
				g.Comparisons = append(g.Comparisons, Comparison{Chosen: c, Rejected: r})
			}
		}
		return g
	}
	want := map[string][]Group{
		PKU: {with(pair(q, "b", "a"), "safe-unsafe", "", 0), with(pair(q, "a", "b"), "safe-safe", "",
			0), with(tie(q, "a", "b"), "unsafe-unsafe", "", 0)},
		Arena: {with(pair(q, "b", "a"), "English", "7", 0), tie(q, "a", "b"), pair(q, "a", "b"), {}},
		Alpaca: {pair(user("do\n\nit"), "b", "a"), pair(user("do"), "a", "b"), tie(user("do"), "a", "b"),
			pair(user("do"), "a", "b"), with(pair(user("do"), "b", "a"), "", "3", 0),
			with(tie(user("do"), "a", "b"), "", "3", 0)},
		UltraFeedback: {{Prompt: q, Responses: []string{"a", "b", "c"},
			Comparisons: []Comparison{{Chosen: 1, Rejected: 0}, {Chosen: 1, Rejected: 2}},
			Ties:        [][2]int{{0, 2}}, Scores: []float64{4, 5, 4}, Subset: "flan"}},
		HelpSteer: {with(pair(q, "a", "b"), "", "", 2), with(pair(q, "b", "a"), "", "", 3),
			tie(q, "a", "b"), {Prompt: q, Responses: []string{"a"}}},
		BestOf: {with(bestof(1, "a", "b", "c", "d"), "Factuality", "12", 0),
			with(bestof(3, "a", "aa", "aaa", "b", "bb", "bbb"), "chat", "c-1", 0)},
		JudgeBench: {with(pair(q, "b", "a"), "mmlu-pro-law", "p1", 0)},
		RMB: {with(pair(q, "a", "b"), "Pairwise_set/Helpfulness/Chat", "u", 0),
			with(bestof(1, "a", "b", "c"), "BoN_set/Harmlessness/S1", "u", 0)},
		HHH: {pair(q, "b", "a")},
	}
	for format, rows := range published {
		if len(want[format]) != len(rows) {
			t.Fatalf("%s: %d rows, %d wanted groups", format, len(rows), len(want[format]))
		}
		for i, row := range rows {
			for _, stated := range []string{Auto, format} {
				d, _, err := decodeRow([]byte(row), Options{Format: stated, KeepTies: true})
				if err != nil {
					t.Errorf("%s %d: %v", format, i, err)
					continue
				}
				if w := want[format][i]; w.Prompt == nil {
					if d.drop != DropPrompts {
						t.Errorf("%s %d: dropped %q, want %q", format, i, d.drop, DropPrompts)
					}
				} else if !reflect.DeepEqual(d.group, w) {
					t.Errorf("%s %d (%s): %+v\nwanted %+v", format, i, stated, d.group, w)
				}
			}
			if len(want[format][i].Ties) > 0 && len(want[format][i].Comparisons) == 0 {
				if d, _, err := decodeRow([]byte(row), Options{}); err != nil || d.drop != DropTied ||
					d.tied != 1 {
					t.Errorf("%s %d: without ties %+v, %v", format, i, d, err)
				}
			}
		}
	}
}

func TestChoose(t *testing.T) {
	for _, c := range []struct {
		format string
		row    int
		choose string
		want   []Comparison
		chosen string
	}{
		{PKU, 0, Safer, []Comparison{{Chosen: 0, Rejected: 1}}, "b"},
		{PKU, 0, Better, []Comparison{{Chosen: 0, Rejected: 1}}, "a"},
		{UltraFeedback, 0, "overall_score",
			[]Comparison{{Chosen: 0, Rejected: 1}, {Chosen: 0, Rejected: 2}}, "a"},
		{UltraFeedback, 0, "helpfulness", []Comparison{{Chosen: 1, Rejected: 0}, {Chosen: 2, Rejected: 0},
			{Chosen: 1, Rejected: 2}}, "b"},
	} {
		d, _, err := decodeRow([]byte(published[c.format][c.row]), Options{Label: c.choose})
		if err != nil || !reflect.DeepEqual(d.group.Comparisons, c.want) ||
			d.group.Responses[d.group.Comparisons[0].Chosen] != c.chosen {
			t.Errorf("%s by %s: %+v, %v", c.format, c.choose, d.group, err)
		}
	}
}

func TestPublishedErrors(t *testing.T) {
	for row, want := range map[string]string{
		`{"prompt":"q","response_0":"a","response_1":"b","safer_response_id":2}`:                                           `field "safer_response_id": 2, want 0, 1 or -1`,
		`{"prompt":"q","response_0":"a","response_1":"b"}`:                                                                 `field "better_response_id": missing`,
		`{"prompt":"q","response_0":"a","response_1":"b","safer_response_id":1,"is_response_0_safe":1}`:                    `field "is_response_0_safe": a number, want true or false`,
		`{"conversation_a":[],"conversation_b":[],"winner":"model_a"}`:                                                     `field "conversation_a": an empty list`,
		`{"conversation_a":[{"role":"user","content":"q"}],"conversation_b":"x","winner":"model_a"}`:                       `field "conversation_b": text, want a list of messages`,
		`{"conversation_a":[{"role":"user","content":"q"}],"conversation_b":[{"role":"user","content":"q"}],"winner":"b"}`: `field "winner": "b", want model_a`,
		`{"instruction":"q","output_1":"a","output_2":"b","preference":3}`:                                                 `field "preference": 3, want 1, 2 or 0`,
		`{"instruction":"q","output_1":"a","output_2":"b"}`:                                                                `field "preference": missing`,
		`{"instruction":"q","completions":[{"annotations":{}}]}`:                                                           `field "completions[0].response": missing`,
		`{"instruction":"q","completions":[{"response":"a","annotations":3}]}`:                                             `field "completions[0].annotations": a number, want an object`,
		`{"prompt":"q","response_1":"a","response_2":"b"}`:                                                                 `field "preference_strength": missing`,
		`{"prompt":"q","chosen":["a"],"rejected":[]}`:                                                                      `field "rejected": 0 of them, want 1 to`,
		`{"question":"q","response_A":"a","response_B":"b","label":"A"}`:                                                   `field "label": "A", want "A>B"`,
		`{"conversation_input":"q","chosen":{"llm":"x"},"reject":{"answer":"b"}}`:                                          `field "chosen.answer": missing`,
		`{"conversation_input":"q","bon_best":{"answer":"b"},"loser_list":{}}`:                                             `field "loser_list": an object, want a list of answers`,
		`{"input":"q","targets":{"choices":["a","b"],"labels":[1]}}`:                                                       `field "targets.labels": 1 of them, want one for each of the 2 choices`,
	} {
		if _, _, err := decodeRow([]byte(row), Options{}); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v\nwanted %s", row, err, want)
		}
	}
}

// Adjacent rows of one prompt are one group; what became of every row is counted.
func TestJoinedRows(t *testing.T) {
	row := func(prompt, response, score string) string {
		return `{"prompt":"` + prompt + `","response":"` + response + `","helpfulness":` + score +
			`,"correctness":0}`
	}
	rows := []string{row("p", "a", "1"), row("p", "b", "3"), row("q", "alone", "1"),
		row("r", "a", "2"), row("r", "b", "2"), row("r", "c", "1"), row("s", "a", "2"),
		row("s", "b", "2")}
	path := file(t, "a.jsonl", []byte(strings.Join(rows, "\n")))
	groups, counts, err := Load([]string{path}, Options{})
	if err != nil || len(groups) != 2 {
		t.Fatalf("%v, %v", groups, err)
	}
	if !reflect.DeepEqual(groups[0], Group{Prompt: user("p"), Responses: []string{"a", "b"},
		Comparisons: []Comparison{{Chosen: 1, Rejected: 0}}, Scores: []float64{1, 3},
		Source: Location{path, 1}}) {
		t.Errorf("%+v", groups[0])
	}
	if g := groups[1]; g.Source.Line != 4 ||
		!reflect.DeepEqual(g.Comparisons,
			[]Comparison{{Chosen: 0, Rejected: 2}, {Chosen: 1, Rejected: 2}}) || g.Ties != nil {
		t.Errorf("%+v", g)
	}
	if counts.Read != 8 || counts.Kept != 2 || counts.Joined != 4 || counts.Dropped[DropAlone] != 1 ||
		counts.Dropped[DropNoComparison] != 1 || counts.Tied != 2 {
		t.Errorf("%+v", counts)
	}
	groups, _, err = Load([]string{path}, Options{KeepTies: true})
	if err != nil || len(groups) != 3 || !reflect.DeepEqual(groups[1].Ties, [][2]int{{0, 1}}) ||
		len(groups[2].Comparisons) != 0 {
		t.Errorf("with ties: %+v, %v", groups, err)
	}
	if groups, counts, err = Load([]string{path}, Options{Limit: 1}); err != nil || len(groups) != 1 ||
		counts.Read != 2 {
		t.Errorf("first: %v, %v, %v", groups, counts, err)
	}
	if _, _, err := Load([]string{path}, Options{Label: "correctness"}); err == nil ||
		!strings.Contains(err.Error(), "tied 5") {
		t.Errorf("by an attribute in which all are equal: %v", err)
	}
}

func TestSubsetsAndLengths(t *testing.T) {
	path := file(t, "a.jsonl", []byte(strings.Join(published[PKU], "\n")))
	_, counts, err := Load([]string{path}, Options{Subsets: []string{"safe-unsafe"}})
	if err != nil || counts.Kept != 1 || counts.Dropped[DropSubset] != 1 ||
		counts.Dropped[DropTied] != 1 {
		t.Errorf("%v, %v", counts, err)
	}
	rows := `{"prompt":"äö","chosen":"abc","rejected":"a"}` + "\n" +
		`{"prompt":"äö","chosen":"abcd","rejected":"a"}`
	_, counts, err = Load([]string{file(t, "b.jsonl", []byte(rows))}, Options{MaxChars: 5})
	if err != nil || counts.Kept != 1 || counts.Dropped[DropLong] != 1 {
		t.Errorf("%v, %v", counts, err)
	}
}

// The published sets beside the checkout; the counts were made with a few lines of Python over the
// rows.
func TestPublishedShared(t *testing.T) {
	for _, c := range []struct {
		name                    string
		opt                     Options
		read, kept, comparisons int
	}{
		{"beavertails/pku-saferlhf.test.jsonl.gz", Options{}, 3302, 3302, 3302},
		{"beavertails/pku-saferlhf.test.jsonl.gz", Options{Subsets: []string{"safe-unsafe"}}, 3302, 3302,
			3302},
		{"arena/mt-bench-human.jsonl.gz", Options{}, 327, 203, 203},
		{"alpaca/pandalm.jsonl.gz", Options{}, 792, 792, 792},
		{"rewardbench/llmbar.jsonl.gz", Options{}, 419, 419, 419},
	} {
		_, counts, err := Load([]string{shared.Path(t, "data/"+c.name)}, c.opt)
		if err != nil {
			t.Fatal(err)
		}
		if counts.Read != c.read || counts.Kept != c.kept || counts.Comparisons != c.comparisons {
			t.Errorf("%s: %v", c.name, counts)
		}
	}
}

// Only "N/A" is no rating; what else is no number is a malformed row.
func TestUltraFeedbackRatings(t *testing.T) {
	row := func(rating string) []byte {
		one := `{"response":"%s","annotations":{"helpfulness":{"Rating":%s},"honesty":{"Rating":"2"}}}`
		return []byte(`{"instruction":"q","completions":[` + fmt.Sprintf(one, "a", rating) + "," +
			fmt.Sprintf(one, "b", `"1"`) + "]}")
	}
	for rating, want := range map[string]float64{`"N/A"`: 2, `"4"`: 3, `4`: 3, `"4.5"`: 3.25} {
		d, _, err := decodeRow(row(rating), Options{})
		if err != nil || d.group.Scores[0] != want {
			t.Errorf("%s: %v, %v, want %v", rating, d.group.Scores, err, want)
		}
	}
	for rating, want := range map[string]string{
		`"five"`: `"five", want a number or "N/A"`,
		`"null"`: `"null", want a number or "N/A"`,
		`"NaN"`:  `"NaN", want a number or "N/A"`,
		`""`:     `"", want a number or "N/A"`,
		`null`:   "null, want a value",
		`[5]`:    "a list, want a number",
		`true`:   "a boolean, want a number",
		`NaN`:    "NaN, want a finite number",
	} {
		want = `field "completions[0].annotations.helpfulness.R"…: ` + want
		if _, _, err := decodeRow(row(rating), Options{}); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", rating, err, want)
		}
	}
}
