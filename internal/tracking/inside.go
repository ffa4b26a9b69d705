package tracking

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// inside returns an error if a part of name, a path below the run folder dir, is a link. A run
// folder may come from somebody else, and a link in it would have haf overwrite any file of the
// user.
func inside(dir, name string) error {
	at := dir
	for part := range strings.SplitSeq(filepath.ToSlash(name), "/") {
		at = filepath.Join(at, part)
		info, err := os.Lstat(at)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			return fmt.Errorf("%s is a link, and haf writes inside the run folder alone: remove the link",
				at)
		}
	}
	return nil
}

// Place is where a tracker keeps the run's records: a path or the address of a server.
func (r Run) Place(tracker string) string {
	if tracker == MLflow {
		return r.URI
	}
	return filepath.Join(r.Dir, tracker)
}
