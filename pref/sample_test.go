package pref_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"haf/pref"
)

// TestLoadSamples reads two files in order and ends at the first that cannot be read.
func TestLoadSamples(t *testing.T) {
	dir := t.TempDir()
	var files []string
	for name, text := range map[string]string{
		"1.jsonl": `{"prompt":"a","response":"1"}` + "\n",
		"2.jsonl": `{"prompt":"a","response":"2"}` + "\n" + `{"prompt":"b","response":"3"}` + "\n",
		"3.jsonl": "",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"1.jsonl", "2.jsonl", "3.jsonl"} {
		files = append(files, filepath.Join(dir, name))
	}
	got, err := pref.LoadSamples(files[:2], pref.Options{})
	if err != nil || len(got) != 3 || got[0].Response != "1" || got[2].Prompt[0].Content != "b" {
		t.Errorf("%+v: %v", got, err)
	}
	if got, err := pref.LoadSamples(files, pref.Options{}); !errors.Is(err, pref.ErrEmpty) {
		t.Errorf("%+v: %v", got, err)
	}
}
