package launch

import (
	"context"

	"haf/pref"
	"haf/remote"
	"haf/reward"
)

// A Generation sets what generates responses: a server, or the policy head of a model.
type Generation struct {
	Server remote.Options // without a URL the model generates
	Model  string
	Chat   reward.ChatOptions // how the model reads conversations
	Rows   int                // sequences that the model generates in parallel
	Open   ModelOpener
}

// A Generator is an opened [Generation].
type Generator struct {
	pref.Generator
	Name  string // in the settings of a journal
	Close func()
}

// Generator opens the generator.
func (g Generation) Generator(ctx context.Context) (Generator, error) {
	if g.Server.URL != "" {
		client, err := remote.New(ctx, g.Server)
		if err != nil {
			return Generator{}, err
		}
		return Generator{
			remote.Generator{Client: client}, g.Server.URL + " " + client.Model(), func() {},
		}, nil
	}
	model, err := g.Open(ctx, g.Model, reward.Options{Chat: g.Chat})
	if err != nil {
		return Generator{}, err
	}
	local, err := model.Generator(g.Rows)
	if err != nil {
		model.Close()
		return Generator{}, err
	}
	return Generator{local, model.Dir, func() { local.Close(); model.Close() }}, nil
}
