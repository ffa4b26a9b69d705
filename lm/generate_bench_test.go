package lm_test

import (
	"testing"

	"haf/internal/shared"
	"haf/lm"
)

// BenchmarkGenerate measures new tokens a second on SmolLM2-135M: 8 rows, prompts of 96 to 131
// tokens, 128 new tokens each, greedy. bench/generate.py does the same with transformers.
func BenchmarkGenerate(b *testing.B) {
	o := openGenerator(b, openDevice(b, ""), shared.Model(b, "smollm2-135m-instruct"))
	const rows, fresh = 8, 128
	var requests []lm.Request
	for i := range rows {
		q := lm.Request{MaxTokens: fresh}
		for p := range 96 + 5*i {
			q.Prompt = append(q.Prompt, int32((p*p*31+i*977+p*7)%40000+100))
		}
		requests = append(requests, q)
	}
	o.generate(b, requests) // compiles
	for b.Loop() {
		o.generate(b, requests)
	}
	b.ReportMetric(float64(b.N*rows*fresh)/b.Elapsed().Seconds(), "tokens/s")
}
