package curate

import (
	"context"
	"fmt"

	"haf/eval"
	"haf/pref"
)

// A Ranked row is a prompt with its samples and their rewards. Readers of preferences read it as a
// group of scores.
type Ranked struct {
	Prompt    []pref.Message `json:"prompt"`
	Responses []string       `json:"responses"`
	Scores    []float64      `json:"scores"`
	Best      int            `json:"best"` // index of the highest reward, of equal ones the first
	Gold      []float64      `json:"gold,omitempty"`
	// How the samples were made; empty for samples read from a file.
	Finish       []string  `json:"finish,omitempty"`
	Tokens       []int     `json:"tokens,omitempty"`
	LogP         []float64 `json:"logp,omitempty"`
	Temperatures []float64 `json:"temperatures,omitempty"` // sampling temperatures
}

// Rank scores the samples of each prompt, and also by gold unless it is nil.
func Rank(
	ctx context.Context, samples [][]Sample, scorer, gold pref.Scorer, progress func(done, total int),
) ([]Ranked, error) {
	rows := make([]Ranked, len(samples))
	for i, of := range samples {
		row := &rows[i]
		for _, s := range of {
			row.Prompt = s.Prompt
			row.Responses = append(row.Responses, s.Text)
			if s.Finish != "" {
				row.Finish, row.Tokens = append(row.Finish, s.Finish), append(row.Tokens, s.Tokens)
				row.LogP, row.Temperatures = append(row.LogP, s.LogP), append(row.Temperatures, s.Temperature)
			}
		}
	}
	score := func(by pref.Scorer, at func(*Ranked) *[]float64, before int) error {
		const portion = 32 // prompts per call, because a scorer packs within one call
		for from := 0; from < len(rows); from += portion {
			part := rows[from:min(from+portion, len(rows))]
			var flat []pref.Sample
			for _, row := range part {
				flat = append(flat, pref.Group{Prompt: row.Prompt, Responses: row.Responses}.Samples()...)
			}
			rewards, err := scoreAll(ctx, by, flat)
			if err != nil {
				return err
			}
			for i := range part {
				n := len(part[i].Responses)
				*at(&part[i]), rewards = rewards[:n:n], rewards[n:]
			}
			if progress != nil {
				passes := 1
				if gold != nil {
					passes = 2
				}
				progress(before+from+len(part), passes*len(rows))
			}
		}
		return nil
	}
	if err := score(scorer, func(r *Ranked) *[]float64 { return &r.Scores }, 0); err != nil {
		return nil, fmt.Errorf("curate: scoring the samples: %w", err)
	}
	if gold != nil {
		if err := score(gold, func(r *Ranked) *[]float64 { return &r.Gold }, len(rows)); err != nil {
			return nil, fmt.Errorf("curate: scoring the samples by gold: %w", err)
		}
	}
	for i := range rows {
		for k, r := range rows[i].Scores {
			if r > rows[i].Scores[rows[i].Best] {
				rows[i].Best = k
			}
		}
	}
	return rows, nil
}

// scoreAll scores samples and checks the number and the values of the rewards.
func scoreAll(ctx context.Context, scorer pref.Scorer, samples []pref.Sample) ([]float64, error) {
	rewards, err := scorer.Score(ctx, samples)
	if err != nil {
		return nil, err
	}
	if len(rewards) != len(samples) {
		return nil, fmt.Errorf("the scorer gave %d rewards for %d samples", len(rewards), len(samples))
	}
	for i, r := range rewards {
		if r-r != 0 {
			return nil, fmt.Errorf("the reward of sample %d is %v, want a number", i+1, r)
		}
	}
	return rewards, nil
}

// Measure returns the best-of-n curve of ranked rows. With gold rewards it also returns how often
// the sample with the highest gold reward is among the k with the highest rewards.
func Measure(rows []Ranked) (curve []eval.BestOf, recall *eval.Recall, err error) {
	var rewards, gold [][]float64
	var groups []pref.Group
	for _, r := range rows {
		rewards = append(rewards, r.Scores)
		groups = append(groups, pref.Group{Prompt: r.Prompt, Responses: r.Responses})
		if r.Gold != nil {
			gold = append(gold, r.Gold)
		}
	}
	if curve, err = eval.BestOfN(rewards, gold); err != nil || gold == nil {
		return curve, nil, err
	}
	recall, err = Recall(groups, rewards, gold, len(curve))
	return curve, recall, err
}

// Recall returns how often the response with the highest gold reward is among the k with the
// highest rewards, for k from 1 to most. It returns nil if no group has a single best response by
// gold.
func Recall(groups []pref.Group, rewards, gold [][]float64, most int) (*eval.Recall, error) {
	of := GoldGroups(groups, gold)
	for _, g := range of {
		if len(g.Comparisons) > 0 {
			r, err := eval.TopK(of, rewards, most)
			return &r, err
		}
	}
	return nil, nil
}

// ReadSamples reads files of {prompt, response} rows and groups those with the same prompt.
// Options.Limit, if not 0, is the number of prompts to take.
func ReadSamples(paths []string, opt pref.Options) ([][]Sample, error) {
	var out [][]Sample
	at := map[pref.PromptKey]int{}
	for _, path := range paths {
		for s, err := range pref.ReadSamples(path, opt) {
			if err != nil {
				return nil, err
			}
			key := pref.Group{Prompt: s.Prompt}.PromptKey()
			i, ok := at[key]
			if !ok {
				if opt.Limit > 0 && len(out) == opt.Limit {
					continue
				}
				i = len(out)
				at[key] = i
				out = append(out, nil)
			}
			out[i] = append(out[i], Sample{Prompt: s.Prompt, Sample: len(out[i]),
				Generated: pref.Generated{Text: s.Response}})
		}
	}
	return out, nil
}
