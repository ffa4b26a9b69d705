package tokenizer

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/dlclark/regexp2"
)

// Limits for the time of a pattern, for one match and for a text. A pattern such as (a+)+$ takes
// exponential time. A useful pattern stays far below both.
const (
	matchTime = 5 * time.Second
	scanTime  = time.Minute
)

// A slowPattern is the value of a panic in a scan, because splitting returns no error.
// [Tokenizer.TryEncode] returns it as an error.
type slowPattern struct {
	pattern string
	bytes   int
}

func (s *slowPattern) Error() string {
	return fmt.Sprintf("tokenizer: the pattern %.100q takes too long for a text of %d bytes: it was "+
		"stopped; use the tokenizer.json that the model was published with", s.pattern, s.bytes)
}

// compilePattern makes a scan of a regular expression in the syntax of Oniguruma, which the
// tokenizers library runs. regexp2 does the matching. It differs from Oniguruma in syntax and
// classes, so the pattern is parsed and written again for it. A pattern that cannot be written
// exactly is an error.
func compilePattern(pattern string) (scan, error) {
	text, err := translate(pattern)
	if err != nil {
		return nil, fmt.Errorf("pattern %.200q: %w", pattern, err)
	}
	re, err := regexp2.Compile(text, regexp2.None)
	if err != nil {
		// the error already repeats the pattern
		return nil, fmt.Errorf("pattern %.200q: %.300s", pattern, err.Error())
	}
	re.MatchTimeout = matchTime
	return func(text string, found func(start, end int)) {
		begin := time.Now()
		runes := make([]rune, 0, len(text))
		starts := make([]int, 0, len(text)+1) // of each rune, in bytes
		for i, r := range text {
			runes = append(runes, r)
			starts = append(starts, i)
		}
		starts = append(starts, len(text))
		last := -1 // end of the previous match: skip an empty match there
		for at := 0; at <= len(runes); {
			m, err := re.FindRunesMatchStartingAt(runes, at)
			if err != nil || time.Since(begin) > scanTime { // limits of a match, and of all
				panic(&slowPattern{pattern, len(text)})
			}
			if m == nil {
				return
			}
			start, end := m.Index, m.Index+m.Length
			if start == end && end == last {
				at = max(at, end) + 1
				continue
			}
			at, last = end, end
			found(starts[start], starts[end])
		}
	}, nil
}

// A translator reads an Oniguruma pattern and writes it for regexp2.
type translator struct {
	in    string
	at    int
	depth int
	fold  bool // inside (?i:…)
}

const maxPatternDepth = 50

func translate(pattern string) (string, error) {
	if !utf8.ValidString(pattern) {
		return "", fmt.Errorf("is not UTF-8")
	}
	t := &translator{in: pattern}
	if rest, ok := strings.CutPrefix(pattern, "(?i)"); ok {
		t.in, t.fold = rest, true
	}
	out, err := t.alternatives()
	if err == nil && t.at < len(t.in) {
		err = fmt.Errorf("unmatched ) at byte %d", t.at)
	}
	return out, err
}

func (t *translator) peek(s string) bool { return strings.HasPrefix(t.in[t.at:], s) }

func (t *translator) take(s string) bool {
	if t.peek(s) {
		t.at += len(s)
		return true
	}
	return false
}

func (t *translator) rune() rune {
	r, n := utf8.DecodeRuneInString(t.in[t.at:])
	t.at += n
	return r
}

// alternatives parses up to the end or a closing parenthesis.
func (t *translator) alternatives() (string, error) {
	if t.depth++; t.depth > maxPatternDepth {
		return "", fmt.Errorf("groups nest deeper than %d", maxPatternDepth)
	}
	defer func() { t.depth-- }()
	var out strings.Builder
	previous := rune(0) // the previous letter, for case foldings of two letters
	for t.at < len(t.in) && !t.peek(")") {
		if t.take("|") {
			out.WriteByte('|')
			previous = 0
			continue
		}
		start := t.at
		atom, quantifiable, err := t.atom()
		if err != nil {
			return "", err
		}
		if t.fold {
			letter, n := utf8.DecodeRuneInString(t.in[start:])
			if n != t.at-start {
				letter = 0
			}
			if slices.Contains([]string{"ss", "st", "ff", "fi", "fl"},
				strings.ToLower(string(previous)+string(letter))) {
				return "", fmt.Errorf(
					"ignoring case of %q, which also folds to a single character, is not supported",
					string(previous)+string(letter))
			}
			previous = letter
		}
		if atom, err = t.quantified(atom, quantifiable); err != nil {
			return "", err
		}
		out.WriteString(atom)
	}
	return out.String(), nil
}

