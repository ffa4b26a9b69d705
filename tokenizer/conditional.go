package tokenizer

import (
	"strings"
	"unicode"
)

// gonja knows "a if c else b" only as the whole of {{ }} or of a set, not inside brackets. rewriteConditionals writes each
// as ((c) and [a] or [b]) | _pick, which evaluates no more than it must; the lists tell a false value from a false c.

const pickName = "_pick" // the filter that returns the one element of a list

// rewriteConditionals rewrites the inside of a tag; kind is the tag's second character.
func rewriteConditionals(inner string, kind byte) string {
	s := &conditionals{in: inner}
	if kind == '{' {
		return s.list()
	}
	// At the top of a statement, if belongs to for or is the statement. Only set has a value there.
	s.statement = true
	if word := strings.TrimLeftFunc(inner, unicode.IsSpace); strings.HasPrefix(word, "set ") {
		if equals := strings.IndexByte(inner, '='); equals > 0 {
			s.at, s.statement = equals+1, false
			return inner[:s.at] + s.list()
		}
	}
	return s.list()
}

type conditionals struct {
	in        string
	at        int
	depth     int
	statement bool // leave what is outside all brackets alone
}

// list reads segments separated by commas or colons up to the bracket that closes them, which it leaves.
func (s *conditionals) list() string {
	var out strings.Builder
	for {
		out.WriteString(s.segment())
		if s.at == len(s.in) || s.in[s.at] != ',' && s.in[s.at] != ':' {
			if s.at < len(s.in) && s.depth == 0 { // a bracket too many: gonja will say so
				out.WriteString(s.in[s.at:])
				s.at = len(s.in)
			}
			return out.String()
		}
		out.WriteByte(s.in[s.at])
		s.at++
	}
}

// segment reads one expression and returns it rewritten.
func (s *conditionals) segment() string {
	var out strings.Builder
	value, ifAt, elseAt := 0, -1, -1 // where in out the value begins, and the words
	for s.at < len(s.in) {
		c := s.in[s.at]
		start := s.at
		switch {
		case c == '\'' || c == '"':
			s.at = stringEnd(s.in, s.at)
			out.WriteString(s.in[start:s.at])
		case c == '(' || c == '[' || c == '{':
			s.at++
			s.depth++
			out.WriteByte(c)
			out.WriteString(s.list())
			s.depth--
			if s.at < len(s.in) {
				out.WriteByte(s.in[s.at])
				s.at++
			}
		case c == ')' || c == ']' || c == '}' || c == ',' || c == ':':
			return choose(out.String(), value, ifAt, elseAt)
		case c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			for s.at < len(s.in) && (s.in[s.at] == '_' || s.in[s.at] < 0x80 && (unicode.IsLetter(rune(s.in[s.at])) || unicode.IsDigit(rune(s.in[s.at])))) {
				s.at++
			}
			word := s.in[start:s.at]
			if top := s.statement && s.depth == 0; !top && word == "if" && ifAt < 0 {
				ifAt = out.Len()
			} else if !top && word == "else" && ifAt >= 0 && elseAt < 0 {
				elseAt = out.Len()
			}
			out.WriteString(word)
		default:
			s.at++
			out.WriteByte(c)
			if c == '=' && s.depth > 0 && ifAt < 0 && !comparison(s.in, start) {
				value = out.Len() // a keyword argument
			}
		}
	}
	return choose(out.String(), value, ifAt, elseAt)
}

// comparison reports whether the = at i is part of ==, !=, <= or >=.
func comparison(s string, i int) bool {
	return i+1 < len(s) && s[i+1] == '=' || i > 0 && strings.IndexByte("=!<>", s[i-1]) >= 0
}

// choose writes the conditional found in text; what follows else may hold further ones.
func choose(text string, value, ifAt, elseAt int) string {
	if ifAt < 0 {
		return text
	}
	condition, other := text[ifAt+len("if"):], "none"
	if elseAt >= 0 {
		condition = text[ifAt+len("if") : elseAt]
		rest := &conditionals{in: text[elseAt+len("else"):]}
		other = rest.list()
	}
	return text[:value] + " (((" + condition + ") and [" + text[value:ifAt] + "] or [" + other + "]) | " + pickName + ")"
}

// stringEnd returns where the string literal that begins at i ends.
func stringEnd(s string, i int) int {
	quote := s[i]
	for i++; i < len(s) && s[i] != quote; i++ {
		if s[i] == '\\' {
			i++
		}
	}
	return min(i+1, len(s))
}
