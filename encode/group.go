package encode

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"haf/pref"
)

// A Group is a [pref.Group] in tokens. Every response ends with the end token; none is empty, nor is the prompt.
type Group struct {
	Prompt      []int32
	Responses   [][]int32
	Comparisons []pref.Comparison // indices into Responses; none between responses of the same tokens
	Ties        [][2]int          // responses that were judged equal, the same tokens or not
	Scores      []float64         // of the responses, as the data states them; nil where it does not
	Source      pref.Source
	Index       int  // which group of the input of [Encoder.Groups] this was
	Truncated   bool // tokens were cut to fit Options.MaxLength

	identical, cutIdentical int // comparisons removed: all, and those that only truncation made identical
}

// Positions returns the number of tokens that are run for the group: the prompt once, and once what responses begin with alike.
func (g *Group) Positions() int {
	n := len(g.Prompt) + g.responseTokens()
	_, shared := g.tree()
	for _, s := range shared {
		n -= s
	}
	return n
}

// tree returns the responses in an order in which those that begin alike stand together, and how many tokens each of them has in common
// with the one before it: as many as with any one before it.
func (g *Group) tree() (order, shared []int) {
	order, shared = make([]int, len(g.Responses)), make([]int, len(g.Responses))
	for k := range order {
		order[k] = k
	}
	slices.SortStableFunc(order, func(a, b int) int { return slices.Compare(g.Responses[a], g.Responses[b]) })
	for i := 1; i < len(order); i++ {
		before, response := g.Responses[order[i-1]], g.Responses[order[i]]
		for shared[i] < min(len(before), len(response)) && before[shared[i]] == response[shared[i]] {
			shared[i]++
		}
	}
	return order, shared
}

// compared is the number of comparisons and ties.
func (g *Group) compared() int { return len(g.Comparisons) + len(g.Ties) }

// unshared is the number of tokens that would be run with the prompt repeated for every response.
func (g *Group) unshared() int {
	return len(g.Prompt)*len(g.Responses) + g.responseTokens()
}

func (g *Group) responseTokens() int {
	n := 0
	for _, r := range g.Responses {
		n += len(r)
	}
	return n
}

// Stated returns the margin that the data states of a comparison: its own, or else the distance of the two scores. 0 is none.
func (g *Group) Stated(c pref.Comparison) float64 {
	if c.Margin == 0 && g.Scores != nil {
		return math.Abs(g.Scores[c.Chosen] - g.Scores[c.Rejected])
	}
	return c.Margin
}

// Targets returns the reward that the data states of every response: the scores, or of a pair the margin and 0; nil where it
// states none.
func (g *Group) Targets() []float64 {
	if g.Scores != nil {
		return g.Scores
	}
	if len(g.Responses) != 2 || len(g.Comparisons) != 1 || g.Comparisons[0].Margin == 0 {
		return nil
	}
	targets := make([]float64, 2)
	targets[g.Comparisons[0].Chosen] = g.Comparisons[0].Margin
	return targets
}

// Reasons for which a group is dropped; the keys of Report.Dropped.
const (
	tooLong       = "longer than the max length"
	noPromptRoom  = "longest response leaves no room for the prompt"
	noAnswerRoom  = "prompt leaves no room for a response"
	noComparison  = "no comparison"
	allTheSame    = "compared responses are identical"
	allCutTheSame = "compared responses became identical by truncation"
)

// dropped is the error of a group that is left out; it wraps ErrDropped.
type dropped struct{ reason, detail string }

func (d *dropped) Error() string {
	if d.detail == "" {
		return fmt.Sprintf("%v: %s", ErrDropped, d.reason)
	}
	return fmt.Sprintf("%v: %s: %s", ErrDropped, d.reason, d.detail)
}

func (d *dropped) Unwrap() error { return ErrDropped }

// Group encodes a group to learn from. Comparisons between responses of the same tokens are removed, since neither
// can be preferred; ties are kept. The error wraps [ErrDropped], with the reason, where the options or a lack of comparisons
// exclude the group; any other error is a defect of the group or the template.
func (e *Encoder) Group(g pref.Group) (Group, error) {
	out, err := e.group(g)
	if err != nil {
		return Group{}, at(g.Source, err)
	}
	return out, nil
}

