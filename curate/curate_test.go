package curate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"haf/pref"
)

// echo is a generator that stops with an error after some responses, counts what it was asked, and
// answers by the request alone.
type echo struct{ asked, left int }

var errStopped = errors.New("stopped")

func (e *echo) Generate(
	_ context.Context, requests []pref.Request, done func(int, pref.Generated) error,
) error {
	for i := len(requests) - 1; i >= 0; i-- { // in no particular order
		if e.left == 0 {
			return errStopped
		}
		e.left--
		e.asked++
		q := requests[i]
		if err := done(i, pref.Generated{Text: fmt.Sprint(q.Prompt[0].Content, q.Seed, q.Temperature),
			Finish: pref.FinishStop, Tokens: 1}); err != nil {
			return err
		}
	}
	return nil
}

func prompt(text string) []pref.Message { return []pref.Message{{Role: pref.User, Content: text}} }

// TestSamplesGoOn stops a run, tears the journal's last line as a crash would, goes on, and wants
// what one run gives, nothing asked for twice but the torn one.
func TestSamplesGoOn(t *testing.T) {
	prompts := [][]pref.Message{prompt("a"), prompt("b"), prompt("c")}
	s := Sampling{N: 4, TemperatureTo: 1.2, Sampling: pref.Sampling{MaxTokens: 3, Temperature: 0.5,
		Seed: 7}}
	run := func(path string, g *echo) ([][]Sample, error) {
		j, err := OpenJournal(path, s)
		if err != nil {
			t.Fatal(err)
		}
		defer j.Close()
		return Samples(context.Background(), g, prompts, s, j, nil)
	}
	whole, err := run(filepath.Join(t.TempDir(), "out"), &echo{left: -1})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "out")
	first := &echo{left: 5}
	if _, err := run(path, first); !errors.Is(err, errStopped) {
		t.Fatalf("the stopped run ended with %v", err)
	}
	data, err := os.ReadFile(partName(path))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(partName(path), data[:len(data)-9], 0o644); err != nil {
		t.Fatal(err)
	}
	second := &echo{left: -1}
	got, err := run(path, second)
	if err != nil || second.asked != 12-4 {
		t.Fatalf("the second run asked for %d responses (%v), want %d", second.asked, err, 12-4)
	}
	if fmt.Sprint(got) != fmt.Sprint(whole) {
		t.Errorf("in two runs %v\nin one %v", got, whole)
	}
	seeds := map[uint64]bool{}
	for _, of := range whole {
		for _, x := range of {
			seeds[x.Seed] = true
			if x.Temperature < 0.5 || x.Temperature > 1.2 {
				t.Errorf("a temperature is %g", x.Temperature)
			}
		}
	}
	if len(seeds) != 12 {
		t.Errorf("%d seeds of 12 samples", len(seeds))
	}
	moved := s.request(prompts[2], 1)
	if moved.Seed != whole[2][1].Seed || moved.Temperature != whole[2][1].Temperature {
		t.Error("a sample's seed depends on more than its prompt and number")
	}
}

func TestJournalRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	begin := func(settings any) error {
		j, err := OpenJournal(path, settings)
		if err == nil {
			err = errors.Join(j.Put("k", 1), j.Close())
		}
		return err
	}
	if err := begin("a"); err != nil {
		t.Fatal(err)
	}
	if err := begin("b"); err == nil || !strings.Contains(err.Error(), "other settings") {
		t.Errorf("other settings gave %v", err)
	}
	if err := os.WriteFile(partName(path), []byte("{\"format\":2,\"settings\":\"a\"}\nnonsense\n"),
		0o644); err != nil {
		t.Fatal(err)
	}
	if err := begin("a"); err == nil || !strings.Contains(err.Error(), "line 2 is damaged") {
		t.Errorf("a damaged line gave %v", err)
	}
	if err := os.WriteFile(partName(path), []byte("my notes\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := begin("a"); err == nil || !strings.Contains(err.Error(), "no journal") {
		t.Errorf("another file gave %v", err)
	}
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := begin("a"); err == nil || !strings.Contains(err.Error(), "exists") {
		t.Errorf("a result that is there gave %v", err)
	}
}

