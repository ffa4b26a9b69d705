package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPage wants the page to list the licences of all modules as they are.
func TestPage(t *testing.T) {
	want, err := list("../..")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join("../..", page))
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is stale: run make licences", page)
	}
}

// TestRefused has modules without a licence, with an unknown one, and with one that binds.
func TestRefused(t *testing.T) {
	const mit = "Permission is hereby granted, free of\n charge, to any person obtaining a copy"
	for _, c := range []struct{ file, text, want string }{
		{"LICENSE", mit, ""},
		{"COPYING", mit, ""},
		{"LICENCE.md", mit, ""},
		{"README.md", mit, "no licence that is known"},
		{"LICENSE", "All rights reserved.", "no licence that is known"},
		{"LICENSE", "", "no licence that is known"},
		{"LICENSE", "GNU General Public\nLicense version 3", "under the GPL"},
		{"LICENSE", mit + "\nGNU Lesser General Public License", "under the LGPL"},
		{"LICENSE", "GNU AFFERO GENERAL PUBLIC LICENSE", "under the AGPL"},
		{"LICENSE", "Mozilla Public License Version 2.0 … GNU General Public License", ""},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, c.file), []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		names, err := read(module{"example.org/x", "v1", dir})
		if c.want == "" && (err != nil || len(names) != 1) ||
			c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s with %q: %v, %v; want %q", c.file, c.text, names, err, c.want)
		}
	}
}
