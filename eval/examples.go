package eval

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"

	"haf/pref"
)

// An Example is one comparison with the rewards of its two responses, as a line of the per-example
// file.
type Example struct {
	Model    string         `json:"model,omitempty"`
	Source   pref.Location  `json:"source"`
	ID       string         `json:"id,omitempty"`
	Subset   string         `json:"subset,omitempty"`
	Prompt   []pref.Message `json:"prompt"`
	Chosen   string         `json:"chosen"`
	Rejected string         `json:"rejected"`
	// judged equal: chosen and rejected are in the row's order
	Tied    bool               `json:"tied,omitempty"`
	Rewards map[string]Rewards `json:"rewards"` // by the reward's name
}

// Rewards are those of the two responses; Margin is their difference.
type Rewards struct {
	Chosen   float64 `json:"chosen"`
	Rejected float64 `json:"rejected"`
	Margin   float64 `json:"margin"`
}

// WriteExamples writes a JSON line for every comparison, then for every tie, of every group. The
// rewards are rewards[name][g][k].
func WriteExamples(
	w io.Writer, model string, groups []pref.Group, rewards map[string][][]float64,
) error {
	for name, of := range rewards {
		if err := checkRewards(groups, of, 0); err != nil {
			return fmt.Errorf("eval: %s: %w", name, err)
		}
	}
	buffered := bufio.NewWriter(w)
	encoder := json.NewEncoder(buffered)
	encoder.SetEscapeHTML(false)
	for g, group := range groups {
		write := func(a, b int, tied bool) error {
			e := Example{Model: model, Source: group.Source, ID: group.ID, Subset: group.Subset,
				Prompt: group.Prompt,
				Chosen: group.Responses[a], Rejected: group.Responses[b], Tied: tied,
				Rewards: map[string]Rewards{}}
			for name, of := range rewards {
				e.Rewards[name] = Rewards{of[g][a], of[g][b], of[g][a] - of[g][b]}
			}
			return encoder.Encode(e)
		}
		for _, c := range group.Comparisons {
			if err := write(c.Chosen, c.Rejected, false); err != nil {
				return fmt.Errorf("eval: write examples: %w", err)
			}
		}
		for _, t := range group.Ties {
			if err := write(t[0], t[1], true); err != nil {
				return fmt.Errorf("eval: write examples: %w", err)
			}
		}
	}
	if err := buffered.Flush(); err != nil {
		return fmt.Errorf("eval: write examples: %w", err)
	}
	return nil
}
