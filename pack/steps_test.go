package pack

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

func TestSteps(t *testing.T) {
	groups := randomGroups(rand.New(rand.NewPCG(1, 1)), 600, 60)
	p := newPlan(t, groups, Options{Positions: 256, RowMultiple: 32})
	for _, batch := range []int{0, 1, 8, 32, 100, 599, 600, 5000} {
		steps := p.Steps(batch, 42, 3)
		seen := make([]int, len(p.Batches))
		for _, step := range steps {
			if len(step) == 0 {
				t.Fatalf("batch %d: an empty step", batch)
			}
			for _, b := range step {
				seen[b]++
			}
		}
		if slices.Min(seen) != 1 || slices.Max(seen) != 1 {
			t.Errorf("batch %d: batches occur %v times", batch, seen)
		}
		if again := p.Steps(batch, 42, 3); !reflect.DeepEqual(steps, again) {
			t.Errorf("batch %d: another order for the same seed and epoch", batch)
		}
		if other := slices.Concat(p.Steps(batch, 42, 4)...); slices.Equal(other,
			slices.Concat(steps...)) {
			t.Errorf("batch %d: two epochs have one order", batch)
		}
		if other := slices.Concat(p.Steps(batch, 43, 3)...); slices.Equal(other,
			slices.Concat(steps...)) {
			t.Errorf("batch %d: two seeds have one order", batch)
		}
		s := p.StepStats(steps)
		if s.Steps != len(steps) || math.Abs(s.Mean*float64(s.Steps)-600) > 1e-9 ||
			float64(s.Min) > s.Mean || s.Mean > float64(s.Max) {
			t.Errorf("batch %d: %v", batch, s)
		}
		t.Logf("batch %d: %v", batch, s)
		if batch == 32 && (math.Abs(s.Mean-32) > 2 || s.Max > 48 || s.Min < 20) {
			t.Errorf("steps of about 32 groups are %v", s)
		}
		if batch >= 600 && len(steps) != 1 {
			t.Errorf("batch %d: %d steps, want one", batch, len(steps))
		}
		if batch <= 1 && len(steps) != len(p.Batches) {
			t.Errorf("batch %d: %d steps for %d packed batches", batch, len(steps), len(p.Batches))
		}
	}
}

// TestStepsPinned holds the order of an epoch fixed: a run that is resumed by another build
// continues the same one.
func TestStepsPinned(t *testing.T) {
	p := newPlan(t, sized(slices.Repeat([]int{64}, 16)...), Options{Positions: 64})
	got := p.Steps(4, 7, 1)
	want := [][]int{{11, 6, 14, 8}, {15, 7, 13, 1}, {4, 10, 2, 5}, {3, 0, 12, 9}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("order %v, want %v", got, want)
	}
}

// TestStepsBest compares the cuts with the best of all ways to cut.
func TestStepsBest(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for range 50 {
		p := &Packing{}
		for range 1 + r.IntN(9) {
			p.Batches = append(p.Batches, Assignment{Rows: [][]int{make([]int, 1+r.IntN(6))}})
		}
		batch := 4 + r.IntN(8)
		square := func(steps [][]int) int {
			sum := 0
			for _, step := range steps {
				off := -batch
				for _, b := range step {
					off += p.Batches[b].groupCount()
				}
				sum += off * off
			}
			return sum
		}
		order := make([]int, len(p.Batches))
		for i := range order {
			order[i] = i
		}
		best := math.MaxInt
		for cuts := range 1 << (len(order) - 1) {
			var steps [][]int
			first := 0
			for k := range order {
				if k == len(order)-1 || cuts>>k&1 == 1 {
					steps, first = append(steps, order[first:k+1]), k+1
				}
			}
			best = min(best, square(steps))
		}
		if got := square(p.cut(order, batch)); got != best {
			t.Errorf("squares %d, the best cut has %d", got, best)
		}
	}
}
