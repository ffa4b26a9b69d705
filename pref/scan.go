package pref

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// Rows are JSON but for two liberties. Python writes NaN, Infinity and −Infinity, and files hold
// bytes that are no UTF-8. Neither does harm in a column that nobody reads, so the scanner of this
// file lets both pass, and the functions that read a value refuse them.

// maxDepth bounds the nesting of a row.
const maxDepth = 500

// A member is a key of a JSON object with its undecoded value.
type member struct {
	key   string
	value json.RawMessage
}

// A syntaxError says where a text stops being JSON.
type syntaxError struct {
	offset int // bytes of the text that are read
	what   string
}

func (e *syntaxError) Error() string { return e.what }

// A scanner walks over a JSON text.
type scanner struct {
	data []byte
	at   int
}

func (s *scanner) fail(format string, args ...any) error {
	return &syntaxError{min(s.at+1, len(s.data)), fmt.Sprintf(format, args...)}
}

// unexpected is the error of a byte that cannot stand here.
func (s *scanner) unexpected(wanted string) error {
	if s.at >= len(s.data) {
		return s.fail("unexpected end, want %s", wanted)
	}
	r, _ := utf8.DecodeRune(s.data[s.at:])
	return s.fail("unexpected character %q, want %s", r, wanted)
}

// peek returns the next byte that is no space, 0 at the end.
func (s *scanner) peek() byte {
	for s.at < len(s.data) {
		switch c := s.data[s.at]; c {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return c
		}
	}
	return 0
}

// next steps over one byte, which must be c.
func (s *scanner) next(c byte, wanted string) error {
	if s.peek() != c || s.at >= len(s.data) {
		return s.unexpected(wanted)
	}
	s.at++
	return nil
}

// end makes sure that nothing follows.
func (s *scanner) end() error {
	if s.peek(); s.at < len(s.data) {
		return s.unexpected("nothing behind the value")
	}
	return nil
}

// value steps over one value and returns it.
func (s *scanner) value(depth int) (json.RawMessage, error) {
	if depth > maxDepth {
		return nil, s.fail("nested deeper than %d levels", maxDepth)
	}
	c := s.peek()
	from := s.at
	var err error
	switch {
	case c == '"':
		err = s.text()
	case c == '{':
		err = s.object(depth, func(member) error { return nil })
	case c == '[':
		err = s.list(depth, func(json.RawMessage) error { return nil })
	default:
		err = s.literal()
	}
	return s.data[from:s.at:s.at], err
}

// object steps over an object and calls each with its members.
func (s *scanner) object(depth int, each func(member) error) error {
	s.at++ // the brace
	if s.peek() == '}' {
		s.at++
		return nil
	}
	for {
		if s.peek() != '"' {
			return s.unexpected("a key")
		}
		from := s.at
		if err := s.text(); err != nil {
			return err
		}
		key := s.data[from:s.at]
		if err := s.next(':', `":" behind a key`); err != nil {
			return err
		}
		value, err := s.value(depth + 1)
		if err != nil {
			return err
		}
		if err := each(member{keyOf(key), value}); err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.at++
		case '}':
			s.at++
			return nil
		default:
			return s.unexpected(`"," or "}" behind a value`)
		}
	}
}

// list steps over a list and calls each with its elements.
func (s *scanner) list(depth int, each func(json.RawMessage) error) error {
	s.at++ // the bracket
	if s.peek() == ']' {
		s.at++
		return nil
	}
	for {
		value, err := s.value(depth + 1)
		if err != nil {
			return err
		}
		if err := each(value); err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.at++
		case ']':
			s.at++
			return nil
		default:
			return s.unexpected(`"," or "]" behind an element`)
		}
	}
}

// text steps over a string.
func (s *scanner) text() error {
	for s.at++; s.at < len(s.data); s.at++ {
		switch c := s.data[s.at]; {
		case c == '"':
			s.at++
			return nil
		case c < 0x20:
			return s.unexpected("no control character in a text")
		case c == '\\':
			s.at++
			if s.at < len(s.data) && s.data[s.at] == 'u' {
				for range 4 {
					if s.at++; s.at >= len(s.data) || !isHex(s.data[s.at]) {
						return s.unexpected(`four hexadecimal digits behind "\u"`)
					}
				}
			} else if s.at >= len(s.data) || bytes.IndexByte([]byte(`"\/bfnrt`), s.data[s.at]) < 0 {
				return s.unexpected("an escape")
			}
		}
	}
	return s.unexpected("a quote that ends the text")
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// literal steps over a number, true, false, null, NaN, Infinity or −Infinity.
func (s *scanner) literal() error {
	from := s.at
	for s.at < len(s.data) && isLiteral(s.data[s.at]) {
		s.at++
	}
	switch word := s.data[from:s.at]; {
	case notFinite(word) || json.Valid(word):
		return nil
	default:
		s.at = from
		return s.unexpected("a value")
	}
}

func isLiteral(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' ||
		c == '-' || c == '+' || c == '.'
}

// notFinite tells a number that JSON does not have.
func notFinite(word []byte) bool {
	switch string(word) {
	case "NaN", "Infinity", "-Infinity":
		return true
	}
	return false
}

// keyOf decodes a key. Bytes that are no UTF-8 stay: such a key is none that haf reads.
func keyOf(quoted []byte) string {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1 : len(quoted)-1])
	}
	var key string
	if err := json.Unmarshal(quoted, &key); err != nil {
		return string(quoted)
	}
	return key
}

// loneSurrogate returns the first escape of a JSON text that is half of a surrogate pair, "" where
// there is none. encoding/json would replace it without a word.
func loneSurrogate(raw []byte) string {
	if !bytes.Contains(raw, []byte(`\u`)) {
		return ""
	}
	surrogate := func(at int) (kind byte, escape string) { // 'h'igh, 'l'ow or 0
		if at+6 > len(raw) || raw[at] != '\\' || raw[at+1] != 'u' {
			return 0, ""
		}
		escape = string(raw[at : at+6])
		if c := raw[at+2] | 0x20; c != 'd' {
			return 0, escape
		}
		switch c := raw[at+3] | 0x20; {
		case c == '8' || c == '9' || c == 'a' || c == 'b':
			return 'h', escape
		case c >= 'c' && c <= 'f':
			return 'l', escape
		}
		return 0, escape
	}
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		switch kind, escape := surrogate(i); kind {
		case 'l':
			return escape
		case 'h':
			if low, _ := surrogate(i + 6); low != 'l' {
				return escape
			}
			i += 11
		default:
			i++ // the escaped character
		}
	}
	return ""
}
