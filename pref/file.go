package pref

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
)

// maxRow bounds the bytes of one row, so that a file without line ends cannot take all memory.
const maxRow = 256 << 20

// A row is one JSON value of a file, not yet looked into. Its bytes are valid until the next row.
type row struct {
	line int // the line, or the element of an array, from 1
	data []byte
}

// fileRows yields the rows of a .jsonl or .json file, plain or gzipped, or of a Parquet file. Its
// errors are those of the whole file (it cannot be opened or read on, an array is broken); they end
// the sequence.
func fileRows(path string) iter.Seq2[row, error] {
	return func(yield func(row, error) bool) {
		f, err := os.Open(path)
		if err != nil {
			yield(row{}, fmt.Errorf("pref: %w", err))
			return
		}
		defer f.Close()
		info, err := f.Stat()
		if err == nil && info.IsDir() {
			yield(row{}, fmt.Errorf("pref: %s is a folder, wanted a .jsonl, .json or .parquet file", path))
			return
		}
		named := func(r row, err error) bool {
			if err != nil {
				err = fmt.Errorf("pref: %s: %w", path, err)
			}
			return yield(r, err)
		}
		if err == nil && isParquet(f) {
			parquetRows(f, info.Size(), named)
			return
		}
		name := strings.TrimSuffix(strings.ToLower(path), ".gz")
		for r, err := range rows(f, strings.HasSuffix(name, ".jsonl"), maxRow) {
			if !named(r, err) || err != nil {
				return
			}
		}
	}
}

// rows yields the rows of a stream. A stream that begins with '[' is read as one JSON array, unless
// lines says that the file's name promises lines.
func rows(r io.Reader, lines bool, limit int) iter.Seq2[row, error] {
	return func(yield func(row, error) bool) {
		text, err := plainText(r)
		if err != nil {
			yield(row{}, err)
			return
		}
		if first, err := firstByte(text); err == nil && first == '[' && !lines {
			arrayRows(text, limit, yield)
		} else {
			lineRows(text, limit, yield)
		}
	}
}

// plainText undoes gzip and removes a byte order mark. Both are recognised by content: names often
// lie.
func plainText(r io.Reader) (*bufio.Reader, error) {
	text := bufio.NewReaderSize(r, 1<<16)
	if magic, _ := text.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(text)
		if err != nil {
			return nil, gzipError(err)
		}
		text = bufio.NewReaderSize(gzipText{z}, 1<<16)
	}
	mark, _ := text.Peek(3) // an error shows again at the first read
	switch {
	case bytes.Equal(mark, []byte("\ufeff")):
		if _, err := text.Discard(len(mark)); err != nil {
			return nil, err
		}
	case bytes.HasPrefix(mark, []byte{0xff, 0xfe}), bytes.HasPrefix(mark, []byte{0xfe, 0xff}):
		return nil, errors.New("UTF-16 text, wanted UTF-8: convert the file")
	}
	return text, nil
}

// gzipText tells damage of the compression from damage of the text in it.
type gzipText struct{ z *gzip.Reader }

func (g gzipText) Read(p []byte) (int, error) {
	n, err := g.z.Read(p)
	if err != nil && err != io.EOF {
		err = gzipError(err)
	}
	return n, err
}

func gzipError(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || err == io.EOF {
		return errors.New("truncated gzip, wanted a whole file: fetch it again")
	}
	return fmt.Errorf("damaged gzip, wanted a whole file: fetch it again: %w", err)
}

// firstByte returns the first byte that is not white space, leaving it unread.
func firstByte(text *bufio.Reader) (byte, error) {
	for n := 1; ; n++ {
		b, err := text.Peek(n)
		if len(b) < n {
			return 0, err
		}
		if c := b[n-1]; c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			return c, nil
		}
	}
}

func lineRows(text *bufio.Reader, limit int, yield func(row, error) bool) {
	var buf []byte
	for line := 1; ; line++ {
		buf = buf[:0]
		var err error
		for {
			var part []byte
			part, err = text.ReadSlice('\n')
			buf = append(buf, part...)
			if len(buf) > limit {
				yield(row{}, fmt.Errorf("line %d: longer than %d bytes, wanted one JSON object a line", line, limit))
				return
			}
			if err != bufio.ErrBufferFull {
				break
			}
		}
		if err != nil && err != io.EOF {
			yield(row{}, fmt.Errorf("line %d: %w", line, err))
			return
		}
		if data := bytes.TrimSpace(buf); len(data) > 0 && !yield(row{line, data}, nil) {
			return
		}
		if err == io.EOF {
			return
		}
	}
}

func arrayRows(text *bufio.Reader, limit int, yield func(row, error) bool) {
	budget := &budgetReader{r: text, left: limit, limit: limit}
	d := json.NewDecoder(budget)
	fail := func(n int, err error) {
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			err = errors.New("the array does not end, wanted \"]\": the file is cut off")
		}
		yield(row{}, fmt.Errorf("element %d: %w", n, err))
	}
	if _, err := d.Token(); err != nil { // the '[' that was seen
		fail(1, err)
		return
	}
	n := 1
	for ; d.More(); n++ {
		budget.left = limit
		var data json.RawMessage
		if err := d.Decode(&data); err != nil {
			fail(n, err)
			return
		}
		if !yield(row{n, data}, nil) {
			return
		}
	}
	if _, err := d.Token(); err != nil { // ']'
		fail(n, err)
		return
	}
	if _, err := d.Token(); err != io.EOF {
		yield(row{}, errors.New("text after the array's end, wanted nothing: is this JSON lines named .json?"))
	}
}

// budgetReader fails once an element has taken more than its bytes.
type budgetReader struct {
	r           io.Reader
	left, limit int
}

func (b *budgetReader) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("longer than %d bytes, wanted an array of small objects", b.limit)
	}
	n, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
