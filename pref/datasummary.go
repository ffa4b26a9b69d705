package pref

import (
	"fmt"
	"io"
	"unicode/utf8"
)

// A DataSummary summarizes files, and what every two of them have in common.
type DataSummary struct {
	Files    []FileSummary `json:"files"`
	Overlaps []FileOverlap `json:"overlaps"`
}

// SummaryOptions are the options of [SummarizeFiles].
type SummaryOptions struct {
	Options
	// Resolve returns the files that a path or id names.
	Resolve func(named []string) ([]string, error)
	Sample  int // number of groups of each file to show in full
	// Tokens counts texts and groups in the tokens of a model; nil: lengths are in characters.
	Tokens Tokens
}

// Tokens counts in the tokens of a model.
type Tokens interface {
	Length(text string) int
	Facts(groups []Group) (*TokenFacts, error)
}

// SummarizeFiles reads and summarizes each of the named files.
func SummarizeFiles(named []string, opt SummaryOptions) (DataSummary, error) {
	out := DataSummary{Overlaps: []FileOverlap{}}
	var sets [][]Group
	for _, name := range named {
		file, groups, err := summarizeFile(name, opt)
		if err != nil {
			return out, err
		}
		out.Files, sets = append(out.Files, file), append(sets, groups)
	}
	for i := range sets {
		for j := range i {
			out.Overlaps = append(out.Overlaps, FileOverlap{
				A: named[j], B: named[i], Overlap: Overlaps(sets[j], sets[i]),
			})
		}
	}
	return out, nil
}

func summarizeFile(name string, opt SummaryOptions) (FileSummary, []Group, error) {
	unit, length := "characters", utf8.RuneCountInString
	if opt.Tokens != nil {
		unit, length = "tokens", opt.Tokens.Length
	}
	paths, err := opt.Resolve([]string{name})
	if err != nil {
		return FileSummary{}, nil, err
	}
	groups, counts, err := Load(paths, opt.Options)
	if err != nil {
		return FileSummary{}, nil, err
	}
	file := FileSummary{
		File: name, Read: counts, Unit: unit, Summary: Summarize(groups, length),
		Sample: Spread(groups, opt.Sample),
	}
	if opt.Tokens != nil {
		file.Tokens, err = opt.Tokens.Facts(groups)
	}
	return file, groups, err
}

// Write writes the summaries as text.
func (d DataSummary) Write(w io.Writer) error {
	for _, f := range d.Files {
		if err := f.Write(w); err != nil {
			return err
		}
	}
	for _, o := range d.Overlaps {
		if _, err := fmt.Fprintf(w, "overlap: %s\n", o); err != nil {
			return err
		}
	}
	return nil
}
