package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"haf/internal/retry"
	"haf/pref"
)

// Options says where a server is and how it is used.
type Options struct {
	URL         string        // of the API, up to and with its version: http://127.0.0.1:8000/v1
	Model       string        // as the server calls it; "" is the first that it lists
	Key         string        // sent as a bearer token; "" is none
	Concurrency int           // requests at once; 0 is 8
	Timeout     time.Duration // of one attempt; 0 is two minutes
	Retries     int           // of a request, after the first attempt; 0 is 5, below 0 none
	// further members of every request, such as those of one server alone
	Extra   map[string]any
	Backoff time.Duration     // before the first retry, doubled at each; 0 is half a second
	Client  *http.Client      // nil is one of its own
	Say     func(line string) // told of retries; may be nil
}

// Client is a server. It is safe for concurrent use.
type Client struct {
	opt  Options
	base string
}

// maxAnswer bounds an answer: a response of the longest contexts is far below.
const maxAnswer = 16 << 20

// maxPause is the longest pause that a server may ask for before a retry.
const maxPause = 2 * time.Minute

// New returns a client. It asks the server for its models where Options.Model is empty.
func New(ctx context.Context, opt Options) (*Client, error) {
	c, err := Dial(opt)
	if err != nil || opt.Model != "" {
		return c, err
	}
	models, err := c.Models(ctx, "/models")
	if err != nil {
		return nil, err
	}
	c.opt.Model = models[0]
	return c, nil
}

// CheckURL returns an error unless a text is the address of a server.
func CheckURL(text string) error {
	_, err := parseURL(text)
	return err
}

func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("remote: %q is no server: want a URL such as "+
			"http://127.0.0.1:8000/v1", text)
	}
	return u, nil
}

// Dial returns a client without asking the server anything, for [Client.Call]. Options.Model may be
// empty.
func Dial(opt Options) (*Client, error) {
	u, err := parseURL(opt.URL)
	if err != nil {
		return nil, err
	}
	if opt.Concurrency <= 0 {
		opt.Concurrency = 8
	}
	if opt.Timeout <= 0 {
		opt.Timeout = 2 * time.Minute
	}
	if opt.Retries == 0 {
		opt.Retries = 5
	}
	if opt.Backoff <= 0 {
		opt.Backoff = 500 * time.Millisecond
	}
	if opt.Client == nil {
		opt.Client = &http.Client{Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: opt.Concurrency,
		}}
	}
	return &Client{opt: opt, base: strings.TrimRight(u.String(), "/")}, nil
}

// Models lists the models of a server that answers as OpenAI's GET /v1/models, at a path below the
// client's URL. There is at least one.
func (c *Client) Models(ctx context.Context, path string) ([]string, error) {
	var list struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if err := c.Call(ctx, http.MethodGet, path, nil, &list); err != nil {
		return nil, fmt.Errorf("remote: asking %s for its models: %w", c.opt.URL, err)
	}
	var models []string
	for _, m := range list.Data {
		if m.ID != "" {
			models = append(models, m.ID)
		}
	}
	if len(models) == 0 {
		return nil, fmt.Errorf("remote: %s lists no model: name one", c.opt.URL)
	}
	return models, nil
}

// Model is the name of the model that is asked.
func (c *Client) Model() string { return c.opt.Model }

// StatusOf returns the HTTP status of an answer that is not 200, 0 if err is no such answer.
func StatusOf(err error) int {
	var r *refusal
	if errors.As(err, &r) {
		return r.status
	}
	return 0
}

// A refusal is an answer that is not 200.
type refusal struct {
	status int
	body   string
	after  time.Duration // that the server asked to wait
}

func (r *refusal) Error() string {
	return fmt.Sprintf("the server answered %d %s: %s", r.status, http.StatusText(r.status), r.body)
}

// temporary marks the error of a request that may succeed later.
func temporary(err error) error {
	var r *refusal
	var bad *badAnswer
	var dns *net.DNSError
	switch {
	case err == nil, errors.As(err, &bad), errors.As(err, &dns) && dns.IsNotFound:
		return err
	case !errors.As(err, &r):
		return &retry.Temporary{Err: err}
	case retry.Status(r.status):
		return &retry.Temporary{Err: err, After: r.after}
	}
	return err
}

// badAnswer is an answer that is no chat completion: asking again would not help.
type badAnswer struct{ problem string }

func (b *badAnswer) Error() string { return b.problem }

