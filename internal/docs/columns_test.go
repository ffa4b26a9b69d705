package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWideLines finds the lines that can be wrapped, and passes over literals in backquotes.
func TestWideLines(t *testing.T) {
	wide := strings.Repeat("x ", 51)
	source := "package p\n\n// " + wide + "\nvar a = \"" + wide + "\"\n\nvar b = `" + wide + "`\n\n" +
		"var c = `\n" + wide + "\n`\n\nvar d = f(`short`, \"" + wide + "\")\n"
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "p.go"), []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := checkGo(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 || got[0].number != 3 || got[1].number != 4 || got[2].number != 12 {
		t.Errorf("%+v, want the lines 3, 4 and 12", got)
	}
}
