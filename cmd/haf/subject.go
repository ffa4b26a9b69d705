package main

import (
	"fmt"
	"os"

	"haf/pref"
	"haf/reward"
	"haf/serve"
)

// A subject is what is evaluated: a model opened here, one behind a server, or an ensemble of several.
type subject interface {
	// read reads the named rewards (none: the subject's own choice) of the groups.
	read(a *app, groups []pref.Group, names []string, p *progress) (*reading, error)
	// template names the chat template, "" where that is not known.
	template() string
	Close()
}

// openSubject opens the model that a path or id names, or the client of the server at a URL.
func (a *app) openSubject(named string, opt reward.Options) (subject, error) {
	if serve.IsURL(named) {
		client, err := openClient(named, "", opt)
		return hosted{client}, err
	}
	model, err := a.openModel(named, opt)
	if err != nil {
		return nil, err
	}
	return local{model}, nil
}

// openClient is the client of a model at a URL, with the token of HAF_TOKEN.
func openClient(address, name string, opt reward.Options) (*serve.Client, error) {
	if opt.MaxLength != 0 || opt.Column != nil {
		return nil, fmt.Errorf("%w: -max-length and -column are for models that are opened here, not for one that a server has opened", errUsage)
	}
	client, err := serve.NewClient(address, serve.ClientOptions{Token: os.Getenv("HAF_TOKEN"), Reward: name})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	return client, nil
}

type local struct{ *reward.Model }

func (l local) template() string { return l.Meta.Template.Name }

func (l local) read(a *app, groups []pref.Group, names []string, p *progress) (*reading, error) {
	return read(a, l.Model, groups, names, p)
}

type hosted struct{ client *serve.Client }

func (r hosted) template() string { return "" }
func (r hosted) Close()           {}

func (r hosted) read(a *app, groups []pref.Group, names []string, p *progress) (*reading, error) {
	if len(names) == 0 {
		var err error
		if names, err = r.client.Rewards(a.ctx); err != nil {
			return nil, err
		}
	}
	var samples []pref.Sample
	for _, g := range groups {
		samples = append(samples, g.Samples()...)
	}
	p.Start("scoring", len(samples))
	var scored []serve.Scored
	for from := 0; from < len(samples); from += portion {
		part, err := r.client.Read(a.ctx, samples[from:min(from+portion, len(samples))], names)
		if err != nil {
			p.End()
			return nil, err
		}
		scored = append(scored, part...)
		p.At(len(scored), "")
	}
	p.End()
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
	p.Say("tokens: %s", out.tokens)
	return out, nil
}