// Call makes a request to a path below the client's URL, with retries, and decodes the JSON answer
// into out. body is sent as JSON; nil is no body.
func (c *Client) Call(ctx context.Context, method, path string, body, out any) error {
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return err
		}
	}
	policy := retry.Policy{Tries: 1 + max(0, c.opt.Retries), First: c.opt.Backoff, Longest: maxPause,
		LongestAsked: maxPause}
	if c.opt.Say != nil {
		policy.Notify = func(err error, pause time.Duration) {
			c.opt.Say(fmt.Sprintf("%v; trying again in %s", err, pause.Round(time.Millisecond)))
		}
	}
	return policy.Do(ctx, func() error { return temporary(c.once(ctx, method, path, data, out)) })
}

// once makes one attempt.
func (c *Client) once(ctx context.Context, method, path string, data []byte, out any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.opt.Timeout,
		fmt.Errorf("no answer within %s", c.opt.Timeout))
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(data))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	if c.opt.Key != "" {
		request.Header.Set("Authorization", "Bearer "+c.opt.Key)
	}
	response, err := c.opt.Client.Do(request)
	if err != nil {
		return cause(ctx, err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("reading the answer: %w", cause(ctx, err))
	}
	if len(answer) > maxAnswer {
		return &badAnswer{fmt.Sprintf("the server's answer is longer than %d bytes", maxAnswer)}
	}
	if response.StatusCode != http.StatusOK {
		return &refusal{response.StatusCode, shorten(answer), retry.After(response.Header)}
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return &badAnswer{fmt.Sprintf("the server's answer is no JSON of the wanted form (%v): %s", err,
			shorten(answer))}
	}
	return nil
}

// cause is why a context ended, where that is why a request failed.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func shorten(answer []byte) string {
	const most = 300
	text := strings.Join(strings.Fields(string(answer)), " ")
	if r := []rune(text); len(r) > most {
		return string(r[:most]) + " …"
	}
	return text
}

// completion is a chat completion as servers write it.
type completion struct {
	Choices []struct {
		Message struct {
			Content *string `json:"content"`
		} `json:"message"`
		FinishReason string `json:"finish_reason"`
	} `json:"choices"`
	Usage pref.Usage `json:"usage"`
}

// chat asks for one completion.
func (c *Client) chat(
	ctx context.Context, messages []pref.Message, s pref.Sampling,
) (pref.Generated, error) {
	tools := ""
	if len(messages) > 0 && messages[0].Tools != "" { // they stand beside the messages there
		messages = slices.Clone(messages)
		tools, messages[0].Tools = messages[0].Tools, ""
	}
	body := map[string]any{"model": c.opt.Model, "messages": messages, "max_tokens": s.MaxTokens,
		"temperature": s.Temperature, "seed": s.Seed & (1<<31 - 1), "n": 1}
	if tools != "" {
		body["tools"] = json.RawMessage(tools)
	}
	if s.TopP > 0 {
		body["top_p"] = s.TopP
	}
	if len(s.Stop) > 0 {
		body["stop"] = s.Stop
	}
	if s.TopK > 0 {
		body["top_k"] = s.TopK
	}
	if s.MinP > 0 {
		body["min_p"] = s.MinP
	}
	if s.RepetitionPenalty > 0 {
		body["repetition_penalty"] = s.RepetitionPenalty // vLLM and SGLang
		body["repeat_penalty"] = s.RepetitionPenalty     // llama.cpp and Ollama
	}
	for key, value := range c.opt.Extra {
		if body[key] = value; value == nil {
			delete(body, key) // a member that this server refuses
		}
	}
	var answer completion
	if err := c.Call(ctx, http.MethodPost, "/chat/completions", body, &answer); err != nil {
		return pref.Generated{}, err
	}
	if len(answer.Choices) == 0 || answer.Choices[0].Message.Content == nil {
		return pref.Generated{}, &badAnswer{"the server's answer has no choices[0].message.content"}
	}
	choice := answer.Choices[0]
	g := pref.Generated{Text: *choice.Message.Content, Finish: pref.FinishStop,
		Tokens: answer.Usage.CompletionTokens, Usage: answer.Usage}
	if choice.FinishReason == "length" {
		g.Finish = pref.FinishLength
	}
	return g, nil
}

// each runs work for 0 to n−1, Options.Concurrency at once, and hands the results to done one at a
// time. The first error stops all; what was answered by then is still handed over, unless it was
// done that failed.
func each[T any](
	ctx context.Context, c *Client, n int,
	work func(ctx context.Context, i int) (T, error), done func(i int, x T) error,
) error {
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(c.opt.Concurrency)
	var mu sync.Mutex
	refused := false
	for i := range n {
		if inner.Err() != nil {
			break
		}
		group.Go(func() error {
			x, err := work(inner, i)
			if err != nil {
				return fmt.Errorf("remote: request %d of %d to %s: %w", i+1, n, c.opt.Model, err)
			}
			mu.Lock()
			defer mu.Unlock()
			if refused {
				return nil
			}
			err = done(i, x)
			refused = err != nil
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}
