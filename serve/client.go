package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"haf/internal/retry"
	"haf/internal/webclient"
	"haf/pref"
)

// ClientOptions set how a client asks. A number of 0 means its default.
type ClientOptions struct {
	Token    string        // bearer token
	Reward   string        // name of Score's reward; "" is the model's default
	Timeout  time.Duration // of one attempt; default 2 minutes
	Tries    int           // attempts of one request; default 8
	Batch    int           // samples per request; default 64
	Parallel int           // requests at once; default 4
	HTTP     *http.Client  // default: a client of its own
	// Log, if not nil, gets a line for each repeated request, and for a server that does not answer at
	// first.
	Log func(format string, args ...any)
}

// A Client asks a server, or replicas of it, for the rewards of a model; [Client.Connect] makes a
// [pref.Rewarder] of it. It sends samples in several concurrent requests. It repeats requests after
// temporary failures: no connection, 408, 429, and 5xx except 501 and 505. If no other replica is
// left, it pauses first, longer each time and at least as long as the server asks. It is safe for
// concurrent use.
type Client struct {
	address  string // as it was given
	replicas []*replica
	model    string
	opt      ClientOptions

	probing sync.Mutex
	probed  bool // the replicas' rewards of a sample have been compared
}

// Bounds of waits between attempts, and of replies.
const (
	firstWait    = 100 * time.Millisecond
	longestWait  = 10 * time.Second
	longestAsked = time.Minute // wait requested by the server
	mostReply    = 64 << 20    // bytes
)

// IsURL reports whether a model's name is the address of a server.
func IsURL(name string) bool {
	return strings.HasPrefix(name, "http://") || strings.HasPrefix(name, "https://")
}

// NewClient returns the client of the server at an address such as http://127.0.0.1:8080. A part
// behind # names the model, if several are served. Commas separate the addresses of replicas.
// NewClient sends no request.
func NewClient(address string, opt ClientOptions) (*Client, error) {
	bases, model, err := split(address)
	if err != nil {
		return nil, err
	}
	c := &Client{address: address, model: model, opt: opt}
	for _, base := range bases {
		c.replicas = append(c.replicas, &replica{base: base})
	}
	if c.opt.Timeout == 0 {
		c.opt.Timeout = 2 * time.Minute
	}
	if c.opt.Tries == 0 {
		c.opt.Tries = 8
	}
	if c.opt.Batch == 0 {
		c.opt.Batch = 64
	}
	if c.opt.Parallel == 0 {
		c.opt.Parallel = 4
	}
	if c.opt.HTTP == nil {
		c.opt.HTTP = webclient.New(c.opt.Parallel)
	}
	if c.opt.Log == nil {
		c.opt.Log = func(string, ...any) {}
	}
	return c, nil
}

// Score implements [pref.Scorer] with the reward of the options. It waits for a server that is not
// ready, as long as attempts are left.
func (c *Client) Score(ctx context.Context, samples []pref.Sample) ([]float64, error) {
	var names []string
	if c.opt.Reward != "" {
		names = []string{c.opt.Reward}
	}
	values, err := c.Read(ctx, samples, names)
	if err != nil {
		return nil, err
	}
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = v.Reward
	}
	return out, nil
}

// A Scored holds the rewards of a sample.
type Scored struct {
	Reward    float64            // the first requested reward, or the model's default
	Rewards   map[string]float64 // the requested rewards, by name
	Truncated bool               // tokens were cut to fit the model's max length
}

// wireSample is a sample in a request.
type wireSample struct {
	Prompt   []pref.Message `json:"prompt"`
	Response string         `json:"response"`
}

