// Package report turns run folders and results into pages: Markdown with SVG files beside it, and
// one self-contained HTML file. It reads what other packages have written and measures nothing.
package report

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"html"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"haf/internal/durable"
	"haf/internal/wholefile"
)

// A Page is a title and its sections.
type Page struct {
	Title    string
	Sections []Section
}

// A Section is a heading with the blocks below it, in order.
type Section struct {
	Title  string
	Blocks []Block
}

// A Block is a part of a section: [Text], [Lead], [List], [Table] or [Figure].
type Block interface {
	markdown(b *strings.Builder)
	html(b *strings.Builder)
}

// Text is a paragraph of plain text.
type Text string

// Lead is a paragraph that readers should see first.
type Lead string

// List is a list of plain texts.
type List []string

// A Table has a header and rows with the same number of cells, all plain text.
type Table struct {
	Caption string
	Header  []string
	Rows    [][]string
}

// A Figure is a plot. Name is the base name of its file.
type Figure struct {
	Name    string
	Caption string
	SVG     []byte
}

// Add appends blocks to the section.
func (s *Section) Add(blocks ...Block) { s.Blocks = append(s.Blocks, blocks...) }

// Files are the paths of a page's Markdown and HTML.
type Files struct {
	Markdown string `json:"markdown"`
	HTML     string `json:"html"`
}

// FilesOf returns the paths that [Page.Write] writes.
func FilesOf(dir, name string) Files {
	return Files{filepath.Join(dir, name+".md"), filepath.Join(dir, name+".html")}
}

// Write writes name.md, name.html and an SVG file for every figure into the folder, which it
// creates if needed. It replaces an earlier page of that name, but no file of another origin.
func (p Page) Write(dir, name string) error {
	if err := checkEarlier(FilesOf(dir, name)); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	if err := durable.MkdirAll(dir); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return p.write(dir, map[string][]byte{name + ".md": []byte(p.Markdown()),
		name + ".html": []byte(p.HTML())})
}

// mark is in every HTML page of haf.
const mark = `<meta name="generator" content="haf">`

// checkEarlier returns an error for files that are not a page of haf. A page may be overwritten,
// because its data is stored elsewhere.
func checkEarlier(files Files) error {
	data, err := wholefile.Read(files.HTML, maxPage)
	there := err == nil
	switch {
	case there && bytes.Contains(data, []byte(mark)):
		return nil
	case !there && !errors.Is(err, fs.ErrNotExist):
		return err
	case !there:
		if _, err := os.Lstat(files.Markdown); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		files.HTML = files.Markdown
	}
	return fmt.Errorf("%s exists already and is no page of haf: name another folder, or remove it",
		files.HTML)
}

// maxPage limits the existing page that is checked, in bytes.
const maxPage = 1 << 28

// WriteMarkdown is [Page.Write] without HTML. It returns the path of name.md.
func (p Page) WriteMarkdown(dir, name string) (string, error) {
	if err := durable.MkdirAll(dir); err != nil {
		return "", fmt.Errorf("report: %w", err)
	}
	return filepath.Join(dir, name+".md"),
		p.write(dir, map[string][]byte{name + ".md": []byte(p.Markdown())})
}

// write adds the figures to the files and writes all files.
func (p Page) write(dir string, files map[string][]byte) error {
	for _, s := range p.Sections {
		for _, b := range s.Blocks {
			if f, ok := b.(Figure); ok {
				if _, twice := files[f.Name+".svg"]; twice {
					return fmt.Errorf("report: two figures are called %s", f.Name)
				}
				files[f.Name+".svg"] = f.SVG
			}
		}
	}
	// The HTML page comes first, before .md and .svg, because it contains the mark by which an
	// interrupted page is recognized and overwritten.
	names := slices.SortedFunc(maps.Keys(files), func(a, b string) int {
		return cmp.Or(cmp.Compare(filepath.Ext(a), filepath.Ext(b)), cmp.Compare(a, b))
	})
	for _, name := range names {
		if err := durable.WriteFile(filepath.Join(dir, name), files[name]); err != nil {
			return fmt.Errorf("report: %w", err)
		}
	}
	return nil
}

// Markdown returns the page as Markdown that refers to the figures' files.
func (p Page) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n", escape(p.Title))
	for _, s := range p.Sections {
		fmt.Fprintf(&b, "\n## %s\n", escape(s.Title))
		for _, block := range s.Blocks {
			b.WriteByte('\n')
			block.markdown(&b)
		}
	}
	return b.String()
}

