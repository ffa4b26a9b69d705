package source

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"haf/pref"
	"haf/remote"
	"haf/serve"
)

// Options set how sources are opened. Their secrets are never logged or written to a file.
type Options struct {
	// Model opens a local model, by its path or its id on the hub.
	Model func(ctx context.Context, name string) (pref.Rewarder, error)
	// FindModel returns an error unless the model exists. It may fetch the model.
	FindModel func(ctx context.Context, name string) error
	// Tokenizer opens the renderer of conversations for programs that accept no messages; nil: the
	// user named none.
	Tokenizer func(ctx context.Context) (Renderer, error)
	// ModelSettings says that settings for local models are given, such as the length, and
	// TemplateSettings that settings for a chat template are. Sources without a use for them refuse
	// them.
	ModelSettings, TemplateSettings bool
	// JudgePrompt is the file with a judge's prompt.
	JudgePrompt string

	Token string // bearer token for haf serve; "" is none
	Key   string // bearer token for servers of other programs; "" is none
	// JudgeKey is the bearer token for the server of a judge; "" is none.
	JudgeKey string
	// Concurrency is the number of concurrent requests per server; 0 is 8.
	Concurrency int
	// Timeout is the longest wait for one answer; 0 is two minutes.
	Timeout time.Duration
	// Log, if not nil, gets lines about groups that were cut or refused, and about retries.
	Log func(format string, args ...any)
	// Progress, if not nil, gets the number of responses read.
	Progress func(pass string, done, total int)

	Tries int // attempts per request to a server; 0 is the default
}

// concurrency is the number of concurrent requests per server.
func (opt Options) concurrency() int {
	if opt.Concurrency < 1 {
		return 8
	}
	return opt.Concurrency
}

// retries is the number of retries in the form of remote.Options: 0 is the default, negative none.
func (opt Options) retries() int {
	if opt.Tries == 1 {
		return -1
	}
	return max(0, opt.Tries-1)
}

// client returns a client for a server of another program.
func (opt Options) client(base string) (*remote.Client, error) {
	return remote.Dial(opt.remote(base))
}

// remote returns the settings of a client.
func (opt Options) remote(base string) remote.Options {
	settings := remote.Options{
		URL: base, Key: opt.Key, Concurrency: opt.concurrency(), Timeout: opt.Timeout,
		Retries: opt.retries(),
	}
	if opt.Log != nil {
		settings.Say = func(line string) { opt.Log("%s", line) }
	}
	return settings
}

// Open opens the source with that name.
func Open(ctx context.Context, name string, opt Options) (pref.Rewarder, error) {
	s, err := Parse(name)
	if err != nil {
		return nil, err
	}
	return s.open(ctx, opt)
}

func (s Source) open(ctx context.Context, opt Options) (pref.Rewarder, error) {
	here := len(s.scheme.prefixes) == 0
	if !here && (opt.ModelSettings || opt.TemplateSettings && !s.scheme.renders) {
		return nil, fmt.Errorf("%w: %s: -max-length, -column, -dtype, -template, -template-arg, -date, "+
			"-read and -bos are for models that are opened here, not for other sources", ErrName,
			s.Name)
	}
	return s.scheme.open(ctx, s, opt)
}

// reachTries is the number of attempts to reach a server.
const reachTries = 3

// Reach returns an error if the source with that name is unavailable, for example because the
// server does not answer. Callers use it before work that takes minutes. It ignores
// Options.ModelSettings.
func Reach(ctx context.Context, name string, opt Options) error {
	s, err := Parse(name)
	if err != nil {
		return err
	}
	if s.scheme.reach != nil {
		return s.scheme.reach(ctx, s, opt)
	}
	opt.ModelSettings, opt.TemplateSettings = false, false
	opt.Progress, opt.Tries = nil, reachTries
	r, err := s.open(ctx, opt)
	if err != nil {
		return err
	}
	return r.Close()
}

// Served describes a reward of an opened source for a manifest. It is "" for a local model, whose
// hash the manifest has.
func Served(r pref.Rewarder, reward string) string {
	switch from := r.(type) {
	case *serve.Remote:
		return fmt.Sprintf("reward %s of %s", reward, from.Model())
	case *single:
		return fmt.Sprintf("reward %s of %s", reward, cmp.Or(from.model, from.served))
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

var errNoModels = errors.New("the caller opens no models, want a server")

func checkServer(address string) error {
	_, err := serve.NewClient(address, serve.ClientOptions{})
	return err
}

// openServer connects to haf serve.
func openServer(ctx context.Context, s Source, opt Options) (pref.Rewarder, error) {
	client, err := serve.NewClient(s.Address, serve.ClientOptions{Token: opt.Token, Tries: opt.Tries,
		Timeout: opt.Timeout, Log: opt.Log})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrName, err)
	}
	return client.Connect(ctx, serve.RemoteOptions{Log: opt.Log, Progress: opt.Progress})
}
