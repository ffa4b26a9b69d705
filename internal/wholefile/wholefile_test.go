package wholefile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestRead(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	if err := os.WriteFile(path, []byte("12345"), 0o644); err != nil {
		t.Fatal(err)
	}
	if data, err := Read(path, 5); err != nil || string(data) != "12345" {
		t.Errorf("%q, %v", data, err)
	}
	if _, err := Read(path, 4); err == nil || !strings.Contains(err.Error(), "has 5 bytes, more than "+
		"the 4") {
		t.Error(err)
	}
	if _, err := Read(dir, 4); err == nil || !strings.Contains(err.Error(), "is a folder") {
		t.Error(err)
	}
	if _, err := Read(path+"b", 4); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink("nowhere", link); err != nil {
		t.Skip("no links here: ", err)
	}
	if _, err := Read(link, 4); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a link to nothing: %v", err)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o644); err != nil {
		t.Skip("no pipes here: ", err)
	}
	if _, err := Read(pipe, 4); err == nil || !strings.Contains(err.Error(), "is a pipe") {
		t.Error(err)
	}
	for name, want := range map[string]string{pipe: "it is a pipe", dir: "it is a folder",
		os.DevNull: "it is a device"} {
		if _, err := Open(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

func TestUnmarshal(t *testing.T) {
	var to struct {
		Name  string
		Sizes map[string]int
		Big   *int64
		Flags []bool
	}
	for text, want := range map[string]string{
		"{\"\xff\": 1}":        "not JSON: byte 3 is not UTF-8",
		`[]`:                   "it is a list, want an object (at byte 1)",
		`{"Name": 3}`:          "Name is a number, want a string (at byte 10)",
		`{"Sizes": []}`:        "Sizes is a list, want an object (at byte 11)",
		`{"Sizes": {"a": ""}}`: "Sizes is a string, want an integer (at byte 18)",
		`{"Big": 1e300}`:       "Big is a number 1e300, want an integer (at byte 13)",
		`{"Flags": true}`:      "Flags is true or false, want a list (at byte 14)",
		`{"Name": `:            "not JSON: at byte 9: unexpected end of JSON input",
	} {
		if err := Unmarshal([]byte(text), &to); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
