package report

import (
	"fmt"
	"math"

	"gonum.org/v1/plot"
)

// A Series is one line of a plot. Low and High, if given, are the ends of each point's interval.
type Series struct {
	Name      string
	X, Y      []float64
	Low, High []float64
}

// A Plot is drawn by [Plot.Draw]. X and Y label the axes, with units. Names, if given, label x = 0,
// 1, … on the x axis.
type Plot struct {
	Title, X, Y string
	Names       []string
	Series      []Series
}

// Figure draws the plot as a figure.
func (p Plot) Figure(name, caption string) (Figure, error) {
	svg, err := p.Draw()
	return Figure{Name: name, Caption: caption, SVG: svg}, err
}

// maxPoints is the largest number of points drawn per series. Longer series become means of
// neighbours.
const maxPoints = 400

// A line is a series ready to draw: its finite points in order.
type line struct {
	name   string
	style  int // index of colour and dashes
	points []point
	banded bool
}

type point struct{ x, y, low, high float64 }

// lines returns the series with finite points. It refuses a series whose slices have different
// lengths.
func (p Plot) lines() (out []line, err error) {
	for i, s := range p.Series {
		if len(s.X) != len(s.Y) || s.Low != nil && (len(s.Low) != len(s.Y) || len(s.High) != len(s.Y)) {
			return nil, fmt.Errorf("report: plot %q: series %q has %d and %d values", p.Title, s.Name,
				len(s.X), len(s.Y))
		}
		if l := s.line(i); len(l.points) > 0 {
			out = append(out, l)
		}
	}
	return out, nil
}

func (s Series) line(style int) line {
	l := line{name: s.Name, style: style, banded: s.Low != nil}
	for i := range s.Y {
		at := point{s.X[i], s.Y[i], s.Y[i], s.Y[i]}
		if l.banded {
			at.low, at.high = s.Low[i], s.High[i]
		}
		if finite(at.x) && finite(at.y) && finite(at.low) && finite(at.high) {
			l.points = append(l.points, at)
		}
	}
	l.points = thinned(l.points)
	return l
}

func finite(x float64) bool { return !math.IsNaN(x - x) }

// thinned returns at most maxPoints points, each the mean of as many neighbours.
func thinned(all []point) []point {
	n := len(all)
	if n <= maxPoints {
		return all
	}
	out := make([]point, maxPoints)
	for k := range out {
		from, to := k*n/maxPoints, (k+1)*n/maxPoints
		for _, p := range all[from:to] {
			weight := 1 / float64(to-from)
			out[k].x, out[k].y = out[k].x+p.x*weight, out[k].y+p.y*weight
			out[k].low, out[k].high = out[k].low+p.low*weight, out[k].high+p.high*weight
		}
	}
	return out
}

// An axis maps values to positions in the drawing.
type axis struct {
	low, high float64 // of the values
	from, to  float64 // of the drawing
	ticks     []tick
}

type tick struct {
	at    float64
	label string
}

func (a axis) place(x float64) float64 {
	return a.from + (x-a.low)/(a.high-a.low)*(a.to-a.from)
}

// newAxis spans the values, with a margin given as a share of their range.
func newAxis(low, high, margin, from, to float64) axis {
	if !(low <= high) { // no values
		low, high = 0, 1
	}
	if span := high - low; span > 0 {
		low, high = low-margin*span, high+margin*span
	} else {
		more := max(math.Abs(low)*0.1, 0.5)
		low, high = low-more, high+more
	}
	a := axis{low: low, high: high, from: from, to: to}
	for _, t := range (plot.DefaultTicks{}).Ticks(low, high) {
		if t.Label != "" {
			a.ticks = append(a.ticks, tick{t.Value, t.Label})
		}
	}
	return a
}

// bounds returns the extremes of all lines, including the ends of intervals.
func bounds(lines []line) (low, high point) {
	low = point{x: math.Inf(1), y: math.Inf(1)}
	high = point{x: math.Inf(-1), y: math.Inf(-1)}
	for _, l := range lines {
		for _, p := range l.points {
			low.x, high.x = min(low.x, p.x), max(high.x, p.x)
			low.y, high.y = min(low.y, p.y, p.low), max(high.y, p.y, p.high)
		}
	}
	return low, high
}
