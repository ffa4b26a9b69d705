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
	"unicode"

	"golang.org/x/sync/errgroup"

	"haf/internal/retry"
	"haf/internal/webclient"
	"haf/pref"
)

// Options set which server is used, and how.
type Options struct {
	URL         string        // of the API, with its version: http://127.0.0.1:8000/v1
	Model       string        // its name on the server; "" is the first listed
	Key         string        // sent as a bearer token; "" is none
	Concurrency int           // requests at once; 0 is 8
	Timeout     time.Duration // of one attempt; 0 is two minutes
	Retries     int           // per request, after the first attempt; 0 is 5, negative none
	// further members of every request, such as those of one kind of server
	Extra   map[string]any
	Backoff time.Duration     // before the first retry, doubled at each; 0 is half a second
	Client  *http.Client      // nil is a client of its own
	Say     func(line string) // gets a line per retry; may be nil
}

// Client asks a server. It is safe for concurrent use.
type Client struct {
	opt  Options
	base string
}

// maxAnswer limits an answer in bytes, far above a response of the longest context.
const maxAnswer = 16 << 20

// maxPause is the longest pause that a server may ask for before a retry.
const maxPause = 2 * time.Minute

// New returns a client. It asks the server for its models if Options.Model is empty.
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

// CheckURL returns an error unless the text is the address of a server.
func CheckURL(text string) error {
	_, err := parseURL(text)
	return err
}

func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("remote: %q is no server: want a URL such as "+
			"http://127.0.0.1:8000/v1", webclient.ShownText(text))
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("remote: the address %s has a user, a query or a # in it, want a URL "+
			"such as http://127.0.0.1:8000/v1; a key is given in HAF_API_KEY or OPENAI_API_KEY",
			webclient.Shown(u))
	}
	return u, nil
}

// Dial returns a client for [Client.Call] without sending a request. Options.Model may be empty.
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
		opt.Client = webclient.New(opt.Concurrency)
	}
	return &Client{opt: opt, base: strings.TrimRight(u.String(), "/")}, nil
}

// Models lists the models of a server that answers like OpenAI's GET /v1/models, at a path below
// the client's URL. The list is not empty.
func (c *Client) Models(ctx context.Context, path string) ([]string, error) {
	var list struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	err := webclient.Announce(func() { c.say("%s has not answered yet; waiting", c.base+path) },
		func() error { return c.Call(ctx, http.MethodGet, path, nil, &list) })
	if err != nil {
		return nil, fmt.Errorf("remote: asking for its models: %w", err)
	}
	var models []string
	for _, m := range list.Data {
		if m.ID != "" {
			models = append(models, m.ID)
		}
	}
	if len(models) == 0 {
		return nil, fmt.Errorf("remote: %s lists no model: is it the address of the API? Else "+
			"name the model", c.opt.URL)
	}
	return models, nil
}

func (c *Client) say(format string, args ...any) {
	if c.opt.Say != nil {
		c.opt.Say(fmt.Sprintf(format, args...))
	}
}

// Model is the name of the model used.
func (c *Client) Model() string { return c.opt.Model }

// StatusOf returns the HTTP status of a refused request, or 0 if err is another error.
func StatusOf(err error) int {
	var r *refusal
	if errors.As(err, &r) {
		return r.status
	}
	return 0
}

// Answered reports whether an error means that a server answered, with any content.
func Answered(err error) bool {
	var bad *badAnswer
	return StatusOf(err) != 0 || errors.As(err, &bad)
}

// A refusal is an answer with a status other than 200.
type refusal struct {
	status int
	body   string
	after  time.Duration // pause that the server asked for
}

func (r *refusal) Error() string {
	return fmt.Sprintf("the server answered %d %s: %s", r.status, http.StatusText(r.status), r.body)
}

// temporary marks the error of a request that may succeed later.
func temporary(err error) error {
	var r *refusal
	var bad *badAnswer
	var dns *net.DNSError
	var redirected *webclient.Redirected
	switch {
	case err == nil, errors.As(err, &bad), errors.As(err, &redirected),
		errors.As(err, &dns) && dns.IsNotFound:
		return err
	case !errors.As(err, &r):
		return &retry.Temporary{Err: err}
	case retry.Status(r.status):
		return &retry.Temporary{Err: err, After: r.after}
	}
	return err
}

// badAnswer is an answer that is not a chat completion. A retry would not help.
type badAnswer struct{ problem string }

