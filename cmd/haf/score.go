package main

import (
	"encoding/json"
	"fmt"
	"slices"

	"haf/pref"
	"haf/reward"
	"haf/serve"
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
	if len(c.Models) > 1 && c.Ensemble == "" {
		return fmt.Errorf("%w: %d models: name one, or make one of them with -ensemble", errUsage, len(c.Models))
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
	if serve.IsURL(named) {
		rewards, cut, err = c.scoreRemote(a, named, samples)
		return rewards, nil, cut, err
	}
	model, err := a.openModel(named, reward.Options{MaxLength: c.MaxLength, Column: c.column()})
	if err != nil {
		return nil, nil, nil, err
	}
	defer model.Close()
	name := c.Reward
	if name == "" {
		name = model.TrainedRewards()[0]
	}
	warnUntrained(a, model, []string{name})
	dir, err := cacheDir("reference")
	if err != nil {
		return nil, nil, nil, err
	}
	scorer, err := model.Scorer(name, dir)
	if err != nil {
		return nil, nil, nil, err
	}
	if rewards, err = scoreAll(a, scorer, samples); err != nil {
		return nil, nil, nil, err
	}
	if name == reward.ByScore && model.HasVariance {
		if variances, err = model.Variances(a.ctx, samples); err != nil {
			return nil, nil, nil, err
		}
	}
	if cut, err = model.Truncated(samples); err != nil {
		return nil, nil, nil, err
	}
	warnTruncated(a, model, cut)
	return rewards, variances, cut, nil
}

// scoreRemote has the samples scored by a server.
func (c *scoreCmd) scoreRemote(a *app, address string, samples []pref.Sample) (rewards []float64, cut []bool, err error) {
	client, err := openClient(address, c.Reward, reward.Options{MaxLength: c.MaxLength, Column: c.column()})
	if err != nil {
		return nil, nil, err
	}
	var names []string
	if c.Reward != "" {
		names = []string{c.Reward}
	}
	scored, err := client.Read(a.ctx, samples, names)
	if err != nil {
		return nil, nil, err
	}
	rewards, cut = make([]float64, len(scored)), make([]bool, len(scored))
	for i, s := range scored {
		rewards[i], cut[i] = s.Reward, s.Truncated
	}
	if n := slices.Index(cut, true); n >= 0 {
		fmt.Fprintf(a.stderr, "haf: warning: the server cut samples to fit its model (the first is number %d): the reward is of what was left\n", n+1)
	}
	return rewards, cut, nil
}

// warnTruncated tells the user of samples that are scored with tokens cut off.
func warnTruncated(a *app, model *reward.Model, cut []bool) {
	first := slices.Index(cut, true)
	if first < 0 {
		return
	}
	n := 0
	for _, c := range cut {
		if c {
			n++
		}
	}
	what := "the beginning of the prompt"
	if model.Meta.Truncation == "response" {
		what = "the end of the response"
	}
	fmt.Fprintf(a.stderr, "haf: warning: of %d of %d samples (the first is number %d) %s was cut to fit %d tokens: the reward is of what was left; -max-length sets another limit\n",
		n, len(cut), first+1, what, model.Meta.MaxLength)
}

// portion is how many samples are scored at a time.
const portion = 256

// scoreAll scores the samples some at a time, to show how far it is.
func scoreAll(a *app, scorer pref.Scorer, samples []pref.Sample) ([]float64, error) {
	p := newProgress(a.stderr)
	if len(samples) > portion {
		p.Start("scoring", len(samples))
		defer p.End()
	}
	rewards := make([]float64, 0, len(samples))
	for from := 0; from < len(samples); from += portion {
		part, err := scorer.Score(a.ctx, samples[from:min(from+portion, len(samples))])
		if err != nil {
			return nil, err
		}
		rewards = append(rewards, part...)
		if len(samples) > portion {
			p.At(len(rewards), "")
		}
	}
	return rewards, nil
}
