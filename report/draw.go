package report

import (
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"haf/internal/wordwrap"
)

// Sizes of a drawing, in its own units. Text of size 13 prints as 9 pt in a column of 15 cm.
const (
	plotWidth    = 640.0
	plotHeight   = 300.0 // of the area with the axes
	marginLeft   = 66.0
	marginRight  = 18.0
	marginTop    = 34.0
	marginBottom = 50.0
	legendRow    = 20.0
	labelRow     = 16.0 // height of a name on the x axis
	legendMark   = 30.0
	letterWidth  = 7.1 // mean width of a letter at size 13
)

// colours are distinguishable for most readers (Okabe and Ito 2008), each for white and for black
// background.
var colours = []struct{ light, dark string }{
	{"#0072b2", "#4fa8e0"}, {"#d55e00", "#ff8a3d"}, {"#009e73", "#2cc295"}, {"#cc79a7", "#e8a3cb"},
	{"#e69f00", "#f2c14e"}, {"#56b4e9", "#a5dcff"}, {"#000000", "#ffffff"},
}

// dashes distinguish lines that repeat a colour, also in print without colours.
var dashes = []string{"", "7 3", "2 3"}

// darkStyle overrides the drawing's colours on a dark screen. The light colours are attributes,
// which printers and programs without style sheets read.
func darkStyle() string {
	var b strings.Builder
	b.WriteString("<style>@media screen and (prefers-color-scheme:dark){.hp-t{fill:#e4e4e4}" +
		".hp-g{stroke:#454545}.hp-a{stroke:#b5b5b5}")
	for i, c := range colours {
		fmt.Fprintf(&b, ".hp-l%d{stroke:%s}.hp-f%d{fill:%s}", i, c.dark, i, c.dark)
	}
	b.WriteString("}</style>")
	return b.String()
}

// svgHead begins a drawing; its arguments are width, height, both again, and a title.
const svgHead = `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" ` +
	`viewBox="0 0 %.0f %.0f" role="img" aria-label="%s" ` +
	`font-family="Helvetica,Arial,Liberation Sans,sans-serif" font-size="13">`

// A canvas collects the parts of a drawing.
type canvas struct {
	strings.Builder
	x, y axis
	drop float64 // shift of everything below the names of the x axis
}

// Draw returns the plot as SVG: lines over their bands, with the legend below the axes. It leaves
// out points that are not finite.
func (p Plot) Draw() ([]byte, error) {
	lines, err := p.lines()
	if err != nil {
		return nil, err
	}
	low, high := bounds(lines)
	c := canvas{
		x: newAxis(low.x, high.x, 0.02, marginLeft, plotWidth-marginRight),
		y: newAxis(low.y, high.y, 0.06, plotHeight-marginBottom, marginTop),
	}
	if len(p.Names) > 0 {
		c.x = namedAxis(p.Names)
		c.drop = labelRow * float64(c.x.rows()-1)
		dodge(lines)
	}
	places, rows := legend(lines)
	height := plotHeight + c.drop + legendRow*float64(rows)
	fmt.Fprintf(&c, svgHead, plotWidth, height, plotWidth, height, html.EscapeString(p.Title))
	c.WriteString(darkStyle())
	c.frame(p)
	for _, l := range lines {
		c.interval(l, len(p.Names) > 0)
	}
	for i, l := range lines {
		if p.ordered() {
			c.line(l)
		}
		if len(l.points) <= maxDots {
			c.dots(l)
		}
		places[i].y += c.drop
		c.key(l, places[i])
	}
	c.WriteString("</svg>\n")
	return []byte(c.String()), nil
}

func namedAxis(names []string) axis {
	a := axis{low: -0.5, high: float64(len(names)) - 0.5}
	a.from, a.to = marginLeft, plotWidth-marginRight
	letters := int((a.to - a.from) / float64(len(names)) / letterWidth)
	for i, name := range names {
		a.ticks = append(a.ticks, tick{float64(i), wordwrap.Wrap(name, letters)})
	}
	return a
}

// rows is the number of lines of the longest tick label.
func (a axis) rows() int {
	most := 1
	for _, t := range a.ticks {
		most = max(most, 1+strings.Count(t.label, "\n"))
	}
	return most
}

// dodge shifts the lines of a plot with names apart, so that no interval covers another.
func dodge(lines []line) {
	for k, l := range lines {
		for i := range l.points {
			l.points[i].x += 0.08 * (float64(k) - float64(len(lines)-1)/2)
		}
	}
}

// ordered reports whether points on the x axis may be joined by a line, because their names are
// numbers. Other names have no order.
func (p Plot) ordered() bool {
	for _, name := range p.Names {
		if _, err := strconv.ParseFloat(name, 64); err != nil {
			return false
		}
	}
	return true
}

