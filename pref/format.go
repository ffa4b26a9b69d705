package pref

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Formats of a row of preferences, the values of Options.Format. The page
// docs/reference/data-formats.md has an example of each.
const (
	Auto = "auto" // each row by its keys
	HH   = "hh"   // transcripts of HH-RLHF
	// a prompt, or one that is implicit in both dialogues, with the two answers
	Pairs         = "pairs"
	Groups        = "groups" // a prompt with several responses, and comparisons or scores
	Unpaired      = "unpaired"
	LLaMAFactory  = "llamafactory" // its alpaca form
	ShareGPT      = "sharegpt"
	Swift         = "swift" // of ms-swift
	StackExchange = "stackexchange"
	PKU           = "pku"
	Arena         = "arena"
	Alpaca        = "alpaca"
	UltraFeedback = "ultrafeedback"
	HelpSteer     = "helpsteer2"
	HelpSteer3    = "helpsteer3"
	BestOf        = "bestof" // RewardBench 2, RM-Bench
	JudgeBench    = "judgebench"
	RMB           = "rmb"
	HHH           = "hhh"
	// one response with the ratings that Options.Attributes names
	Graded = "graded"
)

// A form is one set of keys by which a row is known to be of a format, and how such rows are read.
// A format may have several forms.
type form struct {
	format string
	keys   []string             // a row of the form has all of them
	fits   func(f *fields) bool // tells forms of the same keys apart; nil: the keys are enough
	read   func(f *fields, opt Options) (decoded, error)
}

// forms is the table of formats. To add one, write its constant, its row and its decoder, files in
// testdata/formats and testdata/refused, and an example in docs/reference/data-formats.md.
var forms = []form{
	{HH, []string{"chosen", "rejected"}, bothTexts, decodeTranscripts},
	{Pairs, []string{"prompt", "chosen", "rejected"}, notBestOf, pairBy("prompt")},
	{Pairs, []string{"question", "chosen", "rejected"}, nil, pairBy("question")},
	{Pairs, []string{"chosen", "rejected"}, notTexts, decodeImplicit},
	{Groups, []string{"responses"}, nil, decodeGroup},
	{Unpaired, []string{"prompt", "completion", "label"}, nil, decodeUnpaired},
	{Unpaired, []string{"messages", "label"}, nil, decodeLabelled},
	{LLaMAFactory, []string{"instruction", "chosen", "rejected"}, nil, decodeLLaMAFactory},
	{LLaMAFactory, []string{"instruction", "output"}, listAt("output"), decodeOutputs},
	{ShareGPT, []string{"conversations", "chosen", "rejected"}, nil, decodeShareGPT},
	{Swift, []string{"messages", "rejected_response"}, nil, decodeSwift},
	{Swift, []string{"messages", "rejected_messages"}, nil, decodeSwift},
	{StackExchange, []string{"question", "response_j", "response_k"}, nil, decodeStackExchange},
	{PKU, []string{"prompt", "response_0", "response_1"}, nil, decodePKU},
	{Arena, []string{"conversation_a", "conversation_b"}, nil, decodeArena},
	{Alpaca, []string{"output_1", "output_2"}, nil, decodeAlpaca},
	{Alpaca, []string{"response1", "response2"}, nil, decodeAlpaca},
	{UltraFeedback, []string{"instruction", "completions"}, nil, decodeUltraFeedback},
	{HelpSteer, []string{"prompt", "response", "helpfulness"}, nil, decodeHelpSteer},
	{HelpSteer, []string{"prompt", "response_1", "response_2"}, nil, decodeHelpSteer},
	{HelpSteer3, []string{"context", "response1", "response2"}, nil, decodeHelpSteer3},
	{BestOf, []string{"prompt", "chosen", "rejected"}, isBestOf, decodeBestOf},
	{JudgeBench, []string{"question", "response_A", "response_B"}, nil, decodeJudgeBench},
	{RMB, []string{"conversation_input"}, nil, decodeRMB},
	{HHH, []string{"input", "targets"}, nil, decodeHHH},
	{Graded, []string{"prompt", "response"}, isGraded, gradedBy("response")},
	{Graded, []string{"prompt", "completion"}, isGraded, gradedBy("completion")},
	{Graded, []string{"messages"}, isGraded, decodeGradedMessages},
}

// formats lists the names of the formats, Auto first.
var formats = func() []string {
	names := []string{Auto}
	for _, f := range forms {
		if !slices.Contains(names, f.format) {
			names = append(names, f.format)
		}
	}
	return names
}()

func bothTexts(f *fields) bool { return isText(f.values["chosen"]) && isText(f.values["rejected"]) }
func notTexts(f *fields) bool  { return !bothTexts(f) }
func isGraded(f *fields) bool  { return f.graded }
func notBestOf(f *fields) bool { return !isBestOf(f) }

func isBestOf(f *fields) bool {
	return isTexts(f.values["chosen"]) && kind(f.values["rejected"]) == "a list"
}

func listAt(key string) func(*fields) bool {
	return func(f *fields) bool { return kind(f.values[key]) == "a list" }
}

// shows reports whether a key is there and may tell the row's format.
func (f *fields) shows(key string) bool {
	return f.has(key) && (!f.general || slices.Contains(generalKeys, key))
}