// quantified parses the quantifiers of an atom. In Oniguruma's own syntax ?+, *+ and ++ are
// possessive, but {n,m}+ repeats the repetition.
func (t *translator) quantified(atom string, ok bool) (string, error) {
	for n := 0; t.at < len(t.in); n++ {
		interval, quantifier := false, ""
		switch {
		case t.take("?"), t.take("*"), t.take("+"):
			quantifier = t.in[t.at-1 : t.at]
		case t.peek("{"):
			length := 0
			if quantifier, length = repetition(t.in[t.at:]); length == 0 {
				return atom, nil // a literal brace
			}
			t.at += length
			interval = true
		default:
			return atom, nil
		}
		if !ok {
			return "", fmt.Errorf("nothing to repeat before byte %d", t.at)
		}
		if n > 0 { // a quantifier of a quantified atom
			atom = "(?:" + atom + ")"
		}
		atom += quantifier
		switch {
		case interval && t.peek("?") && !strings.Contains(quantifier, ","):
			return "", fmt.Errorf("%s? is not supported", quantifier)
		case t.take("?"):
			atom += "?"
		case !interval && t.take("+"):
			atom = "(?>" + atom + ")"
		}
		if n > 4 {
			return "", fmt.Errorf("more than four quantifiers in a row")
		}
	}
	return atom, nil
}

// repetition parses {n}, {n,}, {n,m} or {,m} and returns it in regexp2's syntax. Length 0 means
// that it is none.
func repetition(s string) (quantifier string, length int) {
	end := strings.IndexByte(s, '}')
	if end < 0 {
		return "", 0
	}
	low, high, comma := strings.Cut(s[1:end], ",")
	if low == "" && high == "" {
		return "", 0
	}
	for _, n := range []string{low, high} {
		if k, err := strconv.Atoi(n); n != "" && (err != nil || k < 0 || k > math.MaxInt16) {
			return "", 0
		}
	}
	if low == "" {
		low = "0"
	}
	if !comma {
		return "{" + low + "}", end + 1
	}
	return "{" + low + "," + high + "}", end + 1
}

// wordClass is the class that \b and \B test on both sides.
var wordClass = `[` + classMembers[bareWord] + `]`

