package eval

import (
	"math"

	"haf/pref"
)

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

// calibrationError is the expected calibration error (Naeini et al. 2015; Guo et al. 2017, arXiv
// 1706.04599): Σ_b n_b/n · |accuracy_b − confidence_b|. The prediction is the response with the
// higher reward, its confidence σ(|m|) ∈ [½, 1], in ten bins of equal width; a tie, of confidence
// ½, is half right. As every comparison counts as the statement "i over j" and equally as "j over
// i", this equals the error over twenty bins of [0, 1].
func calibrationError(margins []float64) float64 {
	sum := 0.0
	for _, b := range Reliability(margins) {
		sum += math.Abs(b.Accuracy-b.Confidence) * float64(b.Count)
	}
	return sum / float64(len(margins))
}

// A Bin is a bin of a reliability diagram: the comparisons whose confidence σ(|m|) is at least Low
// and below High (in the last bin, up to High).
type Bin struct {
	Low        float64 `json:"low"`
	High       float64 `json:"high"`
	Count      int     `json:"count"`
	Confidence float64 `json:"confidence"` // mean, 0 in an empty bin
	Accuracy   float64 `json:"accuracy"`   // mean, a tie half; 0 in an empty bin
}

// Reliability puts margins into ten bins of equal width over [½, 1].
func Reliability(margins []float64) []Bin {
	out := make([]Bin, bins)
	for b := range out {
		out[b].Low, out[b].High = 0.5+float64(b)/(2*bins), 0.5+float64(b+1)/(2*bins)
	}
	for _, m := range margins {
		p := sigmoid(math.Abs(m))
		b := &out[min(int((p-0.5)*2*bins), bins-1)]
		b.Count++
		b.Confidence += p
		b.Accuracy += creditOf(m)
	}
	for i := range out {
		if n := float64(out[i].Count); n > 0 {
			out[i].Confidence /= n
			out[i].Accuracy /= n
		}
	}
	return out
}

// Bounds of a fitted temperature. Without them it would be 0 for margins that separate perfectly,
// and infinite for useless ones.
const (
	MinTemperature = 1e-4
	MaxTemperature = 1e4
)

// FitTemperature returns the temperature T that maximizes the mean of log σ(m/T) (Platt scaling
// without a bias; Guo et al. 2017, arXiv 1706.04599), within [MinTemperature, MaxTemperature]. The
// log-likelihood is concave in 1/T, so bisection finds the root of its derivative Σ m·σ(−m/T). It
// is 1 without margins.
func FitTemperature(margins []float64) float64 {
	if len(margins) == 0 {
		return 1
	}
	slope := func(inverse float64) float64 {
		sum := 0.0
		for _, m := range margins {
			sum += m * sigmoid(-m*inverse)
		}
		return sum
	}
	low, high := math.Log(1/MaxTemperature), math.Log(1/MinTemperature)
	switch {
	case slope(math.Exp(low)) <= 0:
		return MaxTemperature
	case slope(math.Exp(high)) >= 0:
		return MinTemperature
	}
	for range 100 {
		if middle := (low + high) / 2; slope(math.Exp(middle)) > 0 {
			low = middle
		} else {
			high = middle
		}
	}
	return math.Exp(-(low + high) / 2)
}

// A Calibration measures how well σ(m/T) is calibrated, with T fitted on other comparisons.
type Calibration struct {
	Temperature   float64 `json:"temperature"`
	FittedOn      int     `json:"fitted_on"` // comparisons
	LogLikelihood float64 `json:"log_likelihood"`
	Brier         float64 `json:"brier"`
	ECE           float64 `json:"ece"`
	Bins          []Bin   `json:"bins"`
}

// Calibrate measures margins at the temperature that fits the validation margins.
func Calibrate(margins, validation []float64) Calibration {
	c := Calibration{Temperature: FitTemperature(validation), FittedOn: len(validation)}
	scaled := make([]float64, len(margins))
	for i, m := range margins {
		scaled[i] = m / c.Temperature
	}
	c.LogLikelihood, c.Brier, c.ECE, c.Bins = logLikelihood(scaled), brier(scaled),
		calibrationError(scaled), Reliability(scaled)
	return c
}

// Margins lists the margins of all comparisons, in order.
func Margins(groups []pref.Group, rewards [][]float64) []float64 {
	var margins []float64
	for g, group := range groups {
		for _, c := range group.Comparisons {
			margins = append(margins, rewards[g][c.Chosen]-rewards[g][c.Rejected])
		}
	}
	return margins
}

func sigmoid(x float64) float64 {
	if x >= 0 {
		return 1 / (1 + math.Exp(-x))
	}
	e := math.Exp(x)
	return e / (1 + e)
}
