package pref

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Reasons for which a well-formed row is dropped, the keys of Counts.Dropped.
const (
	DropPrompts      = "prompts differ"
	DropNoPrompt     = "no prompt"
	DropEmpty        = "empty response"
	DropNotAssistant = "does not end in an assistant turn"
	DropIdentical    = "identical responses"
	DropNoComparison = "no comparison"
	DropFraction     = "outside the fraction"
	DropTied         = "tied"
	DropAlone        = "no other row of its prompt"
	DropUnpaired     = "one response, nothing to compare"
	DropSubset       = "outside the subsets"
	DropLong         = "longer than max-chars"
	DropMix          = "outside the mix"
)

// Counts say what became of the rows of one or more files. Read = Kept + Bad + Joined + the sum of
// Dropped. The zero value is ready; it may be handed to several reads in turn, not at once.
type Counts struct {
	Read        int            `json:"read"`        // rows, blank lines left out
	Kept        int            `json:"kept"`        // groups
	Comparisons int            `json:"comparisons"` // of the kept groups
	Dropped     map[string]int `json:"dropped"`     // rows by reason
	// malformed rows that were tolerated, and the one that was not
	Bad int `json:"bad"`
	// groups equal to an earlier one; counted, not dropped
	Duplicates int `json:"duplicates"`
	// comparisons dropped because both responses are the same text
	Identical int `json:"identical"`
	Tied      int `json:"tied"` // pairs judged equal, which make no comparison
	// rows that went into the group of the row before them
	Joined  int `json:"joined"`
	Flipped int `json:"flipped"` // comparisons flipped by Options.LabelNoise

	seen map[digest]struct{}
}

type digest [16]byte

func (c *Counts) drop(reason string) {
	if c.Dropped == nil {
		c.Dropped = map[string]int{}
	}
	c.Dropped[reason]++
}

func (c *Counts) keep(g Group) {
	c.Kept++
	c.Comparisons += len(g.Comparisons)
	if c.seen == nil {
		c.seen = map[digest]struct{}{}
	}
	key := g.digest()
	if _, ok := c.seen[key]; ok {
		c.Duplicates++
	}
	c.seen[key] = struct{}{}
}

// retake counts anew what was taken of so many kept groups; the rest was dropped.
func (c *Counts) retake(of int, taken []Group, reason string) {
	for range of - len(taken) {
		c.drop(reason)
	}
	c.Kept, c.Comparisons, c.Duplicates, c.seen = 0, 0, 0, nil
	for _, g := range taken {
		c.keep(g)
	}
}

// Lines returns the counts as lines to print: the first always, the others where there is something
// to say.
func (c *Counts) Lines() []string {
	dropped := 0
	for _, n := range c.Dropped {
		dropped += n
	}
	lines := []string{fmt.Sprintf("read %d rows, kept %d groups with %d comparisons, dropped %d, bad %d, duplicates %d",
		c.Read, c.Kept, c.Comparisons, dropped, c.Bad, c.Duplicates)}
	if dropped > 0 {
		reasons := slices.Sorted(maps.Keys(c.Dropped))
		for i, r := range reasons {
			reasons[i] = fmt.Sprintf("%s %d", r, c.Dropped[r])
		}
		lines = append(lines, "rows dropped: "+strings.Join(reasons, ", "))
	}
	if c.Identical > 0 || c.Tied > 0 {
		lines = append(lines, fmt.Sprintf("comparisons left out: between identical responses %d, tied %d", c.Identical, c.Tied))
	}
	if c.Joined > 0 {
		lines = append(lines, fmt.Sprintf("rows joined to the row before them: %d", c.Joined))
	}
	if c.Flipped > 0 {
		lines = append(lines, fmt.Sprintf("label noise: %d comparisons flipped", c.Flipped))
	}
	return lines
}

// String returns the lines of [Counts.Lines] as one.
func (c *Counts) String() string { return strings.Join(c.Lines(), "; ") }

// digest names the content of a group: prompt, responses, comparisons and labels, not where it was
// read.
func (g Group) digest() digest {
	b := appendPrompt(nil, g.Prompt)
	for _, r := range g.Responses {
		b = appendText(b, r)
	}
	for _, c := range g.Comparisons {
		b = binary.LittleEndian.AppendUint64(b, uint64(c.Chosen))
		b = binary.LittleEndian.AppendUint64(b, uint64(c.Rejected))
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(c.Margin))
	}
	for _, t := range g.Ties {
		b = binary.LittleEndian.AppendUint64(b, uint64(t[0]))
		b = binary.LittleEndian.AppendUint64(b, uint64(t[1]))
	}
	for _, good := range g.Labels {
		b = strconv.AppendBool(b, good)
	}
	sum := sha256.Sum256(b)
	return digest(sum[:16])
}

// appendPrompt and appendText write lengths before texts, so that no two different lists give the
// same bytes.
func appendPrompt(b []byte, prompt []Message) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(len(prompt)))
	for _, m := range prompt {
		b = appendText(appendText(b, m.Role), m.Content)
	}
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint64(b, uint64(len(s))), s...)
}
