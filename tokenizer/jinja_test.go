package tokenizer

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
)

// knownDifferences are templates that gonja renders otherwise, by how they begin; jinja.go says why. A case that comes
// to agree is to be taken out.
var knownDifferences = []string{
	"{% for t in tools %}{{ t.function.name }}", "{{ 'a' ~ 1 ~ none }}", "{{ none }}", "{{ true }} {{ false }} {{ 1.0 }}", "{{ [1, 'a', none, true] }}",
	"{{ {'a': 'b', 'c': none} }}", `{{ 'it\'s' }}`, "{{ messages[0].missing is defined }}", "{{ '%s-%d' | format",
	"{% set a, b = 1, 2 %}", "{% raw %}", `{{ 'a' == "a" }}`, "{{ messages[0].content | default('x', true) }}",
	"{{ '😀é'[0] }}", "{{ (1, 2) }}", `{{ "a" "b" }}`,
}

// Rendered by jinja2 as transformers sets it up (testdata/jinja.py); null: an error.
func TestAgainstJinja(t *testing.T) {
	data, err := os.ReadFile("testdata/jinja.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Template        string
		Messages, Tools json.RawMessage
		Rendered        *string
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	differ, agree := map[string]int{}, map[string]int{}
	for _, c := range cases {
		known := slices.IndexFunc(knownDifferences, func(begin string) bool { return strings.HasPrefix(c.Template, begin) })
		tpl, err := NewTemplate(c.Template, "<s>", "</s>")
		got := ""
		if err == nil {
			got, err = tpl.RenderAny(c.Messages, map[string]any{"tools": c.Tools, "add_generation_prompt": true})
		}
		if known >= 0 {
			if (c.Rendered == nil) == (err != nil) && (c.Rendered == nil || *c.Rendered == got) {
				agree[knownDifferences[known]]++
			} else {
				differ[knownDifferences[known]]++
			}
			continue
		}
		switch {
		case c.Rendered == nil && err == nil:
			t.Errorf("%.60s: rendered %q, want an error", c.Template, got)
		case c.Rendered != nil && err != nil:
			t.Errorf("%.60s: want %q: %.300v", c.Template, *c.Rendered, err)
		case c.Rendered != nil && got != *c.Rendered:
			t.Errorf("%.60s:\n got %q\nwant %q", c.Template, got, *c.Rendered)
		}
	}
	for _, begin := range knownDifferences {
		if differ[begin] == 0 {
			t.Errorf("%s: listed as a difference but agrees %d times", begin, agree[begin])
		}
	}
}
