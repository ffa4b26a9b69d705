package main

import (
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// TestExamples wants an example for every verb, that its help ends with it, and that its words are
// flags and arguments of that verb.
func TestExamples(t *testing.T) {
	parser, err := kong.New(&cli{})
	if err != nil {
		t.Fatal(err)
	}
	of := map[string]bool{}
	for _, verb := range parser.Model.Node.Children {
		of[verb.Name] = true
		text := examples[verb.Name]
		if verb.Hidden {
			continue
		}
		if text == "" {
			t.Errorf("haf %s has no example", verb.Name)
		}
		var help strings.Builder
		var c cli
		if _, _, err := parse(&c, []string{verb.Name, "-help"}, &help, io.Discard); err != nil {
			t.Error(err)
		}
		last := text[strings.LastIndex(text, "\n")+1:]
		if !strings.HasSuffix(help.String(), last+"\n") {
			t.Errorf("the help of haf %s does not end with %q: %s", verb.Name, last, help.String())
		}
		for line := range strings.Lines(text) {
			parseExample(t, verb.Name, line)
		}
	}
	for name := range examples {
		if !of[name] {
			t.Errorf("an example is of %s, which is no verb", name)
		}
	}
}

// parseExample has a shell split the line, and parses its words.
func parseExample(t *testing.T, verb, line string) {
	t.Helper()
	if verb == "completion" {
		line = strings.NewReplacer(`eval "$(`, "", `)"`, "").Replace(line)
	}
	script := "haf() { for word; do printf '%s\\n' \"$word\"; done; }\n" + line
	out, err := exec.Command("sh", "-c", script).Output()
	if err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	var c cli
	command, _, err := parse(&c, strings.Split(strings.TrimSpace(string(out)), "\n"), io.Discard,
		io.Discard)
	if err != nil || command == nil || !strings.Contains(command.Command(), verb) {
		t.Errorf("%q: %v", line, err)
	}
}
