package hub

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestNames refuses files that a hub lists under names that lead elsewhere, or that replace one
// another, and stores nothing of such a repository.
func TestNames(t *testing.T) {
	const config, weights = "config.json", "model.safetensors"
	for _, c := range []struct {
		names []string
		want  string // "": the model is taken
	}{
		{[]string{"../" + weights}, "no path inside"},
		{[]string{"a/../../" + weights}, "no path inside"},
		{[]string{"/etc/passwd"}, "no path inside"},
		{[]string{"..\\" + weights}, "no path inside"},
		{[]string{"C:\\x"}, "no path inside"},
		{[]string{"C:x"}, "no path inside"},
		{[]string{"\\\\host\\share"}, "no path inside"},
		{[]string{"a\x00b"}, "no path inside"},
		{[]string{"a\nb"}, "no path inside"},
		{[]string{"a\x1b[31mb"}, "no path inside"},
		{[]string{""}, "no path inside"},
		{[]string{"."}, "no path inside"},
		{[]string{".."}, "no path inside"},
		{[]string{"a//b"}, "no path inside"},
		{[]string{"a/./b"}, "no path inside"},
		{[]string{"a/"}, "no path inside"},
		{[]string{config}, "two files"},
		{[]string{"additional_chat_templates/con.jinja"}, "on Windows"},
		{[]string{"additional_chat_templates/LPT1 .x.jinja"}, "on Windows"},
		{[]string{"additional_chat_templates/a?.jinja"}, "on Windows"},
		{[]string{"additional_chat_templates/" + strings.Repeat("x", 250) + ".jinja"}, "on Windows"},
		{[]string{"additional_chat_templates/a.jinja", "additional_chat_templates/A.jinja"},
			"are one file"},
		{[]string{"additional_chat_templates/é.jinja", "additional_chat_templates/e\u0301.jinja"},
			"are one file"},
		// of no use to haf, so not stored
		{[]string{"images/con.png", "Readme.md", "README.md", "what?.png"}, ""},
		{[]string{"additional_chat_templates/icon.jinja", "additional_chat_templates/com.jinja"}, ""},
	} {
		t.Run(fmt.Sprintf("%.40q", c.names), func(t *testing.T) {
			s := newStandIn(t)
			files := map[string]string{config: "{}", weights: "w", "tokenizer.json": "{}"}
			for _, name := range c.names {
				if _, twice := files[name]; !twice {
					files[name] = "x"
				}
			}
			s.put("models/org/name", files)
			s.listed = slices.Sorted(maps.Keys(files))
			if c.want == "two files" {
				s.listed = append(s.listed, c.names...)
			}
			client := s.client(t)
			_, err := client.Model(t.Context(), "org/name")
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) ||
				!strings.Contains(err.Error(), "org/name") {
				t.Errorf("%v; want %q", err, c.want)
			}
			if strings.ContainsAny(fmt.Sprint(err), "\x00\x1b\n") {
				t.Errorf("the error has a control character: %q", err)
			}
			for _, name := range c.names {
				if got := s.asked(name); name != "" && name != "." && len(got) > 0 && name != config {
					t.Errorf("asked for %q", got)
				}
			}
			if entries, err := os.ReadDir(client.Cache); err == nil && len(entries) > 0 &&
				c.want == "no path inside" {
				t.Errorf("the cache has %v", entries)
			}
		})
	}
}

// TestPushNames refuses the same of what is sent.
func TestPushNames(t *testing.T) {
	for _, p := range []Push{
		{ID: "../name"}, {ID: "org/name\nx: y"}, {ID: "org/name", Revision: "../../x"},
		{ID: "org/name", Revision: "a\nb"}, {ID: "org/name", Revision: "/x"},
		{ID: "org/name", Revision: "a/../b"}, {ID: "org/name", Revision: "-x"},
		{ID: "org/name", Files: []Upload{{Name: "../x"}}},
		{ID: "org/name", Files: []Upload{{Name: "x"}, {Name: "X"}}},
		{ID: "org/name", Files: []Upload{{Name: "nul"}}},
	} {
		if err := p.Check(); err == nil {
			t.Errorf("%+v is taken", p)
		}
	}
	good := Push{ID: "org/name", Revision: "refs/pr/1", Files: []Upload{{Name: "a/b"}, {Name: "c"}}}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
}
