package main

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// A page is a Markdown file, split for the checks.
type page struct {
	name  string // slash-separated path from the root
	lines []line
}

// A line is a line of a page.
type line struct {
	text string
	// language is the info string of the fenced block around the line, or "text" if the block has
	// none.
	language string
	inBlock  bool
}

// readPage splits a Markdown file.
func readPage(name, text string) page {
	p := page{name: name}
	var current line
	for _, text := range strings.Split(text, "\n") {
		if info, ok := strings.CutPrefix(strings.TrimSpace(text), "```"); ok {
			if current.inBlock = !current.inBlock; current.inBlock {
				current.language, _, _ = strings.Cut(info, " ")
				if current.language == "" {
					current.language = "text"
				}
			}
			p.lines = append(p.lines, line{text: "", inBlock: true, language: "fence"})
			continue
		}
		if current.inBlock {
			p.lines = append(p.lines, line{text: text, language: current.language, inBlock: true})
		} else {
			p.lines = append(p.lines, line{text: text})
		}
	}
	return p
}

// readPages returns README.md and all Markdown files below docs.
func readPages(root string) ([]page, error) {
	names := []string{"README.md"}
	add := func(file string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(file, ".md") {
			rel, _ := filepath.Rel(root, file)
			names = append(names, filepath.ToSlash(rel))
		}
		return err
	}
	err := filepath.WalkDir(filepath.Join(root, "docs"), add)
	if err != nil {
		return nil, err
	}
	var pages []page
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			return nil, err
		}
		pages = append(pages, readPage(name, string(text)))
	}
	return pages, nil
}

var (
	codeSpan = regexp.MustCompile("`([^`]+)`")
	linkSpan = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading  = regexp.MustCompile(`^#{1,6} +(.*?)\s*$`)
	markup   = regexp.MustCompile("[*`]|\\[([^\\]]*)\\]\\([^)]*\\)")
)

// spans yields the code spans in the prose of a page with their line numbers.
func (p page) spans(yield func(number int, span string) bool) {
	for i, l := range p.lines {
		if l.inBlock {
			continue
		}
		for _, m := range codeSpan.FindAllStringSubmatch(l.text, -1) {
			if !yield(i+1, m[1]) {
				return
			}
		}
	}
}

// links yields the targets of a page's links and images with their line numbers.
func (p page) links(yield func(number int, target string) bool) {
	for i, l := range p.lines {
		if l.inBlock {
			continue
		}
		for _, m := range linkSpan.FindAllStringSubmatch(codeSpan.ReplaceAllString(l.text, ""), -1) {
			if !yield(i+1, m[1]) {
				return
			}
		}
	}
}

// anchors returns GitHub's anchors for the headings of a page.
func (p page) anchors() map[string]bool {
	names := map[string]bool{}
	for _, l := range p.lines {
		m := heading.FindStringSubmatch(l.text)
		if m == nil || l.inBlock {
			continue
		}
		name := anchor(markup.ReplaceAllString(m[1], "$1"))
		for n, plain := 1, name; names[name]; n++ {
			name = plain + "-" + strconv.Itoa(n)
		}
		names[name] = true
	}
	return names
}

// anchor is GitHub's anchor for a heading: lower case, hyphens for spaces, without punctuation.
func anchor(title string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
			return unicode.ToLower(r)
		}
		return -1
	}, title)
}

// A command is a line of a shell block, with continuation lines joined.
type command struct {
	number int
	words  []string
}

// commands returns the commands in the shell blocks of a page, without comments.
func (p page) commands() []command {
	var out []command
	joined, start := "", 0
	for i, l := range p.lines {
		if l.language != "sh" {
			continue
		}
		if joined == "" {
			start = i + 1
		}
		text := l.text
		if j := strings.Index(text, " #"); j >= 0 {
			text = text[:j]
		}
		if before, ok := strings.CutSuffix(strings.TrimSpace(text), `\`); ok {
			joined += before + " "
			continue
		}
		for _, one := range separator.Split(joined+text, -1) {
			if words := strings.Fields(one); len(words) > 0 && !strings.HasPrefix(words[0], "#") {
				out = append(out, command{start, words})
			}
		}
		joined = ""
	}
	return out
}

var separator = regexp.MustCompile(`&&|;|\|`)

// A problem is a fault at a line of a file.
type problem struct {
	file   string
	number int
	text   string
}

func (p problem) String() string { return fmt.Sprintf("%s:%d: %s", p.file, p.number, p.text) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
