package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"haf/backend"
	"haf/eval"
	"haf/pref"
	"haf/recipe"
	"haf/reward"
)

type evalCmd struct {
	Model     string   `arg:"" help:"Run or model folder, or a GGUF file."`
	Data      []string `required:"" help:"Preference file; several are read in order." sep:"none"`
	Format    string   `default:"auto" help:"auto, hh, pairs or groups."`
	First     int      `help:"Only the first N groups."`
	SkipBad   int      `name:"skip-bad" help:"Tolerate this many bad rows."`
	Rewards   []string `help:"score, implicit, implicit-normalized. Default: those of the heads that were trained."`
	Gate      float64  `help:"Exit with code 3 if the first reward's accuracy is below this."`
	HeldOut   bool     `name:"held-out" help:"Leave out the prompts that the run was trained or validated on."`
	MaxLength int      `name:"max-length" help:"Tokens of prompt and longest response. Default: as trained."`
	columnFlag
}

// evalOutput is what -json prints.
type evalOutput struct {
	Model   string                 `json:"model"`
	Data    []string               `json:"data"`
	Read    string                 `json:"read"`
	Tokens  string                 `json:"tokens"`
	Rewards map[string]eval.Result `json:"rewards"`
}

// Run evaluates the model's rewards on preferences.
func (c *evalCmd) Run(a *app) error {
	if !(c.Gate >= 0 && c.Gate <= 1) {
		return fmt.Errorf("%w: -gate %g, wanted an accuracy from 0 to 1", errUsage, c.Gate)
	}
	for _, name := range c.Rewards {
		if err := reward.CheckReward(name); err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
	}
	groups, counts, err := pref.Load(c.Data, pref.Options{Format: c.Format, First: c.First, SkipBad: c.SkipBad})
	if err != nil {
		return err
	}
	if c.HeldOut {
		if groups, err = recipe.HeldOut(c.Model, groups); err != nil {
			return err
		}
	}
	device, err := a.openDevice()
	if err != nil {
		return err
	}
	model, err := a.openModel(device, c.Model, reward.Options{MaxLength: c.MaxLength, Column: c.column()})
	if err != nil {
		return err
	}
	defer model.Close()
	p := newProgress(a.stderr)
	p.Say("data: %s", counts)
	if c.HeldOut {
		p.Say("held out: %d groups whose prompt the run has not seen", len(groups))
	}
	out, names, err := evaluate(a, model, groups, c.Rewards, p)
	if err != nil {
		return err
	}
	out.Model, out.Data, out.Read = c.Model, c.Data, counts.String()
	if a.json {
		if err := printJSON(a, out); err != nil {
			return err
		}
	} else {
		rows := make([]eval.Row, len(names))
		for i, name := range names {
			rows[i] = eval.Row{Name: name, Result: out.Rewards[name]}
		}
		if err := eval.Table(a.stdout, rows); err != nil {
			return err
		}
	}
	if got := out.Rewards[names[0]].Accuracy; got < c.Gate {
		return fmt.Errorf("accuracy %.4f of %s is below the gate %.4f: %w", got, names[0], c.Gate, errGate)
	}
	return nil
}

