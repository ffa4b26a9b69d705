package encode

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"haf/pref"
)

// A Group is a [pref.Group] in tokens. Neither the prompt nor a response is empty.
type Group struct {
	Prompt      []int32 // the beginning that all conversations share, run once
	Responses   []Response
	Comparisons []pref.Comparison // indices into Responses; none between identical responses
	Ties        [][2]int          // responses judged equal, identical or not
	Scores      []float64         // of the responses, if the data states them, else nil
	// Whether each of the group's own responses is desirable; nil if the data states no labels.
	Labels []bool
	// The group's own responses by attribute, NaN for a missing grade; nil if the data has none.
	Grades    map[string][]float64
	Others    int // number of last responses that were given to other prompts: see AddOthers
	Source    pref.Location
	Index     int  // position in the input of [Encoder.Groups]
	Truncated bool // tokens were cut to fit Options.MaxLength

	// Comparisons removed: all of them, and those whose responses only truncation made identical.
	identical, cutIdentical int
	special                 []string // special tokens in the text of messages and responses, each once
}

// A Response is the part of a conversation behind its group's prompt.
type Response struct {
	Tokens []int32
	Policy int // index of the first token whose log-probability counts, as do all behind it
	Read   int // index of the token at which the reward is read; −1 is the prompt's last
}

// Answer returns a response whose tokens all count and whose reward is read at the last token.
func Answer(tokens []int32) Response { return Response{Tokens: tokens, Read: len(tokens) - 1} }

// Predicted is the number of tokens whose log-probability counts.
func (r Response) Predicted() int { return len(r.Tokens) - r.Policy }

// Positions returns the number of tokens to run for the group: a beginning that the prompt or
// several responses share counts once.
func (g *Group) Positions() int {
	n := len(g.Prompt) + g.ResponseTokens()
	_, shared := g.Tree()
	for _, s := range shared {
		n -= s
	}
	return n
}

// Tree returns the responses in an order that puts those with the same beginning together. shared
// is how many tokens each response shares with the one before it, which is the most that it shares
// with any earlier response.
func (g *Group) Tree() (order, shared []int) {
	order, shared = make([]int, len(g.Responses)), make([]int, len(g.Responses))
	for k := range order {
		order[k] = k
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return slices.Compare(g.Responses[a].Tokens, g.Responses[b].Tokens)
	})
	for i := 1; i < len(order); i++ {
		before, response := g.Responses[order[i-1]].Tokens, g.Responses[order[i]].Tokens
		for shared[i] < min(len(before), len(response)) && before[shared[i]] == response[shared[i]] {
			shared[i]++
		}
	}
	return order, shared
}

// Compared is the number of comparisons and ties.
func (g *Group) Compared() int { return len(g.Comparisons) + len(g.Ties) }

// Unshared is the number of tokens that would be run with the prompt repeated for every response.
func (g *Group) Unshared() int {
	return len(g.Prompt)*len(g.Responses) + g.ResponseTokens()
}

func (g *Group) ResponseTokens() int {
	n := 0
	for _, r := range g.Responses {
		n += len(r.Tokens)
	}
	return n
}

// Predicted is the number of tokens whose log-probability counts, over all responses.
func (g *Group) Predicted() int {
	n := 0
	for _, r := range g.Responses {
		n += r.Predicted()
	}
	return n
}

// Stated returns the margin that the data states for a comparison: its own, or else the difference
// of the two scores. It returns 0 if there is none: see [Group.HasMargin].
func (g *Group) Stated(c pref.Comparison) float64 {
	if !c.Stated() && g.Scores != nil {
		return math.Abs(g.Scores[c.Chosen] - g.Scores[c.Rejected])
	}
	return c.Margin
}

// HasMargin reports whether the data states a margin for the comparison.
func (g *Group) HasMargin(c pref.Comparison) bool { return c.Stated() || g.Scores != nil }

