package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const before = `// Package a has a link to [haf/run.Folder] and to [run.Folder].
package a

import (
	"fmt"

	other "haf/eval"
	"haf/run"
	"hafen/x"
)

import "haf/lm"

// hash is of "haf/encode" and must stay.
const hash = "haf/encode 2"
`

const after = `// Package a has a link to [example.org/x/haf/run.Folder] and to [run.Folder].
package a

import (
	"fmt"

	other "example.org/x/haf/eval"
	"example.org/x/haf/run"
	"hafen/x"
)

import "example.org/x/haf/lm"

// hash is of "haf/encode" and must stay.
const hash = "haf/encode 2"
`

// TestRewrite changes imports and links, and back again, and neither strings nor other files.
func TestRewrite(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	want := func(path, text string) {
		t.Helper()
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("%s is now\n%s\n%v", path, got, err)
		}
	}
	code, page := write("sub/a.go", before), write("a.md", `import "haf/run"`)
	hidden := write(".git/a.go", before)
	if err := rewrite(dir, "haf", "example.org/x/haf"); err != nil {
		t.Fatal(err)
	}
	want(code, after)
	want(page, `import "haf/run"`)
	want(hidden, before)
	if err := rewrite(dir, "example.org/x/haf", "haf"); err != nil {
		t.Fatal(err)
	}
	want(code, before)
	if err := run(nil); err == nil || !strings.Contains(err.Error(), "make module-path MODULE=") {
		t.Errorf("without a path: %v", err)
	}
}
