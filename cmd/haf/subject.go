package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"haf/hub"
	"haf/pref"
	"haf/reward"
	"haf/run"
	"haf/serve"
)

// A subject is what gives rewards: a model opened here, one behind a server, or an ensemble of several.
type subject interface {
	// read reads the named rewards (none: the subject's own choice) of the groups.
	read(a *app, groups []pref.Group, names []string, p *progress) (*reading, error)
	// scorer is the named reward ("": the subject's own choice) of samples as they come.
	scorer(a *app, name string) (*scorer, error)
	// template names the chat template, "" where that is not known.
	template() string
	Close()
}

// openSubject opens the model that a path or id names, or the client of the server at a URL.
func (a *app) openSubject(named string, opt reward.Options) (subject, error) {
	if serve.IsURL(named) {
		client, err := openClient(named, opt, 0)
		if err != nil {
			return nil, err
		}
		return hosted{client, named}, nil
	}
	model, err := a.openModel(named, opt)
	if err != nil {
		return nil, err
	}
	return local{model}, nil
}

// openClient is the client of a model at a URL, with the token of HAF_TOKEN; tries is how often it asks, 0 is its default.
func openClient(address string, opt reward.Options, tries int) (*serve.Client, error) {
	chat := opt.Chat
	if opt.MaxLength != 0 || opt.Column != "" || chat.Template+chat.Date+chat.Read+chat.BOS != "" || chat.Args != nil {
		return nil, fmt.Errorf("%w: -max-length, -column, -template, -template-arg, -date, -read and -bos "+
			"are for models that are opened here, not for one that a server has opened", errUsage)
	}
	client, err := serve.NewClient(address, serve.ClientOptions{Token: os.Getenv("HAF_TOKEN"), Tries: tries})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	return client, nil
}

// reach looks whether the named models are there, before minutes go into other work: files on disk, ids on the hub, which are fetched,
// and servers that answer.
func (a *app) reach(named ...string) error {
	client, err := a.hub()
	if err != nil {
		return err
	}
	for _, name := range named {
		if !serve.IsURL(name) {
			err = there(a, client, name)
		} else if server, failed := openClient(name, reward.Options{}, 3); failed != nil {
			err = failed
		} else {
			_, _, err = hosted{server, name}.served(a)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func there(a *app, client *hub.Client, name string) error {
	model, err := client.Model(a.ctx, name)
	if err != nil {
		return err
	}
	if _, err := os.Stat(model.Paths[0]); err != nil {
		return fmt.Errorf("%s: %w: a reward model is a folder, a GGUF file, an ORG/NAME of the hub or the URL of a server", name, err)
	}
	return nil
}

type local struct{ *reward.Model }

func (l local) template() string { return l.Meta.Template.Name }

func (l local) read(a *app, groups []pref.Group, names []string, p *progress) (*reading, error) {
	return read(a, l.Model, groups, names, p)
}

func (l local) scorer(a *app, name string) (*scorer, error) {
	if name == "" {
		name = l.TrainedRewards()[0]
	}
	warnUntrained(a, l.Model, []string{name})
	dir, err := cacheDir("reference")
	if err != nil {
		return nil, err
	}
	by, err := l.Scorer(name, dir)
	if err != nil {
		return nil, err
	}
	what := "the beginning of the prompt"
	if l.Meta.Truncation == "response" {
		what = "the end of the response"
	}
	return &scorer{
		refuses: l.Refuses,
		of:      name, file: run.ModelFile{Path: l.Dir}, limit: fmt.Sprintf("%s was cut to fit %d tokens", what, l.Meta.MaxLength),
		read: func(ctx context.Context, samples []pref.Sample) ([]float64, []bool, error) {
			rewards, err := by.Score(ctx, samples)
			if err != nil {
				return nil, nil, err
			}
			cut, err := l.Truncated(samples)
			return rewards, cut, err
		},
	}, nil
}

type hosted struct {
	client  *serve.Client
	address string
}

func (r hosted) template() string { return "" }
func (r hosted) Close()           {}

// served asks the server for its model's name and rewards, the default first.
func (r hosted) served(a *app) (model string, rewards []string, err error) {
	model, rewards, err = r.client.Served(a.ctx)
	if err == nil && len(rewards) == 0 {
		err = fmt.Errorf("%s: the model %s is not ready: ask again when /readyz answers 200", r.address, model)
	}
	return model, rewards, r.explain(err)
}

// explain adds the next move where the server refused the token or there was none.
func (r hosted) explain(err error) error {
	switch {
	case errors.Is(err, serve.ErrToken):
		return fmt.Errorf("%s: %w; haf sends the token that is in HAF_TOKEN", r.address, err)
	case errors.Is(err, serve.ErrNoAnswer):
		return fmt.Errorf("%s: %w: is haf serve running there?", r.address, err)
	}
	return err
}

func (r hosted) scorer(a *app, name string) (*scorer, error) {
	model, names, err := r.served(a)
	if err != nil {
		return nil, err
	}
	if name == "" {
		name = names[0]
	}
	if !slices.Contains(names, name) {
		return nil, fmt.Errorf("%s serves the rewards %s of its model, %q is none of them", r.address, strings.Join(names, ", "), name)
	}
	return &scorer{
		of: name, file: run.ModelFile{Path: r.address, Served: fmt.Sprintf("reward %s of %s", name, model)}, limit: "something was cut by the server to fit its model",
		read: func(ctx context.Context, samples []pref.Sample) ([]float64, []bool, error) {
			scored, err := r.client.Read(ctx, samples, []string{name})
			if err != nil {
				return nil, nil, r.explain(err)
			}
			rewards, cut := make([]float64, len(scored)), make([]bool, len(scored))
			for i, s := range scored {
				rewards[i], cut[i] = s.Rewards[name], s.Truncated
			}
			return rewards, cut, nil
		},
	}, nil
}

func (r hosted) read(a *app, groups []pref.Group, names []string, p *progress) (*reading, error) {
	if len(names) == 0 {
		var err error
		if _, names, err = r.served(a); err != nil {
			return nil, err
		}
	}
	var samples []pref.Sample
	for _, g := range groups {
		samples = append(samples, g.Samples()...)
	}
	p.StartPhase("scoring", len(samples))
	var scored []serve.Scored
	for from := 0; from < len(samples); from += portion {
		part, err := r.client.Read(a.ctx, samples[from:min(from+portion, len(samples))], names)
		if err != nil {
			p.EndPhase()
			return nil, r.explain(err)
		}
		scored = append(scored, part...)
		p.Update(len(scored), "")
	}
	p.EndPhase()
	out := &reading{groups: groups, names: names, rewards: map[string][][]float64{}}
	truncated := 0
	for i, g := range groups {
		out.index = append(out.index, i)
		for k := range g.Responses {
			if scored[k].Truncated {
				truncated++
			}
		}
		for _, name := range names {
			rewards := make([]float64, len(g.Responses))
			for k := range rewards {
				rewards[k] = scored[k].Rewards[name]
			}
			out.rewards[name] = append(out.rewards[name], rewards)
		}
		scored = scored[len(g.Responses):]
	}
	out.tokens = fmt.Sprintf("%d responses as the server reads them, %d of them cut to fit", len(samples), truncated)
	p.Logf("tokens: %s", out.tokens)
	return out, nil
}
