package jinja

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

type tokenKind uint8

const (
	eof tokenKind = iota
	data
	outputBegin // {{
	outputEnd   // }}
	tagBegin    // {%
	tagEnd      // %}
	name
	stringToken
	integerToken
	floatToken
	operator
)

type token struct {
	kind tokenKind
	text string // of a string, with its escapes resolved
	line int
}

// String describes a token in an error message.
func (t token) String() string {
	switch t.kind {
	case eof:
		return "EOF"
	case data:
		return "text"
	}
	return fmt.Sprintf("%q", t.text)
}

// A lexer splits a template into tokens, with transformers' rules for white space: trim_blocks
// (a line break after a tag is dropped), lstrip_blocks (so is the indentation before it), and no
// line break at the end.
type lexer struct {
	src    string
	at     int
	line   int
	fresh  bool // what stands at at begins a line, for lstrip_blocks
	tokens []token
}

func tokenize(source string) ([]token, error) {
	source = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(source)
	l := &lexer{src: strings.TrimSuffix(source, "\n"), line: 1, fresh: true}
	for l.at < len(l.src) {
		if err := l.root(); err != nil {
			return nil, &Error{l.line, err}
		}
	}
	l.add(eof, "")
	return l.tokens, nil
}

func (l *lexer) add(kind tokenKind, text string) {
	l.tokens = append(l.tokens, token{kind, text, l.line})
}

// move advances by n bytes and counts their lines.
func (l *lexer) move(n int) {
	l.line += strings.Count(l.src[l.at:l.at+n], "\n")
	l.at += n
}

func (l *lexer) rest() string { return l.src[l.at:] }

// root reads text up to a tag, and the tag.
func (l *lexer) root() error {
	start := nextTag(l.rest())
	if start < 0 {
		l.add(data, l.rest())
		l.move(len(l.rest()))
		return nil
	}
	opening := l.rest()[start : start+2]
	sign := signAt(l.rest()[start+2:])
	l.text(start, sign, opening != "{{")
	l.move(2 + len(sign))
	switch opening {
	case "{#":
		return l.comment()
	case "{%":
		if n := keyword(l.rest(), "raw"); n > 0 {
			l.move(n)
			return l.raw()
		}
		return l.inside(tagBegin, tagEnd, "%}")
	}
	return l.inside(outputBegin, outputEnd, "}}")
}

// nextTag returns the position of the next {{, {% or {#, or -1.
func nextTag(s string) int {
	for at := 0; ; at++ {
		i := strings.IndexByte(s[at:], '{')
		if i < 0 || at+i+1 >= len(s) {
			return -1
		}
		at += i
		if c := s[at+1]; c == '{' || c == '%' || c == '#' {
			return at
		}
	}
}

// signAt returns the - or + with which s begins.
func signAt(s string) string {
	if s != "" && (s[0] == '-' || s[0] == '+') {
		return s[:1]
	}
	return ""
}

// text adds the n bytes before a tag. The tag's sign and kind decide which white space is stripped.
func (l *lexer) text(n int, sign string, block bool) {
	s := l.rest()[:n]
	if sign == "-" {
		s = strings.TrimRightFunc(s, isSpace)
	} else if sign == "" && block {
		begin := strings.LastIndexByte(s, '\n') + 1
		if (begin > 0 || l.fresh) && strings.TrimFunc(s[begin:], isSpace) == "" {
			s = s[:begin]
		}
	}
	if s != "" {
		l.add(data, s)
	}
	l.move(n)
	l.fresh = false
}

// after drops the white space that a closing sign or trim_blocks removes.
func (l *lexer) after(sign string, block bool) {
	n := 0
	if sign == "-" {
		n = len(l.rest()) - len(strings.TrimLeftFunc(l.rest(), isSpace))
	} else if sign == "" && block && strings.HasPrefix(l.rest(), "\n") {
		n = 1
	}
	l.fresh = strings.HasSuffix(l.rest()[:n], "\n")
	l.move(n)
}

func (l *lexer) comment() error {
	end := strings.Index(l.rest(), "#}")
	if end < 0 {
		return fmt.Errorf("a comment is not closed")
	}
	sign := ""
	if end > 0 {
		sign = signAt(l.rest()[end-1:])
	}
	l.move(end + 2)
	l.after(sign, true)
	return nil
}