// evaluate reads the named rewards (none: those of the trained heads) of the groups.
func evaluate(a *app, model *reward.Model, groups []pref.Group, names []string, p *progress) (evalOutput, []string, error) {
	out := evalOutput{Rewards: map[string]eval.Result{}}
	if len(names) == 0 {
		names = model.TrainedRewards()
	}
	warnUntrained(a, model, names)
	encoded, report, err := model.Encoder.Groups(groups)
	if err != nil {
		return out, nil, err
	}
	out.Tokens = report.String()
	p.Say("tokens: %s", report)
	dir, err := cacheDir("reference")
	if err != nil {
		return out, nil, err
	}
	pass := ""
	rewards, err := model.Rewards(a.ctx, encoded, names, dir, func(at string, done, total int) {
		if at != pass {
			p.End()
			p.Start(at, total)
			pass = at
		}
		p.At(done, "")
	})
	p.End()
	if err != nil {
		return out, nil, err
	}
	texts := recipe.Aligned(groups, encoded)
	for _, name := range names {
		if out.Rewards[name], err = eval.Comparisons(texts, rewards[name]); err != nil {
			return out, nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return out, names, nil
}

// warnUntrained says if a reward is read from a score head that is zero: it ties every comparison.
func warnUntrained(a *app, model *reward.Model, names []string) {
	if model.FreshHead && slices.Contains(names, reward.ByScore) {
		fmt.Fprintf(a.stderr, "haf: warning: the score head of %s is zero, so every score is 0: it was never trained (a base model, or reward_weight 0)\n", model.Dir)
	}
}

func printJSON(a *app, v any) error {
	encoder := json.NewEncoder(a.stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

// cacheDir is haf's folder of that name in the user's cache.
func cacheDir(name string) (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache folder: %w; set XDG_CACHE_HOME or HOME", err)
	}
	return filepath.Join(dir, "haf", name), nil
}

type scoreCmd struct {
	Model     string `arg:"" help:"Run or model folder, or a GGUF file."`
	Prompt    string `help:"One prompt."`
	Response  string `help:"The response to it."`
	In        string `help:"File of samples, {prompt, response} a line; prompts as text or messages."`
	Reward    string `help:"score, implicit or implicit-normalized. Default: that of the head that was trained."`
	MaxLength int    `name:"max-length" help:"Tokens of prompt and response. Default: as trained."`
	columnFlag
}

// scored is one line of the score command's JSON.
type scored struct {
	pref.Sample
	Reward float64 `json:"reward"`
}

// Run prints rewards.
func (c *scoreCmd) Run(a *app) error {
	var samples []pref.Sample
	switch {
	case c.In != "" && c.Prompt == "" && c.Response == "":
		for s, err := range pref.ReadSamples(c.In) {
			if err != nil {
				return err
			}
			samples = append(samples, s)
		}
	case c.In == "" && c.Prompt != "" && c.Response != "":
		samples = []pref.Sample{{Prompt: []pref.Message{{Role: pref.User, Content: c.Prompt}}, Response: c.Response}}
	default:
		return fmt.Errorf("%w: give -prompt and -response, or -in FILE", errUsage)
	}
	device, err := a.openDevice()
	if err != nil {
		return err
	}
	model, err := a.openModel(device, c.Model, reward.Options{MaxLength: c.MaxLength, Column: c.column()})
	if err != nil {
		return err
	}
	defer model.Close()
	name := c.Reward
	if name == "" {
		name = model.TrainedRewards()[0]
	}
	warnUntrained(a, model, []string{name})
	dir, err := cacheDir("reference")
	if err != nil {
		return err
	}
	scorer, err := model.Scorer(name, dir)
	if err != nil {
		return err
	}
	rewards, err := scoreAll(a, scorer, samples)
	if err != nil {
		return err
	}
	encoder := json.NewEncoder(a.stdout)
	for i, r := range rewards {
		if a.json {
			err = encoder.Encode(scored{samples[i], r})
		} else {
			_, err = fmt.Fprintf(a.stdout, "%.6f\n", r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// scoreAll scores the samples some at a time, to show how far it is.
func scoreAll(a *app, scorer pref.Scorer, samples []pref.Sample) ([]float64, error) {
	const portion = 256
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

type mergeCmd struct {
	Model string `arg:"" help:"Run or adapter folder."`
	Out   string `required:"" help:"New folder for the merged model."`
	columnFlag
}

// Run merges an adapter.
func (c *mergeCmd) Run(a *app) error {
	device, err := backend.Open("go") // nothing is computed on the device
	if err != nil {
		return err
	}
	model, err := a.openModel(device, c.Model, reward.Options{Column: c.column()})
	if err != nil {
		return err
	}
	defer model.Close()
	if model.Adapter() == nil && !model.Merged {
		return fmt.Errorf("%s has no adapter to merge: its weights are whole, use %s as it is", c.Model, model.Dir)
	}
	if err := model.SaveMerged(c.Out); err != nil {
		return err
	}
	if a.json {
		return printJSON(a, map[string]string{"model": c.Out})
	}
	fmt.Fprintf(a.stderr, "done: the merged model is in %s\n", c.Out)
	return nil
}