// Read returns the named rewards of samples, in order; without names, the model's default.
func (c *Client) Read(
	ctx context.Context, samples []pref.Sample, names []string,
) ([]Scored, error) {
	if err := ctx.Err(); err != nil || len(samples) == 0 {
		return nil, err
	}
	if err := c.probe(ctx, samples[0], names); err != nil {
		return nil, fmt.Errorf("serve: %w", err)
	}
	out := make([]Scored, len(samples))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(c.opt.Parallel * len(c.replicas))
	for from := 0; from < len(samples); from += c.opt.Batch {
		to := min(from+c.opt.Batch, len(samples))
		group.Go(func() error {
			scored, err := c.request(ctx, samples[from:to], names)
			if err != nil {
				return fmt.Errorf("serve: samples %d to %d of %d: %w", from+1, to, len(samples), err)
			}
			copy(out[from:to], scored)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return out, nil
}

// request asks for the rewards of some samples in one request.
func (c *Client) request(
	ctx context.Context, samples []pref.Sample, names []string,
) ([]Scored, error) {
	body := struct {
		Model   string       `json:"model,omitempty"`
		Rewards []string     `json:"rewards,omitempty"`
		Samples []wireSample `json:"samples"`
	}{Model: c.model, Rewards: names}
	for _, s := range samples {
		body.Samples = append(body.Samples, wireSample(s))
	}
	data, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	var reply struct {
		Model      string `json:"model"`
		Activation string `json:"activation"`
		// Null or missing values are nil, where nativeItem would have 0.
		Data []struct {
			Index     *int                `json:"index"`
			Reward    *float64            `json:"reward"`
			Rewards   map[string]*float64 `json:"rewards"`
			Truncated bool                `json:"truncated"`
		} `json:"data"`
	}
	if err := c.ask(ctx, http.MethodPost, "/v1/reward", data, &reply); err != nil {
		return nil, err
	}
	if len(reply.Data) != len(samples) {
		return nil, fmt.Errorf("%d rewards came for %d samples: is this a server of haf?",
			len(reply.Data), len(samples))
	}
	if reply.Activation != raw {
		return nil, fmt.Errorf("the rewards came with activation %q, want %s", reply.Activation, raw)
	}
	if c.model != "" && reply.Model != c.model {
		return nil, fmt.Errorf("the rewards are of the model %q, those of %q were asked for", reply.Model,
			c.model)
	}
	out := make([]Scored, len(samples))
	for i, item := range reply.Data {
		switch {
		case item.Index == nil || *item.Index != i:
			return nil, fmt.Errorf("the answer has another reward in place of reward %d", i)
		case item.Reward == nil:
			return nil, fmt.Errorf("the answer lacks the reward of sample %d", i+1)
		}
		out[i] = Scored{Reward: *item.Reward, Rewards: map[string]float64{}, Truncated: item.Truncated}
		for name, r := range item.Rewards {
			if r != nil {
				out[i].Rewards[name] = *r
			}
		}
		for _, name := range names {
			if _, ok := out[i].Rewards[name]; !ok {
				return nil, fmt.Errorf("the answer lacks reward %q of sample %d", name, i+1)
			}
		}
		for name, r := range out[i].Rewards {
			if math.Abs(r) > pref.MaxNumber {
				return nil, fmt.Errorf("reward %q of sample %d is %g, want a number within ±%.2g", name,
					i+1, r, pref.MaxNumber)
			}
		}
		if math.Abs(out[i].Reward) > pref.MaxNumber {
			return nil, fmt.Errorf("the reward of sample %d is %g, want a number within ±%.2g", i+1,
				out[i].Reward, pref.MaxNumber)
		}
	}
	return out, nil
}

// Models lists the rewards of every model of the server.
func (c *Client) Models(ctx context.Context) (map[string][]string, error) {
	var list modelList
	err := webclient.Announce(func() { c.opt.Log("%s has not answered yet; waiting", c.base()) },
		func() error { return c.ask(ctx, http.MethodGet, "/v1/models", nil, &list) })
	if err != nil {
		return nil, fmt.Errorf("serve: %w", err)
	}
	if list.Object != "list" || len(list.Data) == 0 {
		return nil, fmt.Errorf("serve: %s/v1/models lists no model: is this a server of haf?", c.base())
	}
	out := map[string][]string{}
	for _, m := range list.Data {
		out[m.ID] = m.Rewards
	}
	return out, nil
}

// base is the address of the first replica.
func (c *Client) base() string { return c.replicas[0].base }

// Served returns the name of the client's model and its rewards, the default first. For replicas
// these are what all that answer agree on.
func (c *Client) Served(ctx context.Context) (model string, rewards []string, err error) {
	if len(c.replicas) > 1 {
		return c.agree(ctx)
	}
	return c.served(ctx)
}

// served is Served for one server.
func (c *Client) served(ctx context.Context) (model string, rewards []string, err error) {
	models, err := c.Models(ctx)
	if err != nil {
		return "", nil, err
	}
	if c.model == "" && len(models) == 1 {
		for model, rewards := range models {
			return model, rewards, nil
		}
	}
	if rewards, ok := models[c.model]; ok {
		return c.model, rewards, nil
	}
	return "", nil, fmt.Errorf("serve: %s serves %s, not %q: name one behind the "+
		"address, %s#MODEL", c.base(), strings.Join(slices.Sorted(maps.Keys(models)), ", "), c.model,
		c.base())
}

// refusal is an answer without success.
type refusal struct {
	status  int
	message string
	after   time.Duration // pause that the server asks for
	unlike  bool          // it does not look like an answer of haf serve
}

func (r *refusal) Error() string {
	if r.unlike {
		return fmt.Sprintf("the server answered %d with %s, want what haf serve answers: is it one?",
			r.status, r.message)
	}
	return fmt.Sprintf("the server answered %d: %s", r.status, r.message)
}

// Is makes a refused token an ErrToken.
func (r *refusal) Is(target error) bool {
	return target == ErrToken && (r.status == http.StatusUnauthorized ||
		r.status == http.StatusForbidden)
}

// ask sends a request, repeats it after temporary failures, and decodes the reply.
func (c *Client) ask(ctx context.Context, method, path string, body []byte, reply any) error {
	policy := retry.Policy{Tries: c.opt.Tries, First: firstWait, Longest: longestWait,
		LongestAsked: longestAsked, Notify: func(err error, pause time.Duration) {
			c.opt.Log("%s%s: %v; trying again in %s", c.base(), path, err,
				pause.Round(time.Millisecond))
		}}
	return policy.Do(ctx, func() error { return c.onAny(ctx, method, path, body, reply) })
}

// temporary marks an error that may pass.
func (c *Client) temporary(err error) error {
	var r *refusal
	var redirected *webclient.Redirected
	switch {
	case err == nil, errors.As(err, &redirected):
		return err
	case !errors.As(err, &r):
		return &retry.Temporary{Err: fmt.Errorf("%w: %w", ErrNoAnswer, err)}
	case retry.Status(r.status) && !r.unlike:
		return &retry.Temporary{Err: err, After: r.after}
	}
	return err
}

// once sends a request once.
func (c *Client) once(
	ctx context.Context, method, address string, body []byte, reply any,
) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.opt.Timeout,
		fmt.Errorf("none within %s", c.opt.Timeout))
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	if c.opt.Token != "" {
		request.Header.Set("Authorization", "Bearer "+c.opt.Token)
	}
	if end, ok := ctx.Deadline(); ok {
		request.Header.Set(headerTimeout, strconv.FormatFloat(max(time.Until(end).Seconds(), 0.001), 'f',
			3, 64))
	}
	response, err := c.opt.HTTP.Do(request)
	if err != nil {
		return ended(ctx, err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, mostReply+1))
	if err != nil {
		return fmt.Errorf("reading the answer: %w", ended(ctx, err))
	}
	if len(data) > mostReply {
		return &refusal{status: response.StatusCode, unlike: true,
			message: fmt.Sprintf("more than %d bytes", mostReply)}
	}
	if response.StatusCode != http.StatusOK {
		var e errorBody
		r := &refusal{status: response.StatusCode, message: http.StatusText(response.StatusCode),
			after: retry.After(response.Header)}
		if json.Unmarshal(data, &e) == nil && e.Error.Message != "" {
			r.message = webclient.Hide(e.Error.Message, c.opt.Token)
		}
		return r
	}
	if err := json.Unmarshal(data, reply); err != nil {
		return &refusal{status: response.StatusCode, unlike: true, message: "no JSON of that form (" +
			err.Error() + ")"}
	}
	return nil
}

// ended returns the reason that a request failed, without its address: the time-out, if that is the
// reason.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return webclient.Cause(err)
}
