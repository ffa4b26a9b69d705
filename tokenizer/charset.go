package tokenizer

import (
	"fmt"
	"strings"
	"unicode"
)

// A charSet is a character class on its way to regexp2: what stands between brackets, and named classes that are
// inverted, each to be written by itself.
type charSet struct {
	members  strings.Builder
	inverted []string
}

// classMembers says how \s and \w are written; the general categories are spelled with what newer adds to them.
var classMembers = map[string]string{
	"s": `\t-\r \u0085\u00A0\u1680\u2000-\u200A\u2028\u2029\u202F\u205F\u3000`,
	"w": `\p{L}\p{M}\p{Nl}\p{Nd}\p{Pc}` + spell(otherAlphabetic()) + spell(newerWord[latinWords:]),
	// Outside brackets, Oniguruma looks Latin-1 up in another table, which counts ² ³ ¹ ¼ ½ ¾ as words.
	bareWord: `\p{L}\p{M}\p{Nl}\p{Nd}\p{Pc}` + spell(otherAlphabetic()) + spell(newerWord),
}

const (
	bareWord   = "bare w"
	latinWords = 6 // bounds of newerWord below U+0100
)

// otherAlphabetic are the characters that count as alphabetic by listing, not by category.
func otherAlphabetic() []rune {
	var ranges []rune
	for _, r := range unicode.Other_Alphabetic.R16 {
		for c := rune(r.Lo); c <= rune(r.Hi); c += rune(r.Stride) {
			ranges = append(ranges, c, c)
		}
	}
	for _, r := range unicode.Other_Alphabetic.R32 {
		for c := rune(r.Lo); c <= rune(r.Hi); c += rune(r.Stride) {
			ranges = append(ranges, c, c)
		}
	}
	return ranges
}

// spell writes ranges as members of a class.
func spell(ranges []rune) string {
	var out strings.Builder
	for i := 0; i < len(ranges); i += 2 {
		out.WriteString(spellRune(ranges[i]))
		if ranges[i+1] > ranges[i] {
			out.WriteByte('-')
			out.WriteString(spellRune(ranges[i+1]))
		}
	}
	return out.String()
}

func spellRune(r rune) string {
	if r <= 0xFFFF {
		return fmt.Sprintf(`\u%04X`, r)
	}
	return string(r)
}

// add adds the characters low to high, with fold those too that differ from them in case only.
func (s *charSet) add(low, high rune, fold bool) {
	s.members.WriteString(spell([]rune{low, high}))
	for r := low; fold && r <= high; r++ {
		for c := unicode.SimpleFold(r); c != r; c = unicode.SimpleFold(c) {
			s.members.WriteString(spellRune(c))
		}
	}
}

// addNamed adds a general category, a script, s or w.
func (s *charSet) addNamed(name string, inverted bool) error {
	members, ok := classMembers[name]
	if !ok {
		_, isCategory := unicode.Categories[name]
		_, isScript := unicode.Scripts[name]
		if !isCategory && !isScript {
			return fmt.Errorf(`\p{%s} is not a general category (such as Lu) or a script (such as Han)`, name)
		}
		members = `\p{` + name + `}` + spell(newer[name])
	}
	if inverted {
		s.inverted = append(s.inverted, `[^`+members+`]`)
	} else {
		s.members.WriteString(members)
	}
	return nil
}

// write returns the class as an element of a pattern.
func (s *charSet) write(inverted bool) string {
	members := s.members.String()
	if len(s.inverted) == 0 {
		if inverted {
			return `[^` + members + `]`
		}
		return `[` + members + `]`
	}
	parts := strings.Join(s.inverted, "|")
	if members != "" {
		parts = `[` + members + `]|` + parts
	}
	if inverted {
		return `(?:(?!` + parts + `)[\u0000-` + string(rune(unicode.MaxRune)) + `])`
	}
	return `(?:` + parts + `)`
}
