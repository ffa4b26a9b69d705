package encode

import (
	"errors"
	"slices"
)

// Own is the number of responses to the group's prompt: those behind them were given to others.
func (g *Group) Own() int { return len(g.Responses) - g.Others }

// AddOthers puts behind every labelled response a response that was given to another prompt, as
// estimates of KL(π‖π_ref) read it: that of the labelled group before, in a cycle, which has
// another prompt. Tokens beyond maxLength, prompt included, are cut from its end; 0 is no limit.
// Groups without labels stay as they are. It is an error if all labelled groups have one prompt.
func AddOthers(groups []Group, maxLength int) error {
	var labelled []int
	for i := range groups {
		if groups[i].Labels != nil {
			labelled = append(labelled, i)
		}
	}
	if len(labelled) == 0 {
		return nil
	}
	same := func(i, j int) bool { return slices.Equal(groups[i].Prompt, groups[j].Prompt) }
	last := len(labelled) - 1
	for last > 0 && same(labelled[last], labelled[0]) {
		last--
	}
	if last == 0 {
		return errors.New("encode: all labelled responses have the same prompt, but an estimate of " +
			"the KL reads responses to others: give rows of two prompts or more")
	}
	// before is the nearest group before i whose prompt is another one.
	before, previous := labelled[last], -1
	var added [][]Response // after the loop, so that no group sees what others were given
	for _, i := range labelled {
		if previous >= 0 && !same(i, previous) {
			before = previous
		}
		added = append(added, groups[i].others(&groups[before], maxLength))
		previous = i
	}
	for k, i := range labelled {
		g := &groups[i]
		g.Responses = append(slices.Clip(g.Responses), added[k]...)
		g.Others = len(added[k])
	}
	return nil
}

// others are the responses of another group behind this one's prompt, one for each of its own.
func (g *Group) others(from *Group, maxLength int) (out []Response) {
	for k, own := range g.Responses {
		other := from.Responses[k%len(from.Responses)]
		tokens := other.Tokens[other.Policy:]
		if room := max(1, maxLength-len(g.Prompt)-own.Policy); maxLength > 0 && len(tokens) > room {
			tokens = tokens[:room]
		}
		if own.Policy > 0 { // the prompt's end, which the group does not share
			tokens = slices.Concat(own.Tokens[:own.Policy], tokens)
		}
		out = append(out, Response{Tokens: tokens, Policy: own.Policy, Read: len(tokens) - 1})
	}
	return out
}
