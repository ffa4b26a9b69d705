package launch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"

	"haf/internal/interrupt"
	"haf/reward"
	"haf/run"
	"haf/serve"
)

// A ModelOpener opens a model on this machine.
type ModelOpener func(
	ctx context.Context, named string, opt reward.Options,
) (*reward.Model, error)

// A Service sets which models haf serve serves, and how.
type Service struct {
	HTTP        serve.Config // without models, tokens and combinations
	Addr        string       // to listen on
	Models      []string     // NAME=MODEL, or MODEL
	Rewards     []string     // the default first; none: those of the trained heads
	Combine     []string     // see [serve.ParseCombination]
	Temperature map[string]float64
	Reading     reward.Options
	MaxLength   int // tokens of prompt and response; 0 is the length in training

	TokenFile       string // see [serve.LoadTokens]
	TLSCert, TLSKey string // PEM files; "" is plain HTTP

	Open      func() (ModelOpener, error) // called once, after the settings are checked
	Progress  func() run.Progress         // one per model, because models may load concurrently
	Listening func(url string)
}

// Run serves the models until the context ends.
func (s Service) Run(ctx context.Context) error {
	defer interrupt.Hold()() // until pending requests are answered
	config, certificates, err := s.config()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUsage, err)
	}
	open, err := s.Open()
	if err != nil {
		return err
	}
	for _, named := range s.Models {
		name, path := serve.ModelName(named)
		load := func(ctx context.Context, before serve.Engine) (serve.Engine, error) {
			return s.load(ctx, open, name, path, before)
		}
		source := serve.NewModel(name, path, load)
		source.Temperature = s.Temperature[name]
		config.Models = append(config.Models, source)
	}
	server, err := serve.New(config)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUsage, err)
	}
	listener, err := net.Listen("tcp", s.Addr)
	if err != nil {
		return err
	}
	scheme := "http"
	if certificates != nil {
		scheme = "https"
	}
	s.Listening(fmt.Sprintf("%s://%s", scheme, listener.Addr()))
	defer server.ReloadOnHangup(ctx)()
	return server.Run(ctx, listener, certificates)
}

// config checks the settings and returns the configuration of package serve, without models.
func (s Service) config() (serve.Config, *tls.Config, error) {
	config := s.HTTP
	for _, name := range s.Rewards {
		if err := reward.CheckReward(name); err != nil {
			return config, nil, err
		}
	}
	for _, text := range s.Combine {
		combination, err := serve.ParseCombination(text)
		if err != nil {
			return config, nil, err
		}
		config.Combinations = append(config.Combinations, combination)
	}
	var err error
	if config.Tokens, err = serve.LoadTokens(s.TokenFile); err != nil {
		return config, nil, fmt.Errorf("-token-file, or HAF_TOKENS: %w", err)
	}
	err = serve.CheckAddress(s.Addr, len(config.Tokens) > 0, config.AllowUnauthenticated)
	if errors.Is(err, serve.ErrExposed) {
		return config, nil, fmt.Errorf("%w, or say -allow-unauthenticated if everybody may use the "+
			"model", err)
	}
	if err != nil {
		return config, nil, err
	}
	if (s.TLSCert == "") != (s.TLSKey == "") {
		return config, nil, errors.New("-tls-cert and -tls-key go together")
	}
	certificates, err := serve.LoadTLS(s.TLSCert, s.TLSKey)
	return config, certificates, err
}

// load opens a model and compiles its programs. before is the engine that it replaces.
func (s Service) load(
	ctx context.Context, open ModelOpener, name, path string, before serve.Engine,
) (serve.Engine, error) {
	model, err := open(ctx, path, s.Reading)
	if err != nil {
		return nil, err
	}
	p := s.Progress()
	pass := run.Passes(p)
	former, _ := before.(*reward.Engine)
	engine, err := model.Engine(ctx, reward.EngineOptions{
		Rewards: s.Rewards, MaxLength: s.MaxLength, Before: former,
		Progress: func(done, total int) { pass("compiling "+name, done, total) },
	})
	p.EndPhase()
	if err != nil {
		model.Close()
		return nil, err
	}
	if model.ScoreHeadUntrained && slices.Contains(engine.Rewards(), reward.ByScore) {
		p.Logf("haf: warning: %s", model.UntrainedWarning())
	}
	return engine, nil
}
