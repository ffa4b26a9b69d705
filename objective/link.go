package objective

import (
	"fmt"
	"math"
	"slices"
	"strings"

	. "github.com/gomlx/gomlx/core/graph"
	"gonum.org/v1/gonum/mathext"
)

// Names of a [Link]: the distribution of the noise in a stated preference.
const (
	LogisticLink = "logistic" // Bradley-Terry
	GaussianLink = "gaussian" // probit: Thurstone's case V
	LaplaceLink  = "laplace"
	CauchyLink   = "cauchy"
	StudentLink  = "student-t"
)

var linkNames = []string{LogisticLink, GaussianLink, LaplaceLink, CauchyLink, StudentLink}

// A Link turns a difference of rewards into the probability of a preference. With F the cumulative
// distribution of noise that is symmetric about zero, and s its scale,
//
//	P(y_c ≻ y_r) = F((r_c − r_r) / s)
//
// The cost of a mislabelled comparison grows quadratically with its margin for light tails
// (Gaussian), linearly for logistic and Laplace, and more slowly for heavy tails (Student-t,
// Cauchy).
type Link struct {
	Name  string
	Scale float64 // s
	DF    float64 // degrees of freedom of Student-t, 0.5 to 100

	scale    *Node // s as a node of the graph; nil: Scale
	logScale *Node // log s where it is learned; nil: scale
}

// Check returns an error that names the first setting out of range.
func (l Link) Check() error {
	switch {
	case !slices.Contains(linkNames, l.Name):
		return fmt.Errorf("link %q is not known: there are %s", l.Name, strings.Join(linkNames, ", "))
	case !positive(l.Scale):
		return fmt.Errorf("link_scale is %g, want a positive number", l.Scale)
	case l.Name == StudentLink && !(l.DF >= 0.5 && l.DF <= 100):
		return fmt.Errorf("link_df is %g, want 0.5 to 100; gaussian is the limit of more", l.DF)
	}
	return nil
}

func positive(x float64) bool { return x > 0 && x < math.Inf(1) }

// Loss is −log F(x/s) of every value of x, float32 of any shape. It neither overflows nor loses
// precision for small values. Its float64 reference is [Link.LossValue].
func (l Link) Loss(x *Node) *Node {
	switch {
	case l.logScale != nil:
		x = Mul(x, Exp(Neg(l.logScale)))
	case l.Scale != 1 && l.scale != nil:
		x = Div(x, l.scale)
	case l.Scale != 1:
		x = MulScalar(x, 1/l.Scale)
	}
	if l.Name == LogisticLink {
		return negLogSigmoid(x)
	}
	// Value and slope are made together, each in the form that is exact in its region; the term added
	// is zero in value.
	at := StopGradient(x)
	loss, slope := l.curve(at)
	return Add(StopGradient(loss), Mul(StopGradient(slope), Sub(x, at)))
}

// curve returns −log F(z) and its derivative −f(z)/F(z).
func (l Link) curve(z *Node) (loss, slope *Node) {
	negative := LessThan(z, ZerosLike(z))
	abs := Abs(z)
	var tail, logDensity *Node // −log F(−|z|) and log f(z)
	switch l.Name {
	case GaussianLink:
		// With erfc(x) = t·e^(−x² + p(t)), t = 1/(1 + x/2), to 1.2e-7 (Numerical Recipes, 2nd edition,
		// section 6.2).
		x := MulScalar(abs, math.Sqrt2/2)
		t := Inverse(AddScalar(MulScalar(x, 0.5), 1))
		// log(erfc(x)/2) + x²
		scaled := Sub(Add(Log(t), polynomial(t, erfcCoefficients)),
			Scalar(z.Graph(), z.DType(), math.Ln2))
		tail = Sub(Mul(x, x), scaled)
		logDensity = SubScalar(Neg(Mul(x, x)), 0.5*math.Log(2*math.Pi))
		// f/F of the lower tail without the two x², which would cancel.
		slope = Neg(Exp(SubScalar(Neg(scaled), 0.5*math.Log(2*math.Pi))))
	case LaplaceLink:
		tail = AddScalar(abs, math.Ln2)
		logDensity = Neg(tail)
		slope = Neg(OnesLike(z))
	default:
		df := l.DF
		if l.Name == CauchyLink {
			df = 1
		}
		return studentCurve(z, df)
	}
	upper := Neg(Log1P(Neg(Exp(Neg(tail))))) // −log F(|z|)
	upperSlope := Neg(Exp(Add(logDensity, upper)))
	return Where(negative, tail, upper), Where(negative, slope, upperSlope)
}

var erfcCoefficients = []float64{-1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806,
	0.27886807, -1.13520398, 1.48851587, -0.82215223, 0.17087277}

// polynomial is Σ cₙ xⁿ.
func polynomial(x *Node, c []float64) *Node {
	sum := AddScalar(MulScalar(x, c[len(c)-1]), c[len(c)-2])
	for n := len(c) - 3; n >= 0; n-- {
		sum = AddScalar(Mul(sum, x), c[n])
	}
	return sum
}

// LossValue is [Link.Loss] of one value.
func (l Link) LossValue(x float64) float64 {
	z := x / l.Scale
	switch l.Name {
	case GaussianLink:
		return gaussianValue(z)
	case LaplaceLink:
		if z < 0 {
			return math.Ln2 - z
		}
		return -math.Log1p(-0.5 * math.Exp(-z))
	case CauchyLink:
		return studentValue(z, 1)
	case StudentLink:
		return studentValue(z, l.DF)
	default:
		return negLogSigmoidValue(z)
	}
}

func gaussianValue(z float64) float64 {
	if z > 0 {
		return -math.Log1p(-0.5 * math.Erfc(z/math.Sqrt2))
	}
	if z > -20 {
		return -math.Log(0.5 * math.Erfc(-z/math.Sqrt2))
	}
	u := 1 / (z * z) // the asymptotic series of Mills' ratio
	return z*z/2 + math.Log(-z*math.Sqrt(2*math.Pi)) - math.Log1p(u*(-1+u*(3+u*(-15+u*105))))
}

// studentValue takes the tail F(−|z|) from the incomplete beta function: ½ I_x(ν/2, ½), x = ν/(ν +
// z²).
func studentValue(z, df float64) float64 {
	tail := 0.5 * mathext.RegIncBeta(df/2, 0.5, df/(df+z*z))
	if z < 0 {
		return -math.Log(tail)
	}
	return -math.Log1p(-tail)
}

// negLogSigmoid returns −log σ(x) = log(1 + exp(−|x|)) − min(x, 0), which neither overflows nor
// loses the small end.
func negLogSigmoid(x *Node) *Node {
	return Sub(Log1P(Exp(Neg(Abs(x)))), MinScalar(x, 0.0))
}

func negLogSigmoidValue(x float64) float64 {
	return math.Log1p(math.Exp(-math.Abs(x))) - math.Min(x, 0)
}
