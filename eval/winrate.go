package eval

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
)

// An Outcome is a judge's verdict on two responses, a and b.
type Outcome int

// The outcomes. The zero value is no verdict.
const (
	NoVerdict Outcome = iota
	WinA
	WinB
	Tie
)

// credit is a's: 1, ½ or 0.
func (f Outcome) credit() float64 {
	switch f {
	case WinA:
		return 1
	case Tie:
		return 0.5
	}
	return 0
}

// A Matchup is one prompt's two responses, judged with a shown first and with b shown first.
// Lengths are characters.
type Matchup struct {
	AFirst, BFirst   Outcome
	LengthA, LengthB int
}

// verdicts are those that there are, and a's mean credit in them.
func (b Matchup) verdicts() (n int, credit float64) {
	for _, f := range []Outcome{b.AFirst, b.BFirst} {
		if f != NoVerdict {
			n++
			credit += f.credit()
		}
	}
	if n > 0 {
		credit /= float64(n)
	}
	return n, credit
}

// A WinRate is how often a is better than b.
type WinRate struct {
	Matchups     int `json:"matchups"`     // with at least one verdict
	Unjudged     int `json:"unjudged"`     // without
	NoVerdict    int `json:"no_verdict"`   // single verdicts that could not be read
	Wins         int `json:"wins"`         // a is better, over both orders
	Losses       int `json:"losses"`       // b is
	Ties         int `json:"ties"`         // neither: equal, or the two orders have different winners
	Inconsistent int `json:"inconsistent"` // the two orders have different winners
	// Rate is the mean of a's credit over matchups, a tie half, both orders with equal weight. Low and
	// High are its 95 % bootstrap interval over matchups; if all matchups agree, it is Wilson's.
	Rate float64 `json:"win_rate"`
	Low  float64 `json:"low"`
	High float64 `json:"high"`
	// FirstRate is how often the response shown first wins, among the verdicts with a winner: ½
	// without position bias.
	FirstRate float64 `json:"first_rate"`
	// Controlled is the estimated win rate at equal lengths: see NewWinRate. It equals Rate if lengths
	// do not vary.
	Controlled   float64 `json:"length_controlled"`
	MeanLengthA  float64 `json:"mean_length_a"`
	MeanLengthB  float64 `json:"mean_length_b"`
	LengthEffect float64 `json:"length_effect"` // the slope of the fit
}

// NewWinRate measures judged pairs. The length-controlled rate follows AlpacaEval's (arXiv
// 2404.04475) without its terms for the difficulty of single prompts: the logistic regression
// credit ~ σ(θ + φ·tanh(Δ/s)) over matchups, Δ the difference of the lengths, s its standard
// deviation, φ has a penalty of φ²/2, so that the fit exists even if all longer answers win. The
// rate is σ(θ).
func NewWinRate(matchups []Matchup) (WinRate, error) {
	var w WinRate
	var first, decided float64
	var credits, lengths []float64
	c := &clusters{}
	for _, b := range matchups {
		n, credit := b.verdicts()
		w.NoVerdict += 2 - n
		if n == 0 {
			w.Unjudged++
			continue
		}
		w.Matchups++
		switch {
		case credit > 0.5:
			w.Wins++
		case credit < 0.5:
			w.Losses++
		default:
			w.Ties++
		}
		if b.AFirst == WinA && b.BFirst == WinB || b.AFirst == WinB && b.BFirst == WinA {
			w.Inconsistent++
		}
		for shown, f := range map[Outcome]Outcome{WinA: b.AFirst, WinB: b.BFirst} {
			if f == WinA || f == WinB {
				decided++
			}
			if f == shown {
				first++
			}
		}
		credits, lengths = append(credits, credit), append(lengths, float64(b.LengthA-b.LengthB))
		c.count, c.sum = append(c.count, 1), append(c.sum, credit)
		w.MeanLengthA += float64(b.LengthA)
		w.MeanLengthB += float64(b.LengthB)
	}
	if w.Matchups == 0 {
		return w, errors.New("eval: win rate: no matchup has a verdict")
	}
	n := float64(w.Matchups)
	w.MeanLengthA, w.MeanLengthB = w.MeanLengthA/n, w.MeanLengthB/n
	w.Rate = c.mean()
	var flat bool
	if w.Low, w.High, flat = c.bootstrap(); flat {
		w.Low, w.High = wilson(w.Rate, n)
	}
	if w.FirstRate = 0.5; decided > 0 {
		w.FirstRate = first / decided
	}
	w.Controlled, w.LengthEffect = lengthControlled(credits, lengths)
	return w, nil
}

