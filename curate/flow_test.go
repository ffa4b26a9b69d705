package curate_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"haf/curate"
	"haf/pref"
	"haf/rewarder"
)

func user(text string) []pref.Message { return []pref.Message{{Role: pref.User, Content: text}} }

// a picky model generates, scores by length, and refuses the prompt "no".
type picky struct{ left int }

func (p *picky) Generate(
	_ context.Context, requests []pref.Request, done func(int, pref.Generated) error,
) error {
	for i, q := range requests {
		if p.left--; p.left < 0 {
			return errors.New("stopped")
		}
		finish := pref.FinishStop
		if i%2 == 1 {
			finish = "length"
		}
		text := strings.Repeat(q.Prompt[0].Content, 1+int(q.Seed%5))
		if err := done(i, pref.Generated{Text: text, Finish: finish}); err != nil {
			return err
		}
	}
	return nil
}

func (p *picky) Score(_ context.Context, samples []pref.Sample) ([]float64, error) {
	out := make([]float64, len(samples))
	for i, s := range samples {
		out[i] = float64(len(s.Response))
	}
	return out, nil
}

func (p *picky) Refuses(prompt []pref.Message) error {
	if prompt[0].Content == "no" {
		return errors.New("chat template: no")
	}
	return nil
}

// notes is a Reporter that keeps what it is told.
type notes struct{ lines, passes []string }

func (n *notes) reporter() curate.Reporter {
	return curate.Reporter{
		Notef: func(format string, args ...any) {
			n.lines = append(n.lines,
				fmt.Sprintf(format, args...))
		},
		Progress: func(pass string, done, total int) {
			if done == total {
				n.passes = append(n.passes, pass)
			}
		},
	}
}

// TestGenerate stops a flow in the middle, resumes it, and writes what one that was never stopped
// writes.
func TestGenerate(t *testing.T) {
	dir := t.TempDir()
	prompts := [][]pref.Message{user("a"), user("no"), user("bb")}
	generate := func(out string, left int, n *notes) (*curate.SampleSet, error) {
		return curate.Generate(t.Context(), &picky{left}, prompts, curate.GenerateOptions{
			Sampling:  curate.Sampling{N: 2, Sampling: pref.Sampling{MaxTokens: 3, Temperature: 1}},
			Generator: "picky", Out: filepath.Join(dir, out), Reporter: n.reporter(),
		})
	}
	if _, err := generate("half", 3, &notes{}); err == nil ||
		!strings.HasSuffix(err.Error(), "stopped; run the same command again to resume") {
		t.Fatalf("stopped: %v", err)
	}
	var told notes
	for out, left := range map[string]int{"half": 1, "whole": 4} {
		set, err := generate(out, left, &told)
		if err != nil {
			t.Fatal(err)
		}
		wrote, err := set.Write()
		if err != nil || wrote.Prompts != 2 || wrote.Samples != 4 || wrote.Ended < 2 {
			t.Errorf("wrote %+v: %v", wrote, err)
		}
		if !strings.HasPrefix(wrote.String(), "4 samples of 2 prompts are in "+wrote.Out) {
			t.Errorf("%s", wrote)
		}
	}
	if text := strings.Join(told.lines, "\n"); !strings.Contains(text, "resuming: 3 parts are done") ||
		!strings.Contains(text, "1 of 3 prompts dropped") || !slices.Contains(told.passes, "generating") {
		t.Errorf("told %q, %q", told.lines, told.passes)
	}
	read := func(name string) []string {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		var texts []string
		for line := range strings.Lines(string(data)) {
			_, rest, _ := strings.Cut(line, `"text":`)
			text, _, _ := strings.Cut(rest, ",")
			texts = append(texts, text)
		}
		return texts
	}
	if half, whole := read("half"), read("whole"); !slices.Equal(half, whole) || len(half) != 4 {
		t.Errorf("resumed %q, never stopped %q", half, whole)
	}
}

