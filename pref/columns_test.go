package pref

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestColumns(t *testing.T) {
	for _, c := range []struct {
		columns, row string
		want         Group
		unread       string
	}{
		{"prompt=q,chosen=x.best,rejected=x.worst.text",
			`{"q":"q","x":{"best":"a","worst":{"text":"b"}},"z":1}`,
			NewPair(user("q"), "a", "b", Location{}), `"z"`},
		{"chosen=rejected,rejected=chosen", `{"prompt":"q","chosen":"b","rejected":"a"}`,
			NewPair(user("q"), "a", "b", Location{}), ""},
		{"prompt=a.b", `{"a.b":"q","a":{"b":"other"},"chosen":"a","rejected":"b"}`,
			NewPair(user("q"), "a", "b", Location{}), `"a"`},
		{"prompt=instruction,chosen=output_1,rejected=output_2,input=-",
			`{"instruction":"q","input":"more","output_1":"a","output_2":"b","preference":2}`,
			NewPair(user("q"), "a", "b", Location{}), `"input", "preference"`},
		{"prompt=question,responses=answers,scores=votes",
			`{"question":"q","answers":["a","b"],"votes":[2,1]}`,
			Group{Prompt: user("q"), Responses: []string{"a", "b"}, Scores: []float64{2, 1},
				Comparisons: []Comparison{{Chosen: 0, Rejected: 1}}}, ""},
		{"system=-", `{"system":"s","prompt":"q","chosen":"a","rejected":"b"}`,
			NewPair(user("q"), "a", "b", Location{}), `"system"`},
		{"system=instructions", `{"instructions":"s","question":"q","response_j":"a","response_k":"b"}`,
			NewPair([]Message{{Role: System, Content: "s"}, {Role: User, Content: "q"}}, "a", "b",
				Location{}),
			""},
		{"prompt=question", `{"prompt":"p","question":"q","chosen":"a","rejected":"b"}`,
			NewPair(user("q"), "a", "b", Location{}), `"prompt"`},
	} {
		var opt Options
		if err := opt.Columns.UnmarshalText([]byte(c.columns)); err != nil {
			t.Fatal(err)
		}
		path := file(t, "c.jsonl", []byte(c.row))
		groups, counts, err := Load([]string{path}, opt)
		if err != nil {
			t.Errorf("%s of %s: %v", c.columns, c.row, err)
			continue
		}
		c.want.Source = Location{path, 1}
		if !reflect.DeepEqual(groups[0], c.want) {
			t.Errorf("%s of %s: %+v, want %+v", c.columns, c.row, groups[0], c.want)
		}
		if _, got, _ := strings.Cut(counts.String(), "columns not read: "); got != c.unread {
			t.Errorf("%s of %s: not read are %s, want %s", c.columns, c.row, got, c.unread)
		}
	}
}

func TestColumnErrors(t *testing.T) {
	for columns, want := range map[string]string{
		"prompt": "gives no column", "prompt=": "gives no column", "x=y": `there is no column "x"`,
		"prompt=a,prompt=b": "given twice",
	} {
		if err := new(Columns).UnmarshalText([]byte(columns)); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", columns, err, want)
		}
	}
	for _, c := range []struct{ columns, want string }{
		{"prompt=q", `c.jsonl:1: field "q": missing or null, want the prompt beside`},
		{"prompt=chosen.text", `c.jsonl:1: field "chosen": text, want an object`},
		{"margin=m",
			`c.jsonl: no row that was read has the column "m", which the margin is to be read from; the last row has "chosen", "prompt", "rejected"`},
		{"chosen=n", `c.jsonl:1: field "n": missing or null`},
		{"prompt=chosen,chosen=prompt", ""},
	} {
		var opt Options
		if err := opt.Columns.UnmarshalText([]byte(c.columns)); err != nil {
			t.Fatal(err)
		}
		_, _, err := Load(
			[]string{file(t, "c.jsonl", []byte(`{"prompt":"q","chosen":"a","rejected":"b","n":null}`))}, opt)
		if c.want == "" && err != nil || c.want != "" &&
			(err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %s", c.columns, err, c.want)
		}
	}
}

