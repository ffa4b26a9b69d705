package reward

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// Write writes the inspection as a table.
func (in *Inspection) Write(to io.Writer) error {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%s\t%s\n", name,
			fmt.Sprintf(format, args...))
	}
	line("model", "%s (%s)", in.Path, in.Form)
	line("family", "%s, %s", in.Family, in.Architecture)
	line("size", "%s parameters, %d layers, hidden %d, feed-forward %d", ShortCount(in.Parameters),
		in.Layers, in.Hidden, in.FeedForward)
	line("attention", "%d heads, %d of keys and values, context %d", in.Heads, in.KVHeads,
		in.Context)
	line("on disk", "%s", bytesByDType(in))
	line("policy head", "%s", in.PolicyHead)
	line("score head", "%s", in.ScoreHead.line())
	for i := range in.ScoreHead.Labels {
		name := "(no name)"
		if len(in.ScoreHead.LabelNames) > 0 {
			name = in.ScoreHead.LabelNames[i]
		}
		line(fmt.Sprintf("label %d", i), "%s", name)
	}
	if ad := in.Adapter; ad != nil {
		line("adapter", "%s, rank %d, alpha %g, %d modules (%s), %s parameters, on %s", ad.Kind,
			ad.Rank, ad.Alpha, ad.Modules, strings.Join(ad.Targets, ", "),
			ShortCount(ad.Parameters), ad.Base)
	}
	if in.Adapter != nil {
		adapterExtras(line, in.Adapter)
	}
	if in.Stripped != "" {
		line("names", "without the prefix %s", in.Stripped)
	}
	for _, t := range in.Unread {
		line("not read", "%s, %s %v, in %s", t.Name, t.DType, t.Shape, t.File)
	}
	if t := in.Tokenizer; t != nil {
		line("tokenizer", "%s, %d ids, for %d rows of the embedding", t.Kind, t.Size, in.Vocabulary)
		prompt := "without a generation prompt"
		if t.GenerationPrompt {
			prompt = "with a generation prompt"
		}
		line("template", "%s (%s), %s", t.Template, t.TemplateSource, prompt)
		line("reward read at", "%q", t.ReadAt)
		if t.Date != "" {
			line("date", "%s", t.Date)
		}
		for _, name := range slices.Sorted(maps.Keys(t.Special)) {
			line(name, "%q, id %d", t.Special[name].Token, t.Special[name].ID)
		}
	}
	if m := in.Trained; m != nil {
		line("trained by haf", "heads %s, from %s", strings.Join(m.Heads, ", "), m.Base)
	}
	for _, warning := range in.Warnings {
		line("warning", "%s", warning)
	}
	return w.Flush()
}

// adapterExtras lists the weights of an adapter besides the matrices of its layers.
func adapterExtras(line func(name, format string, args ...any), a *AdapterFacts) {
	for _, t := range a.Own {
		line("own weights", "%s, %s %v", t.Name, t.DType, t.Shape)
	}
	if a.ScoreLoRA {
		line("score LoRA", "merged into the base's score head")
	}
	if a.Stripped != "" {
		line("adapter names", "without the prefix %s", a.Stripped)
	}
}

// ShortCount formats a number with a unit that keeps it short.
func ShortCount(n int) string {
	switch x := float64(n); {
	case n >= 1e9:
		return fmt.Sprintf("%.2f G", x/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f M", x/1e6)
	case n >= 1e4:
		return fmt.Sprintf("%.1f k", x/1e3)
	}
	return fmt.Sprint(n)
}

func bytesByDType(in *Inspection) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(in.DTypes)) {
		parts = append(parts, fmt.Sprintf("%s %sB", name, ShortCount(int(in.DTypes[name]))))
	}
	return strings.Join(parts, ", ")
}

// line describes the head.
func (h HeadInspection) line() string {
	parts := []string{h.Kind}
	if h.Labels > 0 {
		parts = append(parts, fmt.Sprintf("%d of them", h.Labels))
	}
	if h.Zero {
		parts = append(parts, "zero")
	}
	if h.Offset != 0 {
		parts = append(parts, fmt.Sprintf("offset %.6g", h.Offset))
	}
	if h.Normalized != "" {
		parts = append(parts, h.Normalized)
	}
	if h.Source != "" {
		parts = append(parts, h.Source)
	}
	return strings.Join(parts, ", ")
}
