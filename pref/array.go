package pref

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// arrayRows yields the elements of a JSON array. It finds where they end and leaves what is in them
// to the reader of a row, so that an element that is no JSON is a bad row like a line that is none.
func arrayRows(text *bufio.Reader, limit int, yield func(row, error) bool) {
	a := &arrayReader{text: text, limit: limit}
	fail := func(n int, err error) {
		if err == io.EOF {
			err = errors.New("the array does not end, want \"]\": the file is cut off")
		}
		yield(row{}, fmt.Errorf("element %d: %w", n, err))
	}
	if _, err := a.next(); err != nil { // the '[' that was seen
		fail(1, err)
		return
	}
	for n := 1; ; n++ {
		c, err := a.peek()
		if err == nil && n == 1 && c == ']' {
			_, err = a.next()
			if err == nil {
				break
			}
		}
		var data []byte
		if err == nil {
			data, err = a.element()
		}
		if err == nil && len(data) == 0 {
			err = fmt.Errorf("unexpected character %q, want an object", c)
		}
		if err != nil {
			fail(n, err)
			return
		}
		if !yield(row{line: n, data: data}, nil) {
			return
		}
		if c, err = a.next(); err == nil && c != ',' && c != ']' {
			err = fmt.Errorf("unexpected character %q, want \",\" or \"]\" before it", c)
		}
		if err != nil {
			fail(n+1, err)
			return
		}
		if c == ']' {
			break
		}
	}
	if _, err := a.peek(); err != io.EOF {
		yield(row{}, errors.New("text after the array's end, want nothing: "+
			"is this JSON lines named .json?"))
	}
}

// An arrayReader walks over the elements of an array.
type arrayReader struct {
	text  *bufio.Reader
	limit int // bytes of an element
	data  []byte
}

// peek returns the next byte that is no space and leaves it.
func (a *arrayReader) peek() (byte, error) {
	c, err := a.next()
	if err != nil {
		return 0, err
	}
	return c, a.text.UnreadByte()
}

// next reads the next byte that is no space.
func (a *arrayReader) next() (byte, error) {
	for {
		c, err := a.text.ReadByte()
		if err != nil || c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			return c, err
		}
	}
}

// element reads one element up to the comma or bracket behind it. Its bytes are valid until the
// next one.
func (a *arrayReader) element() ([]byte, error) {
	a.data = a.data[:0]
	depth, quoted := 0, false
	for {
		c, err := a.text.ReadByte()
		if err != nil {
			return nil, err
		}
		ends := false
		switch {
		case quoted && c == '\\':
			a.data = append(a.data, c)
			if c, err = a.text.ReadByte(); err != nil {
				return nil, err
			}
		case c == '"':
			quoted = !quoted
			ends = !quoted && depth == 0
		case quoted:
		case c == '{' || c == '[':
			depth++
		case depth == 0 && (c == ',' || c == ']' || c == ' ' || c == '\t' || c == '\r' || c == '\n'):
			return a.data, a.text.UnreadByte()
		case c == '}' || c == ']':
			depth--
			ends = depth <= 0
		}
		if a.data = append(a.data, c); len(a.data) > a.limit {
			return nil, fmt.Errorf("longer than %d bytes, want an array of small objects", a.limit)
		}
		if ends {
			return a.data, nil
		}
	}
}
