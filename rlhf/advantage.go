package rlhf

import "math"

// GAE returns the advantages and returns of a response of n tokens by generalized advantage
// estimation (arXiv 1506.02438), with V = 0 after the last token:
//
//	δ_t = r_t + γ V_{t+1} − V_t        A_t = δ_t + γλ A_{t+1}        R_t = A_t + V_t
//
// rewards and values have one entry per token; values[t] is the value expected before token t.
func GAE(rewards, values []float64, gamma, lambda float64) (advantages, returns []float64) {
	n := len(rewards)
	advantages, returns = make([]float64, n), make([]float64, n)
	next, after := 0.0, 0.0 // A and V of the next token
	for t := n - 1; t >= 0; t-- {
		delta := rewards[t] + gamma*after - values[t]
		next, after = delta+gamma*lambda*next, values[t]
		advantages[t], returns[t] = next, next+values[t]
	}
	return advantages, returns
}

// whitenEps keeps the whitening of equal numbers finite, as in TRL.
const whitenEps = 1e-8

// Whiten scales the numbers of all lists together, in place, to mean 0 and sample variance 1 (n −
// 1). With keepMean it keeps their mean. It leaves fewer than two numbers unchanged.
func Whiten(lists [][]float64, keepMean bool) {
	mean, std, n := moments(lists)
	if n < 2 {
		return
	}
	for _, list := range lists {
		for i := range list {
			list[i] = (list[i] - mean) / math.Sqrt(std*std+whitenEps)
			if keepMean {
				list[i] += mean
			}
		}
	}
}

// moments returns the mean, the sample standard deviation and the count of all numbers.
func moments(lists [][]float64) (mean, std float64, n int) {
	for _, list := range lists {
		for _, x := range list {
			mean += x
			n++
		}
	}
	if n == 0 {
		return 0, 0, 0
	}
	mean /= float64(n)
	squares := 0.0
	for _, list := range lists {
		for _, x := range list {
			squares += (x - mean) * (x - mean)
		}
	}
	if n > 1 {
		std = math.Sqrt(squares / float64(n-1))
	}
	return mean, std, n
}

// LeaveOneOut returns RLOO's advantages of the k ≥ 2 responses to a prompt: each reward minus the
// mean of the others,
//
//	A_i = r_i − 1/(k−1) Σ_{j≠i} r_j
func LeaveOneOut(rewards []float64) []float64 {
	sum := 0.0
	for _, r := range rewards {
		sum += r
	}
	out := make([]float64, len(rewards))
	for i, r := range rewards {
		out[i] = r - (sum-r)/float64(len(rewards)-1)
	}
	return out
}

// groupEps keeps the advantages of equal rewards finite, as in TRL.
const groupEps = 1e-4

// GroupRelative returns GRPO's advantages of the k ≥ 2 responses to a prompt,
//
//	A_i = (r_i − mean r) / (std r + 1e-4)
//
// where std is the sample standard deviation. Without scale it does not divide (arXiv 2503.20783).
func GroupRelative(rewards []float64, scale bool) []float64 {
	mean, std, _ := moments([][]float64{rewards})
	out := make([]float64, len(rewards))
	for i, r := range rewards {
		if out[i] = r - mean; scale {
			out[i] /= std + groupEps
		}
	}
	return out
}
