package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"

	"haf/pref"
	"haf/reward"
	"haf/rewarder"
)

type scoreCmd struct {
	Models    []string `arg:"" name:"model" help:"Run or model folder, GGUF file, Hugging Face id or URL of a server; several with -ensemble."`
	Prompt    string   `help:"One prompt."`
	Response  string   `help:"The response to it."`
	In        string   `help:"File of samples, {prompt, response} a line; prompts as text or messages."`
	Reward    string   `help:"score, implicit, implicit-normalized or combined (haf combine). Default: that of the head that was trained."`
	MaxLength int      `name:"max-length" help:"Tokens of prompt and response. Default: as trained."`
	readFlags
}

// scored is one line of the score command's JSON. A conversation that the chat template refuses has
// the reason in the place of a reward.
type scored struct {
	pref.Sample
	Reward   *float64 `json:"reward"`
	Refused  string   `json:"refused,omitempty"`
	Variance *float64 `json:"variance,omitempty"` // of the reward, by a model that predicts it
	// tokens were cut to fit: the reward is of what was left
	Truncated bool `json:"truncated,omitempty"`
}

// scoreBatch is how many samples are scored at a time.
const scoreBatch = 256

// Run prints rewards.
func (c *scoreCmd) Run(a *app) error {
	if err := c.check(c.Models, c.Reward); err != nil {
		return err
	}
	samples, err := c.samples(a)
	if err != nil {
		return err
	}
	r, err := c.open(a, c.Models, reading{Options: reward.Options{MaxLength: c.MaxLength},
		once: true, batch: scoreBatch})
	if err != nil {
		return err
	}
	rows, err := c.score(a, r, samples)
	if err = closed(r, err); err != nil {
		return err
	}
	for _, row := range rows {
		if err := row.print(a); err != nil {
			return err
		}
	}
	return nil
}

// samples are those of the flags.
func (c *scoreCmd) samples(a *app) ([]pref.Sample, error) {
	switch {
	case c.In != "" && c.Prompt == "" && c.Response == "":
		return a.samples(c.In)
	case c.In == "" && c.Prompt != "" && c.Response != "":
		return []pref.Sample{{Prompt: []pref.Message{{Role: pref.User, Content: c.Prompt}},
			Response: c.Response}}, nil
	}
	return nil, fmt.Errorf("%w: give -prompt and -response, or -in FILE", errUsage)
}

// samples reads the samples of a file.
func (a *app) samples(named string) ([]pref.Sample, error) {
	files, err := a.data([]string{named})
	if err != nil {
		return nil, err
	}
	var samples []pref.Sample
	for _, file := range files {
		if samples, err = appended(samples, pref.ReadSamples(file)); err != nil {
			return nil, err
		}
	}
	return samples, nil
}

func appended[T any](to []T, from iter.Seq2[T, error]) ([]T, error) {
	for x, err := range from {
		if err != nil {
			return nil, err
		}
		to = append(to, x)
	}
	return to, nil
}

// score reads the samples' rewards, with the variances of its score head's rewards where one model
// predicts them.
func (c *scoreCmd) score(a *app, r pref.Rewarder, samples []pref.Sample) ([]scored, error) {
	read, err := r.Read(a.ctx, rewarder.Alone(samples), []string{c.Reward})
	if err != nil {
		return nil, err
	}
	name := c.name(c.Models)
	switch n := len(read.Refused); {
	case n > 0 && n == len(samples):
		return nil, fmt.Errorf("%s: no conversation can be read; the first: %s", name, rewarder.Reason(read.Refused[0]))
	case n > 0:
		first := slices.Min(slices.Collect(maps.Keys(read.Refused)))
		fmt.Fprintf(a.stderr, "haf: warning: %s: %d of %d conversations cannot be read and have no reward; the first, number %d: %s\n",
			name, n, len(samples), first+1, rewarder.Reason(read.Refused[first]))
	}
	var cut rewarder.Truncation
	cut.Add(read)
	a.warn(name, cut)
	rows := make([]scored, len(samples))
	for i, s := range samples {
		rows[i].Sample = s
		if refused := read.Refused[i]; refused != nil {
			rows[i].Refused = rewarder.Reason(refused)
		}
	}
	var accepted []pref.Sample
	for i, index := range read.Index {
		rows[index].Reward, rows[index].Truncated = &read.Rewards[c.Reward][i][0],
			read.Truncated[i][0]
		accepted = append(accepted, samples[index])
	}
	here, ok := r.(*reward.Reader)
	if !ok || !here.Model().HasVariance || cmp.Or(c.Reward, here.Rewards()[0]) != reward.ByScore {
		return rows, nil
	}
	variances, err := here.Model().Variances(a.ctx, accepted)
	if err != nil {
		return nil, err
	}
	for i, index := range read.Index {
		rows[index].Variance = &variances[i]
	}
	return rows, nil
}

// print writes the reward as a line, with its variance where there is one.
func (row scored) print(a *app) error {
	var err error
	switch {
	case a.json:
		err = json.NewEncoder(a.stdout).Encode(row)
	case row.Refused != "":
		_, err = fmt.Fprintln(a.stdout, "refused")
	case row.Variance != nil:
		_, err = fmt.Fprintf(a.stdout, "%.6f\t%.6f\n", *row.Reward, *row.Variance)
	default:
		_, err = fmt.Fprintf(a.stdout, "%.6f\n", *row.Reward)
	}
	return err
}
