package main

import (
	"encoding/json"
	"errors"
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
	Model     string   `arg:"" help:"Run or model folder."`
	Data      []string `required:"" help:"Preference file; several are read in order." sep:"none"`
	Format    string   `default:"auto" help:"auto, hh, pairs or groups."`
	First     int      `help:"Only the first N groups."`
	SkipBad   int      `name:"skip-bad" help:"Tolerate this many bad rows."`
	Rewards   []string `help:"score, implicit, implicit-normalized. Default: those of the heads that were trained."`
	Gate      float64  `help:"Exit with code 3 if the first reward's accuracy is below this."`
	HeldOut   bool     `name:"held-out" help:"Leave out the prompts that the run was trained or validated on."`
	MaxLength int      `name:"max-length" help:"Tokens of prompt and longest response. Default: as trained."`
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
	model, err := reward.Open(device, c.Model, reward.Options{MaxLength: c.MaxLength})
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
	for _, name := range names {
		if !slices.Contains([]string{reward.ByScore, reward.ByImplicit, reward.ByNormalized}, name) {
			return out, nil, fmt.Errorf("reward %q is not known: %s, %s or %s", name, reward.ByScore, reward.ByImplicit, reward.ByNormalized)
		}
	}
	encoded, report, err := model.Encoder.Groups(groups)
	if err != nil {
		return out, nil, err
	}
	out.Tokens = report.String()
	p.Say("tokens: %s", report)
	var reference *reward.Reference
	if names[0] != reward.ByScore || len(names) > 1 {
		dir, err := cacheDir("reference")
		if err != nil {
			return out, nil, err
		}
		if reference, err = model.Reference(dir); err != nil {
			return out, nil, err
		}
	}
	p.Start("scoring", len(encoded))
	rewards, err := model.Rewards(a.ctx, encoded, reference, func(done, total int) { p.At(done, "") })
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
	Model    string `arg:"" help:"Run or model folder."`
	Prompt   string `help:"One prompt."`
	Response string `help:"The response to it."`
	In       string `help:"File of samples, {prompt, response} a line; prompts as text or messages."`
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
		return errors.New("give -prompt and -response, or -in FILE")
	}
	device, err := a.openDevice()
	if err != nil {
		return err
	}
	model, err := reward.Open(device, c.Model, reward.Options{})
	if err != nil {
		return err
	}
	defer model.Close()
	rewards, err := model.Score(a.ctx, samples)
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

type mergeCmd struct {
	Model string `arg:"" help:"Run or adapter folder."`
	Out   string `required:"" help:"New folder for the merged model."`
}

// Run merges an adapter.
func (c *mergeCmd) Run(a *app) error {
	device, err := backend.Open("go") // nothing is computed on the device
	if err != nil {
		return err
	}
	model, err := reward.Open(device, c.Model, reward.Options{})
	if err != nil {
		return err
	}
	defer model.Close()
	if model.Adapter() == nil {
		return fmt.Errorf("%s has no adapter to merge", c.Model)
	}
	return model.SaveMerged(c.Out)
}
