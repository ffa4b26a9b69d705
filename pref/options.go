package pref

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Values of Options.Label: the label of a row that decides. A format without that label ignores it.
const (
	Safer  = "safer"  // pku: safer_response_id, the default there
	Better = "better" // pku: better_response_id
)

// Values of Options.NegativeMargin: the treatment of a comparison whose margin means that the
// rejected response is better. All of them count such comparisons.
const (
	NegativeError = "error" // a bad row
	NegativeFlip  = "flip"  // the pair is flipped, with the margin's size
	NegativeKeep  = "keep"  // as it stands
)

// Values of Options.NonText: the treatment of a row with images or other media.
const (
	NonTextError = "error" // a bad row
	NonTextDrop  = "drop"  // dropped and counted
)

// ratings are the attributes that rows of helpsteer2 and of ultrafeedback rate; Options.Label may
// name one.
var ratings = []string{"helpfulness", "correctness", "coherence", "complexity", "verbosity",
	"honesty", "truthfulness", "instruction_following", "overall_score"}

// Options decide what is read and how much of it is kept. The zero value reads everything, each row
// by its keys, and fails at the first bad row.
type Options struct {
	Columns  Columns  // of files with other column names
	Format   string   // one of the formats; "" is Auto
	Label    string   // Safer, Better, or the attribute that decides; "" is the format's default
	Subsets  []string // none: all; else only groups of these subsets
	KeepTies bool     // keep pairs judged equal as Group.Ties; else a row of nothing else is dropped
	// keep singly labelled responses, as Group.Labels; else rows without a comparison are dropped
	KeepUnpaired bool
	// Attributes are columns of numbers, or dotted paths into objects. In rows with one response they
	// are read as Group.Grades.
	Attributes []string
	MaxChars   int // 0 = no limit: characters of the prompt and the longest response together
	// NegativeError, which "" is, NegativeFlip or NegativeKeep: a margin below 0
	NegativeMargin string
	// NonTextError, which "" is, or NonTextDrop: rows with images and other media
	NonText string
	SkipBad int // allow this many bad rows, over all files together, before failing
	// 0 = all: reading stops once N groups are kept; of a mix: the most groups in all
	Limit int
	// 0 or 1 = all: this share of the prompts read, drawn by Seed, whole prompts at a time
	Fraction float64
	// none: all files in order; else one a file: the shares of the groups in a mix, see Mix
	Weights    []float64
	LabelNoise float64 // 0 to 1: the probability that a comparison is flipped, drawn by Seed
	Seed       uint64
}

// Check returns an error that names the first option out of range.
func (o Options) Check() error {
	choices := slices.Concat([]string{Safer, Better}, ratings, o.Attributes)
	switch {
	case o.Format == Graded && len(o.Attributes) == 0:
		return fmt.Errorf("pref: format %s without attributes, want the names of columns that rate "+
			"the responses (-attributes, data.attributes)", Graded)
	case o.Format != "" && !slices.Contains(formats, o.Format):
		return fmt.Errorf("pref: format %q, want one of %s", o.Format, strings.Join(formats, ", "))
	case o.Label != "" && !slices.Contains(choices, o.Label):
		return fmt.Errorf("pref: label %q, want one of %s", o.Label, strings.Join(choices, ", "))
	case !slices.Contains([]string{"", NegativeError, NegativeFlip, NegativeKeep}, o.NegativeMargin):
		return fmt.Errorf("pref: negative margin %q, want %s, %s or %s", o.NegativeMargin,
			NegativeError, NegativeFlip, NegativeKeep)
	case !slices.Contains([]string{"", NonTextError, NonTextDrop}, o.NonText):
		return fmt.Errorf("pref: non-text %q, want %s or %s", o.NonText, NonTextError, NonTextDrop)
	case o.MaxChars < 0:
		return fmt.Errorf("pref: max-chars %d, want 0 (no limit) or more", o.MaxChars)
	case o.SkipBad < 0:
		return fmt.Errorf("pref: skip-bad %d, want 0 or more", o.SkipBad)
	case o.Limit < 0:
		return fmt.Errorf("pref: limit %d, want 0 (all) or more", o.Limit)
	case math.IsNaN(o.Fraction) || o.Fraction < 0 || o.Fraction > 1:
		return fmt.Errorf("pref: fraction %v, want 0 to 1", o.Fraction)
	case math.IsNaN(o.LabelNoise) || o.LabelNoise < 0 || o.LabelNoise > 1:
		return fmt.Errorf("pref: label noise %v, want a probability from 0 to 1", o.LabelNoise)
	}
	return checkWeights(o.Weights)
}

// part reports whether Fraction asks for less than everything.
func (o Options) part() bool { return o.Fraction > 0 && o.Fraction < 1 }
