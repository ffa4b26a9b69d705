package jinja

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The forms of numbers are those of Jinja's lexer.
var (
	floatForm = regexp.MustCompile(
		`^(\d+_)*\d+((\.(\d+_)*\d+)?[eE][+\-]?(\d+_)*\d+|\.(\d+_)*\d+)`)
	integerForm = regexp.MustCompile(
		`^(0[bB](_?[0-1])+|0[oO](_?[0-7])+|0[xX](_?[\da-fA-F])+|[1-9](_?\d)*|0(_?0)*)`)
)

// numberAt returns the length and kind of the number with which s begins, or 0. After a dot, as in
// messages.0.role, only an integer can stand.
func numberAt(s string, afterDot bool) (int, tokenKind) {
	if s[0] < '0' || s[0] > '9' {
		return 0, eof
	}
	if n := len(floatForm.FindString(s)); n > 0 && !afterDot {
		return n, floatToken
	}
	return len(integerForm.FindString(s)), integerToken
}

// parseNumber returns the value of a number of the source.
func parseNumber(t token) (Value, error) {
	digits := strings.ReplaceAll(t.text, "_", "")
	if t.kind == floatToken {
		f, err := strconv.ParseFloat(digits, 64)
		if err != nil && !strings.Contains(err.Error(), "range") {
			return nil, fmt.Errorf("%q is not a number", t.text)
		}
		return Float(f), nil
	}
	base := 10
	if len(digits) > 2 && digits[0] == '0' {
		base = map[byte]int{'x': 16, 'X': 16, 'o': 8, 'O': 8, 'b': 2, 'B': 2}[digits[1]]
		if base == 0 {
			base = 10
		} else {
			digits = digits[2:]
		}
	}
	i, err := strconv.ParseInt(digits, base, 64)
	if err != nil {
		return nil, fmt.Errorf("the integer %.40s has more than 64 bits", t.text)
	}
	return Int(i), nil
}

// stringLength returns the length of the string literal with which s begins, or -1.
func stringLength(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case s[0]:
			return i + 1
		case '\\':
			i++
		}
	}
	return -1
}

var simpleEscapes = map[byte]string{
	'\n': "", '\\': `\`, '\'': "'", '"': `"`, 'a': "\a", 'b': "\b", 'f': "\f", 'n': "\n",
	'r': "\r", 't': "\t", 'v': "\v",
}

// unescape resolves the escapes of a string literal as Python does; an unknown one stays.
func unescape(s string) (string, error) {
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			out.WriteByte(s[i])
			continue
		}
		i++
		c := s[i]
		if simple, ok := simpleEscapes[c]; ok {
			out.WriteString(simple)
			continue
		}
		digits, base := map[byte]int{'x': 2, 'u': 4, 'U': 8}[c], 16
		begin := i + 1
		if c >= '0' && c <= '7' {
			begin, base = i, 8
			for digits < 3 && begin+digits < len(s) && s[begin+digits] >= '0' &&
				s[begin+digits] <= '7' {
				digits++
			}
		}
		if c == 'N' {
			return "", fmt.Errorf(`the escape \N is not supported`)
		}
		if digits == 0 {
			out.WriteByte('\\')
			out.WriteByte(c)
			continue
		}
		end := begin + digits
		if end > len(s) {
			return "", fmt.Errorf(`the escape \%c wants %d digits`, c, digits)
		}
		code, err := strconv.ParseUint(s[begin:end], base, 32)
		if err != nil || code > utf8.MaxRune {
			return "", fmt.Errorf(`the escape \%s is not a character`, s[i:end])
		}
		out.WriteRune(rune(code))
		i = end - 1
	}
	return out.String(), nil
}
