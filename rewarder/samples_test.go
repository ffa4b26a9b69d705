package rewarder_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"haf/pref"
	"haf/rewarder"
)

// predicting is a Rewarder that predicts variances, of its own reward alone.
type predicting struct{ table }

func (p predicting) Variances(
	_ context.Context, name string, samples []pref.Sample,
) ([]float64, error) {
	if name != "" {
		return nil, nil
	}
	out := make([]float64, len(samples))
	for i, s := range samples {
		out[i] = float64(len(s.Response))
	}
	return out, nil
}

// TestScoreSamples has rows in the order of the samples: with a reward, refused and truncated.
func TestScoreSamples(t *testing.T) {
	samples := []pref.Sample{{Response: "a"}, {Response: "bb"}, {Response: "ccc"}}
	r := predicting{table{pref.Readings{
		Names: []string{"score"}, Groups: make([]pref.Group, 2), Index: []int{0, 2},
		Truncated: [][]bool{{false}, {true}}, Cut: "the prompt was cut",
		Rewards: map[string][][]float64{"": {{1}, {2}}, "score": {{1}, {2}}},
		Refused: map[int]error{1: errors.New("chat template: line 2: no")},
	}}}
	var warned []string
	opt := rewarder.SampleOptions{Name: "m", Warnf: func(format string, args ...any) {
		warned = append(warned, fmt.Sprintf(format, args...))
	}}
	for name, want := range map[string][]string{
		"":      {"1.000000\t1.000000\n", "refused\n", "2.000000\t3.000000\n"},
		"score": {"1.000000\n", "refused\n", "2.000000\n"},
	} {
		opt.Reward, warned = name, nil
		rows, err := rewarder.ScoreSamples(t.Context(), r, samples, opt)
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for _, row := range rows {
			var line strings.Builder
			if err := row.Write(&line); err != nil {
				t.Fatal(err)
			}
			lines = append(lines, line.String())
		}
		if !slices.Equal(lines, want) {
			t.Errorf("%q: %q, want %q", name, lines, want)
		}
		if rows[0].Truncated || !rows[2].Truncated || len(warned) != 2 ||
			!strings.HasPrefix(warned[0], "warning: m: 1 of 3 conversations") ||
			!strings.HasPrefix(warned[1], "warning: m: of 1 of 2 samples") {
			t.Errorf("%q: %+v, warned %q", name, rows, warned)
		}
		line, err := json.Marshal(rows[1])
		if err != nil || !strings.Contains(string(line), `"reward":null,"refused":"no"`) {
			t.Errorf("%s, %v", line, err)
		}
	}
	r.Readings.Refused = map[int]error{0: errors.New("no"), 1: errors.New("no"), 2: errors.New("no")}
	if _, err := rewarder.ScoreSamples(t.Context(), r, samples, opt); err == nil ||
		!strings.Contains(err.Error(), "m: no conversation can be read") {
		t.Errorf("all are refused: %v", err)
	}
}
