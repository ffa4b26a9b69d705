package rlhf

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestGAE compares with the definition: A_t = Σ_l (γλ)^l δ_{t+l}.
func TestGAE(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, k := range []struct{ gamma, lambda float64 }{{1, 0.95}, {0.9, 0.7}, {1, 1}, {0.99, 0}} {
		n := 9
		rewards, values := make([]float64, n), make([]float64, n+1)
		for i := range n {
			rewards[i], values[i] = random.NormFloat64(), random.NormFloat64()
		}
		advantages, returns := GAE(rewards, values[:n], k.gamma, k.lambda)
		for i := range n {
			want := 0.0
			for l := 0; i+l < n; l++ {
				want += math.Pow(k.gamma*k.lambda, float64(l)) * (rewards[i+l] +
					k.gamma*values[i+l+1] - values[i+l])
			}
			near(t, "an advantage", advantages[i], want, 1e-12)
			near(t, "a return", returns[i], want+values[i], 1e-12)
		}
	}
	// With γ = λ = 1 the return of a token is the sum of the rewards from it on.
	_, returns := GAE([]float64{1, 2, 3}, []float64{5, -7, 11}, 1, 1)
	for i, want := range []float64{6, 5, 3} {
		near(t, "a return", returns[i], want, 1e-12)
	}
}

func TestWhiten(t *testing.T) {
	lists := [][]float64{{1, 2}, {3, 4, 5}, {}}
	Whiten(lists, false)
	mean, std, n := moments(lists)
	near(t, "the mean", mean, 0, 1e-12)
	near(t, "the standard deviation", std, 1, 1e-7)
	if n != 5 || !(lists[0][0] < lists[1][2]) {
		t.Errorf("whitened to %v", lists)
	}
	kept := [][]float64{{1, 2, 3, 4, 5}}
	Whiten(kept, true)
	mean, std, _ = moments(kept)
	near(t, "the kept mean", mean, 3, 1e-12)
	near(t, "its standard deviation", std, 1, 1e-7)
	for _, same := range [][][]float64{{{2}}, {{2, 2, 2}}, {}} {
		Whiten(same, true)
		for _, list := range same {
			for _, x := range list {
				near(t, "one of equals", x, 2, 0)
			}
		}
	}
}

func TestGroupAdvantages(t *testing.T) {
	rewards := []float64{1, 4, -2, 0.5}
	for i, got := range LeaveOneOut(rewards) {
		others := 0.0
		for j, r := range rewards {
			if j != i {
				others += r / 3
			}
		}
		near(t, "RLOO's", got, rewards[i]-others, 1e-12)
	}
	mean, std, _ := moments([][]float64{rewards})
	for i, got := range GroupRelative(rewards, true) {
		near(t, "GRPO's", got, (rewards[i]-mean)/(std+1e-4), 1e-12)
		near(t, "GRPO's without scale", GroupRelative(rewards, false)[i], rewards[i]-mean, 1e-12)
	}
	for _, got := range append(GroupRelative([]float64{3, 3}, true), LeaveOneOut([]float64{3, 3})...) {
		near(t, "the advantage of equals", got, 0, 0)
	}
}

func TestShape(t *testing.T) {
	var running Running
	all := []float64{4, 8, 0, 2, -4, 11}
	running.Add(all[:2])
	running.Add(all[2:3])
	running.Add(nil)
	running.Add(all[3:])
	mean, std, _ := moments([][]float64{all})
	near(t, "the running mean", running.Mean, mean, 1e-12)
	near(t, "the running deviation", running.Std(), std, 1e-12)
	tokens := []int32{1, 2, 3, 1, 2, 3} // one of four trigrams was there before
	for _, k := range []struct {
		s     Shaping
		ended bool
		want  float64
	}{
		{Shaping{Normalize: NormalizeNone, MaxTokens: 12}, false, 8},
		{Shaping{Normalize: NormalizeScale, MaxTokens: 12}, true, 8 / std},
		{Shaping{Normalize: NormalizeStandard, MaxTokens: 12}, true, (8 - mean) / std},
		{Shaping{Normalize: NormalizeNone, RewardClip: 3, MaxTokens: 12}, true, 3},
		{Shaping{Normalize: NormalizeNone, Length: 2, Repetition: 4, MissingEOS: 5, MaxTokens: 12}, false,
			8 - 1 - 1 - 5},
		{Shaping{Normalize: NormalizeNone, Length: 2, Repetition: 4, MissingEOS: 5, MaxTokens: 12}, true,
			8 - 1 - 1},
	} {
		near(t, "the shaped reward", k.s.Shape(8, tokens, k.ended, running), k.want, 1e-12)
	}
	near(t, "a reward beside no others", Shaping{Normalize: NormalizeScale, MaxTokens: 1}.Shape(8,
		tokens, true, Running{}), 8, 0)
	got := tokenRewards(2, 3, []float64{-1, -2, -3}, []float64{-2, -2, -1}, K1, 0.1)
	for i, want := range []float64{-0.1, 0, 2.2} {
		near(t, "a token's reward", got[i], want, 1e-12)
	}
}
