package recipe

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"haf/hub"
	"haf/reward"
)

// Write writes the estimate as a table, with the available memory, which source names; 0 is not
// known.
func (p *RunEstimate) Write(to io.Writer, available int64, source string) error {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%s\t%s\n", name,
			fmt.Sprintf(format, args...))
	}
	line("model", "%s, %s, %s parameters, %s trained", p.Model, p.Family,
		reward.ShortCount(p.Parameters), reward.ShortCount(p.Trained))
	line("template", "%s", p.Template)
	for _, report := range p.Report {
		name, rest, _ := strings.Cut(report, ": ")
		line(name, "%s", rest)
	}
	run := p.Run
	line("groups", "%d with %d comparisons to train on, %d groups to validate on", run.Groups,
		run.Comparisons, run.Valid)
	line("packing", "%s", run.Packing)
	line("steps", "%d; an epoch: %s", run.Steps, run.StepStats)
	line("arithmetic", "%s of matrix products", flops(run.GFLOP))
	if run.Reference.Responses > 0 {
		line("reference", "%d responses, read once; %s of cache on disk", run.Reference.Responses,
			hub.Bytes(run.Reference.Bytes))
	}
	line("checkpointing", "%s", run.Recompute)
	fmt.Fprintln(w, "\t")
	for _, part := range run.Memory.Parts() {
		if part.Bytes > 0 {
			line(part.Name, "%s\t%s", hub.Bytes(part.Bytes), part.What)
		}
	}
	if n := run.Memory.Devices; n > 1 {
		line("a device", "%s\tall but the process, on each of %d", hub.Bytes(run.Memory.Device()), n)
	}
	line("memory", "%s\tat the most", hub.Bytes(run.Memory.Total()))
	if available > 0 {
		verdict := "it fits"
		if !p.Fits {
			verdict = "it does not fit"
		}
		line("available", "%s\t%s: %s", hub.Bytes(available), source, verdict)
	}
	if len(p.Savings) > 0 {
		fmt.Fprintln(w, "\t")
		fmt.Fprintln(w, "less memory\tthen\tsaves")
	}
	for _, change := range p.Savings {
		note := ""
		if available > 0 && !p.Fits {
			if note = "does not fit"; change.Fits {
				note = "fits"
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", strings.Join(change.Sets, " "), hub.Bytes(change.Total),
			hub.Bytes(change.Saves), note)
	}
	return w.Flush()
}

func flops(giga float64) string {
	if giga < 1e4 {
		return fmt.Sprintf("%.0f GFLOP", giga)
	}
	return fmt.Sprintf("%.1f TFLOP", giga/1e3)
}
