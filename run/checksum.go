package run

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"haf/internal/durable"
	"haf/internal/filesum"
	"haf/internal/wholefile"
)

// sumsName is the file with the SHA-256 of every other file of a folder, in the form that
// `sha256sum -c` reads.
const sumsName = "SHA256SUMS"

// writeSums writes the checksums of a folder's files and flushes the files to disk.
func writeSums(dir string) error {
	sums, err := sumsOf(dir, true)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		fmt.Fprintf(&text, "%s  %s\n", sums[name], name)
	}
	return writeFile(filepath.Join(dir, sumsName), text.Bytes())
}

// writeFileSums writes the checksums of some files of a run folder.
func (f *Folder) writeFileSums(names ...string) error {
	var text bytes.Buffer
	for _, name := range names {
		sum, err := filesum.SHA256(f.Join(name))
		if err != nil {
			return err
		}
		fmt.Fprintf(&text, "%s  %s\n", sum, name)
	}
	return writeFile(f.Join(sumsName), text.Bytes())
}

// Seal writes the checksums of manifest.json and metrics.jsonl. The training loop calls it at its
// end, before it saves the model.
func (f *Folder) Seal() error {
	if err := f.sync(); err != nil {
		return err
	}
	if err := f.writeFileSums(ManifestName, MetricsName); err != nil {
		return fmt.Errorf("run: checksums: %w", err)
	}
	return nil
}

// readFile reads a file of a run folder, up to the limit in bytes, and compares it with its
// checksum if there is one.
func readFile(dir, name string, limit int64) ([]byte, error) {
	path := filepath.Join(dir, sumsName)
	var want string
	if exists(path) { // absent in old runs, or removed by a user
		sums, err := readSums(dir) // before the file, which a run may be writing
		if err != nil {
			return nil, fmt.Errorf("%w; restore it from a copy, or remove it", err)
		}
		want = sums[name]
	}
	data, err := wholefile.Read(filepath.Join(dir, name), limit)
	if err != nil {
		return nil, err
	}
	if got := fmt.Sprintf("%x", sha256.Sum256(data)); want != "" && got != want {
		return nil, fmt.Errorf("%s is damaged or was changed: its SHA-256 is %.12s…, but %.12s… was "+
			"written; restore it from a copy, or remove %s to use it as it is",
			filepath.Join(dir, name), got, want, path)
	}
	return data, nil
}

// CheckSums compares the files of a folder with the checksums that were written with them. The
// error names the first file that is missing, added or changed.
func CheckSums(dir string) error {
	want, err := readSums(dir)
	if err != nil {
		return err
	}
	have, err := sumsOf(dir, false)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		switch sum, ok := have[name]; {
		case !ok:
			return fmt.Errorf("%s is missing", name)
		case sum != want[name]:
			return fmt.Errorf("%s has the SHA-256 %.12s…, but %.12s… was written", name, sum, want[name])
		}
		delete(have, name)
	}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		return fmt.Errorf("%s is not listed in %s", name, sumsName)
	}
	return nil
}

// readSums returns the checksums of a folder by file name.
func readSums(dir string) (map[string]string, error) {
	data, err := wholefile.Read(filepath.Join(dir, sumsName), wholefile.Settings)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is missing", sumsName)
	}
	if err != nil {
		return nil, err
	}
	sums, n := map[string]string{}, 0
	for line := range strings.Lines(string(data)) {
		n++
		sum, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if !ok || len(sum) != 2*sha256.Size {
			// without its text, because a link may lead to another user's file
			return nil, fmt.Errorf("%s is damaged: line %d is no SHA-256 and name of a file",
				filepath.Join(dir, sumsName), n)
		}
		sums[name] = sum
	}
	return sums, nil
}

// sumsOf returns the SHA-256 of every file below a folder but [sumsName], by its path there. With
// sync it also flushes each file to disk.
func sumsOf(dir string, sync bool) (map[string]string, error) {
	sums := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil || name == sumsName {
			return err
		}
		if sync {
			if err := durable.SyncDir(path); err != nil {
				return err
			}
		}
		sums[filepath.ToSlash(name)], err = filesum.SHA256(path)
		return err
	})
	return sums, err
}
