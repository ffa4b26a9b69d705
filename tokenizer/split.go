package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A behavior says how to treat the matches and the text between them.
type behavior uint8

const (
	isolated behavior = iota
	removed
	mergedWithPrevious
	mergedWithNext
	contiguous
)

func (b *behavior) UnmarshalJSON(data []byte) error {
	for i, name := range []string{"Isolated", "Removed", "MergedWithPrevious", "MergedWithNext",
		"Contiguous"} {
		if string(data) == `"`+name+`"` {
			*b = behavior(i)
			return nil
		}
	}
	return fmt.Errorf("behavior %s is not known", data)
}

// cut splits at the matches of a pattern.
type cut struct {
	find     scan
	behavior behavior
	invert   bool // the text between the matches counts as matched
}

func (c cut) split(p piece, yield func(piece)) {
	first := p.first
	emit := func(start, end int) {
		if start < end {
			yield(piece{p.text[start:end], first})
			first = false
		}
	}
	c.stretches(p.text, emit)
}

// stretches calls emit for the parts of the text that the behavior keeps, in order.
func (c cut) stretches(text string, emit func(start, end int)) {
	switch c.behavior {
	case isolated:
		c.alternate(text, func(start, end int, _ bool) { emit(start, end) })
	case removed:
		c.alternate(text, func(start, end int, match bool) {
			if !match {
				emit(start, end)
			}
		})
	default:
		// Hold one stretch back until it is clear that nothing joins it.
		from, to, previous := 0, 0, false
		c.alternate(text, func(start, end int, match bool) {
			var joins bool
			switch c.behavior {
			case mergedWithPrevious:
				joins = match && !previous
			case mergedWithNext:
				joins = previous && !match
			case contiguous:
				joins = match == previous
			}
			previous = match
			if !joins {
				emit(from, to)
				from = start
			}
			to = end
		})
		emit(from, to)
	}
}

// alternate calls yield for the matches and the text between them, in order.
func (c cut) alternate(text string, yield func(start, end int, match bool)) {
	done := 0
	c.find(text, func(start, end int) {
		if done < start {
			yield(done, start, c.invert)
		}
		yield(start, end, !c.invert)
		done = end
	})
	if done < len(text) {
		yield(done, len(text), c.invert)
	}
}

// rawMatch is the pattern of Split and Replace.
type rawMatch struct{ String, Regex *string }

func (r *rawMatch) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) == nil { // in the oldest files the literal itself
		r.String = &text
		return nil
	}
	type fields rawMatch
	return json.Unmarshal(data, (*fields)(r))
}

func (r rawMatch) compile() (scan, error) {
	switch {
	case r.String != nil && r.Regex == nil:
		if *r.String == "" {
			return nil, fmt.Errorf("the empty pattern is not supported")
		}
		return literal(*r.String), nil
	case r.Regex != nil && r.String == nil:
		if s, ok := scanners[*r.Regex]; ok {
			return s, nil
		}
		return compilePattern(*r.Regex)
	}
	return nil, fmt.Errorf("pattern has neither String nor Regex")
}

// literal finds a text.
func literal(pattern string) scan {
	return func(text string, found func(start, end int)) {
		for at := 0; ; {
			i := strings.Index(text[at:], pattern)
			if i < 0 {
				return
			}
			found(at+i, at+i+len(pattern))
			at += i + len(pattern)
		}
	}
}

// characters finds each character of a class.
func characters(is func(rune) bool) scan {
	return func(text string, found func(start, end int)) {
		for i := 0; i < len(text); {
			r, n := utf8.DecodeRuneInString(text[i:])
			if is(r) {
				found(i, i+n)
			}
			i += n
		}
	}
}

// words finds \w+|[^\w\s]+.
func words(text string, found func(start, end int)) {
	start, kind := 0, -1
	for i, r := range text {
		k := 1
		if unicode.IsSpace(r) {
			k = -1
		} else if isRustWord(r) {
			k = 0
		}
		if k == kind {
			continue
		}
		if kind >= 0 {
			found(start, i)
		}
		start, kind = i, k
	}
	if kind >= 0 {
		found(start, len(text))
	}
}
