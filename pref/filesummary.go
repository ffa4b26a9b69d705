package pref

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// A FileSummary summarizes one file.
type FileSummary struct {
	File    string      `json:"file"`
	Read    *Counts     `json:"read"`
	Unit    string      `json:"unit"` // of the lengths
	Summary Summary     `json:"summary"`
	Sample  []Group     `json:"sample"`
	Tokens  *TokenFacts `json:"tokens,omitempty"` // nil unless the tokens of a model were counted
}

// TokenFacts describes a file's groups as tokens of a model.
type TokenFacts struct {
	Report string `json:"report"`
	// Special counts the groups that contain the text of a special token, by token. A model reads such
	// text as the token, so a text can end a turn or begin another.
	Special     map[string]int `json:"special"`
	WithSpecial int            `json:"with_special"`
	Dropped     map[string]int `json:"dropped"` // groups that would be dropped, by reason
}

// A FileOverlap counts what two files have in common.
type FileOverlap struct {
	A       string  `json:"a"`
	B       string  `json:"b"`
	Overlap Overlap `json:"overlap"`
}

func (o FileOverlap) String() string {
	return fmt.Sprintf("of the prompts of %s, %s has %d letter by letter, %d but for case, "+
		"spaces and punctuation: %d groups, %d of them whole",
		o.B, o.A, o.Overlap.Exact, o.Overlap.Normalized, o.Overlap.Groups, o.Overlap.Pairs)
}

// Spread takes n groups evenly over the file.
func Spread(groups []Group, n int) []Group {
	n = min(n, len(groups))
	out := make([]Group, n)
	for i := range n {
		out[i] = groups[i*len(groups)/n]
	}
	return out
}

// Write writes the summary as lines of text.
func (f FileSummary) Write(to io.Writer) error {
	w := bufio.NewWriter(to)
	s := f.Summary
	fmt.Fprintln(w, f.File)
	say := func(format string, args ...any) { fmt.Fprintf(w, "  "+format+"\n", args...) }
	for _, line := range f.Read.Lines() {
		say("%s", line)
	}
	say("%d groups of %d prompts, %d responses, %d comparisons, %d ties", s.Groups, s.Prompts,
		s.Responses, s.Comparisons, s.Ties)
	if s.Desirable+s.Undesirable > 0 {
		say("labelled responses: %d desirable, %d undesirable", s.Desirable, s.Undesirable)
	}
	for _, attribute := range slices.Sorted(maps.Keys(s.Attributes)) {
		a := s.Attributes[attribute]
		say("rated by %s: %d responses, mean %.4g, from %g to %g", attribute, a.Responses, a.Mean, a.Min,
			a.Max)
	}
	say("repeated groups %d, pairs with opposite labels %d", s.Duplicates, s.Conflicts)
	for _, l := range []struct {
		what string
		l    Lengths
	}{{"prompt", s.Prompt}, {"response", s.Response}, {"chosen", s.Chosen},
		{"rejected", s.Rejected}} {
		say("%s length in %s: mean %.1f, median %d, 95 %% up to %d, longest %d", l.what, f.Unit,
			l.l.Mean, l.l.Median, l.l.P95, l.l.Max)
	}
	if f.Tokens != nil {
		say("as tokens: %s", f.Tokens.Report)
	}
	say("the chosen response is longer in %d, shorter in %d: rate %.4f", s.ChosenLonger,
		s.ChosenShorter, s.ChosenLongerRate)
	say("responses a group: %s", histogram(s.ResponsesPer))
	say("groups a prompt: %s", histogram(s.RowsPerPrompt))
	if _, unnamed := s.Subsets[""]; len(s.Subsets) > 1 || !unnamed {
		const most = 40
		for i, name := range slices.Sorted(maps.Keys(s.Subsets)) {
			if i == most {
				say("and %d more subsets", len(s.Subsets)-most)
				break
			}
			say("subset %s: %d", name, s.Subsets[name])
		}
	}
	for _, g := range f.Sample {
		row := fmt.Sprint(g.Source.Line)
		if g.Source.File != f.File {
			row = g.Source.String() // of one of several files
		}
		g.Source = Location{}
		if data, err := json.Marshal(g); err == nil { // texts and numbers always have a form
			say("row %s: %s", row, data)
		}
	}
	return w.Flush()
}

// histogram lists counts by size.
func histogram(counts map[int]int) string {
	var parts []string
	for _, size := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d × %d", counts[size], size))
	}
	return strings.Join(parts, ", ")
}