func TestNegativeMargins(t *testing.T) {
	rows := `{"prompt":"q","chosen":"a","rejected":"b","margin":-2}
{"prompt":"q","responses":["a","b","c"],"comparisons":[{"chosen":0,"rejected":1,"margin":1},{"chosen":2,"rejected":0,"margin":-3}]}
{"prompt":"q","chosen":"a","rejected":"b","score_chosen":1,"score_rejected":1}`
	path := file(t, "m.jsonl", []byte(rows))
	if _, _, err := Load([]string{path}, Options{}); err == nil ||
		!strings.Contains(err.Error(), `m.jsonl:1: field "margin": -2, want 0 or more`) {
		t.Error(err)
	}
	groups, counts, err := Load([]string{path}, Options{NegativeMargin: NegativeFlip})
	if err != nil || counts.NegativeMargins != 2 {
		t.Fatalf("%v, %v", counts, err)
	}
	if c := groups[0].Comparisons[0]; c != (Comparison{Chosen: 1, Rejected: 0, Margin: 2}) {
		t.Errorf("flipped to %+v", c)
	}
	if c := groups[1].Comparisons[1]; c != (Comparison{Chosen: 0, Rejected: 2, Margin: 3}) {
		t.Errorf("flipped to %+v", c)
	}
	if c := groups[2].Comparisons[0]; !c.Stated() || c.Margin != 0 {
		t.Errorf("a margin of 0 is %+v", c)
	}
	groups, counts, err = Load([]string{path}, Options{NegativeMargin: NegativeKeep})
	if err != nil || counts.NegativeMargins != 2 || groups[0].Comparisons[0].Margin != -2 {
		t.Errorf("%v, %v, %v", groups, counts, err)
	}
	if _, _, err := Load([]string{path}, Options{NegativeMargin: "turn"}); err == nil {
		t.Error("an unknown option is no error")
	}
}

func TestNonText(t *testing.T) {
	path := file(t, "m.jsonl", []byte(`{"prompt":"q","chosen":"a","rejected":"b","images":["x"]}
{"prompt":[{"role":"user","content":[{"type":"image"}]}],"chosen":"a","rejected":"b"}
{"prompt":"<image> q","chosen":"a","rejected":"b"}
{"prompt":"q","chosen":"a","rejected":"b","images":[],"videos":null}`))
	groups, counts, err := Load([]string{path}, Options{NonText: NonTextDrop})
	if err != nil || len(groups) != 1 || counts.Dropped[DropNotText] != 3 || counts.Bad != 0 {
		t.Errorf("%v, %v, %v", groups, counts, err)
	}
}

// A message is the same once it is written as JSON and read again.
func TestMessageJSON(t *testing.T) {
	for _, m := range []Message{
		{Role: User, Content: "a \"b\" <c>"},
		{Role: Assistant,
			Parts: `{"content":null,"tool_calls":[{"function":{"arguments":{"z":1,"a":2},"name":"f"}}]}`},
		{Role: Assistant, Content: "x", Parts: `{"reasoning_content":"y"}`},
		{Role: User, Content: "q", Tools: `[{"name":"f"}]`},
		{Role: Tool, Content: "1", Parts: `{"name":"f","tool_call_id":"7"}`},
	} {
		data, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		var again Message
		if err := json.Unmarshal(data, &again); err != nil || again != m {
			t.Errorf("%+v is written %s and read %+v, %v", m, data, again, err)
		}
	}
	plain, err := json.Marshal([]Message{{Role: User, Content: "q"}})
	if err != nil || string(plain) != `[{"role":"user","content":"q"}]` {
		t.Errorf("%s, %v", plain, err)
	}
	a := Group{Prompt: []Message{{Role: User, Content: "q"}}}
	b := Group{Prompt: []Message{{Role: User, Content: "q", Tools: `[{}]`}}}
	if a.PromptKey() == b.PromptKey() {
		t.Error("tools are no part of a prompt's key")
	}
}

// An unknown key of a row or of a message is reported.
func TestUnreadKeys(t *testing.T) {
	path := file(t, "m.jsonl",
		[]byte(`{"prompt":[{"role":"user","content":"q","weight":1}],"chosen":"a","rejected":"b","x":1,"y":null}
{"prompt":"[INST] q [/INST]","chosen":"a","rejected":"b","x":2}
{"prompt":"p","responses":["a","b"],"comparisons":[{"chosen":0,"rejected":1,"margin":1,"by":"x"}]}`))
	_, counts, err := Load([]string{path}, Options{})
	want := map[string]int{"prompt[].weight": 1, "x": 2, "comparisons[].by": 1}
	if err != nil || !reflect.DeepEqual(counts.Unread, want) || counts.Marked != 1 ||
		counts.Marks["[INST]"] != 1 {
		t.Errorf("%+v, %v", counts, err)
	}
}
