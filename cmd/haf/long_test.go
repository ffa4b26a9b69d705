package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"haf/internal/shared"
)

// long leaves a test out of `make test`, which is to stay short. `make test-long` runs it.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("it takes long: make test-long runs it")
	}
}

// TestLongTests wants every test that make test leaves out in the list of make test-long, and no
// other.
func TestLongTests(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(shared.Root(), "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	list := regexp.MustCompile(`(?m)^LONG = (.*)$`).FindSubmatch(makefile)
	if list == nil {
		t.Fatal("the Makefile has no list LONG")
	}
	want := strings.Split(string(list[1]), "|")
	var got []string
	test := regexp.MustCompile(`^func Test(\w+)\(`)
	for _, dir := range []string{".", shared.Root() + "/rlhf", shared.Root() + "/train"} {
		files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var name string
			for line := range strings.Lines(string(text)) {
				if m := test.FindStringSubmatch(line); m != nil {
					name = m[1]
				}
				code := strings.TrimSpace(line)
				if (code == "long(t)" || code == "if testing.Short() {") && name != "" {
					got = append(got, name)
				}
			}
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("make test leaves out %v, and make test-long runs %v", got, want)
	}
}
