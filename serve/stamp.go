package serve

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// FolderStamp returns a text that changes with the files of a model: the names, sizes and times of
// a file or of the files in a folder; for a run, those of its model. It is a [Model.Stamp].
func FolderStamp(path string) (string, error) {
	if info, err := os.Stat(filepath.Join(path, "model")); err == nil && info.IsDir() {
		path = filepath.Join(path, "model")
	}
	var stamp strings.Builder
	err := filepath.WalkDir(path, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if file != path {
				return fs.SkipDir
			}
			return nil
		}
		info, err := os.Stat(file) // follows links
		if err != nil {
			return err
		}
		fmt.Fprintf(&stamp, "%q %d %d\n", file, info.Size(), info.ModTime().UnixNano())
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("serve: looking at %s: %w", path, err)
	}
	return stamp.String(), nil
}
