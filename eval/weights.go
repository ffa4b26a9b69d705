package eval

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"haf/pref"
)

// FitWeights returns the weights w of a sum of several rewards of the same responses,
// rewards[j][g][k], fitted to the comparisons of groups by logistic regression of the preferences
// on the margins m_j of the rewards:
//
//	w = argmax Σ_c log σ(Σ_j w_j m_jc) − ½ Σ_j (w_j s_j)²
//
// with s_j the root mean square of m_j. There is no intercept, because a comparison in the opposite
// direction has the opposite margins. The penalty, a standard normal prior on every scaled weight,
// keeps the weights finite if margins separate the comparisons. With hundreds of comparisons it is
// small. A reward without any margin has weight 0. Errors are those of [Comparisons].
func FitWeights(groups []pref.Group, rewards ...[][]float64) ([]float64, error) {
	if len(rewards) == 0 {
		return nil, errors.New("eval: no rewards to weigh")
	}
	margins := make([][]float64, len(rewards))
	scales := make([]float64, len(rewards))
	for j, of := range rewards {
		if err := check(groups, of); err != nil {
			return nil, err
		}
		margins[j] = Margins(groups, of)
		if scales[j] = rootMeanSquare(margins[j]); scales[j] == 0 {
			scales[j] = 1
		}
		for c := range margins[j] {
			margins[j][c] /= scales[j]
		}
	}
	w, err := maximize(margins)
	for j := range w {
		w[j] /= scales[j]
	}
	return w, err
}

func rootMeanSquare(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v * v
	}
	return math.Sqrt(sum / float64(len(x)))
}

// maximize finds the weights of scaled margins by Newton's method. The function is strictly
// concave, so that halving a step until it gains leads to the one maximum.
func maximize(margins [][]float64) ([]float64, error) {
	n, count := len(margins), len(margins[0])
	value := func(w []float64) float64 {
		total := make([]float64, count)
		penalty := 0.0
		for j, wj := range w {
			penalty += wj * wj / 2
			for c, m := range margins[j] {
				total[c] += wj * m
			}
		}
		return logLikelihood(total)*float64(count) - penalty
	}
	w := make([]float64, n)
	for range 100 {
		gradient, curvature := mat.NewVecDense(n, nil), mat.NewSymDense(n, nil)
		for j := range n {
			gradient.SetVec(j, -w[j])
			curvature.SetSym(j, j, 1)
		}
		for c := range count {
			z := 0.0
			for j := range n {
				z += w[j] * margins[j][c]
			}
			p := sigmoid(-z)
			for j := range n {
				gradient.SetVec(j, gradient.AtVec(j)+p*margins[j][c])
				for k := j; k < n; k++ {
					curvature.SetSym(j, k, curvature.At(j, k)+p*(1-p)*margins[j][c]*margins[k][c])
				}
			}
		}
		if mat.Norm(gradient, 2) <= 1e-9*float64(count) {
			return w, nil
		}
		var factor mat.Cholesky
		step := mat.NewVecDense(n, nil)
		if !factor.Factorize(curvature) {
			return nil, fmt.Errorf("eval: weights of %d rewards: the curvature is not positive", n)
		}
		if err := factor.SolveVecTo(step, gradient); err != nil {
			return nil, fmt.Errorf("eval: weights of %d rewards: %w", n, err)
		}
		at := value(w)
		next := make([]float64, n)
		for size := 1.0; ; size /= 2 {
			for j := range n {
				next[j] = w[j] + size*step.AtVec(j)
			}
			if value(next) > at {
				break
			}
			if size < 1e-12 { // no gain left that rounding shows
				return w, nil
			}
		}
		w = next
	}
	return w, nil
}