// matches returns the forms that the row's keys fit, without those whose keys are a part of
// another's.
func matches(f *fields, among []form) []form {
	var found []form
	for _, m := range among {
		if !slices.ContainsFunc(m.keys, func(key string) bool { return !f.shows(key) }) &&
			(m.fits == nil || m.fits(f)) {
			found = append(found, m)
		}
	}
	return slices.DeleteFunc(slices.Clone(found), func(m form) bool {
		return slices.ContainsFunc(found, func(other form) bool {
			return len(other.keys) > len(m.keys) && contains(other.keys, m.keys)
		})
	})
}

// contains reports whether all of part is in list.
func contains(list, part []string) bool {
	return !slices.ContainsFunc(part, func(key string) bool { return !slices.Contains(list, key) })
}

// formOf finds the form of a row: the one that its keys fit, or the first such of a stated format.
func formOf(f *fields, format string) (form, error) {
	if format != "" && format != Auto {
		stated := slices.DeleteFunc(slices.Clone(forms), func(m form) bool { return m.format != format })
		if found := matches(f, stated); len(found) > 0 {
			return found[0], nil
		}
		return nearest(f, stated), nil
	}
	switch found := matches(f, forms); {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		var names []string
		for _, m := range found {
			names = append(names, m.String())
		}
		return form{}, fmt.Errorf("keys %s fit two formats, %s: say which by the format (-format, "+
			"data.format), or name the columns (-columns, data.columns)",
			f.keys(), strings.Join(names, " and "))
	}
	return form{}, noForm(f)
}

func (m form) String() string {
	return fmt.Sprintf("%s {%s}", m.format, strings.Join(m.keys, ", "))
}

// nearest is the form of which the row lacks the least, of those the one of which it has the most
// keys; the first where it has no key of any.
func nearest(f *fields, among []form) form {
	best := among[0]
	for _, m := range among {
		n, least := len(f.lacks(m)), len(f.lacks(best))
		known, most := len(m.keys)-n, len(best.keys)-least
		if known > 0 && (most == 0 || n < least || n == least && known > most) {
			best = m
		}
	}
	return best
}

// lacks lists the keys of a form that the row does not have.
func (f *fields) lacks(m form) []string {
	return slices.DeleteFunc(slices.Clone(m.keys), f.shows)
}

// noForm explains why a row fits no form: a key is null, or the row lacks a key of the form that
// comes nearest.
func noForm(f *fields) error {
	if m, key, ok := nullForm(f); ok {
		return wrong(f.name(key), "null, want a value: rows of %s have one", m)
	}
	if !f.graded && f.shows("prompt") && (f.shows("response") || f.shows("completion")) {
		return fmt.Errorf("keys %s fit no format: where columns rate the response, name them "+
			"(-attributes, data.attributes); where others compare it, give theirs (-columns, "+
			"data.columns)", f.keys())
	}
	if a, b := f.twoResponses(); a != "" {
		return fmt.Errorf("keys %s fit no format, and none says which of %s and %s is better: where the "+
			"first always is, name the columns (-columns %schosen=%s,rejected=%s, data.columns); where a "+
			"column says it, write rows {prompt, chosen, rejected}",
			f.keys(), quote(a), quote(b), f.promptColumn(), a, b)
	}
	best := nearest(f, forms)
	if missing := f.lacks(best); len(missing) == 1 && len(best.keys) > 1 {
		return fmt.Errorf("keys %s fit no format, and %s lacks %s: where the columns have other names, "+
			"give them (-columns, data.columns)", f.keys(), best, quoted(missing))
	}
	return fmt.Errorf("keys %s fit no format, want {prompt, chosen, rejected} or those of another "+
		"one in docs/reference/data-formats.md: where the columns have other names, give them "+
		"(-columns, data.columns)", f.keys())
}

// nullForm is the form of most keys that the row would fit if a key of it were not null.
func nullForm(f *fields) (best form, key string, ok bool) {
	for _, m := range forms {
		if m.format == Graded {
			continue
		}
		missing := f.lacks(m)
		absent := slices.ContainsFunc(missing, func(key string) bool {
			return !slices.Contains(f.nulls, key)
		})
		if len(missing) > 0 && !absent && len(m.keys) > len(best.keys) {
			best, key, ok = m, missing[0], true
		}
	}
	return best, key, ok
}

// twoResponses finds two texts under keys that differ in one letter, such as response_a and
// response_b: the longest such pair. It finds none where the row's columns are named, or where it
// says which response is the chosen one.
func (f *fields) twoResponses() (a, b string) {
	if f.general || f.has("chosen") || f.has("rejected") {
		return "", ""
	}
	keys, longest := slices.Sorted(maps.Keys(f.values)), 0
	for i, x := range keys {
		for _, y := range keys[i+1:] {
			n := len(f.values[x]) + len(f.values[y])
			if n > longest && oneLetterApart(x, y) && isText(f.values[x]) && isText(f.values[y]) {
				a, b, longest = x, y, n
			}
		}
	}
	return a, b
}

// oneLetterApart reports whether two keys of two bytes or more differ in one.
func oneLetterApart(x, y string) bool {
	if len(x) != len(y) || len(x) < 2 {
		return false
	}
	differ := 0
	for i := range len(x) {
		if x[i] != y[i] {
			differ++
		}
	}
	return differ == 1
}

// promptColumn is how -columns names the prompt of a row; "" where it needs no name.
func (f *fields) promptColumn() string {
	if f.has("prompt") {
		return ""
	}
	for _, key := range []string{"question", "instruction", "query", "input", "problem"} {
		if f.has(key) {
			return "prompt=" + key + ","
		}
	}
	return "prompt=…,"
}