func (e *Encoder) group(g pref.Group) (Group, error) {
	for i, c := range g.Comparisons {
		if err := checkComparison(c, len(g.Responses)); err != nil {
			return Group{}, fmt.Errorf("comparison %d of the group: %w", i+1, err)
		}
	}
	for i, t := range g.Ties {
		if err := checkComparison(pref.Comparison{Chosen: t[0], Rejected: t[1]}, len(g.Responses)); err != nil {
			return Group{}, fmt.Errorf("tie %d of the group: %w", i+1, err)
		}
	}
	if g.Scores != nil && len(g.Scores) != len(g.Responses) {
		return Group{}, fmt.Errorf("%d scores of %d responses", len(g.Scores), len(g.Responses))
	}
	out, err := e.tokens(g.Prompt, g.Responses)
	if err != nil {
		return Group{}, err
	}
	out.Source, out.Ties, out.Scores = g.Source, g.Ties, g.Scores
	whole := out // slices are replaced, never written to, by truncation
	if err := e.truncate(&out); err != nil {
		return Group{}, err
	}
	for _, c := range g.Comparisons {
		if !slices.Equal(out.Responses[c.Chosen], out.Responses[c.Rejected]) {
			out.Comparisons = append(out.Comparisons, c)
			continue
		}
		out.identical++
		if !slices.Equal(whole.Responses[c.Chosen], whole.Responses[c.Rejected]) {
			out.cutIdentical++
		}
	}
	if len(out.Comparisons) > 0 || len(out.Ties) > 0 {
		out.compact()
		return out, nil
	}
	// The counts of removed comparisons go with the group for the report.
	switch {
	case len(g.Comparisons) == 0:
		return out, &dropped{reason: noComparison}
	case out.cutIdentical > 0:
		return out, &dropped{reason: allCutTheSame}
	default:
		return out, &dropped{reason: allTheSame}
	}
}

// Samples encodes a prompt and responses to be scored; the group has no comparisons. Where they are too long,
// Group.Truncated says that the policy cut them, or the error wraps [ErrDropped].
func (e *Encoder) Samples(prompt []pref.Message, responses []string) (Group, error) {
	g, err := e.tokens(prompt, responses)
	if err == nil {
		err = e.truncate(&g)
	}
	if err != nil {
		return Group{}, fmt.Errorf("encode: %w", err)
	}
	return g, nil
}

func (e *Encoder) tokens(prompt []pref.Message, responses []string) (Group, error) {
	if len(responses) == 0 {
		return Group{}, errors.New("the group has no response, want one or more")
	}
	ids, err := e.prompt(prompt)
	if err != nil {
		return Group{}, err
	}
	g := Group{Prompt: ids, Responses: make([][]int32, len(responses))}
	for i, text := range responses {
		g.Responses[i] = e.response(text)
	}
	return g, nil
}

// compact moves the tokens into one array of their size: what a tokenizer returns has room to spare, and a cut prompt holds
// what was cut off.
func (g *Group) compact() {
	all := make([]int32, 0, g.Positions())
	move := func(ids []int32) []int32 {
		from := len(all)
		all = append(all, ids...)
		return all[from:len(all):len(all)]
	}
	g.Prompt = move(g.Prompt)
	for i, r := range g.Responses { // of its own: truncation replaces the slice of slices
		g.Responses[i] = move(r)
	}
}

// truncate fits the group into Options.MaxLength by the policy. It replaces slices, it does not write into them.
func (e *Encoder) truncate(g *Group) error {
	most := e.opt.MaxLength
	if most == 0 {
		return nil
	}
	longest := 0
	for _, r := range g.Responses {
		longest = max(longest, len(r))
	}
	if len(g.Prompt)+longest <= most {
		return nil
	}
	seen := fmt.Sprintf("prompt %d and longest response %d tokens, max length %d", len(g.Prompt), longest, most)
	switch e.opt.Truncation {
	case TruncatePrompt:
		room := most - longest
		if room < 1 {
			return &dropped{noPromptRoom, seen}
		}
		end := g.Prompt[len(g.Prompt)-room:]
		// Models are trained with BOS at position 0 and lean on it, so it is worth one token of the prompt.
		if e.hasBOS && g.Prompt[0] == e.bos && room > 1 {
			end = append([]int32{e.bos}, end[1:]...)
		}
		g.Prompt = end
	case TruncateResponse:
		room := most - len(g.Prompt)
		if room < 2 { // a cut response keeps a token of its own beside the end token
			return &dropped{noAnswerRoom, seen}
		}
		responses := slices.Clone(g.Responses)
		for i, r := range responses {
			if len(r) > room {
				responses[i] = append(slices.Clone(r[:room-1]), e.end)
			}
		}
		g.Responses = responses
	default:
		return &dropped{tooLong, seen}
	}
	g.Truncated = true
	return nil
}

func checkComparison(c pref.Comparison, responses int) error {
	switch {
	case c.Chosen < 0 || c.Chosen >= responses || c.Rejected < 0 || c.Rejected >= responses:
		return fmt.Errorf("responses %d and %d are compared, want indices from 0 to %d", c.Chosen, c.Rejected, responses-1)
	case c.Chosen == c.Rejected:
		return fmt.Errorf("response %d is compared with itself", c.Chosen)
	}
	return nil
}

// at puts the place where a group was read before its error.
func at(source pref.Source, err error) error {
	if source == (pref.Source{}) {
		return fmt.Errorf("encode: %w", err)
	}
	return fmt.Errorf("encode: %v: %w", source, err)
}
