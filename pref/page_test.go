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
