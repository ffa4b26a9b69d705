package eval

import (
	"io"
	"path/filepath"

	"haf/internal/durable"
)

// WriteNew writes a file that must not exist yet. It writes under a temporary name first.
func WriteNew(path string, write func(io.Writer) error) error {
	if err := durable.CheckNew(path); err != nil {
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

// RewardBenchPaths are the files that [RewardBenchFile.Write] makes.
func RewardBenchPaths(dir, label string) (results, scores string) {
	return filepath.Join(dir, "eval-set", label+".json"),
		filepath.Join(dir, "eval-set-scores", label+".json")
}

// Write writes the files into eval-set and eval-set-scores below dir, where the label names a new
// file each.
func (f RewardBenchFile) Write(dir, label string) error {
	results, scores := RewardBenchPaths(dir, label)
	for path, data := range map[string][]byte{results: f.Results, scores: f.Scores} {
		if err := durable.MkdirAll(filepath.Dir(path)); err != nil {
			return err
		}
		err := WriteNew(path, func(w io.Writer) error {
			_, err := w.Write(data)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
