package pref

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func user(s string) []Message { return []Message{{Role: User, Content: s}} }

func TestDecodeRow(t *testing.T) {
	pair := NewPair(user("q"), "good", "bad", Location{})
	with := func(g Group, change func(*Group)) Group {
		g.Comparisons = slices.Clone(g.Comparisons)
		change(&g)
		return g
	}
	three := Group{Prompt: user("q"), Responses: []string{"a", "b", "c"}}
	for _, c := range []struct {
		name, data string
		want       decoded
	}{
		{"hh", `{"chosen":"\n\nHuman: q\n\nAssistant: good","rejected":"\n\nHuman: q\n\nAssistant: bad"}`,
			decoded{group: pair}},
		{"text", `{"prompt":"q","chosen":"good","rejected":"bad","other":1}`, decoded{group: pair}},
		{"messages",
			`{"prompt":[{"role":"user","content":"q"}],"chosen":[{"role":"assistant","content":"good"}],"rejected":[{"role":"assistant","content":"bad","x":[]}]}`, decoded{group: pair}},
		{"mixed", `{"prompt":"q","chosen":[{"role":"assistant","content":"good"}],"rejected":"bad"}`,
			decoded{group: pair}},
		{"implicit",
			`{"chosen":[{"role":"user","content":"q"},{"role":"assistant","content":"good"}],"rejected":[{"role":"user","content":"q"},{"role":"assistant","content":"bad"}]}`, decoded{group: pair}},
		{"null prompt",
			`{"prompt":null,"chosen":[{"role":"user","content":"q"},{"role":"assistant","content":"good"}],"rejected":[{"role":"user","content":"q"},{"role":"assistant","content":"bad"}]}`, decoded{group: pair}},
		{"prompt repeated",
			`{"prompt":"q","chosen":[{"role":"user","content":"q"},{"role":"assistant","content":"good"}],"rejected":[{"role":"user","content":"q"},{"role":"assistant","content":"bad"}]}`, decoded{group: pair}},
		{"prompt repeated after a system message",
			`{"prompt":"q","chosen":[{"role":"system","content":"s"},{"role":"user","content":"q"},{"role":"assistant","content":"good"}],"rejected":[{"role":"system","content":"s"},{"role":"user","content":"q"},{"role":"assistant","content":"bad"}]}`,
			decoded{group: with(
				pair, func(g *Group) {
					g.Prompt = []Message{{Role: System, Content: "s"},
						{Role: User, Content: "q"}}
				})}},
		{"margin of two scores",
			`{"prompt":"q","chosen":"good","rejected":"bad","score_chosen":9,"score_rejected":7.5}`,
			decoded{group: with(pair, func(g *Group) { g.Comparisons[0].Margin = 1.5 })}},
		{"margin before scores",
			`{"prompt":"q","chosen":"good","rejected":"bad","score_chosen":9,"score_rejected":7.5,"margin":4}`, decoded{group: with(pair, func(g *Group) { g.Comparisons[0].Margin = 4 })}},
		{"no scores",
			`{"prompt":"q","chosen":"good","rejected":"bad","score_chosen":9,"score_rejected":null}`,
			decoded{group: pair}},
		{"margin", `{"prompt":"q","chosen":"good","rejected":"bad","margin":1.5}`,
			decoded{group: with(pair, func(g *Group) { g.Comparisons[0].Margin = 1.5 })}},
		{"null margin", `{"prompt":"q","chosen":"good","rejected":"bad","margin":null}`,
			decoded{group: pair}},
		{"comparisons",
			`{"prompt":"q","responses":["a","b","c"],"comparisons":[[2,0],{"chosen":0,"rejected":1,"margin":2}]}`,
			decoded{group: with(three, func(g *Group) {
				g.Comparisons = []Comparison{{Chosen: 2, Rejected: 0}, {Chosen: 0, Rejected: 1, Margin: 2}}
			})}},
		{"scores",
			`{"prompt":"q","responses":["a",[{"role":"assistant","content":"b"}],"c"],"scores":[1,-1e3,1]}`,
			decoded{group: with(three, func(g *Group) {
				g.Comparisons = []Comparison{{Chosen: 0, Rejected: 1}, {Chosen: 2, Rejected: 1}}
				g.Scores = []float64{1, -1e3, 1}
			}), tied: 1}},
		{"one identical comparison",
			`{"prompt":"q","responses":["a","b","a"],"comparisons":[[0,1],[0,2]]}`,
			decoded{group: Group{Prompt: user("q"), Responses: []string{"a", "b", "a"},
				Comparisons: []Comparison{{Chosen: 0, Rejected: 1}}}, identical: 1}},

		{"prompts differ",
			`{"chosen":"\n\nHuman: q\n\nAssistant: good","rejected":"\n\nHuman: p\n\nAssistant: bad"}`,
			decoded{drop: DropPrompts}},
		{"prompts differ in messages",
			`{"chosen":[{"role":"user","content":"q"},{"role":"assistant","content":"good"}],"rejected":[{"role":"assistant","content":"bad"}]}`, decoded{drop: DropPrompts}},
		{"ends in a human turn",
			`{"chosen":"\n\nHuman: q\n\nAssistant: good\n\nHuman: thanks","rejected":"\n\nHuman: q\n\nAssistant: bad"}`, decoded{drop: DropNotAssistant}},
		{"empty answer",
			`{"chosen":"\n\nHuman: q\n\nAssistant: good","rejected":"\n\nHuman: q\n\nAssistant: "}`,
			decoded{drop: DropEmpty}},
		{"blank text", `{"prompt":"q","chosen":" \n","rejected":"bad"}`, decoded{drop: DropEmpty}},
		{"blank in a group", `{"prompt":"q","responses":["a",""],"scores":[1,2]}`,
			decoded{drop: DropEmpty}},
		{"no prompt in a transcript", `{"chosen":"\n\nAssistant: good","rejected":"\n\nAssistant: bad"}`,
			decoded{drop: DropNoPrompt}},
		{"no prompt", `{"prompt":"","chosen":"good","rejected":"bad"}`, decoded{drop: DropNoPrompt}},
		{"no prompt in a group", `{"prompt":[],"responses":["a","b"],"scores":[1,2]}`,
			decoded{drop: DropNoPrompt}},
		{"identical", `{"prompt":"q","chosen":"same","rejected":"same"}`,
			decoded{drop: DropIdentical, identical: 1}},
		{"identical in a group", `{"prompt":"q","responses":["a","a"],"scores":[1,2]}`,
			decoded{drop: DropIdentical, identical: 1}},
		{"all tied", `{"prompt":"q","responses":["a","b"],"scores":[2,2]}`,
			decoded{drop: DropNoComparison, tied: 1}},
		{"no comparison", `{"prompt":"q","responses":["a","b"],"comparisons":[]}`,
			decoded{drop: DropNoComparison}},
	} {
		if got, _, err := decodeRow([]byte(c.data), Options{}); err != nil ||
			!reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v, want %+v", c.name, got, err, c.want)
		}
	}
}

