package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"haf/backend"
	"haf/hub"
	"haf/recipe"
)

// planOutput is what -plan prints with -json.
type planOutput struct {
	*recipe.RunEstimate
	AvailableSource string `json:"available_source,omitempty"` // what says how much memory there is
	Total           int64  `json:"total"`                      // bytes
}

// plan says what a run will need and runs nothing; where it does not fit, the gate is not met.
// Memory is the host's: what a device with memory of its own has left is not asked.
func (c *trainCmd) plan(a *app) error {
	r, err := recipe.Load(c.Recipe, c.Set)
	if err != nil {
		return err
	}
	client, err := a.hub()
	if err != nil {
		return err
	}
	if err := r.Fetch(a.ctx, client); err != nil {
		return err
	}
	available, err := backend.AvailableMemory()
	if err != nil {
		fmt.Fprintf(a.stderr, "haf: %v: nothing to compare the need with\n", err)
	}
	p, err := r.EstimateIn(available.Bytes)
	if err != nil {
		return err
	}
	total := p.Run.Memory.Total()
	if a.json {
		err = printJSON(a, planOutput{p, available.Source, total})
	} else {
		err = printPlan(a, p, available)
	}
	if err == nil && !p.Fits {
		err = fmt.Errorf("%w: the run needs %s, there are %s (%s): lower a setting, or wait for memory",
			errGate, hub.Bytes(total), hub.Bytes(available.Bytes), available.Source)
	}
	return err
}

func printPlan(a *app, p *recipe.RunEstimate, available backend.Memory) error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) { fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	line("model", "%s, %s, %s parameters, %s trained", p.Model, p.Family, count(p.Parameters), count(p.Trained))
	line("template", "%s", p.Template)
	for _, report := range p.Report {
		name, rest, _ := strings.Cut(report, ": ")
		line(name, "%s", rest)
	}
	of := p.Run
	line("groups", "%d with %d comparisons to train on, %d groups to validate on", of.Groups, of.Comparisons, of.Valid)
	line("packing", "%s", of.Packing)
	line("steps", "%d; an epoch: %s", of.Steps, of.StepStats)
	line("arithmetic", "%s of matrix products", flops(of.GFLOP))
	if of.Reference.Responses > 0 {
		line("reference", "%d responses, read once; %s of cache on disk", of.Reference.Responses, hub.Bytes(of.Reference.Bytes))
	}
	line("checkpointing", "%s", of.Recompute)
	fmt.Fprintln(w, "\t")
	for _, part := range of.Memory.Parts() {
		if part.Bytes > 0 {
			line(part.Name, "%s\t%s", hub.Bytes(part.Bytes), part.What)
		}
	}
	line("memory", "%s\tat the most", hub.Bytes(of.Memory.Total()))
	if available.Bytes > 0 {
		verdict := "it fits"
		if !p.Fits {
			verdict = "it does not fit"
		}
		line("available", "%s\t%s: %s", hub.Bytes(available.Bytes), available.Source, verdict)
	}
	if len(p.Savings) > 0 {
		fmt.Fprintln(w, "\t")
		fmt.Fprintln(w, "less memory\tthen\tsaves")
	}
	for _, change := range p.Savings {
		note := ""
		if available.Bytes > 0 && !p.Fits {
			if note = "does not fit"; change.Fits {
				note = "fits"
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", strings.Join(change.Sets, " "), hub.Bytes(change.Total), hub.Bytes(change.Saves), note)
	}
	return w.Flush()
}

func flops(giga float64) string {
	if giga < 1e4 {
		return fmt.Sprintf("%.0f GFLOP", giga)
	}
	return fmt.Sprintf("%.1f TFLOP", giga/1e3)
}