// TestEach hands on the samples of one prompt as Generate makes them.
func TestEach(t *testing.T) {
	s := curate.Sampling{N: 3, Sampling: pref.Sampling{MaxTokens: 3, Temperature: 1, Seed: 2}}
	var got []curate.Sample
	err := curate.Each(t.Context(), &picky{9}, user("a"), s, func(x curate.Sample) error {
		got = append(got, x)
		return nil
	})
	if err != nil || len(got) != 3 {
		t.Fatalf("%+v: %v", got, err)
	}
	set, err := curate.Generate(t.Context(), &picky{9}, [][]pref.Message{user("a")},
		curate.GenerateOptions{Sampling: s, Out: filepath.Join(t.TempDir(), "out")})
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	for k, x := range set.Samples[0] {
		if x.Text != got[k].Text || x.Seed != got[k].Seed || got[k].Sample != k {
			t.Errorf("sample %d is %+v alone, %+v in a file", k, got[k], x)
		}
	}
}

// TestSampleSetRank ranks samples of files, without those that a scorer refuses.
func TestSampleSetRank(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "samples.jsonl")
	rows := `{"prompt":"a","response":"1"}
{"prompt":"no","response":"1"}
{"prompt":"a","response":"333"}
{"prompt":"b","response":"22"}
{"prompt":"b","response":"1"}
`
	if err := os.WriteFile(file, []byte(rows), 0o644); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "ranked.jsonl")
	set, err := curate.OpenSamples([]string{file}, pref.Options{}, out, curate.Part{})
	if err != nil {
		t.Fatal(err)
	}
	var told notes
	ranking, err := set.Rank(t.Context(), &picky{}, goldFirst{}, told.reporter(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if ranking.Prompts != 2 || len(ranking.Curve) != 2 || ranking.Recall == nil ||
		!slices.Equal(ranking.Recall.At, []float64{0, 1}) || len(ranking.Table()) < 3 {
		t.Errorf("%+v, recall %+v", ranking.Curve, ranking.Recall)
	}
	if !slices.Equal(told.passes, []string{"scoring"}) || len(told.lines) != 1 {
		t.Errorf("told %q, %q", told.lines, told.passes)
	}
	data, err := os.ReadFile(out)
	if err != nil || strings.Count(string(data), "\n") != 2 {
		t.Errorf("%s: %v", data, err)
	}
}

// goldFirst has the response "1" for the best.
type goldFirst struct{}

func (goldFirst) Score(_ context.Context, samples []pref.Sample) ([]float64, error) {
	out := make([]float64, len(samples))
	for i, s := range samples {
		if s.Response == "1" {
			out[i] = 1
		}
	}
	return out, nil
}

// judgeOf opens a judge by rewards and counts how often it was opened less closed.
func judgeOf(s pref.Scorer, open *int) func() (curate.OpenJudge, error) {
	return func() (curate.OpenJudge, error) {
		*open++
		return curate.OpenJudge{
			By: curate.ByScorer{Scorer: s}, Name: "gold/model", Close: func() { *open-- },
		}, nil
	}
}

// TestJudgeOutputs compares two and three files.
func TestJudgeOutputs(t *testing.T) {
	output := func(of ...string) (out []pref.Sample) {
		for i, text := range of {
			out = append(out, pref.Sample{Prompt: user([]string{"a", "b", "no"}[i]), Response: text})
		}
		return out
	}
	one, two, three := output("22", "1", "1"), output("1", "22", "22"), output("333", "333", "333")
	open := 0
	var told notes
	opt := curate.JudgeOptions{
		Out: filepath.Join(t.TempDir(), "two"), Price: curate.Price{In: 1, Out: 2},
		Reporter: told.reporter(),
	}
	files := []string{"x/one.jsonl", "x/two.jsonl"}
	j, err := curate.JudgeOutputs(t.Context(), files, [][]pref.Sample{one, two}, 0,
		judgeOf(&picky{}, &open), opt)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := j.Write(&text); err != nil || j.Prompts != 2 || j.WinRate == nil || j.Standings != nil ||
		!strings.HasPrefix(text.String(), "one.jsonl against two.jsonl, judged by model: ") {
		t.Errorf("%+v, %s: %v", j, &text, err)
	}
	if open != 0 || len(told.lines) != 1 || !strings.Contains(j.String(), "2 prompts are judged in") {
		t.Errorf("%d open, told %q, %s", open, told.lines, j)
	}
	opt.Out += "-three"
	j, err = curate.JudgeOutputs(t.Context(), append(files, "x/three.jsonl"),
		[][]pref.Sample{one, two, three}, 1, judgeOf(&picky{}, &open), opt)
	if err != nil || j.Prompts != 1 || len(j.Standings) != 3 {
		t.Errorf("%+v: %v", j, err)
	}
	opened := func() (curate.OpenJudge, error) { panic("nothing is to be judged") }
	if _, err := curate.JudgeOutputs(t.Context(), files, [][]pref.Sample{one[:1], two[1:]}, 0,
		opened, opt); err == nil || !strings.Contains(err.Error(), "no prompt in common") {
		t.Errorf("no prompt in common: %v", err)
	}
	if cost := opt.Price.Of(pref.Usage{PromptTokens: 3e6, CompletionTokens: 1e6}); cost != 5 {
		t.Errorf("the cost is %g", cost)
	}
}

// TestRelabelFlow labels groups by every strategy, with the model closed before a judge is opened.
func TestRelabelFlow(t *testing.T) {
	groups := []pref.Group{
		pref.NewPair(user("a"), "1", "333", pref.Location{File: "f", Line: 1}),
		pref.NewPair(user("b"), "22", "1", pref.Location{File: "f", Line: 2}),
		pref.NewPair(user("no"), "22", "1", pref.Location{File: "f", Line: 3}),
	}
	dir := t.TempDir()
	open := 0
	var told notes
	options := func(strategy string) curate.RelabelOptions {
		return curate.RelabelOptions{
			JudgeOptions: curate.JudgeOptions{
				Out: filepath.Join(dir, strategy), Reporter: told.reporter(),
			},
			Strategy: strategy, Budget: 1, Model: "m", Heads: [2]string{"length", "length"},
			OpenModel: func() (pref.Rewarder, error) {
				open++
				return closing{rewarder.FromScorer("length", &picky{}), &open}, nil
			},
			OpenJudge: func() (curate.OpenJudge, error) {
				if open != 0 {
					t.Error("the model is open beside the judge")
				}
				return judgeOf(&picky{}, &open)()
			},
		}
	}
	for strategy, want := range map[string]curate.Counts{
		curate.AllPairs:   {Read: 2, Agreed: 1, Flipped: 1},
		curate.BestPairs:  {Read: 2, Built: 2},
		curate.AllScores:  {Read: 2, Scored: 2},
		curate.ByConflict: {Read: 2, Kept: 1, Agreed: 1},
	} {
		opt := options(strategy)
		if strategy == curate.ByConflict {
			opt.Seed = 1
		}
		out, err := curate.Relabel(t.Context(), slices.Clone(groups), opt)
		if strategy == curate.ByConflict && out.Counts.Flipped == 1 { // whichever pair was selected
			want.Agreed, want.Flipped = 0, 1
		}
		if err != nil || out.Counts != want || open != 0 {
			t.Errorf("%s: %+v, %d open: %v", strategy, out.Counts, open, err)
		}
		if (out.Usage != nil) != curate.Selects(strategy) || !strings.Contains(out.String(), opt.Out) {
			t.Errorf("%s: %+v, %s", strategy, out.Usage, out)
		}
	}
	opt := options(curate.AllPairs)
	opt.Out += "-gold"
	opt.OpenGold = func() (*curate.NamedScorer, error) {
		s, err := rewarder.NewScorer(t.Context(), rewarder.FromScorer("first", goldFirst{}), "")
		return &curate.NamedScorer{Scorer: s, Close: func() {}}, err
	}
	out, err := curate.Relabel(t.Context(), slices.Clone(groups), opt)
	var text strings.Builder
	if err != nil || out.Recall == nil || out.Recall.At[0] != 0 || out.Write(&text) != nil ||
		!strings.HasPrefix(text.String(), "recall of the gold reward's best") {
		t.Errorf("%+v, %s: %v", out, &text, err)
	}
	opt = options(curate.AllPairs)
	opt.Out, opt.Threshold = opt.Out+"-none", 99
	if _, err := curate.Relabel(t.Context(), slices.Clone(groups), opt); err == nil ||
		!strings.Contains(err.Error(), "no pair is left") || open != 0 {
		t.Errorf("nothing is left: %v, %d open", err, open)
	}
}

// closing counts that it was closed.
type closing struct {
	pref.Rewarder
	open *int
}

func (c closing) Close() error {
	*c.open--
	return c.Rewarder.Close()
}

// Refuses implements [pref.Refuser].
func (c closing) Refuses(prompt []pref.Message) error {
	return c.Rewarder.(pref.Refuser).Refuses(prompt)
}
