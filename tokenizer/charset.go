package tokenizer

import (
	"fmt"
	"strings"
	"unicode"
)

// A charSet is a character class on its way to regexp2: what stands between brackets, and classes
// in it that are to be written by themselves: named ones that are inverted, and nested ones. Each
// matches exactly one character.
type charSet struct {
	members strings.Builder
	classes []string
}

// classMembers says how \s and \w are written; the general categories are spelled with what newer
// adds to them.
var classMembers = map[string]string{
	"s": `\t-\r \u0085\u00A0\u1680\u2000-\u200A\u2028\u2029\u202F\u205F\u3000`,
	"w": `\p{L}\p{M}\p{Nl}\p{Nd}\p{Pc}` + spell(otherAlphabetic()) + spell(newerWord[latinWords:]),
	// Outside brackets, Oniguruma looks Latin-1 up in another table, which counts ² ³ ¹ ¼ ½ ¾ as
	// words.
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
			return fmt.Errorf(`\p{%s} is not a general category (such as Lu) or a script (such as Han)`,
				name)
		}
		members = `\p{` + name + `}` + spell(newer[name])
	}
	if inverted {
		s.classes = append(s.classes, `[^`+members+`]`)
	} else {
		s.members.WriteString(members)
	}
	return nil
}

// empty reports whether nothing was added.
func (s *charSet) empty() bool { return s.members.Len() == 0 && len(s.classes) == 0 }

// write returns the class as an element of a pattern.
func (s *charSet) write(inverted bool) string {
	members := s.members.String()
	if len(s.classes) == 0 {
		if inverted {
			return `[^` + members + `]`
		}
		return `[` + members + `]`
	}
	parts := strings.Join(s.classes, "|")
	if members != "" {
		parts = `[` + members + `]|` + parts
	}
	if inverted {
		return noneOf(parts)
	}
	// atomic: which of them it was makes no difference, and is not to be tried again
	return `(?>` + parts + `)`
}

// noneOf matches one character that an element does not.
func noneOf(element string) string {
	return `(?:(?!` + element + `)[\u0000-` + string(rune(unicode.MaxRune)) + `])`
}

// intersection matches one character that all elements do.
func intersection(elements []string, inverted bool) string {
	last := len(elements) - 1
	both := `(?:(?=` + strings.Join(elements[:last], `)(?=`) + `)` + elements[last] + `)`
	if inverted {
		return noneOf(both)
	}
	return both
}
