package source

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"haf/pref"
	"haf/remote"
)

// A dialect describes how to request rewards from the servers of one program.
type dialect struct {
	program string
	scheme  string   // the prefix of names, such as "vllm+"
	paths   []string // paths that return rewards, the default first
	models  string   // path of a list of models in OpenAI's form; "" is none
	batch   int      // responses per request
	// renders means that haf renders and tokenizes conversations itself, so that a tokenizer must be
	// named.
	renders bool
	// body makes a request for the rewards of items, to be sent as JSON.
	body func(model string, items []item, by Renderer) (any, error)
	// refuses returns the reason that a prompt cannot be sent; nil refuses none.
	refuses func(prompt []pref.Message) error
	// read extracts the rewards of n items from the answer of a path.
	read func(path string, answer json.RawMessage, n int) ([]float64, error)
}

// A place is the location of rewards on a server of a dialect.
type place struct{ base, path, model string }

// place reads an address such as http://HOST:PORT/PATH#MODEL.
func (d *dialect) place(address string) (place, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return place{}, fmt.Errorf("%q is no address of a server, want http://HOST:PORT",
			Shown(address))
	}
	if u.RawQuery != "" || u.User != nil {
		return place{}, fmt.Errorf("the address has a query or a user in it, want "+
			"http://HOST:PORT[%s][#MODEL]; a key is given in HAF_API_KEY", d.paths[0])
	}
	p := place{path: d.paths[0], model: u.Fragment}
	u.Fragment = ""
	p.base = strings.TrimRight(u.String(), "/")
	for _, path := range d.paths {
		if base, ok := strings.CutSuffix(p.base, path); ok {
			p.base, p.path = base, path
		}
	}
	if strings.HasSuffix(p.base, "/v1") {
		return place{}, fmt.Errorf("the address ends with /v1, which %s has not before it: leave out "+
			"/v1", d.paths[0])
	}
	return p, nil
}

func (d *dialect) check(address string) error {
	_, err := d.place(address)
	return err
}

// open connects to a server of the dialect.
func (d *dialect) open(ctx context.Context, s Source, opt Options) (pref.Rewarder, error) {
	p, err := d.place(s.Address)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrName, err)
	}
	client, err := opt.client(p.base)
	if err != nil {
		return nil, err
	}
	var by Renderer
	if d.renders {
		if by, err = opt.renderer(ctx, d.program); err != nil {
			return nil, err
		}
	}
	if d.models == "" {
		err = reachPath(ctx, client, p.path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name, err)
		}
	} else {
		models, err := client.Models(ctx, d.models)
		if err != nil {
			return nil, explain(err, d.program)
		}
		switch {
		case p.model == "" && len(models) == 1:
			p.model = models[0]
		case !slices.Contains(models, p.model):
			return nil, fmt.Errorf("%s serves %s, not %q: name one behind the address, "+
				"%s#MODEL", s.Name, strings.Join(models, ", "), p.model, strings.Split(s.Name, "#")[0])
		}
	}
	return &single{
		served:   d.served(p),
		model:    strings.TrimSpace(fmt.Sprintf("%s%s %s", d.program, p.path, p.model)),
		progress: opt.Progress,
		refuses:  d.refusal(by),
		score: func(ctx context.Context, items []item, done func(int)) ([]float64, error) {
			rewards, err := d.score(ctx, client, p, items, by, opt.concurrency(), done)
			return rewards, explain(err, d.program)
		},
	}, nil
}

// refusal returns the function that refuses prompts: the dialect's, or that of the template that
// renders them.
func (d *dialect) refusal(by Renderer) func(prompt []pref.Message) error {
	if by == nil {
		return d.refuses
	}
	return func(prompt []pref.Message) error {
		_, _, err := by.Text(prompt, "a")
		return err
	}
}

// reachPath returns an error if no server answers at a path without a list of models. Any status
// counts as an answer.
func reachPath(ctx context.Context, client *remote.Client, path string) error {
	var answer json.RawMessage
	err := client.Call(ctx, http.MethodGet, path, nil, &answer)
	if ctx.Err() != nil || err != nil && !remote.Answered(err) {
		return err
	}
	return nil
}

// served describes the source of rewards at a place.
func (d *dialect) served(p place) string {
	name := d.scheme + p.base + p.path
	if p.model != "" {
		name += "#" + p.model
	}
	return name
}

// score requests the rewards of items in concurrent requests of one batch each.
func (d *dialect) score(
	ctx context.Context, client *remote.Client, p place, items []item, by Renderer,
	concurrency int, done func(int),
) ([]float64, error) {
	out := make([]float64, len(items))
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(concurrency)
	var mu sync.Mutex
	scored := 0
	for from := 0; from < len(items) && inner.Err() == nil; from += d.batch {
		to := min(from+d.batch, len(items))
		group.Go(func() error {
			rewards, err := d.request(inner, client, p, items[from:to], by)
			if err != nil {
				return fmt.Errorf("responses %d to %d of %d: %w", from+1, to, len(items), err)
			}
			copy(out[from:to], rewards)
			mu.Lock()
			defer mu.Unlock()
			scored += to - from
			done(scored)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return out, ctx.Err()
}

func (d *dialect) request(
	ctx context.Context, client *remote.Client, p place, items []item, by Renderer,
) ([]float64, error) {
	body, err := d.body(p.model, items, by)
	if err != nil {
		return nil, err
	}
	var answer json.RawMessage
	if err := client.Call(ctx, http.MethodPost, p.path, body, &answer); err != nil {
		return nil, err
	}
	rewards, err := d.read(p.path, answer, len(items))
	if err != nil {
		return nil, fmt.Errorf("%w: is this a server of %s?", err, d.program)
	}
	return rewards, nil
}

// explain adds the next step after a refused key.
func explain(err error, program string) error {
	switch remote.StatusOf(err) {
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("%w; haf sends %s the key that is in HAF_API_KEY", err, program)
	}
	return err
}

// oneNumber returns the reward from a server's list for one response. nil is JSON's null, which
// some servers write for NaN.
func oneNumber(of string, numbers []*float64) (float64, error) {
	switch {
	case len(numbers) != 1:
		return 0, fmt.Errorf("%s has %d numbers for a response, want one reward", of, len(numbers))
	case numbers[0] == nil:
		return 0, fmt.Errorf("%s is null, want a number", of)
	}
	return *numbers[0], nil
}

// countOf checks that an answer has an entry for each of n responses.
func countOf(of string, got, n int) error {
	if got != n {
		return fmt.Errorf("%s has %d entries for %d responses", of, got, n)
	}
	return nil
}
