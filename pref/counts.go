package pref

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Reasons for dropping a well-formed row, the keys of Counts.Dropped.
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
	DropNoGrade      = "no attribute stated"
	DropUnpaired     = "one response, nothing to compare"
	DropSubset       = "outside the subsets"
	DropLong         = "longer than max-chars"
	DropMix          = "outside the mix"
	DropNotText      = "images or other media"
)

// Counts has the numbers of rows that were read, kept and dropped, of one or more files. Read =
// Kept + Bad + Joined + the sum of Dropped. The zero value is ready. Several reads may use it in
// turn, but not at the same time.
type Counts struct {
	Read        int            `json:"read"`        // rows without blank lines
	Kept        int            `json:"kept"`        // groups
	Comparisons int            `json:"comparisons"` // of the kept groups
	Dropped     map[string]int `json:"dropped"`     // rows by reason
	// malformed rows: those that were allowed, and the one that was not
	Bad int `json:"bad"`
	// groups equal to an earlier one; counted, not dropped
	Duplicates int `json:"duplicates"`
	// comparisons dropped because both responses are the same text
	Identical int `json:"identical"`
	Tied      int `json:"tied"` // pairs judged equal, which are no comparisons
	// rows that joined the group of the row before them
	Joined  int `json:"joined"`
	Flipped int `json:"flipped"` // comparisons flipped by Options.LabelNoise

	// Unread counts the rows by unread column; a key inside messages has a name such as prompt[].name.
	Unread map[string]int `json:"unread,omitempty"`
	// NegativeMargins counts comparisons whose margin means that the rejected response is better.
	NegativeMargins int `json:"negative_margins,omitempty"`
	// Marks counts the rows by the marks of chat templates in their prompts.
	Marks map[string]int `json:"template_marks,omitempty"`
	// Marked counts the rows with any such mark.
	Marked int `json:"template_marked,omitempty"`

	seen    map[digest]struct{}
	columns map[string]bool // named columns that some row of the file has
	keys    string          // of the file's last row

	stated map[string]bool // attributes that some row states
	names  map[string]int  // rows by column, noted where attributes are read; as many as Unread
}

// mostUnread bounds the names that are kept, since a file could have one of its own a row.
const mostUnread = 1000

// note counts what a row says beside its group.
func (c *Counts) note(d decoded, f *fields, opt Options) {
	c.NegativeMargins += d.negative
	if f.columns != nil {
		c.see(f)
	}
	if opt.Attributes != nil {
		c.seeAttributes(d, f)
	}
	if d.drop != "" {
		return // reading ended early
	}
	for key := range f.all {
		if !f.row.read[key] {
			countIn(&c.Unread, key)
		}
	}
	for key := range f.row.extra {
		countIn(&c.Unread, key)
	}
	for _, mark := range f.row.marks {
		countIn(&c.Marks, mark)
	}
	if len(f.row.marks) > 0 {
		c.Marked++
	}
}

// see notes which of the named columns a row has.
func (c *Counts) see(f *fields) {
	c.keys = quoted(slices.Sorted(maps.Keys(f.all)))
	if c.columns == nil {
		c.columns = map[string]bool{}
	}
	for name := range f.columns {
		c.columns[name] = c.columns[name] || f.has(name)
	}
}

// seeAttributes notes which columns and attributes a row has.
func (c *Counts) seeAttributes(d decoded, f *fields) {
	if c.stated == nil {
		c.stated = map[string]bool{}
	}
	for attribute := range d.group.Grades {
		c.stated[attribute] = true
	}
	for key := range f.all {
		countIn(&c.names, key)
	}
}

// unstated is the error of files in which no row states an attribute that was named.
func (c *Counts) unstated(path string, attributes []string) error {
	for _, attribute := range attributes {
		if c.stated != nil && !c.stated[attribute] {
			return fmt.Errorf("pref: %s: no row {prompt, response} that was read states the attribute "+
				"%s; the rows have the columns %s: correct the attributes (-attributes, "+
				"data.attributes)", path, quote(attribute),
				quoted(slices.Sorted(maps.Keys(c.names))))
		}
	}
	return nil
}

