package pack

import (
	"math/rand/v2"
	"testing"
)

// BenchmarkPlan packs a data set of 10,000 groups.
func BenchmarkPlan(b *testing.B) {
	groups := randomGroups(rand.New(rand.NewPCG(3, 3)), 10_000, 120)
	b.ReportAllocs()
	for b.Loop() {
		p, err := New(groups, Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(100*p.Efficiency(), "%efficiency")
	}
}

// BenchmarkBatch makes the arrays of one packed batch.
func BenchmarkBatch(b *testing.B) {
	p, err := New(randomGroups(rand.New(rand.NewPCG(3, 3)), 1000, 120), Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		p.Batch(i % len(p.Batches))
		i++
	}
}
