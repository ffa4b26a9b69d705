package ui

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"gonum.org/v1/plot"

	"haf/eval"
)

// Sizes of a drawing in its own units; the page scales it.
const (
	figureWidth, figureHeight = 420, 300
	marginLeft, marginRight   = 56, 14
	marginTop, marginBottom   = 12, 46
)

// A figure is an SVG drawing with its title, caption and table. Its colours are classes of the
// style sheet, so that it follows the page's theme.
type figure struct {
	Title, Caption string
	Legend         []legendEntry
	SVG            template.HTML
	Table          table // the same values as text
}

type legendEntry struct{ Class, Text string }

// A table is a header and rows of plain text.
type table struct {
	Header []string
	Rows   [][]string
}

// A drawing maps values to the plane. It writes only numbers and escaped text.
type drawing struct {
	b                      strings.Builder
	left, right, low, high float64 // range of the values
}

func newDrawing(title string, left, right, low, high float64) *drawing {
	d := &drawing{left: left, right: right, low: low, high: high}
	fmt.Fprintf(&d.b, `<svg class="figure" viewBox="0 0 %d %d" role="img" aria-label="%s">`,
		figureWidth, figureHeight, html.EscapeString(title))
	return d
}

func (d *drawing) x(v float64) float64 {
	return marginLeft + (v-d.left)/(d.right-d.left)*(figureWidth-marginLeft-marginRight)
}

func (d *drawing) y(v float64) float64 {
	return figureHeight - marginBottom -
		(v-d.low)/(d.high-d.low)*(figureHeight-marginTop-marginBottom)
}

// axes draws grid, ticks and labels.
func (d *drawing) axes(xLabel, yLabel string) {
	bottom := figureHeight - marginBottom
	for _, t := range ticks(d.low, d.high) {
		y := d.y(t.Value)
		fmt.Fprintf(&d.b, `<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/>`, marginLeft,
			figureWidth-marginRight, y, y)
		fmt.Fprintf(&d.b, `<text class="tick" x="%d" y="%.1f" text-anchor="end">%s</text>`,
			marginLeft-7, y+4, html.EscapeString(t.Label))
	}
	for _, t := range ticks(d.left, d.right) {
		fmt.Fprintf(&d.b, `<text class="tick" x="%.1f" y="%d" text-anchor="middle">%s</text>`,
			d.x(t.Value), bottom+17, html.EscapeString(t.Label))
	}
	fmt.Fprintf(&d.b, `<line class="axis" x1="%d" x2="%d" y1="%d" y2="%d"/>`, marginLeft,
		figureWidth-marginRight, bottom, bottom)
	middle := (marginTop + bottom) / 2
	fmt.Fprintf(&d.b, `<text class="label" x="%d" y="%d" text-anchor="middle">%s</text>`,
		(marginLeft+figureWidth-marginRight)/2, figureHeight-8, html.EscapeString(xLabel))
	fmt.Fprintf(&d.b, `<text class="label" transform="rotate(-90 14 %d)" x="14" y="%d" `+
		`text-anchor="middle">%s</text>`, middle, middle, html.EscapeString(yLabel))
}

func ticks(low, high float64) (major []plot.Tick) {
	for _, t := range (plot.DefaultTicks{}).Ticks(low, high) {
		if t.Label != "" {
			t.Label = minus(t.Label)
			major = append(major, t)
		}
	}
	return major
}

func (d *drawing) bar(class string, from, to, base, value float64, title string) {
	top, bottom := d.y(max(base, value)), d.y(min(base, value))
	left, right := d.x(from), d.x(to)
	fmt.Fprintf(&d.b, `<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f"><title>%s</title>`+
		`</rect>`, class, left+0.75, top, max(0.5, right-left-1.5), max(0, bottom-top),
		html.EscapeString(title))
}

func (d *drawing) line(class string, x1, y1, x2, y2 float64) {
	fmt.Fprintf(&d.b, `<line class="%s" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`, class, d.x(x1),
		d.y(y1), d.x(x2), d.y(y2))
}

func (d *drawing) dot(class string, x, y float64) {
	fmt.Fprintf(&d.b, `<circle class="%s" cx="%.1f" cy="%.1f" r="2.6"/>`, class, d.x(x), d.y(y))
}

func (d *drawing) done() template.HTML {
	return template.HTML(d.b.String() + "</svg>") // only numbers and escaped text
}

// margins returns a reward's margins over the pairs with a preference.
func (s *pairSet) margins(name string) (margins []float64) {
	for _, p := range s.Pairs {
		if r, ok := p.Rewards[name]; ok && !p.Tied {
			margins = append(margins, r.Margin)
		}
	}
	return margins
}

// figures draws the pairs by a reward.
func (s *pairSet) figures(name string) []figure {
	margins := s.margins(name)
	if len(margins) == 0 {
		return nil
	}
	return []figure{reliability(margins), histogram(margins), s.byLength(name)}
}

