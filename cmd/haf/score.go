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
	chatFlags
	ensembleFlags
}

// scored is one line of the score command's JSON.
type scored struct {
	pref.Sample
	Reward    float64 `json:"reward"`
	Variance  float64 `json:"variance,omitempty"`  // of the reward, by a model that predicts it
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
	var variances []float64           // of the one model
	for _, named := range c.Models {
		rewards, of, short, err := c.scoreBy(a, named, samples)
		if err != nil {
			return err
		}
		all, variances = append(all, rewards), of
		for i := range cut {
			cut[i] = cut[i] || short[i]
		}
	}
	rewards := all[0]
	if c.Ensemble != "" {
		var err error
		variances = nil // the reduction has none
		if rewards, err = reward.ReduceEnsemble(c.Ensemble, c.Lambda, all); err != nil {
			return err
		}
	}
	return c.print(a, samples, rewards, variances, cut)
}

// print writes the rewards, a line a sample, with their variances where there are some.
func (c *scoreCmd) print(a *app, samples []pref.Sample, rewards, variances []float64, cut []bool) error {
	encoder := json.NewEncoder(a.stdout)
	for i, r := range rewards {
		var err error
		of := scored{Sample: samples[i], Reward: r, Truncated: cut[i]}
		if variances != nil {
			of.Variance = variances[i]
		}
		switch {
		case a.json:
			err = encoder.Encode(of)
		case variances != nil:
			_, err = fmt.Fprintf(a.stdout, "%.6f\t%.6f\n", r, variances[i])
		default:
			_, err = fmt.Fprintf(a.stdout, "%.6f\n", r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// scoreBy scores the samples by one model, with the variances of its score head's rewards where it predicts them, and says which were cut to fit it.
func (c *scoreCmd) scoreBy(a *app, named string, samples []pref.Sample) (rewards, variances []float64, cut []bool, err error) {
	chat, err := c.chatFlags.options()
	if err != nil {
		return nil, nil, nil, err
	}
	model, err := a.openSubject(named, reward.Options{Chat: chat, MaxLength: c.MaxLength, Column: c.column()})
	if err != nil {
		return nil, nil, nil, err
	}
	defer model.Close()
	s, err := model.scorer(a, c.Reward)
	if err != nil {
		return nil, nil, nil, err
	}
	if rewards, cut, err = scoreAll(a, s, samples); err != nil {
		return nil, nil, nil, err
	}
	s.warn(a, named)
	if here, ok := model.(local); ok && s.of == reward.ByScore && here.HasVariance {
		variances, err = here.Variances(a.ctx, samples)
	}
	return rewards, variances, cut, err
}

// portion is how many samples are scored at a time.
const portion = 256

// scoreAll scores the samples some at a time, to show how far it is.
func scoreAll(a *app, s *scorer, samples []pref.Sample) (rewards []float64, cut []bool, err error) {
	p := newProgress(a.stderr)
	if len(samples) > portion {
		p.StartPhase("scoring", len(samples))
		defer p.EndPhase()
	}
	for from := 0; from < len(samples); from += portion {
		part, short, err := s.Read(a.ctx, samples[from:min(from+portion, len(samples))])
		if err != nil {
			return nil, nil, err
		}
		rewards, cut = append(rewards, part...), append(cut, short...)
		if len(samples) > portion {
			p.Update(len(rewards), "")
		}
	}
	return rewards, cut, nil
}
