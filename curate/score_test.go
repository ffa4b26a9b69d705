package curate_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"testing"
	"time"

	"haf/curate"
	"haf/pref"
	"haf/rewarder"
)

// byLength is a reward source whose reward is the length of the response in bytes. It refuses
// prompts that begin with "no".
type byLength struct {
	reads int
	fail  int // the read that fails; 0: none
}

func (b *byLength) Rewards() []string { return []string{"length"} }
func (b *byLength) Close() error      { return nil }

func (b *byLength) Read(
	_ context.Context, groups []pref.Group, names []string,
) (pref.Readings, error) {
	if b.reads++; b.reads == b.fail {
		return pref.Readings{}, errors.New("the device is gone")
	}
	out := pref.Readings{Rewards: map[string][][]float64{}, Refused: map[int]error{}}
	for g, group := range groups {
		if strings.HasPrefix(group.Prompt[0].Content, "no") {
			out.Refused[g] = errors.New("it begins with no")
			continue
		}
		out.Index = append(out.Index, g)
		out.Truncated = append(out.Truncated, make([]bool, len(group.Responses)))
		for _, name := range names {
			out.Rewards[name] = append(out.Rewards[name], []float64{float64(len(group.Responses[0]))})
		}
	}
	return out, nil
}

// writeRows writes n samples, every hundredth of which is refused.
func writeRows(t *testing.T, n int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rows.jsonl")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	out := bufio.NewWriter(f)
	for i := range n {
		prompt := fmt.Sprintf("question %d", i)
		if i%100 == 99 {
			prompt = "no " + prompt
		}
		fmt.Fprintf(out, `{"prompt":%q,"response":%q}`+"\n", prompt, strings.Repeat("word ", i%40))
	}
	if err := errors.Join(out.Flush(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

func scoreOptions(out string, part curate.Part, warnings *[]string) curate.ScoreOptions {
	return curate.ScoreOptions{Out: out, Part: part, SampleOptions: rewarder.SampleOptions{
		Name: "model", Reward: "length", Warnf: func(format string, args ...any) {
			*warnings = append(*warnings, fmt.Sprintf(format, args...))
		}}}
}

// TestScore resumes after a failure without reading what is done, and its parts have the bytes of
// the whole.
func TestScore(t *testing.T) {
	file, dir := writeRows(t, 1000), t.TempDir()
	whole := filepath.Join(dir, "whole")
	command := map[string]any{"in": file}
	var warnings []string
	by := &byLength{fail: 3}
	opt := scoreOptions(whole, curate.Part{Verb: "score", Command: command}, &warnings)
	if _, err := curate.Score(t.Context(), by, []string{file}, opt); err == nil {
		t.Fatal("a read failed, and Score did not")
	}
	if _, err := os.Stat(whole); err == nil {
		t.Error("a failed command left its output")
	}
	by = &byLength{}
	out, err := curate.Score(t.Context(), by, []string{file}, opt)
	if err != nil || out.Rows != 1000 || out.Refused != 10 || by.reads != 2 {
		t.Fatalf("%+v, %v after %d reads, want 1000 rows, 10 refused, in the 2 reads left of 4", out, err,
			by.reads)
	}
	want := "10 of 1000 conversations cannot be read and have no reward; the first, number 100: "
	if len(warnings) != 1 || !strings.Contains(warnings[0], want) {
		t.Errorf("warnings %q, want %q", warnings, want)
	}
	var parts []string
	for number := 3; number >= 1; number-- {
		path := filepath.Join(dir, strconv.Itoa(number))
		part := curate.Part{Shard: curate.Shard{Number: number, Of: 3}, Verb: "score", Command: command}
		opt := scoreOptions(path, part, &warnings)
		if _, err := curate.Score(t.Context(), &byLength{}, []string{file}, opt); err != nil {
			t.Fatal(err)
		}
		if done, err := part.Finished(path); !done || err != nil {
			t.Errorf("part %d is finished: %v, %v", number, done, err)
		}
		parts = append(parts, path)
	}
	joined := filepath.Join(dir, "joined")
	if j, err := curate.Join(t.Context(), parts, joined); err != nil || j.Rows != 1000 ||
		j.Units != 1000 {
		t.Fatalf("%+v, %v", j, err)
	}
	a, errA := os.ReadFile(whole)
	b, errB := os.ReadFile(joined)
	if errA != nil || errB != nil || string(a) != string(b) {
		t.Errorf("the joined parts differ from the whole: %v, %v", errA, errB)
	}
}

// TestScoreMemory scores a short and a long file, and wants the heap to be bounded. HAF_ROWS is the
// number of rows of the long one.
func TestScoreMemory(t *testing.T) {
	rows := 40_000
	if text := os.Getenv("HAF_ROWS"); text != "" {
		var err error
		if rows, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	small, large := scoreHeap(t, 4000), scoreHeap(t, rows)
	t.Logf("heap at most: %d kB for 4000 rows, %d kB for %d", small>>10, large>>10, rows)
	// A portion of 256 rows, as it stands in several forms while it is scored and kept, and a place of
	// some 400 bytes in the journal's list for each. All 40,000 rows would take 12 MB.
	if large > 8<<20+2*uint64(rows) {
		t.Errorf("%d rows took a heap of %d kB, 4000 rows %d kB", rows, large>>10, small>>10)
	}
}

// scoreHeap returns the largest heap in bytes that a collection left while rows were scored.
func scoreHeap(t *testing.T, rows int) uint64 {
	t.Helper()
	file := writeRows(t, rows)
	var largest uint64
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
			runtime.GC()
			metrics.Read(live)
			largest = max(largest, live[0].Value.Uint64())
			select {
			case <-done:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}()
	var warnings []string
	opt := scoreOptions(filepath.Join(t.TempDir(), "out"), curate.Part{Verb: "score"}, &warnings)
	_, err := curate.Score(t.Context(), &byLength{}, []string{file}, opt)
	close(done)
	<-stopped
	if err != nil {
		t.Fatal(err)
	}
	return largest
}

// TestShardRange wants the shards of any number of units to follow one another and to differ by no
// more than the alignment.
func TestShardRange(t *testing.T) {
	for _, n := range []int{0, 1, 7, 256, 1000, 5000, 1_000_003} {
		for _, of := range []int{1, 2, 3, 8, 100} {
			next := 0
			for number := 1; number <= of; number++ {
				from, to := curate.Shard{Number: number, Of: of}.Range(n)
				if from != next || to < from || to-from > n/of+257 {
					t.Errorf("shard %d of %d of %d units: %d to %d, the one before ends at %d", number, of, n,
						from, to, next)
				}
				if n/of >= 256 && from%256 != 0 {
					t.Errorf("shard %d of %d of %d units begins at %d, want a multiple of 256", number, of, n,
						from)
				}
				next = to
			}
			if next != n {
				t.Errorf("%d shards of %d units end at %d", of, n, next)
			}
		}
	}
}
