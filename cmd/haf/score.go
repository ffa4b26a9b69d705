package main

import (
	"encoding/json"
	"fmt"

	"haf/pref"
	"haf/reward"
)

type scoreCmd struct {
	Models    []string `arg:"" name:"model" help:"Run or model folder, GGUF file, Hugging Face id or URL of a server; several with -ensemble."`
	Prompt    string   `help:"One prompt."`
	Response  string   `help:"The response to it."`
	In        string   `help:"File of samples, {prompt, response} a line; prompts as text or messages."`
	Reward    string   `help:"score, implicit, implicit-normalized or combined (haf combine). Default: that of the head that was trained."`
	MaxLength int      `name:"max-length" help:"Tokens of prompt and response. Default: as trained."`
	columnFlag
	ensembleFlags
}

// scored is one line of the score command's JSON.
type scored struct {
	pref.Sample
	Reward    float64 `json:"reward"`
	Truncated bool    `json:"truncated,omitempty"` // tokens were cut to fit: the reward is of what was left
}

// Run prints rewards.
func (c *scoreCmd) Run(a *app) error {
	if c.Reward != "" {
		if err := reward.CheckReward(c.Reward); err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
	}
	if err := c.ensembleFlags.check(len(c.Models)); err != nil {
		return err
	}
	var samples []pref.Sample
	switch {
	case c.In != "" && c.Prompt == "" && c.Response == "":
		files, err := a.data([]string{c.In})
		if err != nil {
			return err
		}
		for _, file := range files {
			for s, err := range pref.ReadSamples(file) {
				if err != nil {
					return err
				}
				samples = append(samples, s)
			}
		}
	case c.In == "" && c.Prompt != "" && c.Response != "":
		samples = []pref.Sample{{Prompt: []pref.Message{{Role: pref.User, Content: c.Prompt}}, Response: c.Response}}
	default:
		return fmt.Errorf("%w: give -prompt and -response, or -in FILE", errUsage)
	}
	var all [][]float64
	cut := make([]bool, len(samples)) // by any member
	for _, named := range c.Models {
		rewards, short, err := c.scoreBy(a, named, samples)
		if err != nil {
			return err
		}
		all = append(all, rewards)
		for i := range cut {
			cut[i] = cut[i] || short[i]
		}
	}
	rewards := all[0]
	if c.Ensemble != "" {
		var err error
		if rewards, err = reward.ReduceEnsemble(c.Ensemble, c.Lambda, all); err != nil {
			return err
		}
	}
	return c.print(a, samples, rewards, cut)
}

// print writes the rewards, a line a sample.
func (c *scoreCmd) print(a *app, samples []pref.Sample, rewards []float64, cut []bool) error {
	encoder := json.NewEncoder(a.stdout)
	for i, r := range rewards {
		var err error
		if a.json {
			err = encoder.Encode(scored{samples[i], r, cut[i]})
		} else {
			_, err = fmt.Fprintf(a.stdout, "%.6f\n", r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// scoreBy scores the samples by one model, and says which were cut to fit it.
func (c *scoreCmd) scoreBy(a *app, named string, samples []pref.Sample) (rewards []float64, cut []bool, err error) {
	model, err := a.openSubject(named, reward.Options{MaxLength: c.MaxLength, Column: c.column()})
	if err != nil {
		return nil, nil, err
	}
	defer model.Close()
	s, err := model.scorer(a, c.Reward)
	if err != nil {
		return nil, nil, err
	}
	if rewards, cut, err = scoreAll(a, s, samples); err != nil {
		return nil, nil, err
	}
	s.warn(a, named)
	return rewards, cut, nil
}

// portion is how many samples are scored at a time.
const portion = 256

// scoreAll scores the samples some at a time, to show how far it is.
func scoreAll(a *app, s *scorer, samples []pref.Sample) (rewards []float64, cut []bool, err error) {
	p := newProgress(a.stderr)
	if len(samples) > portion {
		p.Start("scoring", len(samples))
		defer p.End()
	}
	for from := 0; from < len(samples); from += portion {
		part, short, err := s.Read(a.ctx, samples[from:min(from+portion, len(samples))])
		if err != nil {
			return nil, nil, err
		}
		rewards, cut = append(rewards, part...), append(cut, short...)
		if len(samples) > portion {
			p.At(len(rewards), "")
		}
	}
	return rewards, cut, nil
}
