package curate

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestJournalDamage refuses a journal of which any byte of a part was flipped.
func TestJournalDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	j, err := OpenJournal(path, "settings")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"a", "b"} {
		if err := j.Put(key, map[string]any{"text": "<" + key + ">", "reward": 1.25}); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(partName(path))
	if err != nil {
		t.Fatal(err)
	}
	second := bytes.IndexByte(whole, '\n') + 1
	for i := second; i < len(whole); i++ {
		flipped := bytes.Clone(whole)
		if flipped[i] ^= 1; whole[i] == '\n' {
			continue // two parts in one line, or a last line that is cut off
		}
		if err := os.WriteFile(partName(path), flipped, 0o644); err != nil {
			t.Fatal(err)
		}
		j, err := OpenJournal(path, "settings")
		if err == nil {
			j.Close()
			t.Fatalf("byte %d flipped, %q, and the journal was read", i, flipped[second:])
		}
		if !strings.Contains(err.Error(), "is damaged") {
			t.Errorf("byte %d flipped: %v", i, err)
		}
	}
}

// TestJournalLock lets one process at a time work on an output.
func TestJournalLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	j, err := OpenJournal(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenJournal(path, nil); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second journal: %v", err)
	}
	if err := Finish(j, []int{1}); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(path + "*")
	if err != nil || len(left) != 1 {
		t.Errorf("%v is left: %v", left, err)
	}
}
