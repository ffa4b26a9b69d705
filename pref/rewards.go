package pref

import (
	"fmt"
	"iter"
	"strings"
)

// Precomputed is a row of a file of rewards. They belong to a prompt's responses, or to the data
// row with the same id or the same place in its file.
type Precomputed struct {
	ID        string    // "" if the row has none
	Prompt    []Message // nil if the row has none; then there are no Responses
	Responses []string
	Rewards   []float64 // one or more; as many as Responses, if there are any
	List      bool      // the row has a list of rewards, not one
	Source    Location
}

// ReadRewards yields the rows of a file of rewards, in order: {reward} or {rewards}, alone or with
// an id, or with prompt and response, or with prompt and responses. The key "scores", which haf
// rank writes, has the same meaning as "rewards". Other keys are ignored. Files are as in [Read]. A
// malformed row is an error, which ends the sequence, and so is a file without rows.
func ReadRewards(path string) iter.Seq2[Precomputed, error] {
	return func(yield func(Precomputed, error) bool) {
		n := 0
		for row, err := range fileRows(path) {
			if err != nil {
				yield(Precomputed{}, err)
				return
			}
			n++
			p, err := decodeRewards(row.data)
			p.Source = Location{File: path, Line: row.line}
			if err != nil {
				err = fmt.Errorf("pref: %s: %w", p.Source, row.times.explain(err))
			}
			if !yield(p, err) || err != nil {
				return
			}
		}
		if n == 0 {
			yield(Precomputed{}, fmt.Errorf("pref: %s: %w: no row, want rows {reward} or {rewards}",
				path, ErrEmpty))
		}
	}
}

func decodeRewards(data []byte) (p Precomputed, err error) {
	f, err := rowOf(data, Options{})
	if err != nil {
		return p, err
	}
	if p.ID, err = f.label(idKeys...); err != nil {
		return p, err
	}
	for _, key := range idKeys { // another kind of id would have the rewards found by order
		switch k := kind(f.values[key]); k {
		case "a list", "an object", "a boolean":
			return p, fmt.Errorf("field %q: %s, want text or a number", key, k)
		}
	}
	if p.Rewards, p.List, err = f.rewards(); err != nil || !f.has("prompt") {
		return p, err
	}
	if p.Prompt, err = f.prompt("prompt"); err != nil {
		return p, err
	}
	if len(p.Prompt) == 0 {
		return p, wrong("prompt", "empty, want text or a list of messages")
	}
	if p.Prompt, err = f.context(p.Prompt); err != nil {
		return p, err
	}
	if p.Responses, err = f.answers(p.List); err != nil {
		return p, err
	}
	if len(p.Responses) != len(p.Rewards) {
		return p, fmt.Errorf("the row has %d responses and %d rewards, want a reward of each",
			len(p.Responses), len(p.Rewards))
	}
	return p, nil
}

// answers decodes the one response of a row, or its list of responses.
func (f *fields) answers(list bool) (all []string, err error) {
	if !list {
		one, err := f.answer("response")
		all = []string{one}
		if err != nil {
			return nil, err
		}
	} else {
		raw, err := f.get("responses")
		if err != nil {
			return nil, err
		}
		texts, err := listOf(raw, "responses", "texts")
		if err != nil {
			return nil, err
		}
		for i, text := range texts {
			one, err := f.answerOf(text, fmt.Sprintf("responses[%d]", i))
			if err != nil {
				return nil, err
			}
			all = append(all, one)
		}
	}
	if isTranscriptAt(f, "prompt") {
		for i := range all {
			all[i] = strings.TrimSpace(all[i])
		}
	}
	return all, nil
}

// rewards decodes the one field of a row that has rewards.
func (f *fields) rewards() (rewards []float64, list bool, err error) {
	var found []string
	for _, key := range []string{"reward", "rewards", "scores"} {
		if f.has(key) {
			found = append(found, key)
		}
	}
	if len(found) != 1 {
		return nil, false, fmt.Errorf("the row has the keys %s, want one of reward (a number), "+
			"rewards and scores (lists of numbers)", f.keys())
	}
	key := found[0]
	raw, err := f.get(key)
	if err != nil {
		return nil, false, err
	}
	if key == "reward" {
		x, err := numberOf(raw, key)
		return []float64{x}, false, err
	}
	numbers, err := listOf(raw, key, "numbers")
	if err != nil {
		return nil, true, err
	}
	if len(numbers) == 0 {
		return nil, true, wrong(key, "an empty list, want a reward of each response")
	}
	for i, raw := range numbers {
		x, err := numberOf(raw, fmt.Sprintf("%s[%d]", key, i))
		if err != nil {
			return nil, true, err
		}
		rewards = append(rewards, x)
	}
	return rewards, true, nil
}
