package filesum

import (
	"os"
	"path/filepath"
	"testing"
)

// TestSHA256 hashes the message of FIPS 180-2, appendix B.1, and wants a file to be there.
func TestSHA256(t *testing.T) {
	path := filepath.Join(t.TempDir(), "abc")
	if err := os.WriteFile(path, []byte("abc"), 0o644); err != nil {
		t.Fatal(err)
	}
	const want = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	if got, err := SHA256(path); got != want || err != nil {
		t.Errorf("%s, %v", got, err)
	}
	if _, err := SHA256(path + ".gone"); !os.IsNotExist(err) {
		t.Errorf("without a file: %v", err)
	}
}