// atom parses one element. quantifiable is false for anchors.
func (t *translator) atom() (out string, quantifiable bool, err error) {
	switch {
	case t.peek("("):
		return t.group()
	case t.peek("["):
		s, err := t.bracket()
		return s, true, err
	case t.take("."):
		return `[^\n]`, true, nil
	case t.take("^"):
		return `(?m:^)`, false, nil
	case t.take("$"):
		return `(?m:$)`, false, nil
	case t.take(`\A`):
		return `\A`, false, nil
	case t.take(`\z`):
		return `\z`, false, nil
	case t.take(`\b`):
		return `(?:(?<=` + wordClass + `)(?!` + wordClass + `)|(?<!` + wordClass + `)(?=` + wordClass +
			`))`, false, nil
	case t.take(`\B`):
		return `(?:(?<=` + wordClass + `)(?=` + wordClass + `)|(?<!` + wordClass + `)(?!` + wordClass +
			`))`, false, nil
	case t.peek("?"), t.peek("*"), t.peek("+"):
		return "", false, fmt.Errorf("nothing to repeat before byte %d", t.at+1)
	case t.peek(`\`):
		var set charSet
		if t.peek(`\w`) || t.peek(`\W`) {
			inverted := t.in[t.at+1] == 'W'
			t.at += 2
			if err := set.addNamed(bareWord, inverted); err != nil {
				return "", false, err
			}
			return set.write(false), true, nil
		}
		r, named, err := t.escape(&set)
		if err != nil {
			return "", false, err
		}
		if named {
			return set.write(false), true, nil
		}
		return t.literal(r), true, nil
	}
	return t.literal(t.rune()), true, nil
}

func (t *translator) literal(r rune) string {
	var set charSet
	set.add(r, r, t.fold)
	return set.write(false)
}

func (t *translator) group() (string, bool, error) {
	fold, quantifiable, open := t.fold, true, "(?:"
	switch {
	case t.take("(?:"):
	case t.take("(?i:"):
		t.fold = true
	case t.take("(?-i:"):
		t.fold = false
	case t.take("(?>"):
		open = "(?>"
	case t.take("(?="), t.take("(?!"):
		open, quantifiable = t.in[t.at-3:t.at], false
	case t.take("(?<="), t.take("(?<!"):
		open, quantifiable = t.in[t.at-4:t.at], false
	case t.peek("(?"):
		return "", false, fmt.Errorf("the group at byte %d is of a kind that is not supported", t.at)
	default:
		t.take("(") // captures are not used
	}
	inner, err := t.alternatives()
	if err != nil {
		return "", false, err
	}
	t.fold = fold
	if !t.take(")") {
		return "", false, fmt.Errorf("a group is not closed")
	}
	return open + inner + ")", quantifiable, nil
}

// escape parses a backslash and what follows it: a character, or a class that it adds to set.
func (t *translator) escape(set *charSet) (r rune, named bool, err error) {
	start := t.at
	t.at++
	if t.at == len(t.in) {
		return 0, false, fmt.Errorf("ends in a backslash")
	}
	switch r = t.rune(); r {
	case 'n':
		return '\n', false, nil
	case 'r':
		return '\r', false, nil
	case 't':
		return '\t', false, nil
	case 'f':
		return '\f', false, nil
	case 'v':
		return '\v', false, nil
	case 'a':
		return '\a', false, nil
	case 'e':
		return 0x1B, false, nil
	case 's', 'S':
		return 0, true, set.addNamed("s", r == 'S')
	case 'd', 'D':
		return 0, true, set.addNamed("Nd", r == 'D')
	case 'w', 'W':
		return 0, true, set.addNamed("w", r == 'W')
	case 'p', 'P':
		name, _, ok := strings.Cut(t.in[t.at:], "}")
		if !ok || !strings.HasPrefix(name, "{") {
			return 0, false, fmt.Errorf(`\%c at byte %d has no {name}`, r, start)
		}
		t.at += len(name) + 1
		name, inverted := strings.CutPrefix(name[1:], "^")
		if t.fold && (name == "Lu" || name == "Ll" || name == "Lt") {
			return 0, false, fmt.Errorf(`ignoring case of \p{%s} is not supported`, name)
		}
		return 0, true, set.addNamed(name, inverted != (r == 'P'))
	case 'x', 'u':
		digits := ""
		if rest := t.in[t.at:]; r == 'x' && strings.HasPrefix(rest, "{") {
			inner, _, ok := strings.Cut(rest[1:], "}")
			if !ok {
				return 0, false, fmt.Errorf("the escape at byte %d is not closed", start)
			}
			digits = inner
			t.at += len(inner) + 2
		} else {
			n := 2
			if r == 'u' {
				n = 4
			}
			if len(rest) < n {
				return 0, false, fmt.Errorf("the escape at byte %d is cut short", start)
			}
			digits = rest[:n]
			t.at += n
		}
		v, err := strconv.ParseUint(digits, 16, 32)
		if err != nil || v > unicode.MaxRune || v >= 0x80 && len(digits) == 2 && t.in[start+2] != '{' {
			return 0, false, fmt.Errorf("the escape at byte %d is no character", start)
		}
		return rune(v), false, nil
	}
	if r >= utf8.RuneSelf || unicode.IsLetter(r) || unicode.IsDigit(r) {
		return 0, false, fmt.Errorf(`\%c is not supported`, r)
	}
	return r, false, nil
}

// bracket parses [...].
func (t *translator) bracket() (string, error) {
	if t.depth++; t.depth > maxPatternDepth {
		return "", fmt.Errorf("groups nest deeper than %d", maxPatternDepth)
	}
	defer func() { t.depth-- }()
	t.at++
	inverted := t.take("^")
	var operands []string // operands of && before the last
	var set charSet
	for {
		switch {
		case t.at == len(t.in):
			return "", fmt.Errorf("a character class is not closed")
		case t.peek("[:"):
			return "", fmt.Errorf("a POSIX character class is not supported")
		case t.peek("["):
			inner, err := t.bracket()
			if err != nil {
				return "", err
			}
			set.classes = append(set.classes, inner)
			if t.peek("-") && !t.peek("-]") {
				return "", fmt.Errorf("a range from a class is not supported")
			}
			continue
		case t.peek("]"), t.peek("&&"):
			if set.empty() {
				return "", fmt.Errorf("an empty character class, or one that begins with ], is not supported")
			}
			if t.take("&&") {
				operands = append(operands, set.write(false))
				set = charSet{}
				continue
			}
			t.at++
			if operands == nil {
				return set.write(inverted), nil
			}
			return intersection(append(operands, set.write(false)), inverted), nil
		}
		low, named, err := t.member(&set)
		if err != nil {
			return "", err
		}
		high := low
		if t.peek("-") && !t.peek("-]") {
			if named {
				if t.at++; !t.peek("]") {
					set.add('-', '-', false)
				}
				continue
			}
			t.at++
			if t.peek("[") {
				return "", fmt.Errorf("a range to a class is not supported")
			}
			if high, named, err = t.member(&set); err != nil {
				return "", err
			}
			if named || high < low {
				return "", fmt.Errorf("a range in a character class is not from low to high")
			}
		}
		if named {
			continue
		}
		if t.fold && high-low > 1000 {
			return "", fmt.Errorf("ignoring case of a range of %d characters is not supported", high-low+1)
		}
		set.add(low, high, t.fold)
	}
}

func (t *translator) member(set *charSet) (rune, bool, error) {
	if t.at == len(t.in) {
		return 0, false, fmt.Errorf("a character class is not closed")
	}
	if t.peek(`\`) {
		return t.escape(set)
	}
	return t.rune(), false, nil
}
