package eval

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"haf/internal/durable"
)

// WriteNew writes a file that must not exist yet, under a temporary name first.
func WriteNew(path string, write func(io.Writer) error) error {
	if _, err := os.Stat(path); err == nil {
		return fmt.Errorf("%s exists: name a new file", path)
	} else if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := durable.Create(path)
	if err != nil {
		return err
	}
	defer f.Cleanup() // of no effect once replaced
	if err := write(f); err != nil {
		return err
	}
	return f.Commit()
}

// Write writes the files into eval-set and eval-set-scores below dir, where the label names a new
// file each.
func (f RewardBenchFile) Write(dir, label string) error {
	for _, of := range []struct {
		folder string
		data   []byte
	}{{"eval-set", f.Results}, {"eval-set-scores", f.Scores}} {
		folder := filepath.Join(dir, of.folder)
		if err := durable.MkdirAll(folder); err != nil {
			return err
		}
		err := WriteNew(filepath.Join(folder, label+".json"), func(w io.Writer) error {
			_, err := w.Write(of.data)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
