package paper

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"haf/pref"
)

// TestEnsembleOfSeeds computes ensembles by hand: every seed's rewards divided by the mean size of
// its margins, then the sum; a seed that is left over is in none.
func TestEnsembleOfSeeds(t *testing.T) {
	group := pref.Group{Responses: []string{"a", "b"},
		Comparisons: []pref.Comparison{{Chosen: 0, Rejected: 1}}}
	m := Measurement{Groups: []pref.Group{group, group}, Rewards: [][][]float64{
		{{1, 0}, {0, 3}},   // mean size 2
		{{-4, 0}, {12, 0}}, // 8
		{{5, 4}, {4, 5}},   // 1
		{{2, 0}, {0, 2}},   // 2
		{{9, 0}, {9, 0}},
	}}
	two := m.ensembles(2)
	margins := func(rewards [][]float64) (out []float64) {
		for _, pair := range rewards {
			out = append(out, pair[0]-pair[1])
		}
		return out
	}
	want := [][]float64{{1./2 - 4./8, -3./2 + 12./8}, {1 + 1, -1 - 1}}
	if len(two.Rewards) != 2 {
		t.Fatalf("%d ensembles of 2 of 5 seeds", len(two.Rewards))
	}
	for e, rewards := range two.Rewards {
		for i, got := range margins(rewards) {
			if math.Abs(got-want[e][i]) > 1e-12 {
				t.Errorf("ensemble %d has the margin %v in group %d, want %v", e, got, i, want[e][i])
			}
		}
	}
	one := m.members(2)
	if len(one.Rewards) != 2 || !slices.EqualFunc(one.Rewards[1], m.Rewards[2], slices.Equal) {
		t.Errorf("the first members are %v, want those of seeds 0 and 2", one.Rewards)
	}
}

// TestPowerTable computes the detectable difference by hand: (1.960 + 0.842) times the standard
// error, of discordant/n for the prompts and the variance between seeds over their number; among
// ten tests 2.807 in place of 1.960.
func TestPowerTable(t *testing.T) {
	p := &Grid{Seeds: []uint64{1, 2, 3}}
	p.Power.Discordant, p.Power.SeedSD = 0.3, 0.015
	table := p.powerTable(&Data{Parts: []PartCounts{{Set: "a", Test: 1000}, {Set: "b", Test: 700}}})
	variance := func(n float64) float64 { return 0.3/n + 0.015*0.015/3 }
	mean := (variance(1000) + variance(700)) / 4
	for i, v := range []float64{variance(1000), variance(700), mean} {
		row := table.Rows[i]
		for column, z := range []float64{1.959964, 2.807034} {
			want := 100 * (z + 0.841621) * math.Sqrt(v)
			got := row[3+column]
			if text := strings.TrimSpace(got); math.Abs(parse(t, text)-want) > 0.051 {
				t.Errorf("%s: %s points, want %.2f", row[0], got, want)
			}
		}
	}
}

func parse(t *testing.T, text string) float64 {
	t.Helper()
	x, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return x
}