// Targets returns the reward that the data states for every response: the scores or, for a pair,
// the margin and 0. It returns nil if the data states neither.
func (g *Group) Targets() []float64 {
	if g.Scores != nil {
		return g.Scores
	}
	if len(g.Responses) != 2 || len(g.Comparisons) != 1 || !g.Comparisons[0].Stated() {
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
	noEnd         = "no token that ends a turn, to read the reward at"
)

// refusedReason is the prefix of a reason that comes from the chat template.
const refusedReason = "chat template: "

// atLine matches the place in the template at the beginning of an error.
var atLine = regexp.MustCompile(`^line \d+: `)

// refusal returns the reason for dropping a group that the chat template refuses: the template's
// message, shortened because it may quote the row.
func refusal(err error) string {
	const longest = 120
	text := err.Error()
	if at := strings.LastIndex(text, "chat template: "); at >= 0 {
		text = text[at+len("chat template: "):]
	}
	text = atLine.ReplaceAllString(text, "")
	if fields := strings.Join(strings.Fields(text), " "); len(fields) <= longest {
		text = fields
	} else {
		text = strings.ToValidUTF8(fields[:longest], "") + "…"
	}
	return refusedReason + text
}

// specialIn returns the special tokens in the text of messages and responses, sorted and without
// duplicates.
func (e *Encoder) specialIn(g pref.Group) []string {
	var found []string
	for _, m := range g.Prompt {
		found = append(found, e.tok.SpecialIn(m.Content)...)
		if m.Parts != "" {
			found = append(found, e.tok.SpecialIn(m.Parts)...)
		}
	}
	for _, r := range g.Responses {
		found = append(found, e.tok.SpecialIn(r)...)
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// dropped is the error for a group that is left out. It wraps ErrDropped.
type dropped struct{ reason, detail string }

func (d *dropped) Error() string {
	if d.detail == "" {
		return fmt.Sprintf("%v: %s", ErrDropped, d.reason)
	}
	return fmt.Sprintf("%v: %s: %s", ErrDropped, d.reason, d.detail)
}

func (d *dropped) Unwrap() error { return ErrDropped }

// Group encodes a group for training. It removes comparisons between identical responses, since
// neither can be preferred, and keeps ties. The error wraps [ErrDropped], with the reason, if the
// options or a lack of comparisons exclude the group. Any other error is a fault of the group or
// the template.
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
		if err := checkComparison(pref.Comparison{Chosen: t[0], Rejected: t[1]},
			len(g.Responses)); err != nil {
			return Group{}, fmt.Errorf("tie %d of the group: %w", i+1, err)
		}
	}
	if g.Scores != nil && len(g.Scores) != len(g.Responses) {
		return Group{}, fmt.Errorf("%d scores of %d responses", len(g.Scores), len(g.Responses))
	}
	if err := checkSingles(g.Labels, g.Grades, len(g.Responses)); err != nil {
		return Group{}, err
	}
	whole, err := e.conversations(g.Prompt, g.Responses)
	switch {
	case errors.Is(err, ErrRefused):
		return Group{}, &dropped{reason: refusal(err)}
	case errors.Is(err, errNoEnd):
		return Group{}, &dropped{reason: noEnd, detail: err.Error()}
	case err != nil:
		return Group{}, err
	}
	cut, truncated, err := e.truncate(whole)
	if err != nil {
		return Group{}, err
	}
	out := newGroup(cut)
	out.Source, out.Ties, out.Scores, out.Truncated = g.Source, g.Ties, g.Scores, truncated
	out.Labels, out.Grades = g.Labels, g.Grades
	out.special = e.specialIn(g)
	for _, c := range g.Comparisons {
		if !slices.Equal(cut[c.Chosen].Tokens, cut[c.Rejected].Tokens) {
			out.Comparisons = append(out.Comparisons, c)
			continue
		}
		out.identical++
		if !slices.Equal(whole[c.Chosen].Tokens, whole[c.Rejected].Tokens) {
			out.cutIdentical++
		}
	}
	if len(out.Comparisons) > 0 || len(out.Ties) > 0 || out.Labels != nil || out.Grades != nil {
		out.compact()
		return out, nil
	}
	// The report adds up these counts of removed comparisons.
	switch {
	case len(g.Comparisons) == 0:
		return out, &dropped{reason: noComparison}
	case out.cutIdentical > 0:
		return out, &dropped{reason: allCutTheSame}
	default:
		return out, &dropped{reason: allTheSame}
	}
}

// Samples encodes a prompt and responses for scoring; the group has no comparisons. If they are too
// long, the policy cuts them and sets Group.Truncated, or the error wraps [ErrDropped].
func (e *Encoder) Samples(prompt []pref.Message, responses []string) (Group, error) {
	whole, err := e.conversations(prompt, responses)
	if err != nil {
		return Group{}, fmt.Errorf("encode: %w", err)
	}
	cut, truncated, err := e.truncate(whole)
	if err != nil {
		return Group{}, fmt.Errorf("encode: %w", err)
	}
	g := newGroup(cut)
	g.Truncated = truncated
	return g, nil
}

// Conversation encodes a prompt with one response. truncated reports that it was cut to fit
// Options.MaxLength.
func (e *Encoder) Conversation(
	prompt []pref.Message, response string,
) (c Conversation, truncated bool, err error) {
	whole, err := e.conversations(prompt, []string{response})
	if err != nil {
		return c, false, fmt.Errorf("encode: %w", err)
	}
	return e.fit(whole[0])
}

// fit is truncate for one conversation.
func (e *Encoder) fit(whole Conversation) (c Conversation, truncated bool, err error) {
	cut, truncated, err := e.truncate([]Conversation{whole})
	if err != nil {
		return c, false, fmt.Errorf("encode: %w", err)
	}
	return cut[0], truncated, nil
}

func (e *Encoder) conversations(prompt []pref.Message, responses []string) ([]Conversation, error) {
	if len(responses) == 0 {
		return nil, errors.New("the group has no response, want one or more")
	}
	promptIDs, err := e.prompt(prompt)
	if err != nil {
		return nil, err
	}
	out := make([]Conversation, len(responses))
	for i, response := range responses {
		if out[i], err = e.conversation(prompt, response, promptIDs); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// sharable is how many of the conversation's first tokens may stand in the prompt of a group: none
// of them is predicted, and the reward is read at the last of them or behind it.
func (c Conversation) sharable() int { return min(c.Response, c.Read+1, len(c.Tokens)-1) }

// NewGroup makes a group of conversations that share at least the first shared tokens. The prompt
// is shorter if a response begins, or a reward is read, before that.
func NewGroup(conversations []Conversation, shared int) Group {
	for _, c := range conversations {
		shared = min(shared, c.sharable())
	}
	g := Group{Prompt: conversations[0].Tokens[:shared:shared],
		Responses: make([]Response, len(conversations))}
	for i, c := range conversations {
		g.Responses[i] = Response{Tokens: c.Tokens[shared:], Policy: c.Response - shared,
			Read: c.Read - shared}
	}
	return g
}

// newGroup makes a group of the conversations of one prompt, which share at least the tokens before
// each response.
func newGroup(conversations []Conversation) Group { return NewGroup(conversations, math.MaxInt) }

// compact copies the tokens into one array of exact size, because a tokenizer's slices have spare
// capacity and every conversation repeats the prompt.
func (g *Group) compact() {
	all := make([]int32, 0, len(g.Prompt)+g.ResponseTokens())
	move := func(ids []int32) []int32 {
		from := len(all)
		all = append(all, ids...)
		return all[from:len(all):len(all)]
	}
	g.Prompt = move(g.Prompt)
	for i, r := range g.Responses {
		g.Responses[i].Tokens = move(r.Tokens)
	}
}

func checkComparison(c pref.Comparison, responses int) error {
	switch {
	case c.Chosen < 0 || c.Chosen >= responses || c.Rejected < 0 || c.Rejected >= responses:
		return fmt.Errorf("responses %d and %d are compared, want indices from 0 to %d", c.Chosen,
			c.Rejected, responses-1)
	case c.Chosen == c.Rejected:
		return fmt.Errorf("response %d is compared with itself", c.Chosen)
	}
	return nil
}

// at puts the place of a group in the data before its error.
func at(source pref.Location, err error) error {
	if source == (pref.Location{}) {
		return fmt.Errorf("encode: %w", err)
	}
	return fmt.Errorf("encode: %v: %w", source, err)
}

// Check returns an error if the group cannot be packed: an index is out of range, or the prompt or
// a response has no tokens.
func (g *Group) Check() error {
	if len(g.Prompt) == 0 {
		return errors.New("the prompt has no token, so the first token of a response has none to be " +
			"predicted from")
	}
	if len(g.Responses) == 0 {
		return errors.New("there is no response")
	}
	for k, r := range g.Responses {
		switch n := len(r.Tokens); {
		case n == 0:
			return fmt.Errorf("response %d has no token, want at least one", k)
		case r.Policy < 0 || r.Policy > n:
			return fmt.Errorf("response %d of %d tokens counts from token %d on, want 0 to %d", k, n,
				r.Policy, n)
		case r.Read < -1 || r.Read >= n:
			return fmt.Errorf("response %d of %d tokens is read at token %d, want -1 to %d", k, n, r.Read,
				n-1)
		}
	}
	for i, c := range g.Comparisons {
		if err := checkComparison(c, len(g.Responses)); err != nil {
			return fmt.Errorf("comparison %d: %w", i+1, err)
		}
	}
	if g.Scores != nil && len(g.Scores) != len(g.Responses) {
		return fmt.Errorf("there are %d scores of %d responses", len(g.Scores), len(g.Responses))
	}
	for i, t := range g.Ties {
		if err := checkComparison(pref.Comparison{Chosen: t[0], Rejected: t[1]},
			len(g.Responses)); err != nil {
			return fmt.Errorf("tie %d: %w", i+1, err)
		}
	}
	if g.Others < 0 || g.Others >= len(g.Responses) {
		return fmt.Errorf("%d of %d responses were given to other prompts, want fewer", g.Others,
			len(g.Responses))
	}
	return checkSingles(g.Labels, g.Grades, g.Own())
}

// checkSingles returns an error unless the number of labels, and of grades of every attribute, is
// that of the responses or 0.
func checkSingles(labels []bool, grades map[string][]float64, responses int) error {
	if labels != nil && len(labels) != responses {
		return fmt.Errorf("there are %d labels of %d responses", len(labels), responses)
	}
	for attribute, values := range grades {
		if len(values) != responses {
			return fmt.Errorf("there are %d grades of %s for %d responses", len(values), attribute,
				responses)
		}
	}
	return nil
}
