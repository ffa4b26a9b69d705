package pref

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"haf/internal/filesum"
)

// Hash returns the SHA-256 of the data at a path, in hexadecimal. For a file it covers the bytes,
// as in sha256sum. For a folder, a split or a pattern it covers the names and bytes of the files,
// in reading order. It changes when a file changes, appears or disappears.
func Hash(path string) (string, error) {
	files, err := shards(path)
	if err != nil {
		return "", fmt.Errorf("pref: %w", err)
	}
	if len(files) == 1 && files[0].path == path {
		return fileSum(path)
	}
	h := sha256.New()
	for _, file := range files {
		sum, err := fileSum(file.path)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%q %s %q\n", filepath.Base(file.path), sum, file.columns)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func fileSum(path string) (string, error) {
	sum, err := filesum.SHA256(path)
	if err != nil {
		return "", fmt.Errorf("pref: %w", err)
	}
	return sum, nil
}

// Abs returns a path from which [Read] reads the same files wherever the program runs. Marks of
// patterns in the name of the working folder are escaped before a pattern.
func Abs(path string) (string, error) {
	if filepath.IsAbs(path) || !isPattern(path) || runtime.GOOS == "windows" { // no escapes there
		return filepath.Abs(path)
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	return filepath.Join(escapePattern.Replace(dir), path), nil
}

var escapePattern = strings.NewReplacer("*", `\*`, "?", `\?`, "[", `\[`, "{", `\{`)

// isPattern reports whether a path is read as a pattern: nothing of that name is on disk.
func isPattern(path string) bool {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	_, _, split := splitOfFolder(path)
	return !split && strings.ContainsAny(path, "*?[")
}
