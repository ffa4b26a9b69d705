package reward

import (
	"fmt"

	"haf/encode"
	"haf/pack"
	"haf/pref"
)

// requests are the plan options for texts as they come: in rounded shapes, so that later ones find
// programs compiled.
func (m *Model) requests() pack.Options {
	return pack.Options{Positions: m.positions, PowerOfTwoSizes: true}
}

// place is the response and group that a sample became.
type place struct{ group, response int }

func scatter(at []place, values [][]float64) []float64 {
	out := make([]float64, len(at))
	for i, p := range at {
		out[i] = values[p.group][p.response]
	}
	return out
}

// encodeSamples groups the samples by prompt and encodes them; a group grows no longer than a
// packed batch.
func (m *Model) encodeSamples(samples []pref.Sample) ([]encode.Group, []place, error) {
	clusters := groupByKey(len(samples),
		func(i int) pref.PromptKey { return pref.Group{Prompt: samples[i].Prompt}.PromptKey() },
		nil)
	var groups []encode.Group
	at := make([]place, len(samples))
	for _, members := range clusters {
		prompt, responses := samples[members[0]].Prompt, make([]string, len(members))
		for k, i := range members {
			responses[k] = samples[i].Response
		}
		whole, err := m.Encoder.Samples(prompt, responses)
		if err != nil || whole.Truncated {
			// How much of the prompt is cut must not depend on the responses beside: each is
			// encoded alone.
			for k, response := range responses {
				alone, err := m.Encoder.Samples(prompt, []string{response})
				if err != nil {
					return nil, nil, fmt.Errorf("reward: sample %d: %w", members[k]+1, err)
				}
				at[members[k]] = place{len(groups), 0}
				groups = append(groups, alone)
			}
			continue
		}
		part := encode.Group{Prompt: whole.Prompt}
		for k, response := range whole.Responses {
			if len(part.Responses) > 0 && part.Positions()+len(response.Tokens) > m.positions {
				groups = append(groups, part)
				part = encode.Group{Prompt: whole.Prompt}
			}
			at[members[k]] = place{len(groups), len(part.Responses)}
			part.Responses = append(part.Responses, response)
		}
		groups = append(groups, part)
	}
	return groups, at, nil
}

// groupByKey puts n items of the same key together, by index and in order. A cluster takes items as
// long as fits, which may be nil, says so; then another cluster of the key is begun.
func groupByKey[K comparable](
	n int, key func(i int) K, fits func(cluster []int, i int) bool,
) [][]int {
	var clusters [][]int
	open := map[K]int{}
	for i := range n {
		k := key(i)
		at, ok := open[k]
		if !ok || fits != nil && !fits(clusters[at], i) {
			at = len(clusters)
			clusters, open[k] = append(clusters, nil), at
		}
		clusters[at] = append(clusters[at], i)
	}
	return clusters
}
