package encode

import (
	"errors"
	"slices"
)

// Own is the number of responses to the group's own prompt. Those behind them were given to others.
func (g *Group) Own() int { return len(g.Responses) - g.Others }

// AddOthers puts behind the labelled responses of each group responses that were given to another
// prompt, because estimates of KL(π‖π_ref) read them. They come from the labelled group before, in
// a cycle, skipping groups with the same prompt. Tokens beyond maxLength, prompt included, are cut
// from the end; 0 means no limit. Groups without labels stay as they are. It returns an error if
// all labelled groups have the same prompt.
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
	// before is the nearest group before i with another prompt.
	before, previous := labelled[last], -1
	var added [][]Response // added after the loop, so that no group copies another's additions
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

// others returns the responses of another group behind this one's prompt, as many as it has itself.
func (g *Group) others(from *Group, maxLength int) (out []Response) {
	for k, own := range g.Responses {
		other := from.Responses[k%len(from.Responses)]
		tokens := other.Tokens[other.Policy:]
		if room := max(1, maxLength-len(g.Prompt)-own.Policy); maxLength > 0 && len(tokens) > room {
			tokens = tokens[:room]
		}
		if own.Policy > 0 { // the end of the prompt, which the group does not share
			tokens = slices.Concat(own.Tokens[:own.Policy], tokens)
		}
		out = append(out, Response{Tokens: tokens, Policy: own.Policy, Read: len(tokens) - 1})
	}
	return out
}
