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

// scored is one line of the score command's JSON. A conversation that the chat template refuses has the reason in the place of a reward.
type scored struct {
	pref.Sample
	Reward    *float64 `json:"reward"`
	Refused   string   `json:"refused,omitempty"`
	Variance  *float64 `json:"variance,omitempty"`  // of the reward, by a model that predicts it
	Truncated bool     `json:"truncated,omitempty"` // tokens were cut to fit: the reward is of what was left
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
	rows := make([]scored, len(samples))
	for i, s := range samples {
		rows[i].Sample = s
	}
	all := make([][]float64, len(samples)) // of each model
	for _, named := range c.Models {
		if err := c.scoreBy(a, named, rows, all); err != nil {
			return err
		}
	}
	for i := range rows {
		if rows[i].Refused != "" {
			continue
		}
		rows[i].Reward = &all[i][0]
		if c.Ensemble == "" {
			continue
		}
		of := make([][]float64, len(all[i]))
		for m := range of {
			of[m] = all[i][m : m+1]
		}
		reduced, err := reward.ReduceEnsemble(c.Ensemble, c.Lambda, of)
		if err != nil {
			return err
		}
		rows[i].Reward, rows[i].Variance = &reduced[0], nil // the reduction has none
	}
	return c.print(a, rows)
}

// print writes the rewards, a line a sample, with their variances where there are some.
func (c *scoreCmd) print(a *app, rows []scored) error {
	encoder := json.NewEncoder(a.stdout)
	for _, row := range rows {
		var err error
		switch {
		case a.json:
			err = encoder.Encode(row)
		case row.Refused != "":
			_, err = fmt.Fprintln(a.stdout, "refused")
		case row.Variance != nil:
			_, err = fmt.Fprintf(a.stdout, "%.6f\t%.6f\n", *row.Reward, *row.Variance)
		default:
			_, err = fmt.Fprintf(a.stdout, "%.6f\n", *row.Reward)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// scoreBy scores the rows by one model, with the variances of its score head's rewards where it predicts them, and notes which were cut
// to fit it and which its chat template refuses.
func (c *scoreCmd) scoreBy(a *app, named string, rows []scored, all [][]float64) error {
	chat, err := c.chatFlags.options()
	if err != nil {
		return err
	}
	model, err := a.openSubject(named, reward.Options{Chat: chat, MaxLength: c.MaxLength, Column: c.column()})
	if err != nil {
		return err
	}
	defer model.Close()
	s, err := model.scorer(a, c.Reward)
	if err != nil {
		return err
	}
	var taken []int
	var samples []pref.Sample
	for i := range rows {
		if refused := s.Refuses(rows[i].Prompt); refused != nil {
			rows[i].Refused = lastPart(refused)
			continue
		}
		taken, samples = append(taken, i), append(samples, rows[i].Sample)
	}
	switch n := len(rows) - len(taken); {
	case n == len(rows):
		return fmt.Errorf("%s: the chat template refuses every conversation: %s: name another with -template", named, rows[0].Refused)
	case n > 0:
		fmt.Fprintf(a.stderr, "haf: warning: %s: the chat template refuses %d of %d conversations, which have no reward\n", named, n, len(rows))
	}
	rewards, cut, err := scoreAll(a, s, samples)
	if err != nil {
		return err
	}
	s.warn(a, named)
	var variances []float64
	if here, ok := model.(local); ok && s.of == reward.ByScore && here.HasVariance {
		if variances, err = here.Variances(a.ctx, samples); err != nil {
			return err
		}
	}
	for k, i := range taken {
		all[i] = append(all[i], rewards[k])
		rows[i].Truncated = rows[i].Truncated || cut[k]
		if variances != nil {
			rows[i].Variance = &variances[k]
		}
	}
	return nil
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
