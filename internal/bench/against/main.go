// Against measures haf's cases and the programs that a user would run instead, in turn, and
// compares the ratios with the project's targets. `make bench-baselines` runs it on a quiet
// machine.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"haf/internal/bench"
)

// A baseline is a mode of the baselines' script.
type baseline struct {
	name string
	args []string
}

var baselines = []baseline{
	{"hybrid", []string{"hybrid"}},
	{"rm", []string{"rm"}},
	{"dpo", []string{"dpo"}},
	{"full", []string{"hybrid", "--full"}},
	{"bfloat16", []string{"hybrid", "--dtype", "bfloat16"}},
	{"score", []string{"score"}},
}

// prefix begins a baseline's name among the results.
const prefix = "baseline:"

// A target is a ratio to reach: of rates, or of memory, for which less is better.
type target struct {
	what, mine, other string // other begins with the prefix or is a case
	memory            bool
	want              float64
	atMost            bool
}

var targets = []target{
	{what: "hybrid step, against the paper's algorithm in PyTorch", mine: "hybrid",
		other: prefix + "hybrid", want: 9},
	{what: "hybrid step, against TRL's RewardTrainer (reward loss only)", mine: "hybrid",
		other: prefix + "rm", want: 4.5},
	{what: "hybrid step, against TRL's DPOTrainer (policy loss only)", mine: "hybrid",
		other: prefix + "dpo", want: 12},
	{what: "time of a hybrid step, against haf's reward loss only", mine: "baseline",
		other: "hybrid", want: 1.25, atMost: true},
	{what: "peak memory, against the paper's algorithm", mine: "hybrid", other: prefix + "hybrid",
		memory: true, want: 1. / 3, atMost: true},
	{what: "least memory: rate", mine: "hybrid-small", other: prefix + "hybrid", want: 6.5},
	{what: "least memory: peak", mine: "hybrid-small", other: prefix + "hybrid", memory: true,
		want: 1. / 7, atMost: true},
	{what: "all weights: rate", mine: "full", other: prefix + "full", want: 6},
	{what: "all weights: peak memory", mine: "full", other: prefix + "full", memory: true,
		want: 1. / 3, atMost: true},
	{what: "bfloat16 body, against the same baseline", mine: "bfloat16", other: prefix + "bfloat16",
		want: 5},
	{what: "scoring pairs", mine: "score", other: prefix + "score", want: 2.5},
	{what: "scoring single responses", mine: "score-single", other: prefix + "score", want: 1.5},
	{what: "groups, against the same comparisons as pairs", mine: "groups",
		other: "groups-as-pairs", want: 2.5},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "against:", err)
		os.Exit(1)
	}
}

// settings are the values of the flags.
type settings struct {
	haf, model, python, script string
	pairs, batch, rank, runs   int
	only                       string
	json                       bool
	hafFlags                   []string // further flags of haf bench
}

func run(ctx context.Context, args []string) error {
	var s settings
	flags := flag.NewFlagSet("against", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(),
			"usage: against -model DIR -python PYTHON -script FILE [flags] -- flags of haf "+
				"bench, such as -data FILE")
		flags.PrintDefaults()
	}
	flags.StringVar(&s.haf, "haf", "bin/haf", "the program")
	flags.StringVar(&s.model, "model", "", "folder of the model")
	flags.StringVar(&s.python, "python", "", "Python with torch, transformers, trl and peft")
	flags.StringVar(&s.script, "script", "", "the baselines' script")
	flags.IntVar(&s.pairs, "pairs", 32, "pairs to measure on")
	flags.IntVar(&s.batch, "batch", 8, "groups of a step, about")
	flags.IntVar(&s.rank, "rank", 64, "rank of the adapter")
	flags.IntVar(&s.runs, "runs", 3, "runs of every case; medians are shown")
	flags.StringVar(&s.only, "only", "", "only these baselines, with commas between")
	flags.BoolVar(&s.json, "json", false, "all runs as JSON in place of the tables")
	if err := flags.Parse(args); err != nil {
		return err
	}
	s.hafFlags = flags.Args()
	if s.model == "" || s.python == "" || s.script == "" {
		return errors.New("-model, -python and -script are required; -help lists the flags")
	}
	results, err := s.measure(ctx)
	if err != nil {
		return err
	}
	if s.json {
		return json.NewEncoder(os.Stdout).Encode(results)
	}
	return write(os.Stdout, results)
}

// measure runs all of haf's cases and all baselines in turn.
func (s settings) measure(ctx context.Context) (bench.Results, error) {
	results := bench.Results{}
	sizes := func(dash string) []string {
		return []string{dash + "pairs", strconv.Itoa(s.pairs), dash + "batch",
			strconv.Itoa(s.batch), dash + "rank", strconv.Itoa(s.rank)}
	}
	for range s.runs {
		one := bench.Results{}
		args := slices.Concat([]string{"bench", s.model, "-json", "-runs", "1"}, sizes("-"),
			s.hafFlags)
		if _, err := bench.RunJSON(ctx, &one, s.haf, args...); err != nil {
			return nil, err
		}
		for name, of := range one {
			results.Add(name, of.Rate[0], of.PeakMB[0], of.Last)
		}
		for _, b := range baselines {
			if s.only != "" && !slices.Contains(strings.Split(s.only, ","), b.name) {
				continue
			}
			var result struct{ Rate float64 }
			args := slices.Concat([]string{s.script}, b.args, []string{"--model", s.model},
				sizes("--"))
			peak, err := bench.RunJSON(ctx, &result, s.python, args...)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if err != nil { // a failed baseline does not stop the others
				fmt.Fprintf(os.Stderr, "against: baseline %s: %v\n", b.name, err)
				continue
			}
			results.Add(prefix+b.name, result.Rate, peak, nil)
		}
	}
	return results, nil
}

// write writes the results, and the ratios beside their targets.
func write(to io.Writer, results bench.Results) error {
	if err := results.Write(to); err != nil {
		return err
	}
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	for _, b := range baselines {
		if of := results[prefix+b.name]; of != nil {
			fmt.Fprintf(w, "baseline %s\t%.3f\t\t%.0f\n", b.name, of.MedianRate(),
				of.MedianPeakMB())
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
		ratio := mine.MedianRate() / other.MedianRate()
		if t.memory {
			ratio = mine.MedianPeakMB() / other.MedianPeakMB()
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
