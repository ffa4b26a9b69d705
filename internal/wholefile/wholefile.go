// Package wholefile reads files whole, up to a limit, and opens files that are read in parts.
package wholefile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Limits of files that are read whole, in bytes.
const (
	// Settings is for files that people write: recipes, prompts, tokens, configurations, manifests.
	Settings = 16 << 20
	// Vocabulary is for tokenizers and lists of files.
	Vocabulary = 512 << 20
	// Records is for files that runs and studies append to: metrics, journals, states.
	Records = 1 << 30
)

// Read reads a file. It refuses a file larger than the limit, and anything but a regular file,
// because a pipe may have no writer and a device no end. The error names the file. It wraps
// fs.ErrNotExist if nothing is there, but not for a dangling link.
func Read(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path) // before opening, because opening a pipe waits for its writer
	if errors.Is(err, fs.ErrNotExist) {
		if to, linked := os.Readlink(path); linked == nil { // a dangling link is not an absent file
			return nil, fmt.Errorf("%s is a link to %s, which is not there; fetch or copy it again", path,
				to)
		}
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is a %s, want a file", path, kind(info))
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info.Size() > limit {
		return nil, tooLarge(path, info.Size(), limit)
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1)) // it may grow
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, tooLarge(path, int64(len(data)), limit)
	}
	return data, nil
}

// Open opens a file for reading. It refuses anything but a regular file at once, because a pipe may
// have no writer and a device no end. The error is an fs.PathError.
func Open(path string) (*os.File, error) {
	info, err := os.Stat(path) // before opening, because opening a pipe waits for its writer
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: path,
			Err: fmt.Errorf("it is a %s, want a file", kind(info))}
	}
	return os.Open(path)
}

func tooLarge(path string, size, limit int64) error {
	return fmt.Errorf("%s has %d bytes, more than the %d that such a file may have; is it the right "+
		"file?", path, size, limit)
}

func kind(info os.FileInfo) string {
	switch {
	case info.IsDir():
		return "folder"
	case info.Mode()&os.ModeNamedPipe != 0:
		return "pipe"
	case info.Mode()&os.ModeDevice != 0:
		return "device"
	}
	return "socket"
}
