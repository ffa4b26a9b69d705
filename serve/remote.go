package serve

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"haf/internal/retry"
	"haf/internal/webclient"
	"haf/pref"
)

// Errors that a client's caller may handle.
var (
	ErrToken    = errors.New("the server refused the token") // 401 and 403
	ErrNoAnswer = errors.New("no answer")                    // from any attempt
)

// ErrNotReady is wrapped by the error for a server that has not loaded its model yet.
var ErrNotReady = errors.New("ask again when /readyz answers 200")

// A Remote is a model on a server, as a [pref.Rewarder]. Only the server knows which prompts its
// chat template refuses.
type Remote struct {
	client *Client
	model  string
	names  []string // of its rewards, the default first
	opt    RemoteOptions
}

// RemoteOptions set how a [Remote] reads.
type RemoteOptions struct {
	// Log, if not nil, gets a line about the groups as tokens: how many were cut.
	Log func(format string, args ...any)
	// Progress, if not nil, gets the number of responses read.
	Progress func(pass string, done, total int)
}

// Connect asks the server for the model's name and rewards. It returns an error if the model is not
// loaded yet.
func (c *Client) Connect(ctx context.Context, opt RemoteOptions) (*Remote, error) {
	model, names, err := c.Served(ctx)
	if err == nil && len(names) == 0 {
		err = fmt.Errorf("%s: the model %s is not ready: %w", c.address, model, ErrNotReady)
	}
	if err != nil {
		return nil, c.explain(err)
	}
	if opt.Log == nil {
		opt.Log = c.opt.Log
	}
	if opt.Progress == nil {
		opt.Progress = func(string, int, int) {}
	}
	return &Remote{c, model, names, opt}, nil
}

// explain adds the address and, if the server refused or lacked the token, the next step.
func (c *Client) explain(err error) error {
	if errors.Is(err, ErrNotReady) || errors.Is(err, context.Canceled) {
		return err
	}
	next := ""
	var r *refusal
	var redirected *webclient.Redirected
	switch {
	case errors.Is(err, ErrToken):
		next = "; haf sends the token that is in HAF_TOKEN"
	case errors.Is(err, ErrNoAnswer):
		next = ": is haf serve running there?"
	case errors.As(err, &r) && retry.Status(r.status):
		next = "; the server's log says more; run the same command again to go on"
	case errors.As(err, &redirected), errors.As(err, &r) && (r.unlike ||
		r.status == http.StatusBadRequest || r.status == http.StatusRequestEntityTooLarge):
		// the message says it itself
	case errors.As(err, &r):
		next = ": is haf serve running there?"
	default:
		next = "; is it a server of haf, or a proxy that changes answers?"
	}
	if strings.Contains(err.Error(), c.address) {
		return fmt.Errorf("%w%s", err, next)
	}
	return fmt.Errorf("%s: %w%s", c.address, err, next)
}

// Model is the model's name on the server.
func (r *Remote) Model() string { return r.model }

// Rewards implements [pref.Rewarder].
func (r *Remote) Rewards() []string { return r.names }

// Close implements [pref.Rewarder]. It does nothing, because the server owns the model.
func (r *Remote) Close() error { return nil }

// portion is the number of responses requested between two reports of progress.
const portion = 256

// Read implements [pref.Rewarder]. The server reads every response separately, so it drops no
// group.
func (r *Remote) Read(
	ctx context.Context, groups []pref.Group, names []string,
) (pref.Readings, error) {
	if len(names) == 0 {
		names = r.names
	}
	resolved := slices.Clone(names)
	for i, name := range names {
		if name == "" {
			resolved[i] = r.names[0]
		} else if !slices.Contains(r.names, name) {
			return pref.Readings{},
				fmt.Errorf("%s serves the rewards %s of its model, not %q",
					r.client.address, strings.Join(r.names, ", "), name)
		}
	}
	var samples []pref.Sample
	compared := false
	for _, g := range groups {
		samples = append(samples, g.Samples()...)
		compared = compared || g.Compared()
	}
	scored := make([]Scored, 0, len(samples))
	for part := range slices.Chunk(samples, portion*len(r.client.replicas)) {
		some, err := r.client.Read(ctx, part, resolved)
		if err != nil {
			return pref.Readings{}, r.client.explain(err)
		}
		scored = append(scored, some...)
		if compared || len(samples) > portion {
			r.opt.Progress("scoring", len(scored), len(samples))
		}
	}
	out := pref.Readings{Names: names, Groups: groups, Rewards: map[string][][]float64{},
		Cut: "something was cut by the server to fit its model"}
	truncated := 0
	for i, g := range groups {
		n := len(g.Responses)
		cut := make([]bool, n)
		for k, s := range scored[:n] {
			if cut[k] = s.Truncated; s.Truncated {
				truncated++
			}
		}
		out.Index, out.Truncated = append(out.Index, i), append(out.Truncated, cut)
		for j, name := range names {
			rewards := make([]float64, n)
			for k, s := range scored[:n] {
				rewards[k] = s.Rewards[resolved[j]]
			}
			out.Rewards[name] = append(out.Rewards[name], rewards)
		}
		scored = scored[n:]
	}
	if compared {
		out.Report = fmt.Sprintf("%d responses as the server reads them, %d of them cut to fit",
			len(samples), truncated)
		r.opt.Log("tokens: %s", out.Report)
	}
	return out, nil
}