// lengthControlled fits credit ~ σ(θ + φ·tanh(Δ/s)) by Newton's method and returns σ(θ) and φ.
func lengthControlled(credits, lengths []float64) (rate, slope float64) {
	_, deviation := meanError(lengths)
	s := deviation * math.Sqrt(float64(len(lengths)))
	rate, _ = meanError(credits)
	if s == 0 || rate == 0 || rate == 1 {
		return rate, 0
	}
	theta, phi := math.Log(rate/(1-rate)), 0.0
	for range 100 {
		var g0, g1, h00, h01, h11 float64
		for i, y := range credits {
			x := math.Tanh(lengths[i] / s)
			p := 1 / (1 + math.Exp(-theta-phi*x))
			v := p * (1 - p)
			g0, g1 = g0+y-p, g1+(y-p)*x
			h00, h01, h11 = h00+v, h01+v*x, h11+v*x*x
		}
		g1, h11 = g1-phi, h11+1
		det := h00*h11 - h01*h01
		if det < 1e-12 {
			break
		}
		d0, d1 := (h11*g0-h01*g1)/det, (h00*g1-h01*g0)/det
		if size := math.Hypot(d0, d1); size > 2 { // far from the optimum Newton's step may overshoot
			d0, d1 = 2*d0/size, 2*d1/size
		}
		theta, phi = theta+d0, phi+d1
		if math.Abs(d0)+math.Abs(d1) < 1e-10 {
			break
		}
	}
	return 1 / (1 + math.Exp(-theta)), phi
}

// String returns the measures in one line.
func (w WinRate) String() string {
	return fmt.Sprintf("win rate %.4f [%.4f, %.4f] of %d matchups (%d won, %d tied, %d lost), "+
		"length-controlled %.4f; the first shown wins %.4f, %d inconsistent, %d verdicts unreadable",
		w.Rate, w.Low, w.High, w.Matchups, w.Wins, w.Ties, w.Losses, w.Controlled, w.FirstRate,
		w.Inconsistent, w.NoVerdict)
}

// A Standing has the results of one of several outputs in rankings.
type Standing struct {
	MeanRank float64 `json:"mean_rank"` // 1 is best; equals share the mean of their places
	First    float64 `json:"first"`     // share of prompts where it is best; equals share a prompt
	// against each output: how often it is better; a tie counts half, so ½ against itself
	Beats []float64 `json:"beats"`
}

// Standings measures rankings[prompt][output], ranks with 1 for the best.
func Standings(rankings [][]int) ([]Standing, error) {
	if len(rankings) == 0 {
		return nil, errors.New("eval: standings: no ranking")
	}
	k := len(rankings[0])
	out := make([]Standing, k)
	for i := range out {
		out[i].Beats = make([]float64, k)
	}
	n := float64(len(rankings))
	for i, r := range rankings {
		if len(r) != k {
			return nil, fmt.Errorf("eval: standings: ranking %d is of %d outputs, the first of %d", i+1,
				len(r), k)
		}
		values := make([]float64, k)
		for a, rank := range r {
			values[a] = float64(rank)
		}
		shared := ranks(values)
		best := 0
		for _, rank := range shared {
			if rank == slices.Min(shared) {
				best++
			}
		}
		for a := range out {
			out[a].MeanRank += shared[a] / n
			if shared[a] == slices.Min(shared) {
				out[a].First += 1 / float64(best) / n
			}
			for b := range out {
				out[a].Beats[b] += creditOf(values[b]-values[a]) / n
			}
		}
	}
	return out, nil
}

// StandingsTable returns the standings of the named outputs as cells of a table.
func StandingsTable(names []string, standings []Standing) [][]string {
	number := func(x float64) string { return strconv.FormatFloat(x, 'f', 3, 64) }
	head := []string{"output", "mean rank", "first"}
	for _, name := range names {
		head = append(head, "beats "+name)
	}
	cells := [][]string{head}
	for i, s := range standings {
		line := []string{names[i], number(s.MeanRank), number(s.First)}
		for _, x := range s.Beats {
			line = append(line, number(x))
		}
		cells = append(cells, line)
	}
	return cells
}
