package objective

import (
	"math"

	. "github.com/gomlx/gomlx/core/graph"
)

// studentCurve is [Link.curve] of Student's t with ν degrees of freedom. With a = ν/2, x = ν/(ν +
// z²), y = 1 − x and B the beta function B(a, ½), F is by region
//
//	|z| ≤ √(3ν/(ν+2)):  ½ + z/√(ν + z²) / B · Σ (1−a)ₙ/n! · 1/(2n+1) · yⁿ
//	tail, F(−|z|):      ½ I_x(a, ½), the incomplete beta function by its continued fraction
//	                    (DLMF 8.17.22)
//
// The series has y ≤ 3/(ν+5), the fraction x ≤ (a+1)/(a+2.5); both are cut where float32 no longer
// sees a difference.
func studentCurve(z *Node, df float64) (loss, slope *Node) {
	const terms, levels = 32, 40
	a := df / 2
	logBeta := logGamma(a) + logGamma(0.5) - logGamma(a+0.5)
	edge := math.Sqrt(3 * df / (df + 2))
	abs := Abs(z)

	inner := MinScalar(abs, edge) // where the other region holds, any number that is harmless
	squares := Mul(inner, inner)
	y := Div(squares, AddScalar(squares, df))
	c := make([]float64, terms)
	factor := 1.0
	for n := range c {
		c[n] = factor / float64(2*n+1)
		factor *= (float64(n) + 1 - a) / float64(n+1)
	}
	half := MulScalar(Mul(Sqrt(y), polynomial(y, c)), math.Exp(-logBeta)) // F(|z|) − ½
	signed := Where(LessThan(z, ZerosLike(z)), Neg(half), half)
	center := Neg(Log(AddScalar(signed, 0.5)))

	outer := MaxScalar(abs, edge)
	squares = Mul(outer, outer)
	logX, logY := Neg(Log1P(MulScalar(squares, 1/df))), Neg(Log1P(MulScalar(Inverse(squares), df)))
	tail := Neg(Add(Add(MulScalar(logX, a), MulScalar(logY, 0.5)),
		Log(betaFraction(Exp(logX), a, levels))))
	tail = AddScalar(tail, math.Log(a)+logBeta+math.Ln2)
	upper := Neg(Log1P(Neg(Exp(Neg(tail)))))
	far := Where(LessThan(z, ZerosLike(z)), tail, upper)

	loss = Where(LessOrEqual(abs, Scalar(z.Graph(), z.DType(), edge)), center, far)
	// log f(z) = −½ log ν − log B − (ν+1)/2 · log(1 + z²/ν)
	logDensity := AddScalar(MulScalar(Log1P(MulScalar(Mul(z, z), 1/df)), -(df+1)/2),
		-0.5*math.Log(df)-logBeta)
	return loss, Neg(Exp(Add(logDensity, loss)))
}

// betaFraction is the continued fraction of I_x(a, ½), 1/(1 + d₁x/(1 + d₂x/(1 + …))), from the
// given level up.
func betaFraction(x *Node, a float64, levels int) *Node {
	const b = 0.5
	sum := OnesLike(x)
	for k := levels; k >= 1; k-- {
		m := float64(k / 2)
		d := m * (b - m) / ((a + 2*m - 1) * (a + 2*m))
		if k%2 == 1 {
			d = -(a + m) * (a + b + m) / ((a + 2*m) * (a + 2*m + 1))
		}
		sum = AddScalar(Div(MulScalar(x, d), sum), 1)
	}
	return Inverse(sum)
}

func logGamma(x float64) float64 {
	v, _ := math.Lgamma(x) // of a positive number: no sign
	return v
}
