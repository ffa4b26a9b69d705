package tokenizer

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func matches(s scan, text string) []string {
	var out []string
	cut{find: s}.stretches(text, func(start, end int) {
		if start < end {
			out = append(out, text[start:end])
		}
	})
	return out
}

// The hand-written scanners against the pattern itself.
func TestScannersMatchTheirPattern(t *testing.T) {
	parts := []string{
		"a", "B", "é", "中", "ſ", "1", "23", "½", "٣", " ", "  ", "\n", "\r\n", "\t", "\u00a0", "\u2028",
		"\u3000", "'", "'s", "'LL", "'ve",
		"'R", "'l", ".", "!?", "😀", "\u0301", "\u200d", "\x00", "\xff", "\xe4\xb8", "ᲊ", "𐵀", "_",
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for pattern, fast := range scanners {
		slow, err := compilePattern(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for range 5000 {
			var b strings.Builder
			for range rng.IntN(12) {
				b.WriteString(parts[rng.IntN(len(parts))])
			}
			text := b.String()
			if got, want := matches(fast, text), matches(slow, text); !slices.Equal(got, want) {
				t.Fatalf("%s\non %q:\n got %q\nwant %q", pattern, text, got, want)
			}
		}
	}
}

// What Oniguruma, which the tokenizers library runs, makes of its own syntax.
func TestOniguruma(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          string // pieces with | between
	}{
		{`a{1,2}+`, "aaaaab", "aaaaa|b"},
		{`a{1,3}?`, "aaaaab", "a|a|a|a|a|b"},
		{`a++a`, "aaaaab", "aaaaab"},
		{`a{,2}`, "aaaaab", "aa|aa|a|b"},
		{`^a`, "a\na", "a|\n|a"},
		{`a$`, "a\na", "a|\n|a"},
		{`.`, "a\n\r\u2028b", "a|\n|\r|\u2028|b"},
		{`[\d\-x]`, "1-xa", "1|-|x|a"},
		{`[a\]]`, "]a", "]|a"},
		{`\p{^L}`, "a1", "a|1"},
		{`[-a]`, "a-1", "a|-|1"},
		{`[a-]`, "a-1", "a|-|1"},
		{`[^\S\n]`, "a \nb", "a| |\nb"},
		{`(?<=a)b`, "abb", "a|b|b"},
		{`x*`, "axb", "a|x|b"},
		{`(?i:k)`, "aK", "a|K"},
		{`[\x{41}\u0042]`, "AB", "A|B"},
		{`a{x`, "a{xb", "a{x|b"},
		{`{`, "a{b", "a|{|b"},
		{`\P{L}\p{Lu}`, "1Aa", "1A|a"},
		{`[^\P{L}b]+`, "1abc", "1|a|b|c"},
		{`[\P{L}b]+`, "1abc", "1|a|b|c"},
		{`(a)(?:b|c)`, "abac", "ab|ac"},
		{`\w+`, "a²_é-b", "a²_é|-|b"},
		{`[a-e&&[^c]]+`, "abcdef", "ab|c|de|f"},
		{`[^a-z&&[^b]]`, "abc1b", "a|b|c|1|b"}, // ^ binds least
		{`[a-c&&b-d&&c]`, "abcd", "ab|c|d"},
		{`[[a][b-c]x]+`, "abcxd", "abcx|d"},
		{`[^[^a]b]+`, "aab", "aa|b"},
		{`[\w&&\D]+`, "a1_é²b", "a|1|_é|²|b"},
		{`[a&b]+`, "a&b", "a&b"},
		{`\bab\b`, "ab abab ab²ab", "ab| abab ab²ab"},
		{`a\B`, "aa a ab a²", "a|a a |a|b |a|²"},
		{`\p{Han}+`, "a中文\U0002ebf0", "a|中文\U0002ebf0"},
	} {
		s, err := compilePattern(c.pattern)
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
			continue
		}
		if got := strings.Join(matches(s, c.text), "|"); got != c.want {
			t.Errorf("%s on %q: %q, want %q", c.pattern, c.text, got, c.want)
		}
	}
}

func TestPatternsRefused(t *testing.T) {
	for pattern, want := range map[string]string{
		`(a)\1`: `\1 is not supported`, `[a&&]`: "empty", `[[:alpha:]]`: "POSIX",
		`\Gx`: `\G is not supported`, `\b*`: "nothing to repeat", `[[a]-z]`: "range from a class",
		strings.Repeat("[", 60): "nest deeper",
		`(?<n>a)`:               "kind that is not supported", `(a`: "not closed", `a)`: "unmatched )",
		`[a`: "not closed", `*a`: "nothing to repeat",
		`\p{Nonsense}`: "not a general category", `(?i:ss)`: "folds to a single character",
		`a{2}?`: "not supported", `\`: "backslash",
		strings.Repeat("(", 60): "nest deeper", `\p{Lu`: "has no {name}", "\xff": "not UTF-8",
	} {
		_, err := compilePattern(pattern)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: error %v, want one with %q", pattern, err, want)
		}
	}
}
