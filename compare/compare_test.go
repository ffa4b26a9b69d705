package compare_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"haf/compare"
	"haf/hub"
	"haf/paper"
	"haf/pref"
	"haf/recipe"
	"haf/reward"
)

// A world is a [paper.Runner] whose models are right on a share of the comparisons that is known:
// the truth of a comparison.
type world struct {
	// accuracy of a setting after so many pairs
	accuracy func(method string, alpha, lr float64, pairs int) float64
	seedSD   float64
	seconds  float64 // of a training

	trained []string // names of cells
	read    []string // names of cells whose models have seen test data
	stop    func()   // after each piece of work; nil: never
}

// settingOf reads a recipe back.
func settingOf(r *recipe.Recipe) (method string, alpha, lr float64) {
	switch o := r.Objective; {
	case o.RewardWeight == 0:
		return compare.DPO, 1, r.Train.LR
	case o.PolicyWeight == 0:
		return compare.Baseline, 0, r.Train.LR
	default:
		return compare.HaF, o.PolicyWeight, r.Train.LR
	}
}

// meta is the description that a model of the test world stores.
type meta struct {
	Method   string
	Accuracy float64
	Seed     uint64
	Pairs    int
}

func (w *world) Train(
	ctx context.Context, r *recipe.Recipe, dir string,
) (paper.Trained, error) {
	of := paper.Trained{Seconds: w.seconds}
	if w.stop != nil {
		w.stop()
	}
	if err := ctx.Err(); err != nil {
		return of, err
	}
	for _, file := range slices.Concat(r.Data.Train, r.Data.Valid) {
		if strings.Contains(filepath.Base(file), ".test.") {
			return of, fmt.Errorf("%s is trained on", file)
		}
	}
	w.trained = append(w.trained, filepath.Base(dir))
	method, alpha, lr := settingOf(r)
	random := rand.New(rand.NewPCG(r.Train.Seed, uint64(len(method))))
	m := meta{method, w.accuracy(method, alpha, lr, r.Data.Limit) + w.seedSD*random.NormFloat64(),
		r.Train.Seed, r.Data.Limit}
	if lr > 1 {
		return of, errors.New("the loss is not finite")
	}
	if err := os.MkdirAll(filepath.Join(dir, "model"), 0o755); err != nil {
		return of, err
	}
	name := reward.ByScore
	if method == compare.DPO {
		name = reward.ByImplicit
	}
	metrics := fmt.Sprintf(`{"kind":"eval","step":7,"loss":0.5,"reward_loss":0.5,"rewards":`+
		`{"%s":{"accuracy":%g}}}`+"\n", name, m.Accuracy)
	if err := os.WriteFile(filepath.Join(dir, "metrics.jsonl"), []byte(metrics), 0o644); err != nil {
		return of, err
	}
	text, err := json.Marshal(m)
	if err != nil {
		return of, err
	}
	return of, os.WriteFile(filepath.Join(dir, "model", "world.json"), text, 0o644)
}

func (w *world) Read(_ context.Context, dir string, of paper.Parts) (paper.Reading, error) {
	var out paper.Reading
	var m meta
	text, err := os.ReadFile(filepath.Join(dir, "model", "world.json"))
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		return out, err
	}
	w.read = append(w.read, filepath.Base(dir))
	for _, set := range of.Tests {
		r := paper.SetReading{Rewards: map[string][][]float64{}}
		for g, group := range set {
			r.Index = append(r.Index, g)
			right := m.right(group)
			for _, name := range []string{reward.ByScore, reward.ByImplicit} {
				r.Rewards[name] = append(r.Rewards[name], []float64{right, 1 - right})
			}
		}
		out.Sets = append(out.Sets, r)
	}
	if w.stop != nil {
		w.stop()
	}
	return out, nil
}