func TestDecodeRowErrors(t *testing.T) {
	group := func(rest string) string { return `{"prompt":"q","responses":["a","b"],` + rest + `}` }
	for _, c := range []struct{ format, data, want string }{
		{Auto, `{"prompt":"q","response":"a"}`,
			`keys "prompt", "response" fit no format: where columns rate the response, name them`},
		{Auto, `{"Chosen":"a","rejected":"b"}`, `keys "Chosen", "rejected" fit no form`},
		{Auto, `{}`, `no key at all`},
		{Auto, `{"chosen":"a","rejected":"b","responses":[]}`,
			`fit two formats, hh {chosen, rejected} and groups {responses}: say which`},
		{Auto, `[1]`, `a list, want a JSON object`},
		{Auto, `"x"`, `text, want a JSON object`},
		{Auto, `{"chosen": nope}`,
			`invalid JSON at byte 12 of the row: unexpected character 'n', want a value, want one JSON object`},
		{Auto, `{"chosen":"a"`,
			`invalid JSON at byte 13 of the row: unexpected end, want "," or "}" behind a value`},
		{Auto, "{\"prompt\":\"q\",\"chosen\":\"\xff\",\"rejected\":\"a\"}",
			`field "chosen": invalid UTF-8 at byte 0 of the text (0xff), want UTF-8`},
		{Auto, `{"chosen":"hello","rejected":"bye"}`,
			`field "chosen": "hello", want a transcript that begins with`},
		{Auto, `{"prompt":null,"chosen":"b","rejected":"c"}`,
			`field "prompt": null, want a value beside "chosen", "rejected"`},
		{HH, `{"chosen":["a"],"rejected":"bye"}`, `field "chosen": a list, want text`},
		{HH, `{"chosen":"\n\nHuman: a"}`, `field "rejected": missing, want it beside "chosen"`},
		{Pairs, `{"prompt":"q","chosen":"a"}`,
			`field "rejected": missing, want it beside "chosen", "prompt"`},
		{Pairs, `{"prompt":1,"chosen":"a","rejected":"b"}`,
			`field "prompt": a number, want text or a list of messages`},
		{Pairs, `{"prompt":"q","chosen":true,"rejected":"b"}`,
			`field "chosen": a boolean, want text or a list of messages`},
		{Pairs, `{"prompt":"q","chosen":[],"rejected":"b"}`,
			`field "chosen": an empty list, want messages`},
		{Pairs, `{"chosen":[{"role":"user","content":"q"}],"rejected":"b"}`,
			`field "rejected": text, want a list of messages as in "chosen"`},
		{Pairs, `{"prompt":[{"role":"human","content":"q"}],"chosen":"a","rejected":"b"}`,
			`field "prompt[0].role": "human", want "system", "user", "assistant", "tool", "developer"`},
		{Pairs, `{"prompt":[{"role":"user"}],"chosen":"a","rejected":"b"}`,
			`field "prompt[0].content": missing, want a message`},
		{Pairs, `{"prompt":[{"role":"user","content":[1]}],"chosen":"a","rejected":"b"}`,
			`field "prompt[0].content[0]": a number, want a part`},
		{Pairs, `{"prompt":["q"],"chosen":"a","rejected":"b"}`,
			`field "prompt[0]": text, want a message {role, content}`},
		{Pairs,
			`{"prompt":"q","chosen":[{"role":"user","content":"other"},{"role":"assistant","content":"a"}],"rejected":"b"}`, `field "chosen": a dialogue of 2 messages that does not repeat the prompt`},
		{Pairs, `{"prompt":"q","chosen":"a","rejected":"b","margin":"1"}`,
			`field "margin": text, want a number`},
		{Pairs, `{"prompt":"q","chosen":"a","rejected":"b","margin":1e999}`,
			`field "margin": "1e999", want a number that a float64 holds`},
		{Groups, `{"responses":["a","b"]}`, `field "prompt": missing`},
		{Groups, `{"prompt":"q","responses":"a"}`, `field "responses": text, want a list of responses`},
		{Groups, `{"prompt":"q","responses":["a"]}`, `field "responses": 1 of them, want 2 to 1024`},
		{Groups, `{"prompt":"q","responses":["a"` + strings.Repeat(`,"b"`, maxResponses) +
			`],"scores":[]}`, `field "responses": 1025 of them`},
		{Groups, `{"prompt":"q","responses":["a",null]}`, `field "responses[1]": null, want text`},
		{Groups, `{"prompt":"q","responses":["a",[{"role":"user","content":"b"}]]}`,
			`field "responses[1][0].role": "user", want "assistant"`},
		{Groups, group(
			`"x":1`),
			`field "comparisons": missing, want "comparisons" or "scores" beside "prompt", "responses", "x"`},
		{Groups, group(`"scores":[1,2],"comparisons":[[0,1]]`),
			`field "scores": stands beside "comparisons"`},
		{Groups, group(`"scores":[1]`),
			`field "scores": 1 of them, want one for each of the 2 responses`},
		{Groups, group(`"scores":[1,"2"]`), `field "scores[1]": text, want a number`},
		{Groups, group(`"comparisons":[[0,2]]`),
			`field "comparisons[0]": "2", want the index of a response, 0 to 1`},
		{Groups, group(`"comparisons":[[0,1],[-1,0]]`), `field "comparisons[1]": "-1", want the index`},
		{Groups, group(`"comparisons":[[0,0.5]]`), `field "comparisons[0]": "0.5", want the index`},
		{Groups, group(`"comparisons":[[1,1]]`), `field "comparisons[0]": response 1 against itself`},
		{Groups, group(`"comparisons":[[0,1,2]]`),
			`field "comparisons[0]": 3 elements, want [chosen, rejected]`},
		{Groups, group(`"comparisons":[{"chosen":0}]`),
			`field "comparisons[0]": keys "chosen", want {chosen, rejected}`},
		{Groups, group(`"comparisons":[7]`),
			`field "comparisons[0]": a number, want [chosen, rejected]`},
	} {
		if got, _, err := decodeRow([]byte(c.data), Options{Format: c.format}); err == nil ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s:\n got %+v, %v\n wanted %s", c.format, c.data, got, err, c.want)
		}
	}
}

