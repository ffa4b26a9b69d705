package main

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// A series is a section of the page and a column of its plot.
type series struct{ name, title, x string }

var allSeries = []series{
	{"length", "Sequence length", "longest sequence, tokens"},
	{"rank", "Adapter rank", "rank on gate, up and down"},
	{"depth", "Depth", "layers, random weights"},
	{"pairs", "Reading, tokenizing, packing", "pairs"},
}

const introduction = `# Growth

How the time and memory of training grow with sequence length, adapter rank and depth, and how
reading, tokenizing and packing grow with the number of pairs. ` + "`make growth`" + ` (internal/growth)
measures every case in its own process and makes this page from growth.jsonl.

- Seconds are the median over the steps after the first, which compiles.
- Peak memory is that of the process.
- All batches of the sequence-length table have the same number of positions. So the linear layers
  of a step cost the same, and only the cost of attention grows.
- The exponent e describes the growth since the row before as xᵉ: 1 is proportional.

![time and memory against length, rank, depth and number of pairs](growth.svg)
`

// writePage writes the page and its plot.
func writePage(path string, results []result) error {
	var b bytes.Buffer
	b.WriteString(introduction)
	for _, s := range allSeries {
		rows := of(results, s.name)
		if len(rows) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n## %s\n\n", s.title)
		if rows[0].Scale != full.name {
			b.WriteString("Reduced measurement on a small model beside other work: it shows only that the " +
				"measurement works.\n\n")
		}
		if s.name == "pairs" {
			b.WriteString("| pairs | kept | read, s | tokenize, s | pack, s | exponent | heap after " +
				"reading, MB | heap after tokenizing, MB | peak, MB |\n|---|---|---|---|---|---|---|---|---|\n")
		} else {
			fmt.Fprintf(&b, "| %s | s per step | exponent | peak, MB | exponent | real tokens | GFLOP per "+
				"pair |\n|---|---|---|---|---|---|---|\n", s.x)
		}
		for i, r := range rows {
			times, memory := "", ""
			if i > 0 {
				times, memory = exponent(rows[i-1], r, func(r result) float64 { return r.Seconds }),
					exponent(rows[i-1], r, func(r result) float64 { return r.PeakMB })
			}
			if e := r.Bench.Reading; e != nil {
				fmt.Fprintf(&b, "| %d | %d | %.2f | %.2f | %.2f | %s | %.1f | %.1f | %.0f |\n", r.X, e.Pairs,
					e.Read, e.Encode, e.Pack, times, float64(e.ReadBytes)/1e6, float64(e.EncodeBytes)/1e6,
					r.PeakMB)
			} else {
				fmt.Fprintf(&b, "| %d | %.2f | %s | %.0f | %s | %.1f %% | %.1f |\n", r.X, r.Seconds, times,
					r.PeakMB, memory, 100*r.Bench.PackingEfficiency, r.Bench.GFLOP)
			}
		}
		fmt.Fprintf(&b, "\nMeasured %s, %s.\n", rows[0].Date, cmp.Or(rows[0].Bench.Device, "no device"))
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		return err
	}
	picture, err := draws(results)
	if err != nil {
		return err
	}
	return os.WriteFile(strings.TrimSuffix(path, filepath.Ext(path))+".svg", picture, 0o644)
}

// of returns the results of a series, sorted by size.
func of(results []result, name string) []result {
	var out []result
	for _, r := range results {
		if r.Series == name {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b result) int { return cmp.Compare(a.X, b.X) })
	return out
}

// exponent returns e, if y grows as xᵉ from one result to the next.
func exponent(from, to result, y func(result) float64) string {
	return fmt.Sprintf("%.2f", math.Log(y(to)/y(from))/math.Log(float64(to.X)/float64(from.X)))
}

// draws makes the plot against logarithmic sizes: a column per series, seconds above and memory
// below.
func draws(results []result) ([]byte, error) {
	var columns []series
	for _, s := range allSeries {
		if len(of(results, s.name)) > 0 {
			columns = append(columns, s)
		}
	}
	rows := make([][]*plot.Plot, 2)
	for i, what := range []struct {
		title string
		y     func(result) float64
	}{{"seconds", func(r result) float64 { return r.Seconds }},
		{"peak memory, MB", func(r result) float64 { return r.PeakMB }}} {
		for _, s := range columns {
			p := plot.New()
			p.X.Label.Text, p.Y.Label.Text = s.x, what.title
			if i == 0 {
				p.Title.Text = s.title
			}
			var points plotter.XYs
			var ticks []plot.Tick
			for _, r := range of(results, s.name) {
				points = append(points, plotter.XY{X: float64(r.X), Y: what.y(r)})
				ticks = append(ticks, plot.Tick{Value: float64(r.X), Label: fmt.Sprint(r.X)})
			}
			line, dots, err := plotter.NewLinePoints(points)
			if err != nil {
				return nil, err
			}
			p.Add(plotter.NewGrid(), line, dots)
			p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.ConstantTicks(ticks)
			p.Y.Min = 0
			rows[i] = append(rows[i], p)
		}
	}
	const side = 7 * vg.Centimeter
	canvas := vgsvg.New(side*vg.Length(len(columns)), 2*side)
	tiles := draw.Tiles{Rows: 2, Cols: len(columns), PadX: 3 * vg.Millimeter, PadY: 3 * vg.Millimeter,
		PadTop: 2 * vg.Millimeter, PadRight: 4 * vg.Millimeter}
	for i, line := range plot.Align(rows, tiles, draw.New(canvas)) {
		for j, place := range line {
			rows[i][j].Draw(place)
		}
	}
	var b bytes.Buffer
	_, err := canvas.WriteTo(&b)
	return b.Bytes(), err
}
