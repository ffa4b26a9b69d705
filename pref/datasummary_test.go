package pref_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"haf/pref"
)

// words counts words in the place of tokens.
type words struct{}

func (words) Length(text string) int { return len(strings.Fields(text)) }
func (words) Facts(groups []pref.Group) (*pref.TokenFacts, error) {
	if len(groups) > 1 {
		return nil, errors.New("too many")
	}
	return &pref.TokenFacts{Report: "by words"}, nil
}

// TestSummarizeFiles summarizes two files that share a prompt.
func TestSummarizeFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	one := write("one.jsonl", `{"prompt":"a b","chosen":"c d e","rejected":"f"}`+"\n")
	two := write("two.jsonl", `{"prompt":"a b","chosen":"c d e","rejected":"f"}
{"prompt":"g","chosen":"h","rejected":"i"}
`)
	same := func(named []string) ([]string, error) { return named, nil }
	opt := pref.SummaryOptions{Resolve: same, Sample: 1}
	d, err := pref.SummarizeFiles([]string{one, two}, opt)
	if err != nil || len(d.Files) != 2 || d.Files[1].Summary.Groups != 2 || len(d.Overlaps) != 1 ||
		d.Overlaps[0].Overlap.Exact != 1 || d.Files[0].Unit != "characters" || d.Files[0].Tokens != nil {
		t.Errorf("%+v: %v", d, err)
	}
	var text strings.Builder
	if err := d.Write(&text); err != nil || !strings.Contains(text.String(), "\noverlap: of the "+
		"prompts of") {
		t.Errorf("%s: %v", &text, err)
	}
	opt.Tokens = words{}
	d, err = pref.SummarizeFiles([]string{one}, opt)
	if err != nil || d.Files[0].Unit != "tokens" || d.Files[0].Tokens.Report != "by words" {
		t.Errorf("%+v: %v", d, err)
	}
	if _, err := pref.SummarizeFiles([]string{two}, opt); err == nil || err.Error() != "too many" {
		t.Errorf("groups that cannot be counted: %v", err)
	}
}
