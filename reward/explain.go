package reward

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"unicode/utf8"

	"haf/encode"
	"haf/pack"
	"haf/pref"
)

// A TokenPart is the part of one response token in the implicit reward.
type TokenPart struct {
	ID int32 `json:"id"`
	// Text is the text that the token adds. A token that ends inside a character has "", and the token
	// that completes the character has all of it.
	Text       string  `json:"text"`
	LogProb    float64 `json:"logp"`     // log π of the token, nats
	RefLogProb float64 `json:"ref_logp"` // log π_ref of the token, nats
	Reward     float64 `json:"reward"`   // β (log π − log π_ref)
}

// An Explanation is a response with its rewards and the part of each token in the implicit reward:
// see [Formula].
type Explanation struct {
	// Rewards are by name: score, implicit and implicit-normalized, and combined if the model has a
	// combination. A reward that the model does not have is absent.
	Rewards map[string]float64 `json:"rewards"`
	Beta    float64            `json:"beta,omitempty"` // β of the implicit reward
	// Tokens are the response's tokens, whose rewards sum to the implicit reward. There are none if
	// the model has no implicit reward.
	Tokens    []TokenPart `json:"tokens,omitempty"`
	Truncated bool        `json:"truncated,omitempty"` // tokens were cut to fit the model
	// Notes name missing parts of the explanation, and limits of its numbers.
	Notes []string `json:"notes,omitempty"`
}

// Sum adds up the rewards of the tokens.
func (e Explanation) Sum() float64 {
	sum := 0.0
	for _, t := range e.Tokens {
		sum += t.Reward
	}
	return sum
}

// Explain returns the rewards of each sample and the parts of its tokens. Samples are read
// independently. A model without a policy head, or without a known β, is no error: its explanations
// have the score, and a note about the missing parts.
func (r *Reader) Explain(ctx context.Context, samples []pref.Sample) ([]Explanation, error) {
	names, notes := r.model.explainable()
	p, err := r.prepare(names)
	if err != nil {
		return nil, err
	}
	groups, at, err := r.model.encodeSamples(samples)
	if err != nil {
		return nil, err
	}
	want := needs(names)
	heads, err := r.model.readTokens(ctx, groups, want, r.model.Arguments())
	if err != nil {
		return nil, err
	}
	var refs tokenValues
	if p.reference != nil {
		refs, err = p.reference.model.readTokens(ctx, groups, PolicyHead, p.reference.arguments())
		if err != nil {
			return nil, fmt.Errorf("reward: reference log-probabilities: %w", err)
		}
	}
	out := make([]Explanation, len(samples))
	for i, place := range at {
		g, k := place.group, place.response
		e := Explanation{Rewards: map[string]float64{}, Truncated: groups[g].Truncated, Notes: notes}
		if p.reference != nil {
			e.Beta = p.formula.Beta
			e.Tokens = r.model.parts(groups[g].Responses[k], heads.logps[g][k], refs.logps[g][k],
				p.formula)
		}
		score, implicit := 0.0, e.Sum()
		if want&ScoreHead != 0 {
			score = heads.scores[g][k]
		}
		for _, name := range names {
			e.Rewards[name] = p.formula.Reward(name, score, implicit, len(e.Tokens))
		}
		out[i] = e
	}
	return out, nil
}

// explainable lists the rewards that an explanation can have, and notes on those it cannot, or that
// need a warning.
func (m *Model) explainable() (names, notes []string) {
	trained := func(head string) bool { return slices.Contains(m.Meta.Heads, head) }
	if trained("score") || !m.ScoreHeadUntrained {
		names = append(names, ByScore)
	}
	switch {
	case !m.HasPolicyHead:
		notes = append(notes, fmt.Sprintf("%s has no policy head (no lm_head.weight): its score is one "+
			"number of the whole response, without parts by token", m.Dir))
	case !(m.Meta.Objective.Beta > 0):
		notes = append(notes, fmt.Sprintf("%s was not trained by haf, so no β and no reference of an "+
			"implicit reward are known: its score is one number of the whole response, without parts "+
			"by token", m.Dir))
	default:
		names = append(names, ByImplicit, ByNormalized)
		if !trained("policy") {
			notes = append(notes, fmt.Sprintf("the policy head of %s was not trained (policy_weight 0): "+
				"the parts of tokens show how training the score moved the language model, and the "+
				"score does not depend on them", m.Dir))
		}
		if _, err := m.Combination(); !errors.Is(err, fs.ErrNotExist) && trained("score") {
			names = append(names, ByCombined)
		}
	}
	if len(names) == 0 {
		names = []string{ByScore} // of a head that is zero, of which the reader warns
	}
	if m.ScoreHeadUntrained && slices.Contains(names, ByScore) {
		notes = append(notes, m.UntrainedWarning())
	}
	return names, notes
}

// tokenValues are what [Model.readTokens] gives, [group][response].
type tokenValues struct {
	scores [][]float64
	logps  [][][]float64 // of every predicted token
}

// readTokens runs the wanted heads over encoded groups; the policy head is read token by token.
func (m *Model) readTokens(
	ctx context.Context, groups []encode.Group, want Heads, weights []any,
) (tokenValues, error) {
	out := tokenValues{scores: make([][]float64, len(groups)), logps: make([][][]float64, len(groups))}
	for i, g := range groups {
		out.scores[i], out.logps[i] = make([]float64, len(g.Responses)),
			make([][]float64, len(g.Responses))
	}
	if want&PolicyHead != 0 {
		// The score is read along, so that the model and its reference run one program.
		want |= ScoreHead | tokenLogps
	}
	err := m.each(ctx, groups, want, m.requests(), weights, func(b *pack.Batch, r readings) error {
		for j, g := range b.Groups {
			for k, slot := range b.Slots[j] {
				out.scores[g][k] = float64(r.score[slot])
				if want&PolicyHead == 0 {
					continue
				}
				for n, owner := range b.Owner {
					if int(owner) == slot {
						out.logps[g][k] = append(out.logps[g][k], float64(r.logp[n]))
					}
				}
			}
		}
		return nil
	})
	return out, err
}

// parts lays the tokens of a response beside their log-probabilities.
func (m *Model) parts(response encode.Response, logps, refs []float64, f Formula) []TokenPart {
	ids := response.Tokens[response.Policy:]
	texts := m.tokenTexts(ids)
	out := make([]TokenPart, len(ids))
	for i, id := range ids {
		out[i] = TokenPart{ID: id, Text: texts[i], LogProb: logps[i], RefLogProb: refs[i],
			Reward: f.Implicit(logps[i], refs[i])}
	}
	return out
}

// tokenTexts parts the text of tokens by token. A decoder may need what stands before a token, so a
// token's text is the text that it adds to that of the two tokens before it.
func (m *Model) tokenTexts(ids []int32) []string {
	out := make([]string, len(ids))
	from := 0 // first token of the text that is not told yet
	for i := range ids {
		context := max(0, from-2)
		before, whole := "", m.Tokenizer.Decode(ids[context:i+1], false)
		if context < from {
			before = m.Tokenizer.Decode(ids[context:from], false)
		}
		if last, size := utf8.DecodeLastRuneInString(whole); last == utf8.RuneError && size > 0 &&
			i+1 < len(ids) && i-from < utf8.UTFMax-1 {
			continue // inside a character, if not for long
		}
		if text, ok := strings.CutPrefix(whole, before); ok {
			out[i] = text
		} else {
			out[i] = m.Tokenizer.Decode(ids[from:i+1], false)
		}
		from = i + 1
	}
	return out
}