// style is the only style sheet of the page. Text is light on a dark screen, and always dark on
// paper.
const style = `:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;
color:#222;background:#fff}
h2{margin-top:2.2rem}h2+p{max-width:46rem}
.scroll{overflow-x:auto;margin:.3rem 0 1rem}table{border-collapse:collapse}
.caption{margin:1rem 0 .3rem}.caption,figcaption{color:#595959}
th,td{border-bottom:1px solid #ddd;padding:.25rem .7rem;text-align:right;white-space:nowrap}
.text{text-align:left}td:first-child,th:first-child{padding-left:0}
figure{margin:1rem 0;overflow-x:auto}svg{max-width:100%;height:auto}
@media screen and (max-width:40rem){svg{max-width:none}figcaption{position:sticky;left:0}}
.lead{font-size:1.2rem;max-width:46rem}
@media screen and (prefers-color-scheme:dark){body{color:#e4e4e4;background:#161616}
.caption,figcaption{color:#adadad}th,td{border-color:#454545}}
@media print{body{margin:0;max-width:none;font-size:10pt}h2{break-after:avoid}
figure,tr{break-inside:avoid}.scroll,figure{overflow:visible}th,td{white-space:normal}}`

// HTML returns the page as one document with its figures in it.
func (p Page) HTML() string {
	var b strings.Builder
	title := html.EscapeString(p.Title)
	fmt.Fprintf(&b, "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta "+
		"name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n%s\n<title>%s</title>\n"+
		"<style>%s</style>\n<h1>%s</h1>\n", mark, title, style, title)
	for _, s := range p.Sections {
		fmt.Fprintf(&b, "<h2>%s</h2>\n", html.EscapeString(s.Title))
		for _, block := range s.Blocks {
			block.html(&b)
		}
	}
	b.WriteString("</html>\n")
	return b.String()
}

func (t Text) markdown(b *strings.Builder) { b.WriteString(escape(string(t)) + "\n") }
func (t Text) html(b *strings.Builder) {
	fmt.Fprintf(b, "<p>%s</p>\n", html.EscapeString(string(t)))
}

func (l Lead) markdown(b *strings.Builder) { b.WriteString("**" + escape(string(l)) + "**\n") }
func (l Lead) html(b *strings.Builder) {
	fmt.Fprintf(b, "<p class=\"lead\">%s</p>\n", html.EscapeString(string(l)))
}

func (l List) markdown(b *strings.Builder) {
	for _, item := range l {
		b.WriteString("- " + escape(item) + "\n")
	}
}

func (l List) html(b *strings.Builder) {
	b.WriteString("<ul>\n")
	for _, item := range l {
		fmt.Fprintf(b, "<li>%s</li>\n", html.EscapeString(item))
	}
	b.WriteString("</ul>\n")
}

func (t Table) markdown(b *strings.Builder) {
	if t.Caption != "" {
		b.WriteString(escape(t.Caption) + "\n\n")
	}
	line := func(cells []string) {
		for _, c := range cells {
			b.WriteString("| " + escape(c) + " ")
		}
		b.WriteString("|\n")
	}
	line(t.Header)
	for k := range t.Header {
		if t.ofText(k) {
			b.WriteString("|:---")
		} else {
			b.WriteString("|---:")
		}
	}
	b.WriteString("|\n")
	for _, row := range t.Rows {
		line(row)
	}
}

func (t Table) html(b *strings.Builder) {
	name := "Table"
	if t.Caption != "" {
		name = t.Caption
		fmt.Fprintf(b, "<p class=\"caption\">%s</p>\n", html.EscapeString(t.Caption))
	}
	fmt.Fprintf(b, "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"%s\"><table>\n",
		html.EscapeString(name))
	for i, row := range append([][]string{t.Header}, t.Rows...) {
		cell := "td"
		if i == 0 {
			cell = "th"
		}
		b.WriteString("<tr>")
		for k, c := range row {
			class := ""
			if t.ofText(k) {
				class = ` class="text"`
			}
			fmt.Fprintf(b, "<%s%s>%s</%s>", cell, class, html.EscapeString(c), cell)
		}
		b.WriteString("</tr>\n")
	}
	b.WriteString("</table></div>\n")
}

// ofText reports whether a column is left-aligned: the first one, and columns whose cells begin
// with letters.
func (t Table) ofText(k int) bool {
	letters := k == 0
	for _, row := range t.Rows {
		first, _ := utf8.DecodeRuneInString(row[k])
		if k > 0 && row[k] != "" && row[k] != "–" && !unicode.IsLetter(first) && first != '/' {
			return false
		}
		letters = letters || unicode.IsLetter(first)
	}
	return letters
}

func (f Figure) markdown(b *strings.Builder) {
	fmt.Fprintf(b, "![%s](%s.svg)\n", escape(f.Caption), f.Name)
}

// html writes the drawing without its XML header, which HTML does not allow.
func (f Figure) html(b *strings.Builder) {
	svg := string(f.SVG)
	if i := strings.Index(svg, "<svg"); i > 0 {
		svg = svg[i:]
	}
	fmt.Fprintf(b, "<figure>%s<figcaption>%s</figcaption></figure>\n", svg,
		html.EscapeString(f.Caption))
}

// escape keeps text on its line and from being read as Markdown or HTML. Brackets stay, so that
// intervals are legible.
func escape(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	return escaper.Replace(s)
}

var escaper = strings.NewReplacer(`\`, `\\`, "|", `\|`, "<", "&lt;", ">", "&gt;", "*", `\*`, "_",
	`\_`, "`", "\\`", "](", `]\(`, "][", `]\[`, "]:", `]\:`)