func countIn(counts *map[string]int, name string) {
	if *counts == nil {
		*counts = map[string]int{}
	}
	if _, known := (*counts)[name]; known || len(*counts) < mostUnread {
		(*counts)[name]++
	}
}

// unseen is the error of a file in which no row has a column that was named.
func (c *Counts) unseen(path string, columns Columns) error {
	for _, name := range slices.Sorted(maps.Keys(columns.named())) {
		at := columns.named()[name]
		if at != NoColumn && c.columns != nil && !c.columns[name] {
			return fmt.Errorf("pref: %s: no row that was read has the column %s, which the %s is "+
				"to be read from; the last row has %s", path, quote(at), name, c.keys)
		}
	}
	c.columns = nil
	return nil
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

// Lines returns the counts as lines to print: the first always, the others only if their counts are
// above 0.
func (c *Counts) Lines() []string {
	dropped := 0
	for _, n := range c.Dropped {
		dropped += n
	}
	lines := []string{fmt.Sprintf("read %d rows, kept %d groups with %d comparisons, dropped %d, bad "+
		"%d, duplicates %d",
		c.Read, c.Kept, c.Comparisons, dropped, c.Bad, c.Duplicates)}
	if dropped > 0 {
		reasons := slices.Sorted(maps.Keys(c.Dropped))
		for i, r := range reasons {
			reasons[i] = fmt.Sprintf("%s %d", r, c.Dropped[r])
		}
		lines = append(lines, "rows dropped: "+strings.Join(reasons, ", "))
	}
	if c.Identical > 0 || c.Tied > 0 {
		lines = append(lines, fmt.Sprintf("comparisons left out: between identical responses %d, tied %d",
			c.Identical, c.Tied))
	}
	if c.Joined > 0 {
		lines = append(lines, fmt.Sprintf("rows joined to the row before them: %d", c.Joined))
	}
	if c.Flipped > 0 {
		lines = append(lines, fmt.Sprintf("label noise: %d comparisons flipped", c.Flipped))
	}
	if c.NegativeMargins > 0 {
		lines = append(lines, fmt.Sprintf("comparisons with a negative margin: %d", c.NegativeMargins))
	}
	if c.Marked > 0 {
		lines = append(lines, fmt.Sprintf("warning: %d prompts hold marks of a chat template (%s): the "+
			"model's template is put around them", c.Marked, mostOften(c.Marks)))
	}
	if len(c.Unread) > 0 {
		lines = append(lines, fmt.Sprintf("columns not read: %s",
			quoted(slices.Sorted(maps.Keys(c.Unread)))))
	}
	return lines
}

// mostOften lists what was counted, the most frequent first.
func mostOften(counts map[string]int) string {
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(counts[b]-counts[a], strings.Compare(a, b))
	})
	for i, name := range names {
		names[i] = fmt.Sprintf("%q %d", name, counts[name])
	}
	return strings.Join(names, ", ")
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
		if c.ZeroMargin {
			b = append(b, 1)
		}
	}
	for _, t := range g.Ties {
		b = binary.LittleEndian.AppendUint64(b, uint64(t[0]))
		b = binary.LittleEndian.AppendUint64(b, uint64(t[1]))
	}
	for _, good := range g.Labels {
		b = strconv.AppendBool(b, good)
	}
	for _, attribute := range slices.Sorted(maps.Keys(g.Grades)) {
		b = appendText(b, attribute)
		for _, x := range g.Grades[attribute] {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
		}
	}
	sum := sha256.Sum256(b)
	return digest(sum[:16])
}

// appendPrompt and appendText write lengths before texts, so that no two different lists give the
// same bytes.
func appendPrompt(b []byte, prompt []Message) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(len(prompt)))
	for _, m := range prompt {
		if m.Parts == "" && m.Tools == "" {
			b = appendText(appendText(b, m.Role), m.Content)
			continue
		}
		b = appendText(appendText(b, m.Role+"\x00"), m.Content) // no role has that byte
		b = appendText(appendText(b, m.Parts), m.Tools)
	}
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint64(b, uint64(len(s))), s...)
}
