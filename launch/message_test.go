package launch_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"haf/launch"
)

// TestMessage wants the words of the system about a path to become those of a person, the advice of
// an error to stay, and an error without advice to get one.
func TestMessage(t *testing.T) {
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
		if got := launch.Message(test.err); got != test.want {
			t.Errorf("%s\nwant %s", got, test.want)
		}
		if got := launch.Message(test.err); strings.Contains(got, "no such file") {
			t.Errorf("the system's words stay: %s", got)
		}
	}
}
