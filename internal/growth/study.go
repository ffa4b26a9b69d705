package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"haf/internal/bench"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// A scale sets the sizes of the measurements.
type scale struct {
	name      string
	lengths   []int // tokens of the longest sequence
	positions int   // of a packed batch for the lengths: a longest pair fits
	ranks     []int
	depths    []int // layers
	pairs     []int // read, tokenized and packed
	steps     int   // per case, at least two
	layers    int   // of the model for other series; 0 is the model itself
}

var (
	full = scale{
		name: "full", lengths: []int{128, 256, 512, 1024, 2048}, positions: 3072,
		ranks:  []int{8, 16, 64, 128},
		depths: []int{2, 4, 8, 16}, pairs: []int{1000, 10_000, 100_000}, steps: 4,
	}
	small = scale{
		name: "reduced", lengths: []int{128, 256, 512}, positions: 768, ranks: []int{8, 64},
		depths: []int{2, 4}, pairs: []int{1000, 10_000}, steps: 3, layers: 4,
	}
)

// A study is the setup of the measurements.
type study struct {
	scale
	haf, model, data string
	dir, results     string
}

// A result is one measurement, a line of the results file.
type result struct {
	Series string `json:"series"` // "length", "rank", "depth" or "pairs"
	X      int    `json:"x"`
	Scale  string `json:"scale"`
	Date   string `json:"date"`
	// median over the steps after the first; for pairs, the total
	Seconds float64      `json:"seconds"`
	PeakMB  float64      `json:"peak_mb"` // of the process, in 10⁶ bytes
	Bench   bench.Result `json:"bench"`
}

// measure runs all cases, one after another.
func (s *study) measure(ctx context.Context) error {
	if s.dir == "" {
		dir, err := os.MkdirTemp("", "growth-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		s.dir = dir
	}
	model := s.model
	if s.layers > 0 {
		var err error
		if model, err = s.madeModel(s.layers); err != nil {
			return err
		}
	}
	texts, err := s.newTexts()
	if err != nil {
		return err
	}
	for _, length := range s.lengths {
		// A pair takes one and a half times the length of its sequences, because half of it is the
		// prompt.
		inBatch := s.positions * 2 / (3 * length)
		pairs := inBatch * s.steps
		data, err := texts.ofLength(length, pairs)
		if err != nil {
			return err
		}
		err = s.one(ctx, "length", length, "hybrid", model, data, pairs, "-batch", strconv.Itoa(inBatch),
			"-set", fmt.Sprintf("model.max_length=%d", length), "-set",
			fmt.Sprintf("train.tokens_per_batch=%d", s.positions))
		if err != nil {
			return err
		}
	}
	pairs := 8 * s.steps
	for _, rank := range s.ranks {
		if err := s.one(ctx, "rank", rank, "hybrid", model, s.data, pairs, "-rank",
			strconv.Itoa(rank)); err != nil {
			return err
		}
	}
	for _, layers := range s.depths {
		deep, err := s.madeModel(layers)
		if err != nil {
			return err
		}
		if err := s.one(ctx, "depth", layers, "hybrid", deep, s.data, pairs); err != nil {
			return err
		}
	}
	for _, n := range s.pairs {
		data, err := texts.varied(n)
		if err != nil {
			return err
		}
		if err := s.one(ctx, "pairs", n, "encode", model, data, n); err != nil {
			return err
		}
	}
	return nil
}

// one measures a case in its own process and appends its line to the results.
func (s *study) one(
	ctx context.Context, series string, x int, name, model, data string, pairs int, more ...string,
) error {
	args := append([]string{"bench", model, "-data", data, "-one", name, "-pairs",
		strconv.Itoa(pairs)}, more...)
	fmt.Fprintf(os.Stderr, "%s %d\n", series, x)
	cmd := exec.CommandContext(ctx, s.haf, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		tail := errs.Bytes()
		return fmt.Errorf("%s %d: %w: %s", series, x, err, tail[max(0, len(tail)-600):])
	}
	r := result{Series: series, X: x, Scale: s.name, Date: time.Now().UTC().Format(time.DateOnly)}
	if err := json.Unmarshal(out.Bytes(), &r.Bench); err != nil {
		return fmt.Errorf("%s %d: haf bench printed no result: %w", series, x, err)
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return errors.New("this system does not report a process's peak memory")
	}
	r.PeakMB = float64(usage.Maxrss) * 1024 / 1e6 // Linux: in kB
	seconds := r.Bench.Seconds
	if len(seconds) > 1 {
		seconds = seconds[1:]
	}
	if len(seconds) == 0 {
		return fmt.Errorf("%s %d: no step was made", series, x)
	}
	r.Seconds = slices.Sorted(slices.Values(seconds))[len(seconds)/2]
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(s.results), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(s.results, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}

// readResults reads the results. The last of several results of one case counts, and results of a
// full run hide the reduced ones of their series.
func readResults(path string) ([]result, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var all []result
	for i, line := range bytes.Split(bytes.TrimSpace(data), []byte("\n")) {
		var r result
		if err := json.Unmarshal(line, &r); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, i+1, err)
		}
		all = slices.DeleteFunc(all, func(o result) bool {
			return o.Series == r.Series && o.X == r.X &&
				o.Scale == r.Scale
		})
		all = append(all, r)
	}
	isFull := map[string]bool{}
	for _, r := range all {
		isFull[r.Series] = isFull[r.Series] || r.Scale == full.name
	}
	return slices.DeleteFunc(all, func(r result) bool {
		return isFull[r.Series] &&
			r.Scale != full.name
	}), nil
}