// A hostile value must not fill the screen.
func TestErrorsStayShort(t *testing.T) {
	long := strings.Repeat("9", 1<<20)
	for _, data := range []string{
		`{"prompt":"q","chosen":"a","rejected":"b","margin":` + long + `}`,
		`{"prompt":"q","responses":["a","b"],"comparisons":[[0,` + long + `]]}`,
		`{"` + long + `":1}`, `{"chosen":"` + long + `","rejected":"x"}`,
		`{"prompt":[{"role":"` + long + `","content":""}],"chosen":"a","rejected":"b"}`,
	} {
		if _, _, err := decodeRow([]byte(data), Options{}); err == nil || len(err.Error()) > 400 {
			t.Errorf("error %.500v", err)
		}
	}
}

// encodeGroup writes a group as a row of the form groups.
func encodeGroup(t *testing.T, g Group) []byte {
	type comparison struct {
		Chosen   int      `json:"chosen"`
		Rejected int      `json:"rejected"`
		Margin   *float64 `json:"margin,omitempty"`
	}
	var comparisons []comparison
	for _, c := range g.Comparisons {
		one := comparison{Chosen: c.Chosen, Rejected: c.Rejected}
		if c.Stated() {
			one.Margin = &c.Margin
		}
		comparisons = append(comparisons, one)
	}
	data, err := json.Marshal(map[string]any{"prompt": g.Prompt, "responses": g.Responses,
		"comparisons": comparisons})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// stored lists the files of testdata that hold rows.
func stored(t testing.TB) (files []string) {
	for _, folder := range []string{"formats", "refused"} {
		found, err := filepath.Glob(filepath.Join("testdata", folder, "*.jsonl"))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v, %v", folder, found, err)
		}
		files = append(files, found...)
	}
	return files
}

