package pref

import (
	"errors"
	"strings"
	"testing"
)

// A column that may belong to the prompt is joined to it where it is named input, and left out
// where input is named as no column; else testdata/refused has such rows.
func TestInputBesidePrompt(t *testing.T) {
	for _, c := range []struct{ row, columns, prompt, unread string }{
		{`{"prompt":"q","input":"i","chosen":"a","rejected":"b"}`, "input=input", "q\ni", ""},
		{`{"prompt":"q","input":"i","chosen":"a","rejected":"b"}`, "input=-", "q", "input"},
		{`{"prompt":"q","context":"i","chosen":"a","rejected":"b"}`, "input=context", "q\ni", ""},
		{`{"prompt":"q","context":"i","chosen":"a","rejected":"b"}`, "input=-", "q", "context"},
		{`{"prompt":"q","more":{"text":"i"},"responses":["a","b"],"scores":[1,0]}`, "input=more.text",
			"q\ni", ""},
		{`{"prompt":"q","input":"","context":" ","chosen":"a","rejected":"b"}`, "", "q",
			`context", "input`},
		{`{"prompt":"the q, i","input":"i","chosen":"a","rejected":"b"}`, "", "the q, i", "input"},
		{`{"prompt":"q","context":7,"chosen":"a","rejected":"b"}`, "", "q", "context"},
		{`{"question":"q","passage":"i","chosen":"a","rejected":"b"}`, "input=passage", "q\ni", ""},
		// these formats have an input of their own, and their own way to join it
		{`{"instruction":"q","input":"i","chosen":"a","rejected":"b"}`, "", "q\ni", ""},
		{`{"instruction":"q","input":"i","output_1":"a","output_2":"b","preference":1}`, "input=input",
			"q\n\ni", ""},
	} {
		var opt Options
		if c.columns != "" {
			if err := opt.Columns.UnmarshalText([]byte(c.columns)); err != nil {
				t.Fatal(err)
			}
		}
		groups, counts, err := Load([]string{file(t, "m.jsonl", []byte(c.row))}, opt)
		if err != nil {
			t.Errorf("%s, %s: %v", c.row, c.columns, err)
			continue
		}
		if got := groups[0].Prompt; len(got) != 1 || got[0].Content != c.prompt {
			t.Errorf("%s, %s: the prompt is %+v, want %q", c.row, c.columns, got, c.prompt)
		}
		if got := strings.Join(counts.Lines(), "\n"); c.unread != "" && !strings.Contains(got,
			`columns not read: "`+c.unread+`"`) {
			t.Errorf("%s, %s: %s is not reported: %s", c.row, c.columns, c.unread, got)
		}
	}
	path := file(t, "m.jsonl", []byte(`{"prompt":[{"role":"user","content":"q"},{"role":"assistant",`+
		`"content":"x"}],"input":"i","chosen":"a","rejected":"b"}`))
	_, _, err := Load([]string{path}, Options{Columns: Columns{Input: "input"}})
	if err == nil || !strings.Contains(err.Error(), `ends in a message of role "assistant"`) {
		t.Errorf("an input behind an answer: %v", err)
	}
	// samples and prompts are read by the same rule
	row := file(t, "s.jsonl", []byte(`{"prompt":"q","input":"i","response":"a"}`))
	if _, err := LoadSamples([]string{row}, Options{}); err == nil {
		t.Error("a sample with an input beside its prompt is no error")
	}
	if _, _, err := LoadPrompts([]string{row}, Options{}); err == nil || errors.Is(err, ErrEmpty) {
		t.Errorf("a prompt with an input beside it: %v", err)
	}
	prompts, _, err := LoadPrompts([]string{row}, Options{Columns: Columns{Input: "input"}})
	if err != nil || prompts[0][0].Content != "q\ni" {
		t.Errorf("%v, %v", prompts, err)
	}
}
