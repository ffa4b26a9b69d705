package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"time"

	"haf/backend"
	"haf/internal/progress"
	"haf/reward"
	"haf/serve"
)

type serveCmd struct {
	Models         []string           `arg:"" name:"model" help:"Run or model folder, GGUF file or Hugging Face id; NAME=MODEL names it, else it is the last part."`
	Addr           string             `default:"127.0.0.1:8080" help:"Address to listen on; port 0 takes a free one."`
	Rewards        []string           `help:"score, implicit, implicit-normalized, combined; the first is the default. Default: those of the heads that were trained."`
	Combine        []string           `help:"A reward made of others, NAME=HOW:TERM,… with HOW sum, mean, min or mean-sigma and a term [WEIGHT*]MODEL[.REWARD]; may be repeated." sep:"none"`
	Temperature    map[string]float64 `range:"(0,inf)" help:"MODEL=T: what reward differences are divided by for probabilities, as haf eval -valid fits it."`
	MaxLength      int                `range:"[0,inf)" name:"max-length" help:"Tokens of prompt and response. Default: as trained, else what the model has positions for, up to 4096."`
	TokensPerBatch int                `range:"[0,inf)" help:"Positions of a batch, about. Default 2048."`
	columnFlag
	chatFlags

	TokenFile            string `name:"token-file" help:"File of bearer tokens, VALUE or NAME VALUE a line, that no others may read. Without it those in HAF_TOKENS, in the same form."`
	AllowUnauthenticated bool   `help:"Without tokens, answer whoever reaches the address."`
	TLSCert              string `name:"tls-cert" help:"PEM file of the certificate; with -tls-key the server speaks HTTPS."`
	TLSKey               string `name:"tls-key" help:"PEM file of its key."`

	BatchWait   time.Duration `range:"[0,inf)" default:"3ms" help:"How long a request waits for others when the device is idle."`
	Timeout     time.Duration `range:"(0,inf)" default:"2m" help:"The most that a request may take."`
	ReadTimeout time.Duration `range:"(0,inf)" name:"read-timeout" default:"30s" help:"The most that a request's body may take to come."`
	Drain       time.Duration `range:"[0,inf)" default:"30s" help:"How long requests may take once the server is told to end."`
	Watch       time.Duration `range:"[0,inf)" default:"0s" help:"How often the models' files are looked at, to load a changed one anew; 0: on SIGHUP alone."`
	MaxBody     int64         `range:"[1,inf)" name:"max-body" default:"8388608" help:"Bytes of a request."`
	MaxQueue    int           `range:"[1,inf)" name:"max-queue" default:"1048576" help:"Tokens that may wait for a model; what exceeds them is answered 429."`
	Log         slog.Level    `default:"info" help:"debug, info (a line a request), warn or error."`
	LogText     bool          `name:"log-text" help:"With -log debug, log the requests' text, too."`
}

// Run serves models until it is told to end.
func (c *serveCmd) Run(a *app) error {
	config, certificates, err := c.config()
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	config.Log = slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: c.Log}))
	device, err := a.openDevice()
	if err != nil {
		return err
	}
	for _, named := range c.Models {
		name, path := serve.ModelName(named)
		load := func(ctx context.Context, before serve.Engine) (serve.Engine, error) {
			return c.load(ctx, a, device, name, path, before)
		}
		source := serve.NewSource(name, path, load)
		source.Temperature = c.Temperature[name]
		config.Models = append(config.Models, source)
	}
	server, err := serve.New(config)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	listener, err := net.Listen("tcp", c.Addr)
	if err != nil {
		return err
	}
	scheme := "http"
	if certificates != nil {
		scheme = "https"
	}
	fmt.Fprintf(a.stdout, "%s://%s\n", scheme, listener.Addr())
	defer server.ReloadOnHangup(a.ctx)()
	return server.Run(a.ctx, listener, certificates)
}

// config is what the flags say, but for the models.
func (c *serveCmd) config() (serve.Config, *tls.Config, error) {
	config := serve.Config{
		AllowUnauthenticated: c.AllowUnauthenticated, BatchWait: c.BatchWait,
		Timeout: c.Timeout, ReadTimeout: c.ReadTimeout, Drain: c.Drain, Watch: c.Watch,
		MaxBody: c.MaxBody, MaxQueue: c.MaxQueue, LogText: c.LogText,
	}
	if c.BatchWait == 0 {
		config.BatchWait = -1
	}
	for _, name := range c.Rewards {
		if err := reward.CheckReward(name); err != nil {
			return config, nil, err
		}
	}
	for _, text := range c.Combine {
		combination, err := serve.ParseCombination(text)
		if err != nil {
			return config, nil, err
		}
		config.Combinations = append(config.Combinations, combination)
	}
	var err error
	if c.TokenFile != "" {
		config.Tokens, err = serve.ReadTokens(c.TokenFile)
	} else if text := os.Getenv("HAF_TOKENS"); text != "" {
		config.Tokens, err = serve.ParseTokens(text)
	}
	if err != nil {
		return config, nil, fmt.Errorf("-token-file, or HAF_TOKENS: %w", err)
	}
	if err := serve.CheckAddress(c.Addr, len(config.Tokens) > 0, c.AllowUnauthenticated); err != nil {
		return config, nil, err
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return config, nil, fmt.Errorf("-tls-cert and -tls-key go together")
	}
	certificates, err := serve.LoadTLS(c.TLSCert, c.TLSKey)
	return config, certificates, err
}

// load opens a model and makes it ready; before is what it takes the place of.
func (c *serveCmd) load(
	ctx context.Context, a *app, device *backend.Device, name, path string, before serve.Engine,
) (serve.Engine, error) {
	chat, err := c.chatFlags.options()
	if err != nil {
		return nil, err
	}
	model, err := a.openModelOn(device, path, reward.Options{
		Chat: chat, Column: c.Column, Positions: c.TokensPerBatch,
	})
	if err != nil {
		return nil, err
	}
	p := progress.New(a.stderr)
	pass := p.Passes()
	former, _ := before.(*reward.Engine)
	engine, err := model.Engine(ctx, reward.EngineOptions{
		Rewards: c.Rewards, MaxLength: c.MaxLength, Before: former,
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
