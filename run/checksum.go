package run

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"haf/internal/durable"
	"haf/internal/filesum"
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
	data, err := os.ReadFile(filepath.Join(dir, sumsName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is missing", sumsName)
	}
	if err != nil {
		return nil, err
	}
	sums := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		sum, name, ok := strings.Cut(lines.Text(), "  ")
		if !ok || len(sum) != 2*sha256.Size {
			return nil, fmt.Errorf("%s is damaged", sumsName)
		}
		sums[name] = sum
	}
	return sums, lines.Err()
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
