package pref

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func hashOf(t *testing.T, path string) string {
	t.Helper()
	sum, err := Hash(path)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// A file has the hash of its bytes; a folder, a split and a pattern have one that changes with any
// of their files, and with no other.
func TestHash(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	write(t, at("set/data/train-0.jsonl"), "{}\n")
	write(t, at("set/data/train-1.jsonl"), "{} \n")
	write(t, at("set/data/test-0.jsonl"), "{}\n")
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte("{}\n")))
	if got := hashOf(t, at("set/data/test-0.jsonl")); got != sum {
		t.Errorf("a file: %s, want %s", got, sum)
	}
	train, test, pattern := at("set:train"), at("set:test"), at("set/data/train-*.jsonl")
	one := fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, "\"test-0.jsonl\" %s []\n", sum)))
	if got := hashOf(t, test); got != one {
		t.Errorf("a split of one file: %s, want %s", got, one)
	}
	seen := map[string]string{}
	for _, step := range []struct {
		name   string
		change func() error
	}{
		{"start", func() error { return nil }},
		{"changed", func() error {
			return os.WriteFile(at("set/data/train-1.jsonl"), []byte("{}  \n"), 0o600)
		}},
		{"appeared", func() error { return os.WriteFile(at("set/data/train-2.jsonl"), nil, 0o600) }},
		{"renamed", func() error {
			return os.Rename(at("set/data/train-2.jsonl"), at("set/data/train-3.jsonl"))
		}},
		{"gone", func() error { return os.Remove(at("set/data/train-0.jsonl")) }},
	} {
		if err := step.change(); err != nil {
			t.Fatal(err)
		}
		got := hashOf(t, train)
		if before, ok := seen[got]; ok {
			t.Errorf("%s: the hash of %s", step.name, before)
		}
		seen[got] = step.name
		if hashOf(t, pattern) != got || hashOf(t, test) != one {
			t.Errorf("%s: the pattern or the other split has another hash", step.name)
		}
	}
	for path, want := range map[string]string{
		at("none.jsonl"): "no such file", at("none/*.jsonl"): "no file matches",
		at("set:dev"): "no split",
	} {
		if _, err := Hash(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

// What an absolute path names does not depend on the working folder, even where that folder's name
// looks like a pattern.
func TestAbs(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("patterns have no escapes there, and names of folders no asterisks")
	}
	top := t.TempDir()
	for _, name := range []string{"plain", "[ab]", "{a,b}", `a\b`, "a*b?"} {
		dir := filepath.Join(top, name, "set")
		write(t, filepath.Join(dir, "train-0.jsonl"), name+"\n")
		t.Chdir(dir)
		for _, path := range []string{"train-0.jsonl", "*.jsonl", "./*.jsonl", "../set/*-[0-9].jsonl",
			"../se?/*",
			".:train", "../set:train", "."} {
			t.Chdir(dir)
			want := hashOf(t, path)
			abs, err := Abs(path)
			if err != nil {
				t.Fatal(err)
			}
			t.Chdir(top)
			if got, err := Hash(abs); err != nil || got != want {
				t.Errorf("%s in %s: %s, %v; want %s", path, name, got, err, want)
			}
		}
	}
}