// lengthScorer rewards length.
type lengthScorer struct{}

func (lengthScorer) Score(_ context.Context, samples []pref.Sample) ([]float64, error) {
	out := make([]float64, len(samples))
	for i, s := range samples {
		out[i] = float64(len(s.Response))
	}
	return out, nil
}

// firstJudge finds the response shown first the best, and of "?" nothing.
type firstJudge struct{}

func (firstJudge) Judge(
	_ context.Context, trials []pref.Trial, done func(int, pref.Verdict) error,
) error {
	for i, t := range trials {
		v := pref.Verdict{Usage: pref.Usage{PromptTokens: 2, CompletionTokens: 1}}
		if t.Prompt[0].Content != "?" {
			for k := range t.Responses {
				v.Ranks = append(v.Ranks, k+1)
			}
		}
		if err := done(i, v); err != nil {
			return err
		}
	}
	return nil
}

func journal(t *testing.T) *Journal {
	t.Helper()
	j, err := OpenJournal(filepath.Join(t.TempDir(), "out"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func TestContest(t *testing.T) {
	outputs := [][]pref.Sample{
		{{Prompt: prompt("p"), Response: "long answer"}, {Prompt: prompt("q"), Response: "x"},
			{Prompt: prompt("p"), Response: "again"}, {Prompt: prompt("r"), Response: "y"}},
		{{Prompt: prompt("q"), Response: "longer"}, {Prompt: prompt("p"), Response: "short"},
			{Prompt: prompt("p"), Response: "niaga"}, {Prompt: prompt("s"), Response: "z"}},
	}
	trials, missing := Align(outputs)
	if len(trials) != 3 || missing != 2 ||
		!slices.Equal(trials[2].Responses, []string{"again", "niaga"}) {
		t.Fatalf("aligned %v, %d missing", trials, missing)
	}
	rows, _, err := Contest(t.Context(), ByScorer{lengthScorer{}}, trials, 0, journal(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	if a := []int{rows[0].agreed(), rows[1].agreed(), rows[2].agreed()}; !slices.Equal(a,
		[]int{-1, 1, 0}) {
		t.Errorf("verdicts are %v", a)
	}
	trials = append(trials, pref.Trial{Prompt: prompt("?"), Responses: []string{"a", "b"}})
	j := journal(t)
	rows, used, err := Contest(t.Context(), firstJudge{}, trials, 0, j, nil)
	if err != nil || used != (pref.Usage{PromptTokens: 16, CompletionTokens: 8}) {
		t.Fatalf("used %v, %v", used, err)
	}
	for i, row := range rows {
		if row.agreed() != 0 {
			t.Errorf("trial %d has a winner by a judge of places", i)
		}
	}
	again, used2, err := Contest(t.Context(), nil, trials, 0, j, nil) // all is in the journal
	if err != nil || used2 != used || fmt.Sprint(again) != fmt.Sprint(rows) {
		t.Errorf("from the journal %v, %v", again, err)
	}
	four := pref.Trial{Prompt: prompt("p"), Responses: []string{"1", "4444", "22", "333"}}
	rows, _, err = Contest(t.Context(), ByScorer{lengthScorer{}}, []pref.Trial{four}, 3, journal(t),
		nil)
	if err != nil || !slices.Equal(rows[0].Verdicts[0].Ranks, []int{4, 1, 3, 2}) {
		t.Errorf("four are ranked %+v, %v", rows, err)
	}
}

var groups = []pref.Group{
	pref.NewPair(prompt("p"), "a", "b", pref.Location{File: "f", Line: 1}),
	pref.NewPair(prompt("q"), "c", "d", pref.Location{File: "f", Line: 2}),
	{Prompt: prompt("r"), Responses: []string{"e", "f", "g"},
		Source: pref.Location{File: "f", Line: 3}},
	pref.NewPair(prompt("p"), "a", "b", pref.Location{File: "f", Line: 4}),
}

func TestRelabel(t *testing.T) {
	rewards := [][]float64{{2, 1}, {0, 3}, {1, 5, 0}, {2, 1}}
	rows, counts, err := ByRewards(groups, rewards, "rm", 0.5)
	if err != nil || counts != (Counts{Read: 3, Agreed: 1, Flipped: 1, Repeated: 1}) {
		t.Fatalf("counts %+v, %v", counts, err)
	}
	if r := rows[1]; r.Chosen != "d" || r.Rejected != "c" || r.Margin == nil || *r.Margin != 3 ||
		r.Provenance.How != Flipped || r.Provenance.Source != "f:2" {
		t.Errorf("the flipped row is %+v", r)
	}
	rows, counts, err = BestWorst(groups, rewards, "rm", 2)
	if err != nil || counts != (Counts{Read: 4, Built: 2, Weak: 2}) || rows[1].Chosen != "f" ||
		rows[1].Rejected != "g" {
		t.Errorf("built %+v, counts %+v, %v", rows, counts, err)
	}
	scored, counts := ByScores(groups, rewards, "rm")
	if r := scored[0]; counts.Read != 4 || counts.Scored != len(scored) ||
		counts.Scored+counts.Weak != 4 || len(r.Scores) != len(r.Responses) || r.Provenance.How != Rated {
		t.Errorf("scored %+v, counts %+v", scored, counts)
	}
}

func TestSelectAndVerdicts(t *testing.T) {
	score := [][]float64{{2, 1}, {0, 3}, {1, 5, 0}, {2, 1}}
	policy := [][]float64{{2, 1}, {3, 0}, {1, 0, 5}, {3, 1}}
	picks, err := Select(groups, score, policy, ByConflict, 2, 1)
	if err != nil || len(picks) != 2 || picks[0].Group != 1 && picks[0].Group != 2 ||
		picks[1].Group != 1 && picks[1].Group != 2 {
		t.Fatalf("picked %+v, %v; the heads disagree on groups 1 and 2", picks, err)
	}
	judged, _, err := Contest(t.Context(), ByScorer{goldScorer{"d": 1, "f": 2, "g": 1}},
		Trials(groups, picks), 0, journal(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	rows, counts, err := ByVerdicts(groups, picks, judged, "gold")
	if err != nil || counts != (Counts{Read: 4, Flipped: 1, Judged: 1, Kept: 1, Repeated: 1}) {
		t.Fatalf("counts %+v, %v", counts, err)
	}
	if r := rows[1]; r.Chosen != "d" || r.Provenance.How != Flipped || r.Provenance.Distance != 1 {
		t.Errorf("the flipped row is %+v", r)
	}
	if r := rows[2]; r.Chosen != "f" || r.Rejected != "g" || r.Provenance.How != Newly {
		t.Errorf("the new row is %+v", r)
	}
	byMargin, err := Select(groups[:2], score, policy, ByMargin, 1, 1)
	if err != nil || byMargin[0].Group != 0 {
		t.Errorf("by margin %+v, %v", byMargin, err)
	}
	if _, err := Select(groups, score, policy, "x", 1, 1); err == nil {
		t.Error("an unknown selection was accepted")
	}
}

// goldScorer has rewards for texts.
type goldScorer map[string]float64

func (g goldScorer) Score(_ context.Context, samples []pref.Sample) ([]float64, error) {
	out := make([]float64, len(samples))
	for i, s := range samples {
		out[i] = g[s.Response]
	}
	return out, nil
}

func TestMeasure(t *testing.T) {
	rows := []Ranked{
		{Prompt: prompt("p"), Responses: []string{"a", "b"}, Scores: []float64{1, 2},
			Gold: []float64{5, 4}},
		{Prompt: prompt("q"), Responses: []string{"a", "b"}, Scores: []float64{1, 2},
			Gold: []float64{3, 4}},
	}
	curve, recall, err := Measure(rows)
	if err != nil || curve[1].Reward != 2 || curve[1].Gold != 4 || recall.At[0] != 0.5 ||
		recall.At[1] != 1 {
		t.Errorf("curve %+v, recall %+v, %v", curve, recall, err)
	}
	rows[0].Gold, rows[1].Gold = []float64{1, 1}, []float64{1, 1}
	if _, recall, err = Measure(rows); err != nil || recall != nil {
		t.Errorf("of tied gold the recall is %+v, %v", recall, err)
	}
}
