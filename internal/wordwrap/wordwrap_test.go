package wordwrap_test

import (
	"testing"

	"haf/internal/wordwrap"
)

func TestWrap(t *testing.T) {
	for text, want := range map[string]string{
		"":                       "",
		"one":                    "one",
		"one two  three":         "one two\nthree",
		"π_ref β α γ":            "π_ref β\nα γ",
		"a longerthanall b c":    "a\nlongerthanall\nb c",
		"exactly 8\nlines apart": "exactly\n8 lines\napart",
	} {
		if got := wordwrap.Wrap(text, 8); got != want {
			t.Errorf("%q in 8 letters: %q, want %q", text, got, want)
		}
	}
}
