package main

import (
	"fmt"
	"log/slog"
	"time"

	"haf/internal/progress"
	"haf/launch"
	"haf/reward"
	"haf/run"
	"haf/serve"
)

type serveCmd struct {
	Models         []string           `arg:"" name:"model" help:"Run or model folder, GGUF file or Hugging Face id; NAME=MODEL names it, else its name is the last part."`
	Addr           string             `default:"127.0.0.1:8080" help:"Address to listen on; port 0 picks a free port."`
	Rewards        []string           `help:"score, implicit, implicit-normalized, combined; the first is the default. Default: those of the heads that were trained."`
	Combine        []string           `help:"A reward made of others, NAME=HOW:TERM,… with HOW sum, mean, min or mean-sigma and a term [WEIGHT*]MODEL[.REWARD]; may be repeated." sep:"none"`
	Temperature    map[string]float64 `range:"(0,inf)" help:"MODEL=T: divisor of reward differences for probabilities, as haf eval -valid fits it."`
	MaxLength      int                `range:"[0,inf)" name:"max-length" help:"Tokens of prompt and response. Default: as trained, else the model's positions, up to 4096."`
	TokensPerBatch int                `range:"[0,inf)" help:"Approximate positions per batch. Default 2048."`
	columnFlag
	dtypeFlag
	chatFlags

	TokenFile            string `name:"token-file" help:"File of bearer tokens, one VALUE or NAME VALUE per line, which other users must not be able to read. Default: the tokens in HAF_TOKENS, in the same form."`
	AllowUnauthenticated bool   `help:"Without tokens, answer everyone who reaches the address."`
	TLSCert              string `name:"tls-cert" help:"PEM file of the certificate; with -tls-key the server speaks HTTPS."`
	TLSKey               string `name:"tls-key" help:"PEM file of its key."`

	BatchWait   time.Duration `range:"[0,inf)" default:"3ms" help:"How long a request waits for others when the device is idle."`
	Timeout     time.Duration `range:"(0,inf)" default:"2m" help:"Time limit of a request."`
	ReadTimeout time.Duration `range:"(0,inf)" name:"read-timeout" default:"30s" help:"Time limit for receiving a request's body."`
	Drain       time.Duration `range:"[0,inf)" default:"30s" help:"Time limit of pending requests when the server shuts down."`
	Watch       time.Duration `range:"[0,inf)" default:"0s" help:"Interval for checking the models' files and reloading changed ones; 0: reload only on SIGHUP."`
	MaxBody     int64         `range:"[1,inf)" name:"max-body" default:"8388608" help:"Maximum size of a request in bytes."`
	MaxQueue    int           `range:"[1,inf)" name:"max-queue" default:"1048576" help:"Tokens that may wait for a model; requests beyond that get status 429."`
	Log         slog.Level    `default:"info" help:"debug, info (a line per request), warn or error."`
	LogText     bool          `name:"log-text" help:"With -log debug, also log the requests' text."`
}

// Run serves models until a signal ends it.
func (c *serveCmd) Run(a *app) error {
	chat, err := c.chatFlags.options()
	if err != nil {
		return err
	}
	if c.BatchWait == 0 {
		c.BatchWait = -1 // none, because 0 means the server's default
	}
	return launch.Service{
		HTTP: serve.Config{
			AllowUnauthenticated: c.AllowUnauthenticated, BatchWait: c.BatchWait,
			Timeout: c.Timeout, ReadTimeout: c.ReadTimeout, Drain: c.Drain, Watch: c.Watch,
			MaxBody: c.MaxBody, MaxQueue: c.MaxQueue, LogText: c.LogText,
			Log: slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: c.Log})),
		},
		Addr: c.Addr, Models: c.Models, Rewards: c.Rewards, Combine: c.Combine,
		Temperature: c.Temperature, MaxLength: c.MaxLength,
		Reading: reward.Options{
			Chat: chat, Column: c.Column, DType: c.DType, Positions: c.TokensPerBatch,
		},
		TokenFile: c.TokenFile, TLSCert: c.TLSCert, TLSKey: c.TLSKey,
		Open:      a.opener,
		Progress:  func() run.Progress { return progress.New(a.stderr) },
		Listening: func(url string) { fmt.Fprintln(a.stdout, url) },
	}.Run(a.ctx)
}
