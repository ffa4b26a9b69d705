package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"haf/backend"
	"haf/recipe"
)

type benchCmd struct {
	Model  string   `arg:"" help:"Model folder, or a Hugging Face id."`
	Data   []string `help:"Preference pairs." required:""`
	Groups []string `help:"Groups of more than two responses."`
	Case   []string `help:"Only these cases."`
	Pairs  int      `help:"Pairs to measure on." default:"32"`
	Batch  int      `help:"Groups of a step, about." default:"8"`
	Rank   int      `help:"Of the adapter on gate, up and down projections." default:"64"`
	Runs   int      `help:"Runs of every case; medians are shown." default:"3"`
	Peers  string   `help:"Python with torch, transformers, trl and peft: measure the peers, too, in turn." placeholder:"PYTHON"`
	Script string   `help:"The peers' script." default:"../shared/bench/peers.py"`
	Peer   []string `help:"Only these peers: hybrid, rm, dpo, full, bfloat16, score."`
	One    string   `hidden:"" help:"Measure this case in this process."`
	Set    []string `help:"Override a key of the benchmark's recipe, e.g. train.positions=8192." placeholder:"KEY=VALUE" sep:"none"`
}

// processBegan is about when the process was started.
var processBegan = time.Now()

// peers are the peer script's modes.
var peers = []struct {
	name string
	args []string
}{
	{"hybrid", []string{"hybrid"}},
	{"rm", []string{"rm"}},
	{"dpo", []string{"dpo"}},
	{"full", []string{"hybrid", "--full"}},
	{"bfloat16", []string{"hybrid", "--dtype", "bfloat16"}},
	{"score", []string{"score"}},
}

// A target is a ratio to be reached: of rates, or of memory, where less is better.
type target struct {
	what, mine, other string // other begins with "peer:" or is a case
	memory            bool
	want              float64
	atMost            bool
}

var targets = []target{
	{what: "hybrid step, against the paper's algorithm in PyTorch", mine: "hybrid", other: "peer:hybrid", want: 9},
	{what: "hybrid step, against TRL's RewardTrainer (reward loss only)", mine: "hybrid", other: "peer:rm", want: 4.5},
	{what: "hybrid step, against TRL's DPOTrainer (policy loss only)", mine: "hybrid", other: "peer:dpo", want: 12},
	{what: "time of a hybrid step, against haf's reward loss only", mine: "baseline", other: "hybrid", want: 1.25, atMost: true},
	{what: "peak memory, against the paper's algorithm", mine: "hybrid", other: "peer:hybrid", memory: true, want: 1. / 3, atMost: true},
	{what: "least memory: rate", mine: "hybrid-small", other: "peer:hybrid", want: 6.5},
	{what: "least memory: peak", mine: "hybrid-small", other: "peer:hybrid", memory: true, want: 1. / 7, atMost: true},
	{what: "all weights: rate", mine: "full", other: "peer:full", want: 6},
	{what: "all weights: peak memory", mine: "full", other: "peer:full", memory: true, want: 1. / 3, atMost: true},
	{what: "bfloat16 body, against the same peer", mine: "bfloat16", other: "peer:bfloat16", want: 5},
	{what: "scoring pairs", mine: "score", other: "peer:score", want: 2.5},
	{what: "scoring single responses", mine: "score-single", other: "peer:score", want: 1.5},
	{what: "groups, against the same comparisons as pairs", mine: "groups", other: "groups-as-pairs", want: 2.5},
}

// measured are the runs of one case or peer.
type measured struct {
	Rate   []float64           `json:"rates"`
	PeakMB []float64           `json:"peak_mb"`
	Last   *recipe.BenchResult `json:"last,omitempty"`
}

// Run measures the cases in processes of their own, in turn with the peers.
func (c *benchCmd) Run(a *app) error {
	if c.One != "" {
		return c.one(a)
	}
	client, err := a.hub()
	if err != nil {
		return err
	}
	model, err := client.Model(a.ctx, c.Model)
	if err != nil {
		return err
	}
	c.Model = model.Paths[0]
	var names []string
	for _, known := range recipe.BenchCases() {
		if (len(c.Case) == 0 || slices.Contains(c.Case, known.Name)) && (len(c.Groups) > 0 || !strings.HasPrefix(known.Name, "groups")) {
			names = append(names, known.Name)
		}
	}
	for _, name := range c.Case {
		if !slices.Contains(names, name) {
			return fmt.Errorf("%w: no benchmark %q, or its data (-groups) is not given", errUsage, name)
		}
	}
	results := map[string]*measured{}
	for run := range c.Runs {
		for _, name := range names {
			fmt.Fprintf(a.stderr, "run %d: %s\n", run+1, name)
			if err := c.child(a, name, results); err != nil {
				return err
			}
		}
		if c.Peers == "" {
			continue
		}
		for _, p := range peers {
			if len(c.Peer) > 0 && !slices.Contains(c.Peer, p.name) {
				continue
			}
			fmt.Fprintf(a.stderr, "run %d: peer %s\n", run+1, p.name)
			if err := c.peer(a, p.name, p.args, results); err != nil {
				fmt.Fprintf(a.stderr, "haf: peer %s: %v\n", p.name, err) // one that does not run takes no other with it
			}
		}
	}
	if a.json {
		return printJSON(a, results)
	}
	return printBench(a, results)
}