func reliability(margins []float64) figure {
	f := figure{Title: "Reliability",
		Caption: "Accuracy of the pairs by their confidence σ(|margin|). A calibrated reward follows " +
			"the dashed line.",
		Legend: []legendEntry{{"bar-good", "accuracy"}, {"dash", "calibrated"}},
		Table:  table{Header: []string{"confidence", "pairs", "mean confidence", "accuracy"}}}
	d := newDrawing("Accuracy of pairs by their confidence", 0.5, 1, 0, 1)
	d.axes("confidence σ(|margin|)", "accuracy")
	for _, bin := range eval.Reliability(margins) {
		label := fmt.Sprintf("%.2f to %.2f", bin.Low, bin.High)
		row := []string{label, strconv.Itoa(bin.Count), "–", "–"}
		if bin.Count > 0 {
			d.bar("bar-good", bin.Low, bin.High, 0, bin.Accuracy,
				fmt.Sprintf("confidence %s: accuracy %.3f of %d pairs", label, bin.Accuracy, bin.Count))
			row[2], row[3] = fmt.Sprintf("%.3f", bin.Confidence), fmt.Sprintf("%.3f", bin.Accuracy)
		}
		f.Table.Rows = append(f.Table.Rows, row)
	}
	d.line("dash", 0.5, 0.5, 1, 1)
	f.SVG = d.done()
	return f
}

// histogramBins is the number of bars on each side of zero, at most.
const histogramBins = 12

func histogram(margins []float64) figure {
	f := figure{Title: "Margins",
		Caption: "Pairs by their margin, the chosen reward minus the rejected one. Left of zero the " +
			"reward orders the pair wrongly.",
		Legend: []legendEntry{{"bar-bad", "wrong"}, {"bar-good", "right"}},
		Table:  table{Header: []string{"margin", "pairs"}}}
	largest := 0.0
	for _, m := range margins {
		largest = max(largest, math.Abs(m))
	}
	if largest == 0 {
		largest = 1
	}
	width := largest / histogramBins
	counts := make([]int, 2*histogramBins)
	most := 0
	for _, m := range margins {
		at := min(max(0, int(math.Floor(m/width))+histogramBins), len(counts)-1)
		if m == 0 {
			at = histogramBins - 1 // counts as wrong
		}
		counts[at]++
		most = max(most, counts[at])
	}
	d := newDrawing("Number of pairs by their margin", -largest, largest, 0, float64(most)*1.05)
	d.axes("margin", "pairs")
	for i, n := range counts {
		from := float64(i-histogramBins) * width
		class := "bar-good"
		if i < histogramBins {
			class = "bar-bad"
		}
		label := minus(fmt.Sprintf("%.3g", from)) + " to " + minus(fmt.Sprintf("%.3g", from+width))
		if n > 0 {
			d.bar(class, from, from+width, 0, float64(n), fmt.Sprintf("margin %s: %d pairs", label, n))
			f.Table.Rows = append(f.Table.Rows, []string{label, strconv.Itoa(n)})
		}
	}
	f.SVG = d.done()
	return f
}

// maxDots is the largest number of points in a scatter plot.
const maxDots = 600

func (s *pairSet) byLength(name string) figure {
	f := figure{Title: "Reward and length",
		Caption: "Reward of a response against its length. Points that rise from left to right say " +
			"that the reward follows the length.",
		Legend: []legendEntry{{"dot-good", "chosen"}, {"dot-bad", "rejected"}}}
	stride := max(1, (2*len(s.Pairs)+maxDots-1)/maxDots)
	if stride > 1 {
		f.Caption += fmt.Sprintf(" One of %d pairs is drawn.", stride)
	}
	var lengths, rewards []float64
	for i := 0; i < len(s.Pairs); i += stride {
		p := s.Pairs[i]
		if r, ok := p.Rewards[name]; ok && !p.Tied {
			lengths = append(lengths, float64(utf8.RuneCountInString(p.Chosen)),
				float64(utf8.RuneCountInString(p.Rejected)))
			rewards = append(rewards, r.Chosen, r.Rejected)
		}
	}
	d := newDrawing("Reward against length of the response", 0, spread(lengths, 0).high,
		spread(rewards, 0.06).low, spread(rewards, 0.06).high)
	d.axes("length, characters", "reward")
	for i := range lengths {
		class := "dot-good"
		if i%2 == 1 {
			class = "dot-bad"
		}
		d.dot(class, lengths[i], rewards[i])
	}
	f.SVG = d.done()
	f.Table = table{Header: []string{"length, characters", "responses", "mean reward"},
		Rows: meansByLength(lengths, rewards)}
	return f
}

type bounds struct{ low, high float64 }

// spread is the range of values, with a margin at both ends.
func spread(values []float64, room float64) bounds {
	b := bounds{math.Inf(1), math.Inf(-1)}
	for _, v := range values {
		b.low, b.high = min(b.low, v), max(b.high, v)
	}
	if !(b.high > b.low) {
		if len(values) == 0 {
			b = bounds{0, 0}
		}
		return bounds{b.low - 1, b.high + 1}
	}
	more := room * (b.high - b.low)
	return bounds{b.low - more, b.high + more}
}

func meansByLength(lengths, rewards []float64) (rows [][]string) {
	const parts = 5
	longest := spread(lengths, 0).high
	for k := range parts {
		from, to := longest*float64(k)/parts, longest*float64(k+1)/parts
		sum, n := 0.0, 0
		for i, l := range lengths {
			if l >= from && (l < to || k == parts-1) {
				sum, n = sum+rewards[i], n+1
			}
		}
		if n > 0 {
			rows = append(rows, []string{fmt.Sprintf("%.0f to %.0f", from, to), strconv.Itoa(n),
				fmt.Sprintf("%+.3f", sum/float64(n))})
		}
	}
	return rows
}
