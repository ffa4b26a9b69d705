package source

import (
	"context"
	"errors"
	"fmt"

	"haf/pref"
	"haf/serve"
)

// Options say how sources are opened. No secret of them is logged or written to a file.
type Options struct {
	// Model opens a model on this machine, by its path or its id on the hub.
	Model func(ctx context.Context, name string) (pref.Rewarder, error)
	// FindModel returns an error unless the model is there. It may fetch the model.
	FindModel func(ctx context.Context, name string) error
	// ModelSettings says that settings are given which only a model that is opened here has, such
	// as a chat template. Other sources refuse them.
	ModelSettings bool

	Token string // bearer token for haf serve; "" is none
	// Log, if not nil, is told what became of groups, and of retries.
	Log func(format string, args ...any)
	// Progress, if not nil, is told how many responses are read.
	Progress func(pass string, done, total int)

	tries int // of one request to a server; 0 is the default
}

// Open opens the source of a name.
func Open(ctx context.Context, name string, opt Options) (pref.Rewarder, error) {
	s, err := Parse(name)
	if err != nil {
		return nil, err
	}
	return s.open(ctx, opt)
}

func (s Source) open(ctx context.Context, opt Options) (pref.Rewarder, error) {
	if opt.ModelSettings && len(s.scheme.prefixes) > 0 {
		return nil, fmt.Errorf("%w: %s: -max-length, -column, -template, -template-arg, -date, "+
			"-read and -bos are for models that are opened here, not for one that a server has "+
			"opened", ErrName, s.Name)
	}
	return s.scheme.open(ctx, s, opt)
}

// reachTries is how often a server is asked whether it is there.
const reachTries = 3

// Reach returns an error unless the source of a name is there, such as a server that answers. It is
// for callers that would spend minutes on other work first. It ignores Options.ModelSettings.
func Reach(ctx context.Context, name string, opt Options) error {
	s, err := Parse(name)
	if err != nil {
		return err
	}
	if s.scheme.reach != nil {
		return s.scheme.reach(ctx, s, opt)
	}
	opt.ModelSettings, opt.Progress, opt.tries = false, nil, reachTries
	r, err := s.open(ctx, opt)
	if err != nil {
		return err
	}
	return r.Close()
}

// Served describes the named reward of an opened source as a manifest has it. It is "" for a model
// that is opened here, of which a manifest has the hash.
func Served(r pref.Rewarder, reward string) string {
	if remote, ok := r.(*serve.Remote); ok {
		return fmt.Sprintf("reward %s of %s", reward, remote.Model())
	}
	return ""
}

func openModel(ctx context.Context, s Source, opt Options) (pref.Rewarder, error) {
	if opt.Model == nil {
		return nil, fmt.Errorf("source: %s: %w", s.Name, errNoModels)
	}
	return opt.Model(ctx, s.Address)
}

func reachModel(ctx context.Context, s Source, opt Options) error {
	if opt.FindModel == nil {
		return fmt.Errorf("source: %s: %w", s.Name, errNoModels)
	}
	return opt.FindModel(ctx, s.Address)
}

var errNoModels = errors.New("the caller opens no models, wanted a server")

func checkServer(address string) error {
	_, err := serve.NewClient(address, serve.ClientOptions{})
	return err
}

// openServer connects to haf serve.
func openServer(ctx context.Context, s Source, opt Options) (pref.Rewarder, error) {
	client, err := serve.NewClient(s.Address, serve.ClientOptions{Token: opt.Token, Tries: opt.tries})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrName, err)
	}
	return client.Connect(ctx, serve.RemoteOptions{Log: opt.Log, Progress: opt.Progress})
}
