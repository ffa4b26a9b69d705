package durable

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var errFault = errors.New("the test's fault")

// failAt makes the n-th operation fail, and all after it if forever. It returns the operations
// asked for.
func failAt(t *testing.T, n int, forever bool) *int {
	t.Helper()
	asked := new(int)
	t.Cleanup(SetFault(func(Op, string) error {
		*asked++
		if *asked == n || forever && *asked > n {
			return errFault
		}
		return nil
	}))
	return asked
}

// names are the entries of a folder.
func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return strings.Join(list, " ")
}

// TestWholeOrNot replaces a file and a folder while each operation in turn fails: the old content
// or the new stands there, and nothing beside it.
func TestWholeOrNot(t *testing.T) {
	for name, replace := range map[string]func(path, content string) error{
		"file": func(path, content string) error { return WriteFile(path, []byte(content)) },
		"folder": func(path, content string) error {
			return WriteFolder(path, ".writing-", func(dir string) error {
				return WriteFile(filepath.Join(dir, "content"), []byte(content))
			})
		},
		"created": func(path, content string) error {
			f, err := Create(path)
			if err != nil {
				return err
			}
			defer f.Cleanup()
			if _, err := io.WriteString(f, content); err != nil {
				return err
			}
			return errors.Join(f.Sync(), f.Commit())
		},
	} {
		for n := 1; ; n++ {
			path := filepath.Join(t.TempDir(), "it")
			if err := replace(path, "old"); err != nil {
				t.Fatal(err)
			}
			read := func() string {
				file := path
				if name == "folder" {
					file = filepath.Join(path, "content")
				}
				data, err := os.ReadFile(file)
				if err != nil {
					t.Error(err)
				}
				return string(data)
			}
			asked := failAt(t, n, false)
			err := replace(path, "new")
			fault = nil
			if *asked < n { // one operation more than there are
				if err != nil || read() != "new" || n < 5 {
					t.Errorf("%s: without a fault: %v, %q after %d operations", name, err, read(), n)
				}
				break
			}
			if !errors.Is(err, errFault) {
				t.Errorf("%s: operation %d: %v", name, n, err)
			}
			got := read()
			if got != "old" && got != "new" {
				t.Errorf("%s: operation %d left %q", name, n, got)
			}
			if left := names(t, filepath.Dir(path)); left != "it" &&
				!(got == "new" && strings.HasSuffix(left, "-old it")) {
				t.Errorf("%s: operation %d left %s", name, n, left)
			}
		}
	}
}

// TestOpenFile writes, cuts and reads a file in its place, and keeps half of a write that fails.
func TestOpenFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	f, err := OpenFile(path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.WriteString(f, "whole\n"); err != nil {
		t.Fatal(err)
	}
	failAt(t, 1, false)
	if n, err := io.WriteString(f, "halved"); n != 3 || !errors.Is(err, errFault) {
		t.Errorf("%d, %v", n, err)
	}
	fault = nil
	if data, _ := os.ReadFile(path); string(data) != "whole\nhal" {
		t.Errorf("%q", data)
	}
	if err := f.Truncate(5); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if data, err := io.ReadAll(f); string(data) != "whole" || err != nil {
		t.Errorf("%q, %v", data, err)
	}
}

// TestPermissions keeps those of a file that is replaced.
func TestPermissions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(path, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// TestNewFolder leaves a folder alone that is there already.
func TestNewFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new")
	fill := func(content string) func(string) error {
		return func(dir string) error {
			return WriteFile(filepath.Join(dir, "content"), []byte(content))
		}
	}
	if err := NewFolder(path, ".new-", fill("first")); err != nil {
		t.Fatal(err)
	}
	if err := NewFolder(path, ".new-", fill("second")); err == nil {
		t.Error("a folder was replaced")
	}
	data, err := os.ReadFile(filepath.Join(path, "content"))
	if string(data) != "first" || err != nil || names(t, filepath.Dir(path)) != "new" {
		t.Errorf("%q, %v, %s", data, err, names(t, filepath.Dir(path)))
	}
}

// TestAppend lets a disk take half a record. Another may follow if the half could be removed, and
// none if not.
func TestAppend(t *testing.T) {
	for _, forever := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "records")
		f, err := OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Append([]byte("first\n")); err != nil {
			t.Fatal(err)
		}
		failAt(t, 1, forever)
		if err := f.Append([]byte("second\n")); !errors.Is(err, errFault) {
			t.Errorf("a fault in Append: %v", err)
		}
		SetFault(nil)
		err = f.Append([]byte("third\n"))
		want := "first\nthird\n"
		if forever {
			want = "first\nsec" // as a crash leaves it
		}
		got, readErr := os.ReadFile(path)
		if string(got) != want || (err != nil) != forever || readErr != nil {
			t.Errorf("forever %v: %q, %v, want %q", forever, got, err, want)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}
