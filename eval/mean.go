package eval

import "gonum.org/v1/gonum/stat/distuv"

// MeanInterval returns the mean of independent values and its 95 % interval: Student's t with n − 1
// degrees of freedom, mean ± t s/√n. For a single value the interval is the value itself, because
// its spread is unknown.
func MeanInterval(values []float64) (mean, low, high float64) {
	mean, standardError := meanError(values)
	if standardError == 0 {
		return mean, mean, mean
	}
	t := distuv.StudentsT{Sigma: 1, Nu: float64(len(values) - 1)}
	half := t.Quantile(0.975) * standardError
	return mean, mean - half, mean + half
}
