package reward

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"haf/internal/wholefile"
	"haf/weights"
)

// auxFiles are files of a model's folder that haf does not read but that others look for: how
// to generate, and the slow forms of the tokenizer.
var auxFiles = []string{"generation_config.json", "tokenizer.model", "vocab.json", "merges.txt"}

// maxAuxFile is the largest file that is copied along; the slow forms of a tokenizer take a few
// MB.
const maxAuxFile = 64 << 20

// auxFiles reads the files to be copied along, of the folder or else of its base.
func (src *source) auxFiles() (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, dir := range []string{src.dir, src.base} {
		if weights.IsGGUF(dir) {
			continue
		}
		for _, name := range auxFiles {
			path := filepath.Join(dir, name)
			info, err := os.Stat(path)
			if errors.Is(err, fs.ErrNotExist) || err == nil &&
				(out[name] != nil || !info.Mode().IsRegular() || info.Size() > maxAuxFile) {
				continue
			}
			if err == nil {
				out[name], err = wholefile.Read(path, maxAuxFile)
			}
			if err != nil {
				return nil, fmt.Errorf("reward: %w", err)
			}
		}
	}
	return out, nil
}