// frame draws title, grid, ticks and the labels of the axes.
func (c *canvas) frame(p Plot) {
	c.text(p.Title, marginLeft, 18, `text-anchor="start" font-weight="bold"`)
	for _, t := range c.y.ticks {
		y := c.y.place(t.at)
		fmt.Fprintf(c, `<path class="hp-g" stroke="#dddddd" d="M%.1f %.1fH%.1f"/>`, marginLeft, y,
			plotWidth-marginRight)
		c.text(t.label, marginLeft-8, y+4.5, `text-anchor="end"`)
	}
	bottom := plotHeight - marginBottom
	for _, t := range c.x.ticks {
		x := c.x.place(t.at)
		fmt.Fprintf(c, `<path class="hp-a" stroke="#555555" d="M%.1f %.1fv4"/>`, x, bottom)
		for i, row := range strings.Split(t.label, "\n") {
			c.text(row, x, bottom+18+labelRow*float64(i), `text-anchor="middle"`)
		}
	}
	fmt.Fprintf(c, `<path class="hp-a" stroke="#555555" fill="none" d="M%.1f %.1fV%.1fH%.1f"/>`,
		marginLeft, marginTop, bottom, plotWidth-marginRight)
	c.text(p.X, (marginLeft+plotWidth-marginRight)/2, bottom+38+c.drop, `text-anchor="middle"`)
	middle := (marginTop + bottom) / 2
	c.text(p.Y, 16, middle, fmt.Sprintf(`text-anchor="middle" transform="rotate(-90 16 %.1f)"`, middle))
}

func (c *canvas) text(text string, x, y float64, attributes string) {
	fmt.Fprintf(c, `<text class="hp-t" fill="#222222" x="%.1f" y="%.1f" %s>%s</text>`, x, y, attributes,
		html.EscapeString(text))
}

// stroke returns the attributes for the line's colour and dashes.
func (l line) stroke() string {
	k := l.style % len(colours)
	out := fmt.Sprintf(`class="hp-l%d" stroke="%s"`, k, colours[k].light)
	if dash := dashes[l.style/len(colours)%len(dashes)]; dash != "" {
		out += fmt.Sprintf(` stroke-dasharray="%s"`, dash)
	}
	return out
}

func (l line) fill() string {
	k := l.style % len(colours)
	return fmt.Sprintf(`class="hp-f%d" fill="%s"`, k, colours[k].light)
}

// interval draws the line's intervals: a band, or whiskers for single and for named points.
func (c *canvas) interval(l line, named bool) {
	if !l.banded {
		return
	}
	if named || len(l.points) == 1 {
		for _, p := range l.points {
			x, low, high := c.x.place(p.x), c.y.place(p.low), c.y.place(p.high)
			fmt.Fprintf(c, `<path %s d="M%.1f %.1fV%.1fM%.1f %.1fh8m-8 %.1fh8"/>`, l.stroke(), x, low,
				high, x-4, low, high-low)
		}
		return
	}
	fmt.Fprintf(c, `<path %s fill-opacity="0.16" d="M`, l.fill())
	for _, p := range l.points {
		fmt.Fprintf(c, "%.1f %.1f ", c.x.place(p.x), c.y.place(p.high))
	}
	for i := len(l.points) - 1; i >= 0; i-- {
		fmt.Fprintf(c, "%.1f %.1f ", c.x.place(l.points[i].x), c.y.place(l.points[i].low))
	}
	c.WriteString(`Z"/>`)
}

// maxDots is the largest number of points that are drawn with dots.
const maxDots = 40

func (c *canvas) line(l line) {
	fmt.Fprintf(c, `<path %s fill="none" stroke-width="1.8" stroke-linejoin="round" d="M`, l.stroke())
	for _, p := range l.points {
		fmt.Fprintf(c, "%.1f %.1f ", c.x.place(p.x), c.y.place(p.y))
	}
	c.WriteString(`"/>`)
}

func (c *canvas) dots(l line) {
	for _, p := range l.points {
		c.dot(l, c.x.place(p.x), c.y.place(p.y))
	}
}

func (c *canvas) dot(l line, x, y float64) {
	fmt.Fprintf(c, `<circle %s cx="%.1f" cy="%.1f" r="2.6"/>`, l.fill(), x, y)
}

// legend places the names of the lines below the axes, in columns as wide as the longest name, and
// returns the number of rows.
func legend(lines []line) (places []point, rows int) {
	widest := 0.0
	for _, l := range lines {
		widest = max(widest, legendMark+letterWidth*float64(utf8.RuneCountInString(l.name))+16)
	}
	columns := int(max(1, math.Floor((plotWidth-marginLeft-marginRight)/max(widest, 1))))
	columns = min(columns, max(1, len(lines)))
	for i := range lines {
		places = append(places, point{x: marginLeft + widest*float64(i%columns),
			y: plotHeight + 4 + legendRow*float64(i/columns)})
	}
	return places, (len(lines) + columns - 1) / columns
}

func (c *canvas) key(l line, at point) {
	fmt.Fprintf(c, `<path %s stroke-width="2.4" d="M%.1f %.1fh22"/>`, l.stroke(), at.x, at.y)
	c.dot(l, at.x+11, at.y)
	c.text(l.name, at.x+legendMark, at.y+4.5, `text-anchor="start"`)
}
