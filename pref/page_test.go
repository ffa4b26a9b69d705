package pref

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"haf/internal/shared"
)

// Every example of docs/reference/data-formats.md is read, as the format it stands under and as
// what its keys say; every format has one.
func TestExamplesOfThePage(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(shared.Root(), "docs", "reference", "data-formats.md"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	attributes := map[string][]string{Graded: {"helpful", "harm.legal"}}
	for _, block := range regexp.MustCompile("(?s)```json (\\w+)\n(.*?)```").FindAllStringSubmatch(
		string(page), -1) {
		format, rows := block[1], block[2]
		seen[format] = true
		f, err := objectOf([]byte(strings.SplitN(rows, "\n", 2)[0]))
		if err != nil {
			t.Fatalf("%s: %v", format, err)
		}
		f.graded = format == Graded
		if got, err := formOf(f, Auto); err != nil || got.format != format {
			t.Errorf("%s: recognized as %s, %v", rows, got, err)
		}
		groups, _, err := Load([]string{file(t, "page.jsonl", []byte(rows))},
			Options{Format: format, KeepUnpaired: format == Unpaired, Attributes: attributes[format]})
		if err != nil || len(groups) != 1 {
			t.Errorf("%s: %d groups, %v", rows, len(groups), err)
		}
	}
	for _, format := range formats[1:] {
		if !seen[format] {
			t.Errorf("docs/reference/data-formats.md has no example of %s", format)
		}
	}
}

// The page lists every row of testdata/refused with its message; -update writes the list.
func TestRefusalsOfThePage(t *testing.T) {
	path := filepath.Join(shared.Root(), "docs", "reference", "data-formats.md")
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- Written by go test ./pref -update. -->\n", "<!-- End of the list. -->\n"
	head, rest, ok := strings.Cut(string(page), begin)
	list, tail, ended := strings.Cut(rest, end)
	if !ok || !ended {
		t.Fatalf("%s has no list of refusals between %q and %q", path, begin, end)
	}
	want := refusals(t)
	if *update {
		if err := os.WriteFile(path, []byte(head+begin+want+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if list != want {
		t.Errorf("the list of refusals is not that of testdata/refused: run go test ./pref -update")
	}
}

// refusals is a table of the rows of testdata/refused and their messages.
func refusals(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob("testdata/refused/*.jsonl")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	cell := func(text string) string {
		if runes := []rune(text); len(runes) > 400 {
			text = string(runes[:60]) + "…"
		}
		return "`` " + strings.ReplaceAll(text, "|", `\|`) + " ``"
	}
	var b strings.Builder
	b.WriteString("\n| row | message |\n|---|---|\n")
	for _, path := range files {
		row, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = Load([]string{path}, Options{KeepUnpaired: true})
		if err == nil {
			t.Fatalf("%s is read", path)
		}
		message := strings.TrimPrefix(err.Error(), "pref: "+path+":1: ")
		text := strings.ToValidUTF8(strings.TrimSpace(string(row)), "�")
		b.WriteString("| " + cell(text) + " | " + cell(message) + " |\n")
	}
	b.WriteString("\n")
	return b.String()
}
