package message_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"haf/internal/message"
)

// TestOf wants the words of the system about a path to become those of a person, the advice of
// an error to stay, and an error without advice to get one.
func TestOf(t *testing.T) {
	dir := t.TempDir()
	missing, loop := filepath.Join(dir, "missing"), filepath.Join(dir, "loop")
	if err := os.Symlink(loop, loop); err != nil {
		t.Fatal(err)
	}
	_, gone := os.Stat(missing)
	_, folder := os.ReadFile(dir)
	_, around := os.ReadFile(loop)
	denied := &fs.PathError{Op: "open", Path: "x", Err: syscall.EACCES}
	full := &fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}
	for _, test := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("data: %w", gone), "data: there is no " + missing +
			": name a file or folder that is there, or make it first"},
		{fmt.Errorf("model: %w: a model is a folder", gone), "model: there is no " + missing +
			": a model is a folder"},
		{folder, dir + " is a folder, want a file: name a file in it"},
		{around, loop + " is a link that leads back to itself: name what it should lead to; see it " +
			"with: ls -l " + loop},
		{denied, "this user may not use x (permission denied): see who may with: ls -ld x"},
		{full, "the disk of x is full: free some of it; see how much with: df -h"},
		{errors.New("other"), "other"},
	} {
		if got := message.Of(test.err); got != test.want {
			t.Errorf("%s\nwant %s", got, test.want)
		}
		if got := message.Of(test.err); strings.Contains(got, "no such file") {
			t.Errorf("the system's words stay: %s", got)
		}
	}
}

// TestPlain wants names of packages to go, and what the user named to stay.
func TestPlain(t *testing.T) {
	given := message.Given([]string{"-json", "hub", "-set", "model.path=run", "-device", "train"})
	for text, want := range map[string]string{
		"pref: x.jsonl:2: field":                        "x.jsonl:2: field",
		"-rewards: reward: reward \"z\" is not known":   "-rewards: reward \"z\" is not known",
		"recipe: train.optimizer: optim: lr is 0":       "train.optimizer: lr is 0",
		"a: b: pref: hub: c (weights: d)":               "a: b: c (d)",
		"reward: run: 3 of 4":                           "run: 3 of 4",
		"backend: train: no such plug-in":               "train: no such plug-in",
		"wrong usage: give -data; then run: haf ui":     "wrong usage: give -data; then run: haf ui",
		"of the demo: ensemble: rewards: scores: table": "of the demo: ensemble: rewards: scores: table",
	} {
		if got := message.Plain(text, given...); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}