func (b *badAnswer) Error() string { return b.problem }

// bad returns the error for an answer that is not a chat completion.
func (c *Client) bad(problem string) error {
	err := &badAnswer{problem}
	return fmt.Errorf("%s/chat/completions: %w%s", c.base, err, next(err))
}

// Call makes a request to a path below the client's URL, with retries, and decodes the JSON answer
// into out. body is sent as JSON; nil sends no body.
func (c *Client) Call(ctx context.Context, method, path string, body, out any) error {
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return err
		}
	}
	address := c.base + path
	policy := retry.Policy{Tries: 1 + max(0, c.opt.Retries), First: c.opt.Backoff, Longest: maxPause,
		LongestAsked: maxPause, Notify: func(err error, pause time.Duration) {
			c.say("%s: %v; trying again in %s", address, err, pause.Round(time.Millisecond))
		}}
	err := policy.Do(ctx, func() error { return temporary(c.once(ctx, method, path, data, out)) })
	if err == nil || ctx.Err() != nil {
		return err
	}
	return fmt.Errorf("%s: %w%s", address, err, next(err))
}

// next returns the user's next step after a failed call.
func next(err error) string {
	var bad *badAnswer
	var redirected *webclient.Redirected
	status := StatusOf(err)
	switch {
	case errors.As(err, &redirected):
		return ""
	case errors.As(err, &bad):
		return "; is this the address of the API, or of a page before it?"
	case status == 0:
		return "; is the server running, and the address right?"
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return "; is the key right that haf was given in the environment?"
	case status == http.StatusNotFound || status == http.StatusMethodNotAllowed:
		return "; is the address right, with /v1 at its end where the API has it?"
	case status >= 500 || status == http.StatusTooManyRequests:
		return "; the server's log says more; run the same command again to go on"
	}
	return "; want 200: is the address right?"
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
		return cause(ctx, webclient.Cause(err))
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("reading the answer: %w", cause(ctx, webclient.Cause(err)))
	}
	if len(answer) > maxAnswer {
		return &badAnswer{fmt.Sprintf("the server's answer is longer than %d bytes", maxAnswer)}
	}
	if response.StatusCode != http.StatusOK {
		return &refusal{response.StatusCode, c.shorten(answer), retry.After(response.Header)}
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return &badAnswer{fmt.Sprintf("the server's answer is no JSON of the wanted form (%v): %s", err,
			c.shorten(answer))}
	}
	return nil
}

// cause returns the reason that a context ended, if that is why a request failed.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// shorten returns the beginning of an answer on one line, without the key.
func (c *Client) shorten(answer []byte) string {
	const most = 300
	text := strings.ToValidUTF8(string(answer[:min(len(answer), 1<<16)]), "\uFFFD")
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, webclient.Hide(text, c.opt.Key))
	text = strings.Join(strings.Fields(text), " ")
	if r := []rune(text); len(r) > most {
		return string(r[:most]) + " …"
	}
	return text
}

// completion is a chat completion in the API's form.
type completion struct {
	Choices []struct {
		Message struct {
			Content *string `json:"content"`
		} `json:"message"`
		FinishReason string `json:"finish_reason"`
	} `json:"choices"`
	Usage pref.Usage `json:"usage"`
}

// chat requests one completion.
func (c *Client) chat(
	ctx context.Context, messages []pref.Message, s pref.Sampling,
) (pref.Generated, error) {
	tools := ""
	if len(messages) > 0 && messages[0].Tools != "" { // the API has them beside the messages
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
		return pref.Generated{}, c.bad("the server's answer has no choices[0].message.content")
	}
	if u := answer.Usage; u.PromptTokens < 0 || u.CompletionTokens < 0 {
		return pref.Generated{}, c.bad(fmt.Sprintf("the server's answer counts %d and %d tokens in "+
			"usage, want none below 0", u.PromptTokens, u.CompletionTokens))
	}
	choice := answer.Choices[0]
	g := pref.Generated{Text: *choice.Message.Content, Finish: pref.FinishStop,
		Tokens: answer.Usage.CompletionTokens, Usage: answer.Usage}
	if choice.FinishReason == "length" {
		g.Finish = pref.FinishLength
	}
	return g, nil
}

// each runs work for 0 to n−1, Options.Concurrency at once, and passes the results to done one at a
// time. The first error stops all. Results obtained by then still go to done, unless done itself
// failed.
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
