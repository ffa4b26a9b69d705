// Package rlhf optimizes a policy against any [pref.Scorer]: PPO with a value head (arXiv
// 1707.06347, 2203.02155), and RLOO (arXiv 2402.14740) and GRPO (arXiv 2402.03300), which need
// none.
//
// A step samples responses to prompts, scores them, shapes the rewards, computes an advantage for
// every token, and makes a few optimizer steps on these rollouts. Values that are not
// differentiated (advantages, shaped rewards) are computed on the host in float64. Differentiated
// values are graph functions with float64 references.
//
// Tensor names carry shapes as in package lm: N the predicted tokens of a packed batch.
package rlhf
