package reward_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"haf/encode"
	"haf/pref"
	"haf/reward"
)

// TestExplainSums wants the parts of tokens to add up to the implicit reward that an evaluation
// reads, and the other rewards to be those of an evaluation.
func TestExplainSums(t *testing.T) {
	for name, lora := range map[string]bool{"full": false, "adapter": true} {
		t.Run(name, func(t *testing.T) {
			m := savedModel(t, lora)
			reader := m.Reader(reward.ReaderOptions{})
			got, err := reader.Explain(t.Context(), samples())
			if err != nil {
				t.Fatal(err)
			}
			for _, of := range []string{reward.ByScore, reward.ByImplicit, reward.ByNormalized} {
				want, err := scored(t.Context(), m, of, samples())
				if err != nil {
					t.Fatal(err)
				}
				for i, e := range got {
					if d := math.Abs(e.Rewards[of] - want[i]); !(d <= 2e-5) {
						t.Errorf("%s of sample %d is %.7f, an evaluation has %.7f", of, i, e.Rewards[of], want[i])
					}
				}
			}
			for i, e := range got {
				if e.Sum() != e.Rewards[reward.ByImplicit] {
					t.Errorf("sample %d: tokens sum to %v, implicit is %v", i, e.Sum(),
						e.Rewards[reward.ByImplicit])
				}
				text := ""
				for _, part := range e.Tokens {
					text += part.Text
					if part.Reward != e.Beta*(part.LogProb-part.RefLogProb) || part.Reward == 0 {
						t.Errorf("sample %d: %+v with β %g", i, part, e.Beta)
					}
				}
				if !strings.Contains(text, samples()[i].Response) || len(e.Notes) > 0 {
					t.Errorf("sample %d: text %q, notes %q", i, text, e.Notes)
				}
			}
		})
	}
}

// TestExplainTokens wants of each single token the log-probability by which that of the response
// grows with it, in the model and in its reference.
func TestExplainTokens(t *testing.T) {
	m := savedModel(t, true)
	sample := samples()[2]
	explained, err := m.Reader(reward.ReaderOptions{}).Explain(t.Context(), []pref.Sample{sample})
	if err != nil {
		t.Fatal(err)
	}
	reference, err := m.Reference("")
	if err != nil {
		t.Fatal(err)
	}
	whole, err := m.Encoder.Samples(sample.Prompt, []string{sample.Response})
	if err != nil {
		t.Fatal(err)
	}
	response := whole.Responses[0]
	var sums, refs []float64
	for n := response.Policy + 1; n <= len(response.Tokens); n++ {
		cut := encode.Response{Tokens: response.Tokens[:n], Policy: response.Policy, Read: n - 1}
		group := []encode.Group{{Prompt: whole.Prompt, Responses: []encode.Response{cut}}}
		of, err := m.Read(t.Context(), group, reward.PolicyHead, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		ref, _, err := reference.LogProbs(t.Context(), group, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		sums, refs = append(sums, of.LogProbs[0][0]), append(refs, ref[0][0])
	}
	tokens := explained[0].Tokens
	if len(tokens) != len(sums) {
		t.Fatalf("%d tokens, want %d", len(tokens), len(sums))
	}
	var sum, ref float64
	for i, part := range tokens {
		sum, ref = sum+part.LogProb, ref+part.RefLogProb
		if !(math.Abs(sum-sums[i]) <= 2e-5) || !(math.Abs(ref-refs[i]) <= 2e-5) {
			t.Errorf("up to token %d: %.6f and %.6f, want %.6f and %.6f", i+1, sum, ref, sums[i], refs[i])
		}
	}
}

// TestExplainWithout wants a word where the parts of tokens are missing or mean something else.
func TestExplainWithout(t *testing.T) {
	explain := func(m *reward.Model) reward.Explanation {
		t.Helper()
		got, err := m.Reader(reward.ReaderOptions{}).Explain(t.Context(), samples()[:1])
		if err != nil {
			t.Fatal(err)
		}
		return got[0]
	}
	device, base := demoBase(t)
	foreign := explain(open(t, device, base, reward.Options{}))
	if len(foreign.Tokens) > 0 || !strings.Contains(strings.Join(foreign.Notes, " "), "no β") {
		t.Errorf("a base model: %+v", foreign)
	}
	baseline := savedModel(t, true)
	baseline.Meta.Heads = []string{"score"}
	of := explain(baseline)
	if len(of.Tokens) == 0 || !strings.Contains(strings.Join(of.Notes, " "), "was not trained") {
		t.Errorf("a baseline: %+v", of)
	}
	baseline.HasPolicyHead = false
	of = explain(baseline)
	if len(of.Tokens) > 0 || len(of.Rewards) != 1 || of.Rewards[reward.ByScore] == 0 ||
		!slices.ContainsFunc(of.Notes, func(n string) bool { return strings.Contains(n, "lm_head") }) {
		t.Errorf("without a policy head: %+v", of)
	}
}
