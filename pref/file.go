package pref

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
)

// maxRow bounds the bytes of one row, so that a file without line ends cannot take all memory.
const maxRow = 256 << 20

// A row is one JSON value of a file, not yet looked into. Its bytes are valid until the next row.
type row struct {
	file  string
	line  int // the line, or the element of an array, from 1
	data  []byte
	times times // of the table that the row is of
}

func (r row) source() Location { return Location{File: r.file, Line: r.line} }

// rows yields the rows of a stream. A stream that begins with '[' is read as one JSON array, unless
// lines says that the file's name promises lines.
func rows(text *bufio.Reader, lines bool, limit int) iter.Seq2[row, error] {
	return func(yield func(row, error) bool) {
		if err := plainText(text); err != nil {
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

// plainText removes a byte order mark.
func plainText(text *bufio.Reader) error {
	mark, _ := text.Peek(3) // an error shows again at the first read
	switch {
	case bytes.Equal(mark, []byte("\ufeff")):
		_, err := text.Discard(len(mark))
		return err
	case bytes.HasPrefix(mark, []byte{0xff, 0xfe}), bytes.HasPrefix(mark, []byte{0xfe, 0xff}):
		return errors.New("UTF-16 text, want UTF-8: convert the file")
	}
	return nil
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
				yield(row{}, fmt.Errorf("line %d: longer than %d bytes, want one JSON object a line", line,
					limit))
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
		if data := bytes.TrimSpace(buf); len(data) > 0 && !yield(row{line: line, data: data}, nil) {
			return
		}
		if err == io.EOF {
			return
		}
	}
}
