package objective

import (
	"fmt"
	"slices"
	"strings"

	. "github.com/gomlx/gomlx/core/graph"
)

// Kinds of policy loss.
const (
	DPO = "dpo" // the paper's
	SFT = "sft"
)

var policies = []string{DPO, SFT}

// CheckPolicy returns an error unless kind names a policy loss.
func CheckPolicy(kind string) error {
	if !slices.Contains(policies, kind) {
		return fmt.Errorf("objective: policy loss %q is not known: there are %s", kind, strings.Join(policies, ", "))
	}
	return nil
}

// DirectPreference is the DPO loss of one comparison (arXiv 2305.18290, equation 7):
//
//	ℓ = −log σ(β [(log π(y_c|x) − log π_ref(y_c|x)) − (log π(y_r|x) − log π_ref(y_r|x))])
//
// marginC is the difference of the two log-ratios, [C]; so is the result. Its float64 twin is
// [DirectPreferenceValue].
func DirectPreference(marginC *Node, beta float64) *Node {
	return negLogSigmoid(MulScalar(marginC, beta))
}

// DirectPreferenceValue is [DirectPreference] of one margin.
func DirectPreferenceValue(margin, beta float64) float64 { return negLogSigmoidValue(beta * margin) }

// Supervised is the cross-entropy of the chosen response, a token's mean:
//
//	ℓ = −log π(y_c|x) / |y_c|
//
// logpC and tokensC are [C], both float32; so is the result. Its float64 twin is [SupervisedValue].
func Supervised(logpC, tokensC *Node) *Node { return Neg(Div(logpC, tokensC)) }

// SupervisedValue is [Supervised] of one response of the given log-probability and number of tokens.
func SupervisedValue(logp float64, tokens int) float64 { return -logp / float64(tokens) }
