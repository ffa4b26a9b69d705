package pref

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Formats of a row of preferences, the values of Options.Format. The page
// docs/reference/data-formats.md has an example of each.
const (
	Auto = "auto" // each row by its keys
	// {chosen, rejected}: two transcripts "\n\nHuman: …\n\nAssistant: …"
	HH = "hh"
	// {prompt, chosen, rejected[, margin]}, text or messages; or the prompt implicit in both
	Pairs  = "pairs"
	Groups = "groups" // {prompt, responses, comparisons | scores}
	// {prompt, response_0, response_1, safer_response_id, better_response_id, is_response_i_safe}
	PKU           = "pku"
	Arena         = "arena"         // {conversation_a, conversation_b, winner[, turn]}
	Alpaca        = "alpaca"        // {instruction, input, output_1, output_2, preference}
	UltraFeedback = "ultrafeedback" // {instruction, completions: [{response, annotations}]}
	// adjacent rows {prompt, response, helpfulness, …}, or {prompt, response_1, response_2,
	// preference_strength}
	HelpSteer  = "helpsteer2"
	BestOf     = "bestof"     // {prompt, chosen: […], rejected: […]}: RewardBench 2, RM-Bench
	JudgeBench = "judgebench" // {question, response_A, response_B, label}
	// {conversation_input, chosen, reject} or {conversation_input, bon_best, loser_list}
	RMB = "rmb"
	HHH = "hhh" // {input, targets: {choices, labels}}
	// {prompt, completion, label}: one response, true where it is desirable
	Unpaired = "unpaired"
)

var formats = []string{Auto, HH, Pairs, Groups, PKU, Arena, Alpaca, UltraFeedback, HelpSteer, BestOf, JudgeBench, RMB, HHH, Unpaired}

// Values of Options.Label: which of a row's labels decides. A format without the label passes over
// it.
const (
	Safer  = "safer"  // pku: safer_response_id, the default there
	Better = "better" // pku: better_response_id
)

// ratings are the attributes that rows of helpsteer2 and of ultrafeedback rate; Options.Label may
// name one.
var ratings = []string{"helpfulness", "correctness", "coherence", "complexity", "verbosity", "honesty", "truthfulness", "instruction_following", "overall_score"}

// Options say what is read and how much of it is kept. The zero value reads everything, each row by
// its keys, and fails at the first bad row.
type Options struct {
	Format   string   // one of the formats; "" is Auto
	Label    string   // Safer, Better, or the attribute that decides; "" is the format's default
	Subsets  []string // none: all; else only groups of these subsets
	KeepTies bool     // keep pairs judged equal as Group.Ties; else a row of nothing else is dropped
	// keep responses that are judged one by one, as Group.Labels and Group.Grades; else a row that
	// compares nothing is dropped
	KeepUnpaired bool
	MaxChars     int // 0 = no limit: characters of the prompt and the longest response together
	SkipBad      int // tolerate this many bad rows, over all files together, before failing
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
	choices := append([]string{Safer, Better}, ratings...)
	switch {
	case o.Format != "" && !slices.Contains(formats, o.Format):
		return fmt.Errorf("pref: format %q, wanted one of %s", o.Format, strings.Join(formats, ", "))
	case o.Label != "" && !slices.Contains(choices, o.Label):
		return fmt.Errorf("pref: label %q, wanted one of %s", o.Label, strings.Join(choices, ", "))
	case o.MaxChars < 0:
		return fmt.Errorf("pref: max-chars %d, wanted 0 (no limit) or more", o.MaxChars)
	case o.SkipBad < 0:
		return fmt.Errorf("pref: skip-bad %d, wanted 0 or more", o.SkipBad)
	case o.Limit < 0:
		return fmt.Errorf("pref: limit %d, wanted 0 (all) or more", o.Limit)
	case math.IsNaN(o.Fraction) || o.Fraction < 0 || o.Fraction > 1:
		return fmt.Errorf("pref: fraction %v, wanted 0 to 1", o.Fraction)
	case math.IsNaN(o.LabelNoise) || o.LabelNoise < 0 || o.LabelNoise > 1:
		return fmt.Errorf("pref: label noise %v, wanted a probability from 0 to 1", o.LabelNoise)
	}
	return checkWeights(o.Weights)
}

// part reports whether Fraction asks for less than everything.
func (o Options) part() bool { return o.Fraction > 0 && o.Fraction < 1 }