// one measures a case in this process.
func (c *benchCmd) one(a *app) error {
	var device *backend.Device
	var err error
	if c.One != "encode" {
		if device, err = a.openDevice(); err != nil {
			return err
		}
	}
	cache, err := cacheDir("reference")
	if err != nil {
		return err
	}
	result, err := recipe.Bench(a.ctx, device, c.One, recipe.BenchOptions{
		Model: c.Model, Data: c.Data, Groups: c.Groups, Pairs: c.Pairs, Batch: c.Batch, Rank: c.Rank, Began: processBegan, Cache: cache, Sets: c.Set,
	}, newProgress(a.stderr))
	if err != nil {
		return err
	}
	return printJSON(a, result)
}

func (c *benchCmd) child(a *app, name string, results map[string]*measured) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	args := []string{"bench", c.Model, "-one", name, "-device", a.deviceName, "-pairs", strconv.Itoa(c.Pairs), "-batch", strconv.Itoa(c.Batch), "-rank", strconv.Itoa(c.Rank)}
	for _, file := range c.Data {
		args = append(args, "-data", file)
	}
	for _, file := range c.Groups {
		args = append(args, "-groups", file)
	}
	for _, set := range c.Set {
		args = append(args, "-set", set)
	}
	var result recipe.BenchResult
	peak, err := runJSON(a, &result, self, args...)
	if err != nil {
		return fmt.Errorf("benchmark %s: %w", name, err)
	}
	result.PeakMB = peak
	m := results[name]
	if m == nil {
		m = &measured{}
		results[name] = m
	}
	m.Rate, m.PeakMB, m.Last = append(m.Rate, result.Rate), append(m.PeakMB, peak), &result
	return nil
}

func (c *benchCmd) peer(a *app, name string, args []string, results map[string]*measured) error {
	var result struct{ Rate float64 }
	args = append([]string{c.Script}, args...)
	args = append(args, "--model", c.Model, "--pairs", strconv.Itoa(c.Pairs), "--batch", strconv.Itoa(c.Batch), "--rank", strconv.Itoa(c.Rank))
	peak, err := runJSON(a, &result, c.Peers, args...)
	if err != nil {
		return err
	}
	m := results["peer:"+name]
	if m == nil {
		m = &measured{}
		results["peer:"+name] = m
	}
	m.Rate, m.PeakMB = append(m.Rate, result.Rate), append(m.PeakMB, peak)
	return nil
}

// runJSON runs a command, decodes the last line or the whole of its standard output, and returns its peak memory in MB.
func runJSON(a *app, to any, name string, args ...string) (peakMB float64, err error) {
	cmd := exec.CommandContext(a.ctx, name, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
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
		return 0, errors.New("this system does not tell a process's peak memory")
	}
	return float64(usage.Maxrss) / 1024, nil // Linux: in kB
}

// median of a non-empty list.
func median(xs []float64) float64 {
	s := slices.Sorted(slices.Values(xs))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// printBench prints what was measured, the ratios beside their targets, and as the last line a summary.
func printBench(a *app, results map[string]*measured) error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "case\trate\tunit\tpeak MB\tstart s\tprograms\treal tokens\tGFLOP/s\tof the peak")
	for _, known := range recipe.BenchCases() {
		m := results[known.Name]
		if m == nil {
			continue
		}
		r := m.Last
		if r.Peak == 0 { // nothing is run
			fmt.Fprintf(w, "%s\t%.0f\t%s/s\t%.0f\t%.1f\t\t%.1f %%\n", known.Name, median(m.Rate), r.Unit, median(m.PeakMB), r.Start, 100*r.Fill)
			continue
		}
		fmt.Fprintf(w, "%s\t%.3f\t%s/s\t%.0f\t%.1f\t%d\t%.1f %%\t%.0f\t%.0f %%\n", known.Name, median(m.Rate), r.Unit, median(m.PeakMB), r.Start, r.Programs, 100*r.Fill, r.GFLOP*median(m.Rate), 100*r.GFLOP*median(m.Rate)/r.Peak)
	}
	for _, p := range peers {
		if m := results["peer:"+p.name]; m != nil {
			fmt.Fprintf(w, "peer %s\t%.3f\t\t%.0f\n", p.name, median(m.Rate), median(m.PeakMB))
		}
	}
	fmt.Fprintln(w)
	fmt.Fprintln(w, "ratio\t\ttarget\t")
	met, all := 0, 0
	for _, t := range targets {
		mine, other := results[t.mine], results[t.other]
		if mine == nil || other == nil {
			continue
		}
		ratio := median(mine.Rate) / median(other.Rate)
		if t.memory {
			ratio = median(mine.PeakMB) / median(other.PeakMB)
		}
		all++
		sign, verdict := "≥", "missed"
		if t.atMost {
			sign = "≤"
		}
		if t.atMost && ratio <= t.want || !t.atMost && ratio >= t.want {
			met++
			verdict = "met"
		}
		fmt.Fprintf(w, "%s\t%.2f\t%s %.2f\t%s\n", t.what, ratio, sign, t.want, verdict)
	}
	fmt.Fprintf(w, "%d of %d targets met\n", met, all)
	return w.Flush()
}
