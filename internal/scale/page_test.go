package main

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"haf/internal/shared"
)

// TestPage wants the committed page to be what the program writes.
func TestPage(t *testing.T) {
	want, err := page()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(shared.Root(), "docs", "concepts", "scale.md")
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("%s is not what make docs writes (%v)", path, err)
	}
}

// TestTraffic wants the bytes of rings worked out by hand: 8 billion bytes of weights and 16 of
// gradients on 16 GPUs in two hosts.
func TestTraffic(t *testing.T) {
	g := gpu{link: 100e9, network: 10e9}
	for _, c := range []struct {
		shard                 int
		sent, inHost, between float64 // GB, seconds
	}{
		// All 16 GPUs sum the gradients: 2 · 15/16 · 16 GB through the network.
		{1, 30, 0, 3},
		// Two batches gather 8 GB twice and reduce 16 GB within a host: 2 · 7/8 · 32 GB. Then an
		// eighth of the gradients goes to the other host and back: 2 · 1/2 · 2 GB.
		{8, 58, 0.56, 0.2},
		// Everything crosses the network: 2 · 15/16 · 32 GB.
		{16, 60, 0, 6},
	} {
		p := prediction{gpus: 16, shard: c.shard, batches: 2}
		p.traffic(8e9, 16e9, g)
		off := max(math.Abs(p.sent/1e9-c.sent), math.Abs(p.inHost-c.inHost),
			math.Abs(p.between-c.between))
		if off > 1e-9 {
			t.Errorf("sharded over %d: %v GB, %v s, %v s, want %v", c.shard, p.sent/1e9, p.inHost,
				p.between, c)
		}
	}
}

// TestPredict wants plans that hold a model: none on one GPU where its weights alone exceed it,
// more sharding where more is trained, and half the products of a step on twice the GPUs.
func TestPredict(t *testing.T) {
	by := map[string]published{}
	for _, m := range models {
		by[m.name] = m
	}
	for _, c := range []struct {
		model             string
		rank, gpus, shard int
		fits              bool
	}{
		{"Llama-3-70B", adapterRank, 1, 1, false}, {"Llama-3-70B", adapterRank, 8, 8, true},
		{"Llama-3-70B", 0, 8, 8, false}, {"Llama-3-70B", 0, 64, 64, true},
		{"Llama-3-8B", adapterRank, 8, 1, true}, {"Llama-3-8B", 0, 8, 8, true},
	} {
		p, err := predict(by[c.model], c.rank, c.gpus, h100)
		if err != nil || p.shard != c.shard || p.fits != c.fits {
			t.Errorf("%+v: %+v, %v", c, p, err)
		}
	}
	one, err := predict(by["phi-2"], adapterRank, 1, h100)
	two, err2 := predict(by["phi-2"], adapterRank, 2, h100)
	if err != nil || err2 != nil || math.Abs(one.products/two.products-2) > 1e-9 {
		t.Errorf("products: %v s on one GPU, %v s on two (%v, %v)", one.products, two.products, err, err2)
	}
}
