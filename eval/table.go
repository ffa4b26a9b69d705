package eval

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A Row is a row of a table: a result with its name.
type Row struct {
	Name   string `json:"name"`
	Result Result `json:"result"`
}

// Table writes rows as aligned columns: name, n (comparisons), accuracy with its 95 % interval,
// ties, margin. Numbers are aligned to the right.
func Table(w io.Writer, rows []Row) error {
	cells := [][]string{{"name", "n", "accuracy", "95 % interval", "ties", "margin"}}
	for _, row := range rows {
		r := row.Result
		cells = append(cells, []string{
			oneLine(row.Name),
			strconv.Itoa(r.Comparisons),
			fmt.Sprintf("%.4f", r.Accuracy),
			fmt.Sprintf("[%.4f, %.4f]", r.AccuracyLow, r.AccuracyHigh),
			strconv.Itoa(r.Ties),
			fmt.Sprintf("%.4f", r.Margin),
		})
	}
	return WriteTable(w, cells)
}

// WriteTable writes cells as aligned columns: the first to the left, the others to the right. All
// lines have the same number of cells.
func WriteTable(w io.Writer, cells [][]string) error {
	width := make([]int, len(cells[0]))
	for _, line := range cells {
		for i, cell := range line {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, line := range cells {
		for i, cell := range line {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				b.WriteString(cell + pad)
			} else {
				b.WriteString("  " + pad + cell)
			}
		}
		text := strings.TrimRight(b.String(), " ")
		b.Reset()
		b.WriteString(text + "\n")
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("eval: write table: %w", err)
	}
	return nil
}

// oneLine keeps a name from breaking the columns.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
