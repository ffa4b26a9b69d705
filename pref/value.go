package pref

import (
	"encoding/json"
	"math"
	"strings"
	"unicode/utf8"
)

// Functions that decode a value: its type, its encoding and its range are checked here and nowhere
// else.

func isText(raw json.RawMessage) bool { return kind(raw) == "text" }

// textOf decodes a text. Bytes that are no UTF-8 and halves of surrogate pairs are errors: the
// standard library would replace both without a word.
func textOf(raw json.RawMessage, field string) (string, error) {
	if !isText(raw) {
		return "", wrong(field, "%s, want text", kind(raw))
	}
	if at := invalidUTF8(raw); at >= 0 {
		return "", wrong(field, "invalid UTF-8 at byte %d of the text (0x%02x), want UTF-8",
			at-1, raw[at])
	}
	if escape := loneSurrogate(raw); escape != "" {
		return "", wrong(field, "%s is half of a surrogate pair, want both halves or neither", escape)
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", wrong(field, "%v, want text", err)
	}
	return s, nil
}

// invalidUTF8 returns where data stops being UTF-8, −1 where it never does.
func invalidUTF8(data []byte) int {
	if utf8.Valid(data) {
		return -1
	}
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

// MaxNumber bounds the numbers of files and the rewards of sources, so that the difference of two
// of them is a float32, the type in which models are trained.
const MaxNumber = math.MaxFloat32 / 2

// numberOf decodes a number that says how good a response is, or which.
func numberOf(raw json.RawMessage, field string) (float64, error) {
	x, err := anyNumber(raw, field)
	if err == nil && math.Abs(x) > MaxNumber {
		return 0, wrong(field, "%s, want a number within ±%.2g, so that the distance of two is a "+
			"float32", raw, MaxNumber)
	}
	return x, err
}

// anyNumber decodes a number of any size.
func anyNumber(raw json.RawMessage, field string) (float64, error) {
	var x float64
	switch {
	case kind(raw) != "a number":
		return 0, wrong(field, "%s, want a number", kind(raw))
	case notFinite(raw):
		return 0, wrong(field, "%s, want a finite number", raw)
	}
	if err := json.Unmarshal(raw, &x); err != nil { // out of float64's range
		return 0, wrong(field, "%s, want a number that a float64 holds", quote(string(raw)))
	}
	return x, nil
}

// indexOf decodes an index below n.
func indexOf(raw json.RawMessage, field string, n int) (int, error) {
	var i int
	if kind(raw) != "a number" {
		return 0, wrong(field, "%s, want the index of a response", kind(raw))
	}
	if err := json.Unmarshal(raw, &i); err != nil || i < 0 || i >= n {
		return 0, wrong(field, "%s, want the index of a response, 0 to %d", quote(string(raw)), n-1)
	}
	return i, nil
}

func boolOf(raw json.RawMessage, field string) (yes bool, err error) {
	if kind(raw) != "a boolean" {
		return false, wrong(field, "%s, want true or false", kind(raw))
	}
	if err := json.Unmarshal(raw, &yes); err != nil {
		return false, wrong(field, "%v, want true or false", err)
	}
	return yes, nil
}

func listOf(raw json.RawMessage, field, of string) ([]json.RawMessage, error) {
	if kind(raw) != "a list" {
		return nil, wrong(field, "%s, want a list of %s", kind(raw), of)
	}
	list := []json.RawMessage{}
	s := scanner{data: raw}
	s.peek()
	if err := s.list(0, func(item json.RawMessage) error {
		list = append(list, item)
		return nil
	}); err != nil {
		return nil, wrong(field, "%v, want a list of %s", err, of)
	}
	return list, nil
}

// isTexts reports whether the value is a list that begins with a text.
func isTexts(raw json.RawMessage) bool {
	if kind(raw) != "a list" {
		return false
	}
	s := scanner{data: raw}
	s.peek()
	s.at++
	return s.peek() == '"'
}

// emptyValue reports whether a value says nothing.
func emptyValue(raw json.RawMessage) bool {
	s := scanner{data: raw}
	switch s.peek() {
	case 0, 'n', 'f':
		return true
	case '[', '{':
		s.at++
		c := s.peek()
		return c == ']' || c == '}'
	case '"':
		return s.at+1 < len(raw) && raw[s.at+1] == '"'
	}
	return false
}

func blank(s string) bool { return strings.TrimSpace(s) == "" }