// right says whether the model is right on a pair. Pairs are hard for all models alike, in part.
func (m meta) right(group pref.Group) float64 {
	of := func(salt string) float64 {
		h := fnv.New64a()
		fmt.Fprint(h, group.Prompt[0].Content, salt)
		return rand.New(rand.NewPCG(h.Sum64(), 0)).NormFloat64()
	}
	own := of(fmt.Sprint("own", m.Seed, m.Pairs))
	hard := of("hard")
	const shared = 0.7
	if 0.5*math.Erfc(-(math.Sqrt(shared)*hard+math.Sqrt(1-shared)*own)/math.Sqrt2) < m.Accuracy {
		return 1
	}
	return 0
}

// law is a power law of the error.
func law(a, b float64) func(int) float64 {
	return func(pairs int) float64 { return 1 - a*math.Pow(float64(pairs), -b) }
}

// write writes pairs to a file: those of prompts from first on.
func write(t *testing.T, path string, first, n int) string {
	t.Helper()
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"prompt": "what is %[1]d", "chosen": "it is %[1]d", "rejected": "no"}`+"\n",
			first+i)
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// base is the demo's language model, untrained: the recipe's draft reads its configuration.
func base(t *testing.T) string {
	t.Helper()
	demo, err := recipe.WriteDemo(filepath.Join(t.TempDir(), "demo"), 1)
	if err != nil {
		t.Fatal(err)
	}
	return demo.Base
}

func options(t *testing.T, w *world, data, model string) compare.Options {
	t.Helper()
	if w.seconds == 0 {
		w.seconds = 1
	}
	return compare.Options{Data: data, Model: model, Out: filepath.Join(t.TempDir(), "out"),
		Time: 2 * time.Hour, Hub: &hub.Client{Offline: true, Cache: t.TempDir()}, Runner: w,
		Logf: func(string, ...any) {}}
}

// better is a world in which HaF with α 0.3 or so is best by ten points.
func better(method string, alpha, lr float64, pairs int) float64 {
	a := 0.9
	if method == compare.HaF {
		a = 0.55 + 0.2*math.Abs(math.Log10(alpha/0.3))
	}
	return law(a, 0.12)(pairs) - 0.02*math.Abs(math.Log10(lr/3e-3))
}

// TestAnswer finds a difference that was planted: the settings are chosen on validation data, no
// model of the search is read on test data, the better method is recommended, and its model is
// kept.
func TestAnswer(t *testing.T) {
	w := &world{accuracy: better, seedSD: 0.005}
	opt := options(t, w, write(t, filepath.Join(t.TempDir(), "pairs.jsonl"), 0, 1600), base(t))
	a, err := compare.Run(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	r := a.Recommended
	if !a.Finished || r == nil || r.Method != compare.HaF || r.Alpha != 0.2 || r.LR != 3e-3 ||
		!a.Decided {
		t.Fatalf("%+v\n%s", r, strings.Join(a.Sentences, "\n"))
	}
	for _, c := range a.Comparisons {
		if c.A == compare.HaF && c.B == compare.Baseline && (c.Low <= 0 || c.Low > 0.15 || c.High < 0.1) {
			t.Errorf("%+v, the truth is about 0.13", c)
		}
		if c.A == compare.DPO && c.B == compare.HaF && c.Difference >= 0 {
			t.Errorf("DPO is worse: %+v", c)
		}
	}
	for _, name := range w.read {
		if strings.Contains(name, "-seed1-") {
			t.Errorf("%s, of the search, was read on test data", name)
		}
	}
	searched := 0
	for _, name := range w.trained {
		if strings.Contains(name, "-seed1-") {
			searched++
		}
	}
	if want := 4 * 5 * 3; len(w.read) != want || searched < 20 {
		t.Errorf("%d models read, %d trained for the search", len(w.read), searched)
	}
	if _, err := os.Stat(filepath.Join(opt.Out, "chosen", "model", "world.json")); err != nil ||
		r.Run != filepath.Join(opt.Out, "chosen") {
		t.Errorf("the model in %s: %v", r.Run, err)
	}
	if left, err := os.ReadDir(filepath.Join(opt.Out, "cells")); err != nil || len(left) > 0 {
		t.Errorf("%d models are left beside the chosen one, %v", len(left), err)
	}
	page, err := os.ReadFile(a.Markdown)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"**Use HaF with α = 0.2 and learning rate 0.003. It is better",
		"similar lengths", "haf serve " + r.Run, "(curve.svg)", "| HaF − Baseline | +1",
		"Form: error ="} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page has no %q:\n%s", want, page)
		}
	}
	// again: nothing is trained, and the answer is the same
	trained := len(w.trained)
	same, err := compare.Run(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	if len(w.trained) != trained || text(t, same) != text(t, a) {
		t.Errorf("the second call trained %d and answered %s", len(w.trained)-trained, text(t, same))
	}
}

func text(t *testing.T, a *compare.Answer) string {
	t.Helper()
	out, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestTie: methods that are alike are a tie, the simplest is recommended, and of two that give the
// same answers more data decides nothing.
func TestTie(t *testing.T) {
	alike := func(_ string, _, _ float64, pairs int) float64 { return law(0.9, 0.12)(pairs) }
	opt := options(t, &world{accuracy: alike}, write(t, filepath.Join(t.TempDir(), "p.jsonl"), 0, 900),
		base(t))
	a, err := compare.Run(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	said := strings.Join(a.Sentences, "\n")
	if a.Decided || a.Recommended.Method != compare.Baseline ||
		!strings.Contains(said, "Use Baseline") || !strings.Contains(said, "It is tied with HaF") ||
		!strings.Contains(said, "one loss") ||
		!strings.Contains(said, "both gave the same answers on all") {
		t.Errorf("%s", said)
	}
}

// TestNotDecided: a difference that the data does not show is a tie, and the answer says how many
// pairs would show it.
func TestNotDecided(t *testing.T) {
	near := func(method string, _, _ float64, pairs int) float64 {
		a := 0.9
		if method == compare.HaF {
			a = 0.88
		}
		return law(a, 0.12)(pairs)
	}
	w := &world{accuracy: near, seedSD: 0.01}
	opt := options(t, w, write(t, filepath.Join(t.TempDir(), "p.jsonl"), 0, 900), base(t))
	a, err := compare.Run(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	said := strings.Join(a.Sentences, "\n")
	if a.Decided || !strings.Contains(said,
		"To decide HaF against Baseline with a probability of 80 %") {
		t.Errorf("%s", said)
	}
}

// TestKilled stops a comparison after each piece of work, by the end of the time or as a kill
// would, and resumes it: the answer is that of one that ran through.
func TestKilled(t *testing.T) {
	data, model := write(t, filepath.Join(t.TempDir(), "pairs.jsonl"), 0, 400), base(t)
	w := &world{accuracy: better, seedSD: 0.01}
	opt := options(t, w, data, model)
	opt.Alphas, opt.LearningRates = []float64{0.2, 1}, []float64{3e-3, 1e-3}
	whole, err := compare.Run(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := os.ReadFile(filepath.Join(opt.Out, "plan.json"))
	if err != nil {
		t.Fatal(err)
	}
	want := strings.ReplaceAll(text(t, whole), opt.Out, "OUT")
	parts := opt
	parts.Out = filepath.Join(t.TempDir(), "parts")
	if err := os.MkdirAll(parts.Out, 0o755); err != nil {
		t.Fatal(err)
	}
	// The plan is by the pace of its own measurement.
	if err := os.WriteFile(filepath.Join(parts.Out, "plan.json"), plan, 0o644); err != nil {
		t.Fatal(err)
	}
	for call := 0; ; call++ {
		if call > 500 {
			t.Fatal("it does not come to an end")
		}
		ctx, stop := context.WithCancelCause(t.Context())
		work := 0
		killed := &world{accuracy: better, seedSD: 0.01, seconds: 1}
		killed.stop = func() {
			if work++; work == 2+call%3 {
				stop(map[bool]error{true: paper.ErrTime, false: errors.New("killed")}[call%2 == 0])
			}
		}
		parts.Runner = killed
		a, err := compare.Run(ctx, parts)
		stop(nil)
		if err == nil && a.Finished {
			if got := strings.ReplaceAll(text(t, a), parts.Out, "OUT"); got != want {
				t.Errorf("in parts %s\nthrough %s", got, want)
			}
			if call < 5 {
				t.Errorf("it was stopped %d times only", call)
			}
			return
		}
		if err == nil {
			if !strings.Contains(a.Sentences[0], "Not finished: ") &&
				!strings.Contains(strings.Join(a.Sentences, " "), "Not finished: ") {
				t.Errorf("an unfinished answer says %q", a.Sentences)
			}
			// half a line, as a kill leaves it
			file := filepath.Join(parts.Out, "results.jsonl")
			lines, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, append(lines, `{"kind":"cell","va`...), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestRefused wants one clear message for each input that cannot be compared on.
func TestRefused(t *testing.T) {
	dir, model := t.TempDir(), base(t)
	data := write(t, filepath.Join(dir, "pairs.jsonl"), 0, 400)
	leaked := write(t, filepath.Join(dir, "leaked.jsonl"), 380, 200)
	apart := write(t, filepath.Join(dir, "apart.jsonl"), 1000, 200)
	few := write(t, filepath.Join(dir, "few.jsonl"), 0, 60)
	handful := write(t, filepath.Join(dir, "handful.jsonl"), 2000, 10)
	labels := filepath.Join(dir, "labels.jsonl")
	var b strings.Builder
	for i := range 200 {
		fmt.Fprintf(&b, `{"prompt": "what is %s", "completion": "it is", "label": %v}`+"\n",
			string(rune('a'+i%26))+string(rune('a'+i/26)), i%2 == 0)
	}
	if err := os.WriteFile(labels, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, of := range []struct {
		name   string
		change func(*compare.Options)
		want   string
		is     error
	}{
		{"test data that was trained on", func(o *compare.Options) { o.Test = leaked },
			"20 of 200 test groups (10 %) of", compare.ErrInput},
		{"the same file", func(o *compare.Options) { o.Test = data },
			"400 of 400 test groups (100 %)", compare.ErrInput},
		{"held-out test data", func(o *compare.Options) { o.Test = apart }, "", nil},
		{"few pairs", func(o *compare.Options) { o.Data = few },
			"has 60 pairs, want at least 118 (48 to train on, 20 for validation and 50 to test on)",
			compare.ErrInput},
		{"few test pairs", func(o *compare.Options) { o.Test = handful },
			"the test data has 10 pairs, want at least 50", compare.ErrInput},
		{"labels", func(o *compare.Options) { o.Data = labels },
			"has labelled single responses", compare.ErrInput},
		{"a short time", func(o *compare.Options) {
			o.Time = 20 * time.Second
			o.Runner = &world{accuracy: better, seconds: 60}
		}, "s are left: give -time ", compare.ErrShort},
		{"its own key", func(o *compare.Options) { o.Set = []string{"train.lr=1"} },
			"a comparison sets train.lr itself: use -lr", nil},
		{"no data", func(o *compare.Options) { o.Data = filepath.Join(dir, "nothing.jsonl") },
			"nothing.jsonl", nil},
		{"no training ends", func(o *compare.Options) { o.LearningRates = []float64{10, 20} },
			"no training of Baseline came to its end", nil},
	} {
		t.Run(of.name, func(t *testing.T) {
			opt := options(t, &world{accuracy: better}, data, model)
			of.change(&opt)
			_, err := compare.Run(t.Context(), opt)
			switch {
			case of.want == "" && err != nil:
				t.Error(err)
			case of.want != "" && (err == nil || !strings.Contains(err.Error(), of.want)):
				t.Errorf("%v, want %q", err, of.want)
			case of.is != nil && !errors.Is(err, of.is):
				t.Errorf("%v is not %v", err, of.is)
			}
		})
	}
	// another comparison in the same folder
	opt := options(t, &world{accuracy: better}, data, model)
	if _, err := compare.Run(t.Context(), opt); err != nil {
		t.Fatal(err)
	}
	opt.Alphas = []float64{0.5}
	if _, err := compare.Run(t.Context(), opt); err == nil ||
		!strings.Contains(err.Error(), "with other settings") {
		t.Error(err)
	}
}
