package report

import (
	"bytes"
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// A Series is one line of a plot. Low and High, where they are given, are the ends of each point's
// interval.
type Series struct {
	Name      string
	X, Y      []float64
	Low, High []float64
}

// A Plot is drawn by [Plot.Draw]. Where Names are given the x axis has these names, of x = 0, 1, …
type Plot struct {
	Title, X, Y string
	Names       []string
	Series      []Series
}

// Size of a drawing.
const (
	plotWidth  = 16 * vg.Centimeter
	plotHeight = 9 * vg.Centimeter
)

// palette is of colours that remain apart for most eyes (Okabe and Ito 2008).
var palette = []color.Color{
	color.RGBA{0, 114, 178, 255}, color.RGBA{213, 94, 0, 255}, color.RGBA{0, 158, 115, 255},
	color.RGBA{204, 121, 167, 255},
	color.RGBA{230, 159, 0, 255}, color.RGBA{86, 180, 233, 255}, color.RGBA{0, 0, 0, 255},
}

// Draw returns the plot as SVG. A point that is no finite number is left out.
func (p Plot) Draw() ([]byte, error) {
	drawing := plot.New()
	drawing.Title.Text, drawing.X.Label.Text, drawing.Y.Label.Text = p.Title, p.X, p.Y
	drawing.Legend.Top = true
	drawing.Add(plotter.NewGrid())
	for i, s := range p.Series {
		if len(s.X) != len(s.Y) || s.Low != nil && (len(s.Low) != len(s.Y) || len(s.High) != len(s.Y)) {
			return nil, fmt.Errorf("report: plot %q: series %q has %d and %d values", p.Title, s.Name,
				len(s.X), len(s.Y))
		}
		points := s.points()
		if points.Len() == 0 {
			continue
		}
		line, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return nil, fmt.Errorf("report: plot %q: %w", p.Title, err)
		}
		line.Color, dots.Color, dots.Radius, dots.Shape = palette[i%len(palette)],
			palette[i%len(palette)], vg.Points(2), draw.CircleGlyph{}
		if points.Len() > 60 {
			dots.Radius = 0
		}
		drawing.Add(line, dots)
		if s.Low != nil {
			bars, err := plotter.NewYErrorBars(points)
			if err != nil {
				return nil, fmt.Errorf("report: plot %q: %w", p.Title, err)
			}
			bars.Color = line.Color
			drawing.Add(bars)
		}
		drawing.Legend.Add(s.Name, line)
	}
	if len(p.Names) > 0 {
		drawing.NominalX(p.Names...)
	}
	canvas := vgsvg.New(plotWidth, plotHeight)
	drawing.Draw(draw.New(canvas))
	var out bytes.Buffer
	if _, err := canvas.WriteTo(&out); err != nil {
		return nil, fmt.Errorf("report: plot %q: %w", p.Title, err)
	}
	return out.Bytes(), nil
}

// Figure draws the plot as a figure.
func (p Plot) Figure(name, caption string) (Figure, error) {
	svg, err := p.Draw()
	return Figure{Name: name, Caption: caption, SVG: svg}, err
}

// errorPoints are points with the distances to both ends of their intervals.
type errorPoints struct {
	plotter.XYs
	plotter.YErrors
}

func (s Series) points() errorPoints {
	var e errorPoints
	for i := range s.Y {
		if math.IsNaN(s.Y[i]-s.Y[i]) || math.IsNaN(s.X[i]-s.X[i]) { // also infinite
			continue
		}
		e.XYs = append(e.XYs, plotter.XY{X: s.X[i], Y: s.Y[i]})
		if s.Low != nil {
			e.YErrors = append(e.YErrors, struct{ Low, High float64 }{s.Y[i] - s.Low[i], s.High[i] - s.Y[i]})
		}
	}
	return e
}