// keyword returns the length of the word, its white space and a closing %} or -%} with what that
// strips, or 0.
func keyword(s, word string) int {
	rest, ok := strings.CutPrefix(strings.TrimLeftFunc(s, isSpace), word)
	if !ok {
		return 0
	}
	rest = strings.TrimLeftFunc(rest, isSpace)
	if after, ok := strings.CutPrefix(rest, "-%}"); ok {
		return len(s) - len(strings.TrimLeftFunc(after, isSpace))
	}
	if after, ok := strings.CutPrefix(rest, "%}"); ok {
		return len(s) - len(after)
	}
	return 0
}

// raw reads the text between {% raw %} and {% endraw %}.
func (l *lexer) raw() error {
	l.fresh = strings.HasSuffix(l.src[:l.at], "\n")
	for i := 0; ; i += 2 {
		n := strings.Index(l.rest()[i:], "{%")
		if n < 0 {
			return fmt.Errorf("{%% raw %%} is not closed")
		}
		i += n
		sign := signAt(l.rest()[i+2:])
		tag := strings.TrimLeftFunc(l.rest()[i+2+len(sign):], isSpace)
		tag, ok := strings.CutPrefix(tag, "endraw")
		tag = strings.TrimLeftFunc(tag, isSpace)
		closing := signAt(tag)
		if !ok || !strings.HasPrefix(tag[len(closing):], "%}") {
			continue
		}
		end := len(l.rest()) - len(tag) + len(closing) + 2
		l.text(i, sign, true)
		l.move(end - i)
		l.after(closing, true)
		return nil
	}
}

// operators are those of Jinja, longer ones first.
var operators = []string{
	"//", "**", "==", "!=", ">=", "<=",
	"+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".", ":", "|", ",",
	";",
}

var closers = map[string]string{"(": ")", "[": "]", "{": "}"}

// inside reads the tokens of a tag up to its closing mark.
func (l *lexer) inside(begin, end tokenKind, mark string) error {
	first := l.line
	l.add(begin, "{"+mark[:1])
	var open []string // the brackets that wait for their closing ones
	for {
		l.move(len(l.rest()) - len(strings.TrimLeftFunc(l.rest(), isSpace)))
		s := l.rest()
		if s == "" {
			return fmt.Errorf("the tag that begins in line %d is not closed", first)
		}
		sign := signAt(s)
		if sign == "+" && end == outputEnd {
			sign = ""
		}
		if len(open) == 0 && strings.HasPrefix(s[len(sign):], mark) {
			l.add(end, mark)
			l.move(len(sign) + 2)
			l.after(sign, end == tagEnd)
			return nil
		}
		if n, kind := numberAt(s, l.src[l.at-1] == '.'); n > 0 {
			l.add(kind, s[:n])
			l.move(n)
			continue
		}
		if n := nameLength(s); n > 0 {
			if r, _ := utf8.DecodeRuneInString(s); unicode.IsDigit(r) {
				return fmt.Errorf("unexpected %q", s[:n])
			}
			l.add(name, s[:n])
			l.move(n)
			continue
		}
		if s[0] == '\'' || s[0] == '"' {
			n := stringLength(s)
			if n < 0 {
				return fmt.Errorf("a string is not closed")
			}
			value, err := unescape(s[1 : n-1])
			if err != nil {
				return err
			}
			l.add(stringToken, value)
			l.move(n)
			continue
		}
		op := ""
		for _, o := range operators {
			if strings.HasPrefix(s, o) {
				op = o
				break
			}
		}
		if op == "" {
			r, _ := utf8.DecodeRuneInString(s)
			return fmt.Errorf("unexpected character %q", r)
		}
		if closer, ok := closers[op]; ok {
			if len(open) == maxNesting {
				return fmt.Errorf("brackets nest deeper than %d", maxNesting)
			}
			open = append(open, closer)
		} else if op == ")" || op == "]" || op == "}" {
			if len(open) == 0 || open[len(open)-1] != op {
				return fmt.Errorf("unexpected %q", op)
			}
			open = open[:len(open)-1]
		}
		l.add(operator, op)
		l.move(len(op))
	}
}

// nameLength returns the length of the name, keyword or digits with which s begins.
func nameLength(s string) int {
	n := strings.IndexFunc(s, func(r rune) bool {
		return r != '_' && !unicode.IsLetter(r) && !unicode.IsNumber(r) && !unicode.IsMark(r)
	})
	if n < 0 {
		return len(s)
	}
	return n
}

// isSpace is Python's str.isspace for one character, which strip uses.
func isSpace(r rune) bool {
	if r < utf8.RuneSelf {
		return r == ' ' || r >= '\t' && r <= '\r' || r >= 0x1C && r <= 0x1F
	}
	return unicode.IsSpace(r)
}
