package pref

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"haf/internal/wholefile"
)

// knownContainers is how errors list the kinds of files that haf reads.
const knownContainers = "JSON lines (.jsonl), a JSON array (.json), Parquet (.parquet) or Arrow " +
	"(.arrow); all but Parquet may be compressed with gzip (.gz) or zstd (.zst)"

// headSize is how many bytes of a file decide what it is; a tar archive says so at byte 257.
const headSize = 262

// Kinds of files, by their first bytes.
const (
	kindText        = "text"
	kindGzip        = "gzip"
	kindZstd        = "zstd"
	kindParquet     = "Parquet"
	kindArrowFile   = "Arrow file"
	kindArrowStream = "Arrow stream"
)

// magics are the first bytes of files that are no text. The kinds that are no constant are those
// that haf does not read.
var magics = []struct{ begin, kind string }{
	{"\x1f\x8b", kindGzip},
	{"\x28\xb5\x2f\xfd", kindZstd},
	{parquetMagic, kindParquet},
	{arrowFileMagic, kindArrowFile},
	{"\xff\xff\xff\xff", kindArrowStream},
	{"PK\x03\x04", "a ZIP archive"},
	{"\xfd7zXZ\x00", "an xz file"},
	{"BZh", "a bzip2 file"},
	{"\x04\x22\x4d\x18", "an lz4 file"},
	{"7z\xbc\xaf\x27\x1c", "a 7z archive"},
	{"\x89HDF\r\n", "an HDF5 file"},
	{"\x93NUMPY", "a NumPy array"},
	{"SQLite format 3", "an SQLite database"},
	{"Obj\x01", "an Avro file"},
	{"ORC", "an ORC file"},
	{"%PDF", "a PDF file"},
	{"version https://git-lfs", "a Git LFS pointer, not the file itself (git lfs pull fetches it)"},
}

// kindOf returns the kind of a file from its first bytes: one of the constants, or words for what
// haf does not read.
func kindOf(head []byte) string {
	for _, m := range magics {
		if bytes.HasPrefix(head, []byte(m.begin)) {
			return m.kind
		}
	}
	switch {
	case len(head) >= headSize && string(head[257:262]) == "ustar":
		return "a tar archive"
	case len(head) > 2 && head[0] == 0x80 && head[1] >= 2 && head[1] <= 5:
		return "a Python pickle"
	case bytes.HasPrefix(head, []byte{0xff, 0xfe}), bytes.HasPrefix(head, []byte{0xfe, 0xff}):
		return kindText // plainText refuses UTF-16 and says so
	case bytes.IndexByte(head, 0) >= 0:
		return fmt.Sprintf("binary (its first bytes are % x)", head[:min(len(head), 8)])
	}
	return kindText
}

// unknownContainer is the error about a file that haf does not read.
func unknownContainer(kind string) error {
	return fmt.Errorf("the file is %s, want %s", kind, knownContainers)
}

// fileRows yields the rows of what a path names: a file, or the files of a folder or of a pattern,
// one after the other ([shards]). Its errors are those of a whole file (it cannot be opened or read
// on, an array is broken); they end the sequence.
func fileRows(path string) iter.Seq2[row, error] {
	return func(yield func(row, error) bool) {
		files, err := shards(path)
		if err != nil {
			yield(row{}, fmt.Errorf("pref: %w", err))
			return
		}
		for _, file := range files {
			more := true
			err := readFile(file, func(r row) bool {
				r.file = file.path
				more = yield(r, nil)
				return more
			})
			if err != nil {
				yield(row{}, fmt.Errorf("pref: %s: %w", file.path, err))
				return
			}
			if !more {
				return
			}
		}
	}
}

// setRows yields the rows of several paths, one after the other.
func setRows(paths []string) iter.Seq2[row, error] {
	return func(yield func(row, error) bool) {
		for _, path := range paths {
			for r, err := range fileRows(path) {
				if !yield(r, err) || err != nil {
					return
				}
			}
		}
	}
}

// readFile passes the rows of one file to yield until it returns false.
func readFile(file shard, yield func(row) bool) error {
	f, err := wholefile.Open(file.path)
	if err != nil {
		var at *os.PathError
		if errors.As(err, &at) {
			err = at.Err // the caller names the path
		}
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	in := bufio.NewReaderSize(f, 1<<16)
	head, err := in.Peek(headSize)
	if err != nil && err != io.EOF {
		return err
	}
	if kindOf(head) == kindParquet {
		return parquetRows(f, info.Size(), yield)
	}
	return streamRows(in, file, info.Size(), yield)
}

// streamRows reads the rows of what can be read from its beginning on; size bounds an
// uncompressed one.
func streamRows(in *bufio.Reader, file shard, size int64, yield func(row) bool) error {
	head, _ := in.Peek(headSize) // an error shows again at the first read
	kind := kindOf(head)
	if kind == kindGzip || kind == kindZstd {
		text, done, err := uncompressed(in, kind)
		if err != nil {
			return err
		}
		defer done()
		in, size = bufio.NewReaderSize(text, 1<<16), 0
		head, err = in.Peek(headSize)
		if err != nil && err != io.EOF {
			return err
		}
		switch inner := kindOf(head); inner {
		case kindGzip, kindZstd, kindParquet:
			return fmt.Errorf("%s inside %s, want %s: uncompress the file first", inner, kind,
				knownContainers)
		default:
			kind = inner
		}
	}
	switch kind {
	case kindArrowFile:
		if _, err := in.Discard(arrowFileHead); err != nil {
			return damagedArrow(err)
		}
		return arrowRows(in, size, file.columns, yield)
	case kindArrowStream:
		return arrowRows(in, size, file.columns, yield)
	case kindText:
		return textRows(in, file.path, yield)
	}
	return unknownContainer(kind)
}

// tables are the text formats that haf does not read, by the ending of a file's name.
var tables = map[string]string{".csv": "CSV", ".tsv": "CSV with tabs", ".txt": "plain text",
	".xml": "XML", ".yaml": "YAML", ".yml": "YAML", ".md": "Markdown"}

// textRows reads JSON, and refuses a file of other text by its name, whose first row would only be
// malformed.
func textRows(in *bufio.Reader, path string, yield func(row) bool) error {
	name := uncompressedName(strings.ToLower(path))
	if first, err := firstByte(in); err == nil && first != '{' && first != '[' {
		if kind := tables[filepath.Ext(name)]; kind != "" {
			return unknownContainer(kind)
		}
	}
	for r, err := range rows(in, strings.HasSuffix(name, ".jsonl"), maxRow) {
		if err != nil {
			return err
		}
		if !yield(r) {
			return nil
		}
	}
	return nil
}

// uncompressedName is a file's name without the ending of its compression.
func uncompressedName(name string) string {
	for _, end := range []string{".gz", ".zst", ".zstd"} {
		if rest, ok := strings.CutSuffix(name, end); ok {
			return rest
		}
	}
	return name
}
