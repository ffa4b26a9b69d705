// Package wordwrap breaks texts into lines.
package wordwrap

import (
	"strings"
	"unicode/utf8"
)

// Wrap breaks a text between words into lines of at most width characters. A longer word gets its
// own line.
func Wrap(text string, width int) string {
	var b strings.Builder
	used := 0
	for i, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case used+1+n > width:
			b.WriteByte('\n')
			used = 0
		default:
			b.WriteByte(' ')
			used++
		}
		b.WriteString(word)
		used += n
	}
	return b.String()
}
