package pref

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the readings of testdata/formats")

// Every file of testdata/formats is read as the file of the same name beside it says.
func TestFormats(t *testing.T) {
	files, err := filepath.Glob("testdata/formats/*.jsonl")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, path := range files {
		opt := Options{KeepUnpaired: true}
		if filepath.Base(path) == "graded.jsonl" {
			opt.Attributes = []string{"helpful", "harm.legal"}
		}
		groups, counts, err := Load([]string{path}, opt)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		got := ""
		for _, g := range groups {
			g.Source = Location{}
			line, err := json.Marshal(g)
			if err != nil {
				t.Fatal(err)
			}
			got += string(line) + "\n"
		}
		got += strings.Join(counts.Lines(), "\n") + "\n"
		reading := strings.TrimSuffix(path, ".jsonl") + ".txt"
		if *update {
			if err := os.WriteFile(reading, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(reading)
		if err != nil || got != string(want) {
			t.Errorf("%s is read as\n%s\nwanted\n%s %v", path, got, want, err)
		}
	}
}

// Every file of testdata/refused is a bad row, for the reason in the file of the same name beside
// it; skip_bad tolerates it.
func TestRefused(t *testing.T) {
	files, err := filepath.Glob("testdata/refused/*.jsonl")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, path := range files {
		reason, err := os.ReadFile(strings.TrimSuffix(path, ".jsonl") + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		want := strings.TrimSpace(string(reason))
		_, _, err = Load([]string{path}, Options{KeepUnpaired: true})
		if err == nil || !strings.HasPrefix(err.Error(), "pref: "+path+":1: ") ||
			!strings.Contains(err.Error(), want) || len(want) < 10 {
			t.Errorf("%s: %v\nwanted %s", path, err, want)
		}
		_, counts, err := Load([]string{path}, Options{KeepUnpaired: true, SkipBad: 1})
		if !errors.Is(err, ErrEmpty) || counts.Bad != 1 {
			t.Errorf("%s is not skipped: %v, %v", path, counts, err)
		}
	}
}
