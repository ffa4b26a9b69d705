package report

import (
	"fmt"
	"html"
	"unicode/utf8"
)

// A Forest has a row for each value with its interval, on one horizontal axis.
type Forest struct {
	Title, X string
	Rows     []ForestRow
	At       float64 // position of a dashed vertical line, such as chance
	AtName   string  // "" draws no line
}

// A ForestRow is a value with its interval. Rows of one Group have the same colour.
type ForestRow struct {
	Name             string
	Group            int
	Value, Low, High float64
}

const forestRow = 24.0

// Draw returns the plot as SVG.
func (f Forest) Draw() []byte {
	names := 0.0
	low, high := 0.0, 0.0
	if f.AtName != "" {
		low, high = f.At, f.At
	}
	for i, r := range f.Rows {
		names = max(names, letterWidth*float64(utf8.RuneCountInString(r.Name)))
		if i == 0 && f.AtName == "" {
			low, high = r.Low, r.High
		}
		low, high = min(low, r.Low), max(high, r.High)
	}
	left := min(names+24, plotWidth*0.55)
	bottom := marginTop + forestRow*float64(len(f.Rows)) + 6
	c := canvas{x: newAxis(low, high, 0.04, left, plotWidth-marginRight)}
	fmt.Fprintf(&c, svgHead, plotWidth, bottom+44, plotWidth, bottom+44, html.EscapeString(f.Title))
	c.WriteString(darkStyle())
	c.text(f.Title, left, 18, `text-anchor="start" font-weight="bold"`)
	for _, t := range c.x.ticks {
		x := c.x.place(t.at)
		fmt.Fprintf(&c, `<path class="hp-g" stroke="#dddddd" d="M%.1f %.1fV%.1f"/>`, x, marginTop, bottom)
		c.text(t.label, x, bottom+17, `text-anchor="middle"`)
	}
	fmt.Fprintf(&c, `<path class="hp-a" stroke="#555555" d="M%.1f %.1fH%.1f"/>`, left, bottom,
		plotWidth-marginRight)
	if f.AtName != "" {
		fmt.Fprintf(&c, `<path class="hp-a" stroke="#555555" stroke-dasharray="4 3" d="M%.1f %.1fV%.1f"/>`,
			c.x.place(f.At), marginTop, bottom)
	}
	for i, r := range f.Rows {
		c.row(r, left, marginTop+forestRow*(float64(i)+0.5)+3)
	}
	label := f.X
	if f.AtName != "" {
		label += " (dashed: " + f.AtName + ")"
	}
	c.text(label, (left+plotWidth-marginRight)/2, bottom+36, `text-anchor="middle"`)
	c.WriteString("</svg>\n")
	return []byte(c.String())
}

func (c *canvas) row(r ForestRow, left, y float64) {
	l := line{style: r.Group}
	c.text(r.Name, left-12, y+4.5, `text-anchor="end"`)
	if !finite(r.Value) || !finite(r.Low) || !finite(r.High) {
		return
	}
	from, to := c.x.place(r.Low), c.x.place(r.High)
	fmt.Fprintf(c, `<path %s stroke-width="1.8" d="M%.1f %.1fH%.1fM%.1f %.1fv8M%.1f %.1fv8"/>`,
		l.stroke(), from, y, to, from, y-4, to, y-4)
	fmt.Fprintf(c, `<circle %s cx="%.1f" cy="%.1f" r="4"/>`, l.fill(), c.x.place(r.Value), y)
}
