package pref

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Formats of a row of preferences, the values of Options.Format.
const (
	Auto   = "auto"   // each row by its keys
	HH     = "hh"     // {chosen, rejected}: two transcripts "\n\nHuman: …\n\nAssistant: …"
	Pairs  = "pairs"  // {prompt, chosen, rejected[, margin]}, text or messages; or the prompt implicit in both
	Groups = "groups" // {prompt, responses, comparisons | scores}
)

var formats = []string{Auto, HH, Pairs, Groups}

// Options say what is read and how much of it is kept. The zero value reads everything, each row by its keys,
// and fails at the first bad row.
type Options struct {
	Format   string  // Auto (also ""), HH, Pairs or Groups
	SkipBad  int     // tolerate this many bad rows, over all files together, before failing
	First    int     // 0 = all: reading stops once N groups are kept
	Fraction float64 // 0 or 1 = all: this share of the prompts read, drawn by Seed, whole prompts at a time
	Seed     uint64
}

func (o Options) check() error {
	switch {
	case o.Format != "" && !slices.Contains(formats, o.Format):
		return fmt.Errorf("pref: format %q, wanted one of %s", o.Format, strings.Join(formats, ", "))
	case o.SkipBad < 0:
		return fmt.Errorf("pref: skip-bad %d, wanted 0 or more", o.SkipBad)
	case o.First < 0:
		return fmt.Errorf("pref: first %d, wanted 0 (all) or more", o.First)
	case math.IsNaN(o.Fraction) || o.Fraction < 0 || o.Fraction > 1:
		return fmt.Errorf("pref: fraction %v, wanted 0 to 1", o.Fraction)
	}
	return nil
}

// part reports whether Fraction asks for less than everything.
func (o Options) part() bool { return o.Fraction > 0 && o.Fraction < 1 }
