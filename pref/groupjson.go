package pref

import (
	"encoding/json"
	"math"
)

// The JSON of a group has the keys of the general forms, so that haf reads it again.

// MarshalJSON implements [json.Marshaler]: {chosen, rejected}, with the margin where one is stated.
func (c Comparison) MarshalJSON() ([]byte, error) {
	out := struct {
		Chosen   int      `json:"chosen"`
		Rejected int      `json:"rejected"`
		Margin   *float64 `json:"margin,omitempty"`
	}{c.Chosen, c.Rejected, nil}
	if c.Stated() {
		out.Margin = &c.Margin
	}
	return json.Marshal(out)
}

// MarshalJSON implements [json.Marshaler]. A rating that is not stated is null.
func (g Group) MarshalJSON() ([]byte, error) {
	var ratings map[string][]*float64
	for attribute, of := range g.Grades {
		if ratings == nil {
			ratings = map[string][]*float64{}
		}
		values := make([]*float64, len(of))
		for i, x := range of {
			if !math.IsNaN(x) {
				values[i] = &of[i]
			}
		}
		ratings[attribute] = values
	}
	var source *Location
	if g.Source != (Location{}) {
		source = &g.Source
	}
	return json.Marshal(struct {
		ID          string                `json:"id,omitempty"`
		Subset      string                `json:"subset,omitempty"`
		Prompt      []Message             `json:"prompt"`
		Responses   []string              `json:"responses"`
		Comparisons []Comparison          `json:"comparisons,omitempty"`
		Ties        [][2]int              `json:"ties,omitempty"`
		Scores      []float64             `json:"scores,omitempty"`
		Labels      []bool                `json:"labels,omitempty"`
		Attributes  map[string][]*float64 `json:"attributes,omitempty"`
		Source      *Location             `json:"source,omitempty"`
	}{g.ID, g.Subset, g.Prompt, g.Responses, g.Comparisons, g.Ties, g.Scores, g.Labels, ratings,
		source})
}
