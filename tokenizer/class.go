package tokenizer

import (
	"sort"
	"unicode"
	"unicode/utf8"
)

// Character classes of the tokenizers library: Go's tables plus the additions of its newer Unicode
// version.

// in reports whether r is in the ranges first, last, first, last, … in ascending order.
func in(ranges []rune, r rune) bool {
	i := sort.Search(len(ranges)/2, func(i int) bool { return ranges[2*i+1] >= r })
	return 2*i < len(ranges) && ranges[2*i] <= r
}

// A class of characters, as the published split patterns distinguish them.
type class uint8

const (
	other   class = iota
	letter        // \p{L}
	number        // \p{N}
	space         // \s without newline
	newline       // \r or \n
)

var (
	asciiClass  [utf8.RuneSelf]class
	newerLetter = newer["L"]
	newerNumber = newer["N"]
	firstNewer  = newerLetter[0] // the lowest character of both tables
)

func init() {
	for r := range rune(utf8.RuneSelf) {
		asciiClass[r] = slowClass(r)
	}
}

func slowClass(r rune) class {
	switch {
	case r == '\r' || r == '\n':
		return newline
	case unicode.IsLetter(r):
		return letter
	case unicode.IsSpace(r):
		return space
	case unicode.IsNumber(r):
		return number
	case r < firstNewer:
		return other
	case in(newerLetter, r):
		return letter
	case in(newerNumber, r):
		return number
	}
	return other
}

// classAt returns the class of the character at s[i] and its length in bytes, which is 0 at the end
// of s.
func classAt(s string, i int) (class, int) {
	if i >= len(s) {
		return other, 0
	}
	if b := s[i]; b < utf8.RuneSelf {
		return asciiClass[b], 1
	}
	r, n := utf8.DecodeRuneInString(s[i:])
	return slowClass(r), n
}

func isNumeric(r rune) bool { return unicode.IsNumber(r) || in(newerNumeric, r) }

func isPunctuation(r rune) bool {
	return unicode.IsPunct(r) && !in(newPunctuation, r) || in(oldPunctuation, r)
}

// isRustWord is \w of the patterns that the library runs by Rust's regex crate.
func isRustWord(r rune) bool {
	return unicode.In(r, unicode.L, unicode.M, unicode.Nl, unicode.Nd, unicode.Pc,
		unicode.Other_Alphabetic, unicode.Join_Control) ||
		in(newerRustWord, r)
}
