package serve

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"haf/internal/retry"
	"haf/internal/webclient"
	"haf/pref"
)

// A replica is one of several servers of the same model.
type replica struct {
	base string

	mu   sync.Mutex
	busy int       // requests in flight
	rest time.Time // until then it is the last choice
}

// restTime is how long a failed replica is the last choice.
const restTime = 5 * time.Second

// pick chooses the replica for a request: one that did not fail recently, and of these the one with
// the fewest requests in flight. It ignores those tried, and returns nil if no other is left.
func (c *Client) pick(tried []*replica) *replica {
	var best *replica
	var bestBusy int
	var bestRest time.Duration
	for _, r := range c.replicas {
		if slices.Contains(tried, r) {
			continue
		}
		r.mu.Lock()
		busy, rest := r.busy, max(0, time.Until(r.rest))
		r.mu.Unlock()
		if best == nil || rest < bestRest || rest == bestRest && busy < bestBusy {
			best, bestBusy, bestRest = r, busy, rest
		}
	}
	return best
}

// onAny sends a request to a replica, and after a temporary failure to the next one. It returns the
// last replica's error.
func (c *Client) onAny(ctx context.Context, method, path string, body []byte, reply any) error {
	var tried []*replica
	for {
		r := c.pick(tried)
		tried = append(tried, r)
		err := c.temporary(c.on(ctx, r, method, path, body, reply))
		var again *retry.Temporary
		if err == nil || !errors.As(err, &again) || ctx.Err() != nil || len(tried) == len(c.replicas) {
			return err
		}
		c.opt.Log("%s%s: %v; asking another replica", r.base, path, err)
	}
}

// on sends a request to one replica, and records a failure.
func (c *Client) on(
	ctx context.Context, r *replica, method, path string, body []byte, reply any,
) error {
	r.mu.Lock()
	r.busy++
	r.mu.Unlock()
	err := c.once(ctx, method, r.base+path, body, reply)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.busy--
	if err == nil {
		r.rest = time.Time{}
	} else if ctx.Err() == nil {
		r.rest = time.Now().Add(restTime)
	}
	return err
}

// split returns the addresses of replicas and the name of their model.
func split(address string) (bases []string, model string, err error) {
	for one := range strings.SplitSeq(address, ",") {
		base, of, err := parseAddress(one)
		switch {
		case err != nil:
			return nil, "", err
		case of != "" && model != "" && of != model:
			return nil, "", fmt.Errorf("serve: the replicas are asked for different models, %q and %q: "+
				"want one", model, of)
		case slices.Contains(bases, base):
			return nil, "", fmt.Errorf("serve: the replica %s is named twice: leave one out", base)
		}
		bases = append(bases, base)
		if of != "" {
			model = of
		}
	}
	return bases, model, nil
}

// agreeTries is how many attempts agree makes per replica.
const agreeTries = 3

// only returns a client of one replica that makes at most that many attempts.
func (c *Client) only(r *replica, tries int) *Client {
	one := &Client{address: c.address, model: c.model, opt: c.opt, replicas: []*replica{r}}
	one.opt.Tries = min(tries, c.opt.Tries)
	return one
}

// agree asks every replica what it serves. It logs those that do not answer and lets them rest. It
// returns an error if none answers, or if two serve different rewards. From then on requests name
// the replicas' model.
func (c *Client) agree(ctx context.Context) (model string, rewards []string, err error) {
	var first *replica
	for _, r := range c.replicas {
		of, names, e := c.only(r, agreeTries).served(ctx)
		switch {
		case ctx.Err() != nil:
			return "", nil, e
		case errors.Is(e, ErrNoAnswer):
			c.opt.Log("warning: %s: %v; the other replicas do its work", r.base, e)
			err = e
		case e != nil:
			return "", nil, e
		case first == nil:
			first, model, rewards = r, of, names
		case of != model || !slices.Equal(names, rewards):
			return "", nil, fmt.Errorf("serve: %s serves %s with the rewards %s, but %s serves %s with %s: "+
				"name replicas of one model", first.base, model, strings.Join(rewards, ", "), r.base, of,
				strings.Join(names, ", "))
		}
	}
	if first == nil {
		return "", nil, err
	}
	c.model = model
	return model, rewards, nil
}

// sameReward is the largest difference between rewards of replicas, absolute and relative: devices
// differ in the last digits, bfloat16 in the third.
const sameReward = 0.02

// probe has every replica score a sample, once. It returns an error if their rewards differ,
// because then they serve different weights under one name.
func (c *Client) probe(ctx context.Context, s pref.Sample, names []string) error {
	if len(c.replicas) < 2 {
		return nil
	}
	c.probing.Lock()
	defer c.probing.Unlock()
	if c.probed {
		return nil
	}
	var first *Scored
	var of string
	for _, r := range c.replicas {
		scored, err := c.only(r, 1).request(ctx, []pref.Sample{s}, names)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, ErrNoAnswer):
			continue // it rests
		case err != nil:
			return err
		case first == nil:
			first, of = &scored[0], r.base
			continue
		}
		for name, reward := range scored[0].Rewards {
			if want := first.Rewards[name]; !(math.Abs(reward-want) <= sameReward*max(1, math.Abs(want))) {
				return fmt.Errorf("the replicas serve different models: the reward %q of one response is %g "+
					"at %s and %g at %s", name, want, of, reward, r.base)
			}
		}
	}
	c.probed = true
	return nil
}

// parseAddress reads the address of one server.
func parseAddress(address string) (base, model string, err error) {
	u, err := url.Parse(address)
	if err != nil || !IsURL(address) || u.Host == "" {
		return "", "", fmt.Errorf("serve: %q is no address of a server: want http://HOST:PORT or "+
			"https://HOST:PORT, and #MODEL behind it where several are served; of replicas a comma "+
			"between them", webclient.ShownText(address))
	}
	if u.RawQuery != "" || u.User != nil {
		return "", "", fmt.Errorf("serve: the address of a server has a query or a user in it: want " +
			"http://HOST:PORT#MODEL")
	}
	model, u.Fragment = u.Fragment, ""
	return strings.TrimSuffix(u.String(), "/"), model, nil
}
