package eval

import "math"

// logLikelihood is the mean of log σ(m), in nats, over margins of either sign and any size.
func logLikelihood(margins []float64) float64 {
	sum := 0.0
	for _, m := range margins {
		// log σ(m) = min(m, 0) − log(1 + e^−|m|): no overflow, no cancellation.
		sum += min(m, 0) - math.Log1p(math.Exp(-math.Abs(m)))
	}
	return sum / float64(len(margins))
}

func brier(margins []float64) float64 {
	sum := 0.0
	for _, m := range margins {
		sum += sigmoid(-m) * sigmoid(-m) // 1 − σ(m) = σ(−m)
	}
	return sum / float64(len(margins))
}

// bins of calibrationError.
const bins = 10

// calibrationError is the expected calibration error (Naeini et al. 2015; Guo et al. 2017,
// arXiv 1706.04599): Σ_b n_b/n · |accuracy_b − confidence_b|. The prediction is the response with the higher reward, its
// confidence σ(|m|) ∈ [½, 1], in ten bins of equal width; a tie, of confidence ½, is half right. As every
// comparison counts as the statement "i over j" and equally as "j over i", this equals the error over twenty
// bins of [0, 1].
func calibrationError(margins []float64) float64 {
	var count, confidence, right [bins]float64
	for _, m := range margins {
		p := sigmoid(math.Abs(m))
		b := min(int((p-0.5)*2*bins), bins-1)
		count[b]++
		confidence[b] += p
		right[b] += creditOf(m)
	}
	sum := 0.0
	for b := range count {
		if count[b] > 0 {
			sum += math.Abs(right[b] - confidence[b])
		}
	}
	return sum / float64(len(margins))
}

func sigmoid(x float64) float64 {
	if x >= 0 {
		return 1 / (1 + math.Exp(-x))
	}
	e := math.Exp(x)
	return e / (1 + e)
}
