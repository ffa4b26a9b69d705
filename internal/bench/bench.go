// Package bench measures the speed and memory of haf: a case in this process, or many in processes
// of their own, with tables of them. haf bench measures this program with it. The program in
// against also measures the baselines, and compares both with the project's targets.
package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
)

// Runs are the runs of one case or baseline.
type Runs struct {
	Rate   []float64 `json:"rates"`
	PeakMB []float64 `json:"peak_mb"`
	Last   *Result   `json:"last,omitempty"`
}

// MedianRate is the median rate of the runs, of which there is at least one.
func (r *Runs) MedianRate() float64 { return median(r.Rate) }

// MedianPeakMB is the median of the runs' peak memory.
func (r *Runs) MedianPeakMB() float64 { return median(r.PeakMB) }

func median(xs []float64) float64 {
	s := slices.Sorted(slices.Values(xs))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// Results are runs by the name of the case or baseline.
type Results map[string]*Runs

// Add adds a run. last, which may be nil, is the complete result.
func (r Results) Add(name string, rate, peakMB float64, last *Result) {
	if r[name] == nil {
		r[name] = &Runs{}
	}
	of := r[name]
	of.Rate, of.PeakMB, of.Last = append(of.Rate, rate), append(of.PeakMB, peakMB), last
}

// RunCase measures a case in a process of haf, which prints a [Result].
func (r Results) RunCase(ctx context.Context, name, program string, args ...string) error {
	var result Result
	peak, err := RunJSON(ctx, &result, program, args...)
	if err != nil {
		return fmt.Errorf("benchmark %s: %w", name, err)
	}
	result.PeakMB = peak
	r.Add(name, result.Rate, peak, &result)
	return nil
}

// SelectCases returns the named cases or, without names, all that the data allows: cases on groups
// need groups of more than two responses.
func SelectCases(named []string, groups bool) (names []string, err error) {
	for _, known := range Cases() {
		if (len(named) == 0 || slices.Contains(named, known.Name)) &&
			(groups || !strings.HasPrefix(known.Name, "groups")) {
			names = append(names, known.Name)
		}
	}
	for _, name := range named {
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("no benchmark %q, or its data (-groups) is not given", name)
		}
	}
	return names, nil
}

// RunCases measures each case runs times, in processes of haf with the case's arguments.
func RunCases(
	ctx context.Context, names []string, runs int, program string,
	arguments func(name string) []string, logf func(format string, args ...any),
) (Results, error) {
	results := Results{}
	for run := range runs {
		for _, name := range names {
			logf("run %d: %s", run+1, name)
			if err := results.RunCase(ctx, name, program, arguments(name)...); err != nil {
				return results, err
			}
		}
	}
	return results, nil
}

// RunJSON runs a command, decodes the last line or all of its standard output, and returns its peak
// memory in MB.
func RunJSON(ctx context.Context, to any, name string, args ...string) (peakMB float64, err error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); ctx.Err() != nil {
		return 0, ctx.Err()
	} else if err != nil {
		tail := bytes.TrimSpace(errs.Bytes())
		return 0, fmt.Errorf("%w: %s", err, tail[max(0, len(tail)-600):])
	}
	text := bytes.TrimSpace(out.Bytes())
	if err := json.Unmarshal(text, to); err != nil {
		if err = json.Unmarshal(text[bytes.LastIndexByte(text, '\n')+1:], to); err != nil {
			return 0, fmt.Errorf("%s printed no result: %w", name, err)
		}
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0, errors.New("this system does not report a process's peak memory")
	}
	return float64(usage.Maxrss) / 1024, nil // Linux: in kB
}

// Write writes the medians of the cases as a table.
func (r Results) Write(to io.Writer) error {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w,
		"case\trate\tunit\tpeak MB\tstart s\tprograms\treal tokens\tGFLOP/s\tof the peak")
	for _, known := range Cases() {
		of := r[known.Name]
		if of == nil || of.Last == nil {
			continue
		}
		last, rate := of.Last, of.MedianRate()
		if last.Peak == 0 { // the case runs nothing on the device
			fmt.Fprintf(w, "%s\t%.0f\t%s/s\t%.0f\t%.1f\t\t%.1f %%\n", known.Name, rate, last.Unit,
				of.MedianPeakMB(), last.Start, 100*last.PackingEfficiency)
			continue
		}
		fmt.Fprintf(w, "%s\t%.3f\t%s/s\t%.0f\t%.1f\t%d\t%.1f %%\t%.0f\t%.0f %%\n", known.Name, rate,
			last.Unit, of.MedianPeakMB(),
			last.Start, last.Programs, 100*last.PackingEfficiency, last.GFLOP*rate,
			100*last.GFLOP*rate/last.Peak)
	}
	return w.Flush()
}
