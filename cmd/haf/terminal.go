package main

import (
	"io"
	"os"
	"strconv"

	"golang.org/x/term"
)

// terminal says whether output on w may have colours, and how many columns it has. NO_COLOR, a
// TERM of "dumb" and whatever is no terminal have none.
func terminal(w io.Writer) (colour bool, width int) {
	width, _ = strconv.Atoi(os.Getenv("COLUMNS"))
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return false, width
	}
	if columns, _, err := term.GetSize(int(f.Fd())); err == nil && width == 0 {
		width = columns
	}
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb", width
}
