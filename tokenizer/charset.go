package tokenizer

import (
	"fmt"
	"strings"
	"unicode"
)

// A charSet is a character class on its way to regexp2: members that can stand between brackets,
// and classes that must be written separately, because they are inverted or nested. Each matches
// exactly one character.
type charSet struct {
	members strings.Builder
	classes []string
}

// classMembers has the members of \s and \w. General categories are written with the characters
// that newer Unicode versions add.
var classMembers = map[string]string{
	"s": `\t-\r \u0085\u00A0\u1680\u2000-\u200A\u2028\u2029\u202F\u205F\u3000`,
	"w": `\p{L}\p{M}\p{Nl}\p{Nd}\p{Pc}` + spell(otherAlphabetic()) + spell(newerWord[latinWords:]),
	// Outside brackets, Oniguruma uses another table for Latin-1, in which ² ³ ¹ ¼ ½ ¾ are word
	// characters.
	bareWord: `\p{L}\p{M}\p{Nl}\p{Nd}\p{Pc}` + spell(otherAlphabetic()) + spell(newerWord),
}

const (
	bareWord   = "bare w"
	latinWords = 6 // bounds of newerWord below U+0100
)

// otherAlphabetic returns the characters that are alphabetic by listing, not by category.
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

// add adds the characters low to high and, with fold, those that differ from them only in case.
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

// empty reports whether the set has no members.
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
	// atomic: which alternative matched makes no difference, so do not backtrack
	return `(?>` + parts + `)`
}

// noneOf matches one character that an element does not match.
func noneOf(element string) string {
	return `(?:(?!` + element + `)[\u0000-` + string(rune(unicode.MaxRune)) + `])`
}

// intersection matches one character that all elements match.
func intersection(elements []string, inverted bool) string {
	last := len(elements) - 1
	both := `(?:(?=` + strings.Join(elements[:last], `)(?=`) + `)` + elements[last] + `)`
	if inverted {
		return noneOf(both)
	}
	return both
}
