// Package filesum hashes files.
package filesum

import (
	"crypto/sha256"
	"encoding/hex"
	"io"

	"haf/internal/wholefile"
)

// SHA256 returns the SHA-256 of a file's bytes in hexadecimal, like sha256sum. It does not hold the
// file in memory.
func SHA256(path string) (string, error) {
	f, err := wholefile.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