func FuzzRow(f *testing.F) {
	for _, s := range []string{
		`{"chosen":"\n\nHuman: q\n\nAssistant: a","rejected":"\n\nHuman: q\n\nAssistant: b"}`,
		`{"prompt":"q","chosen":"a","rejected":"b","margin":0.5}`,
		`{"prompt":[{"role":"user","content":"q"}],"chosen":[{"role":"assistant","content":"a"}],"rejected":[{"role":"assistant","content":"b"}]}`,
		`{"chosen":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}],"rejected":[{"role":"user","content":"q"},{"role":"assistant","content":"b"}]}`,
		`{"prompt":"q","responses":["a","b","c"],"comparisons":[[0,1],{"chosen":2,"rejected":0,"margin":1}]}`,
		`{"prompt":"q","responses":["a","b"],"scores":[1,2]}`,
		`{"chosen":null}`, "[", "\xff",
	} {
		for i := range formats {
			f.Add([]byte(s), i, false)
		}
	}
	for _, path := range stored(f) {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for _, row := range bytes.Split(bytes.TrimSpace(data), []byte("\n")) {
			f.Add(row, 0, true)
		}
	}
	for i, format := range formats {
		for _, row := range published[format] {
			f.Add([]byte(row), i, true)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, format int, ties bool) {
		d, _, err := decodeRow(data, Options{Format: formats[uint(format)%uint(len(formats))],
			KeepTies: ties})
		if err != nil || d.drop != "" || d.single && len(d.group.Responses) == 1 {
			return
		}
		g := d.group
		for _, tie := range g.Ties {
			if tie[0] == tie[1] || min(tie[0], tie[1]) < 0 || max(tie[0], tie[1]) >= len(g.Responses) {
				t.Fatalf("the tie %v of %d responses", tie, len(g.Responses))
			}
		}
		if g.Scores != nil && len(g.Scores) != len(g.Responses) {
			t.Fatalf("%d scores of %d responses", len(g.Scores), len(g.Responses))
		}
		if g.Ties, g.Scores, g.Subset, g.ID = nil, nil, "", ""; len(g.Comparisons) == 0 && ties {
			return
		}
		if len(g.Prompt) == 0 || len(g.Responses) < 2 || len(g.Comparisons) == 0 {
			t.Fatalf("kept %+v", g)
		}
		for _, c := range g.Comparisons {
			if g.Responses[c.Chosen] == g.Responses[c.Rejected] || blank(g.Responses[c.Chosen]) ||
				blank(g.Responses[c.Rejected]) {
				t.Fatalf("kept the comparison %v of %q", c, g.Responses)
			}
		}
		again, _, err := decodeRow(encodeGroup(t, g), Options{})
		if err != nil || !reflect.DeepEqual(again.group, g) {
			t.Fatalf("%+v written and read again is %+v, %v", g, again.group, err)
		}
	})
}
