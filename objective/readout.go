package objective

import (
	. "github.com/gomlx/gomlx/core/graph"
)

// Readout has the inputs of the losses: S response slots, C comparisons. All are float32 except the
// indices and groups. Fields that the objective does not use may be nil.
type Readout struct {
	// reward ([S, A] of a head with A outputs), Σ log π, Σ log π_ref, number of tokens
	ScoreS, LogpS, RefS, TokensS *Node
	LogVarS                      *Node // u, from the variance head: see Uncertain
	TargetS                      *Node // the reward that the data states
	GroupS                       *Node // int32: the group of the response, −1 at padding
	ChosenC, RejectedC           *Node // int32: response slots
	MarginC                      *Node // the margin that the data states
	TieC                         *Node // 1 if the two were judged equal
	// factor of each comparison's loss: 1 over the number of the step's comparisons, 0 at padding
	WeightC *Node
	// the same for losses that read margins: 1 over the number of the step's comparisons with a
	// margin, else 0; nil if all have one
	MarginWeightC *Node
	LabelS        *Node // 1 if the response was labelled desirable, else 0
	// factor of each labelled response's loss: 1 over their number in the step, else 0
	LabelWeightS *Node
	MismatchedS  *Node // 1 if the response belongs to another prompt, else 0
	// the attributes that the data states, [S, A], 0 if missing
	AttributeSA *Node
	// factor of each attribute's loss: 1 over the number of the step's rated responses and over the
	// number of this response's attributes; 0 if the attribute is missing
	AttributeWeightSA          *Node
	RewardWeight, PolicyWeight *Node // scalars: w and α of the step
	LogScale                   *Node // scalar: the link's, if it is learned
	// the numbers of [Hybrid.Settings] as an input of the program; nil: as constants
	Settings *Node
}

// Losses are the results of the objective: scalars, and the margins and log-ratios [C] from which
// they are computed (zero for an unused head).
type Losses struct {
	Total, Reward, Policy *Node
	RewardMarginC         *Node
	// log π − log π_ref of both responses; log π if no loss reads a reference
	LogRatioChosenC, LogRatioRejectedC *Node
	// For labelled responses: their parts of Reward and Policy, the reference point of ReferencePoint,
	// and log π − log π_ref [S]. nil if no loss reads labels.
	LabelReward, LabelPolicy, Point, RatioS *Node
}

// terms are a readout by comparison.
type terms struct {
	Readout
	set    settings[*Node]
	link   Link  // of the loss at hand
	validC *Node // 1 where there is a decided comparison
}

// at reads slots by index.
func at(xS, indexC *Node) *Node { return Gather(xS, ExpandAxes(indexC, -1)) }

func (t terms) chosen(xS *Node) *Node     { return at(xS, t.ChosenC) }
func (t terms) rejected(xS *Node) *Node   { return at(xS, t.RejectedC) }
func (t terms) difference(xS *Node) *Node { return Sub(t.chosen(xS), t.rejected(xS)) }

func (t terms) scoreMargin() *Node { return t.difference(t.ScoreS) }
func (t terms) ratio() *Node       { return Sub(t.LogpS, t.RefS) }    // ρ
func (t terms) h() *Node           { return t.difference(t.ratio()) } // h
// of a response's tokens
func (t terms) mean(xS *Node) *Node { return Div(xS, MaxScalar(t.TokensS, 1.0)) }

// A Group holds the numbers of one prompt's responses and comparisons, for the float64 references.
// A list that the objective does not use may be nil.
type Group struct {
	Scores, Logps, RefLogps []float64
	LogVars                 []float64 // u, from the variance head
	Tokens                  []int
	Targets                 []float64 // the rewards that the data states
	Comparisons             []Comparison
	Labels                  []Label     // of the responses
	Mismatched              []bool      // responses that belong to another prompt
	Outputs                 [][]float64 // of a score head with an output for each attribute
	Attributes              [][]float64 // of the responses, NaN if missing
}

// A Comparison is one of a [Group]: indices of its responses, the margin that the data states, and
// whether it is a tie.
type Comparison struct {
	Chosen, Rejected int
	Margin           float64
	NoMargin         bool // the data states none
	Tie              bool
}

// side holds the numbers of one response.
type side struct{ score, logVar, logp, ref, tokens float64 }

func (s side) ratio() float64 { return s.logp - s.ref }

// pair holds the numbers of one comparison.
type pair struct {
	chosen, rejected side
	margin           float64
	tie              bool
	link             Link
}

func (p pair) scoreMargin() float64 { return p.chosen.score - p.rejected.score }
func (p pair) h() float64           { return p.chosen.ratio() - p.rejected.ratio() }

func (g Group) side(k int) side {
	of := func(x []float64) float64 {
		if x == nil {
			return 0
		}
		return x[k]
	}
	s := side{score: of(g.Scores), logVar: of(g.LogVars), logp: of(g.Logps), ref: of(g.RefLogps),
		tokens: 1}
	if g.Tokens != nil {
		s.tokens = max(1, float64(g.Tokens[k]))
	}
	return s
}

func (g Group) pair(c Comparison, link Link) pair {
	return pair{chosen: g.side(c.Chosen), rejected: g.side(c.Rejected), margin: c.Margin, tie: c.Tie,
		link: link}
}
