package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync"

	"haf/reward"
	"haf/serve"
	"haf/ui"
)

type uiCmd struct {
	Runs      []string `arg:"" optional:"" name:"run" help:"Run folders, folders of run folders, and files of haf eval -out. Default: runs."`
	Model     []string `help:"Model that pages may read, in addition to those of the runs; may be repeated." sep:"none"`
	Addr      string   `default:"127.0.0.1:8765" help:"Address to listen on; port 0 picks a free port."`
	TokenFile string   `name:"token-file" help:"File of bearer tokens, one VALUE or NAME VALUE per line, which other users must not be able to read. Default: the tokens in HAF_TOKENS, in the same form."`
}

// Run serves the web app until a signal ends it.
func (c *uiCmd) Run(a *app) error {
	tokens, err := serve.LoadTokens(c.TokenFile)
	if err == nil {
		err = serve.CheckAddress(c.Addr, len(tokens) > 0, false)
	}
	if err != nil {
		return fmt.Errorf("%w: -token-file, or HAF_TOKENS: %w", errUsage, err)
	}
	opener := sync.OnceValues(a.opener)
	config := ui.Config{Runs: c.Runs, Models: c.Model,
		Open: func(ctx context.Context, path string) (ui.Explainer, error) {
			open, err := opener()
			if err != nil {
				return nil, err
			}
			model, err := open(ctx, path, reward.Options{})
			if err != nil {
				return nil, err
			}
			return model.Reader(reward.ReaderOptions{Log: a.p.Logf}), nil
		}}
	for _, t := range tokens {
		config.Tokens = append(config.Tokens, t.Value)
	}
	if len(config.Runs) == 0 {
		config.Runs = []string{"runs"}
	}
	for _, path := range config.Runs {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("nothing to show: %w: name a run folder, or a folder of runs", err)
		}
	}
	listener, err := net.Listen("tcp", c.Addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "http://%s\n", listener.Addr())
	return ui.New(config).Run(a.ctx, listener)
}
