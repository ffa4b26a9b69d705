package hub

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"haf/internal/retry"
	"haf/internal/webclient"
)

const (
	tries        = 5
	maxRedirects = 10
	maxListing   = 64 << 20 // bytes; the largest repositories' lists are a few MB
	maxPause     = time.Minute
)

// errUnreachable is wrapped if the network is missing or the hub does not answer.
var errUnreachable = errors.New("the hub cannot be reached")

// retry calls f until it succeeds, fails permanently or has failed too often. If f reports
// progress, the count starts again.
func (c *Client) retry(ctx context.Context, what string, f func() (further bool, err error)) error {
	policy := retry.Policy{Tries: cmp.Or(c.Tries, tries), First: c.pause, Longest: maxPause,
		LongestAsked: 5 * maxPause, Notify: func(err error, pause time.Duration) {
			c.say("%s: %v; trying again in %s", what, err, pause.Round(100*time.Millisecond))
		}}
	err := policy.Do(ctx, func() error {
		further, err := f()
		var again *retry.Temporary
		if further && errors.As(err, &again) {
			again.Further = true
		}
		return err
	})
	if ctx.Err() != nil {
		return err
	}
	return c.explain(err)
}

// explain adds the hub's address and the next step, unless the error has them.
func (c *Client) explain(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	if !strings.Contains(text, c.shown()) {
		err = fmt.Errorf("%w (the hub is %s)", err, c.shown())
	}
	if !strings.Contains(text, "?") && !strings.Contains(text, "HF_TOKEN") &&
		!strings.Contains(text, "HTTPS_PROXY") && !strings.Contains(text, "run the same") &&
		!errors.Is(err, errRevision) && !errors.Is(err, errDisk) {
		err = fmt.Errorf("%w: check the network, the proxy (HTTPS_PROXY) or HF_ENDPOINT", err)
	}
	return err
}

// errDisk is wrapped by errors of the cache's disk, for which the network is not to blame.
var errDisk = errors.New("cache")

// A reply is the last response in a chain of redirects, with the hub's own data about the file.
type reply struct {
	*http.Response
	etag string
	size int64 // -1: not known
}

// send makes a request and follows redirects. The token goes to the endpoint's own host only. It
// does not follow a redirect of HEAD to another host, because the hub's own answer has all that is
// needed.
func (c *Client) send(
	ctx context.Context, ref Ref, method, address string, header http.Header,
) (*reply, error) {
	home, err := url.Parse(c.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("hub: %w", webclient.Cause(err))
	}
	at, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("hub: %w", webclient.Cause(err))
	}
	r := &reply{size: -1}
	silent := time.AfterFunc(webclient.Quiet, func() {
		c.say("%s: %s has not answered yet; waiting for %s at most", ref, webclient.Shown(home), c.stall)
	})
	defer silent.Stop()
	for range maxRedirects {
		req, err := http.NewRequestWithContext(ctx, method, at.String(), nil)
		if err != nil {
			return nil, fmt.Errorf("hub: %w", err)
		}
		for name, values := range header {
			req.Header[name] = values
		}
		req.Header.Set("User-Agent", "haf")
		req.Header.Set("Accept-Encoding", "identity")
		if c.Token != "" && at.Scheme == home.Scheme && at.Host == home.Host {
			req.Header.Set("Authorization", "Bearer "+c.Token)
		}
		resp, err := c.http.Do(req)
		if err != nil {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			return nil, &retry.Temporary{Err: fmt.Errorf("%w: %s: %w", errUnreachable, webclient.Shown(at),
				webclient.Cause(err))}
		}
		if r.etag == "" {
			r.etag = etagOf(resp.Header)
		}
		if n, err := strconv.ParseInt(resp.Header.Get("X-Linked-Size"), 10, 64); err == nil &&
			r.size < 0 {
			r.size = n
		}
		if resp.StatusCode/100 != 3 || resp.StatusCode == http.StatusNotModified {
			if r.size < 0 && method == http.MethodHead && resp.StatusCode == http.StatusOK {
				r.size = resp.ContentLength
			}
			r.Response = resp
			return r, nil
		}
		to, err := resp.Location()
		if err != nil {
			resp.Body.Close()
			return nil, fmt.Errorf("hub: %s: a redirect without a place: %w", ref, err)
		}
		if method == http.MethodHead && to.Host != at.Host {
			r.Response = resp
			return r, nil
		}
		resp.Body.Close()
		if to.Scheme != "https" && (to.Scheme != "http" || at.Scheme == "https") {
			return nil, fmt.Errorf("hub: %s: %s redirects to %s, which is not encrypted: is HF_ENDPOINT "+
				"right?", ref, webclient.Shown(at), webclient.Shown(to))
		}
		at = to
	}
	return nil, fmt.Errorf("hub: %s: %s redirects more than %d times, lately to %s: is HF_ENDPOINT "+
		"right, or does a proxy ask for a login?", ref, webclient.Shown(home), maxRedirects,
		webclient.Shown(at))
}

// etagOf reads the etag of a file. For a file stored elsewhere the hub sends it in a header of its
// own.
func etagOf(h http.Header) string {
	etag := h.Get("X-Linked-Etag")
	if etag == "" {
		etag = h.Get("ETag")
	}
	return strings.Trim(strings.TrimPrefix(etag, "W/"), `"`)
}

// failure makes an error of a response with an unexpected status.
func (c *Client) failure(ref Ref, resp *http.Response) error {
	const most = 1 << 12
	text, _ := io.ReadAll(io.LimitReader(resp.Body, most)) // only for the message
	said := resp.Header.Get("X-Error-Message")
	var object struct {
		Error string `json:"error"`
	}
	if said == "" && json.Unmarshal(text, &object) == nil {
		said = object.Error
	}
	if said != "" {
		said = " (" + strings.TrimSpace(webclient.Hide(said, c.Token)) + ")"
	}
	page := c.shown() + "/" + ref.page()
	code := resp.Header.Get("X-Error-Code")
	switch status := resp.StatusCode; {
	case code == "GatedRepo" && c.Token == "":
		return fmt.Errorf("hub: %s is gated%s: accept its licence at %s and set HF_TOKEN to a token of "+
			"your account", ref, said, page)
	case code == "GatedRepo":
		return fmt.Errorf("hub: %s is gated and the token that is set may not read it%s: accept its "+
			"licence at %s with the account of HF_TOKEN; a fine-grained token must allow gated repositories",
			ref, said, page)
	case code == "RevisionNotFound":
		return fmt.Errorf(
			"hub: %s exists, but has no revision %q: name a branch, tag or commit of %s: %w", ref.page(),
			ref.Revision, page, errRevision)
	case code == "EntryNotFound":
		return fmt.Errorf("hub: %s: no such file at revision %q%s", ref, ref.Revision, said)
	case status == http.StatusUnauthorized && c.Token != "":
		return fmt.Errorf("hub: %s: the hub refuses the token%s: is HF_TOKEN (or the token of `hf auth "+
			"login`) still valid, and the id right? See %s", ref, said, page)
	case status == http.StatusUnauthorized, status == http.StatusNotFound:
		return fmt.Errorf("hub: there is no %s%s: is the id right? If it is private or gated, accept "+
			"its licence at %s and set HF_TOKEN", ref, said, page)
	case status == http.StatusForbidden:
		return fmt.Errorf("hub: %s: access refused%s: accept the licence at %s and set HF_TOKEN to a "+
			"token of that account that may read it", ref, said, page)
	case retry.Status(status):
		return &retry.Temporary{After: retry.After(resp.Header), Err: fmt.Errorf(
			"hub: %s: %w: %s answers %s%s", ref, errUnreachable, c.shown(), resp.Status, said)}
	}
	return fmt.Errorf("hub: %s: %s answers %s%s: is HF_ENDPOINT right?", ref, c.shown(), resp.Status,
		said)
}

// errRevision is wrapped by the error for a revision that the hub lacks. The cache cannot replace
// it.
var errRevision = errors.New("no such revision")

// A listing is the list of a repository's files at a commit.
type listing struct {
	commit string
	files  []string // sorted
}

// list asks the hub for the files of a repository, only once unless patient.
func (c *Client) list(ctx context.Context, ref Ref, patient bool) (listing, error) {
	var out listing
	err := c.retry(ctx, ref.String(), func() (bool, error) {
		err := c.listOnce(ctx, ref, &out)
		var again *retry.Temporary
		if errors.As(err, &again) && (!patient || absent(err)) {
			err = again.Err
		}
		return false, err
	})
	return out, err
}

// absent reports whether an error means that there is no network, or no hub at the address.
func absent(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsNotFound || errors.Is(err, syscall.ECONNREFUSED)
}

func (c *Client) listOnce(ctx context.Context, ref Ref, out *listing) error {
	ctx, cancel := context.WithTimeout(ctx, 2*c.stall)
	defer cancel()
	address := fmt.Sprintf("%s/api/%s/%s/revision/%s", c.Endpoint, ref.kind(), ref.ID,
		url.PathEscape(ref.Revision))
	r, err := c.send(ctx, ref, http.MethodGet, address, nil)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return &retry.Temporary{Err: fmt.Errorf("%w: no answer in %s", errUnreachable, 2*c.stall)}
		}
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return c.failure(ref, r.Response)
	}
	var info struct {
		SHA      string `json:"sha"`
		Siblings []struct {
			Name string `json:"rfilename"`
		} `json:"siblings"`
	}
	data, err := io.ReadAll(io.LimitReader(r.Body, maxListing+1))
	if err != nil {
		return &retry.Temporary{Err: fmt.Errorf("hub: %s: the list of files broke off: %w", ref, err)}
	}
	if len(data) > maxListing {
		return fmt.Errorf("hub: %s: the list of files is longer than %d bytes", ref, maxListing)
	}
	if err := json.Unmarshal(data, &info); err != nil {
		return fmt.Errorf("hub: %s: the answer of %s is not the hub's (%w): is HF_ENDPOINT right, or "+
			"does a proxy ask for a login?", ref, c.shown(), err)
	}
	if !commitForm.MatchString(info.SHA) {
		return fmt.Errorf("hub: %s: the commit of revision %q is %q, want 40 hexadecimal digits",
			ref, ref.Revision, info.SHA)
	}
	out.commit, out.files = info.SHA, nil
	for _, s := range info.Siblings {
		out.files = append(out.files, s.Name)
	}
	if err := checkListed(ref.String(), out.files); err != nil {
		out.files = nil
		return err
	}
	slices.Sort(out.files)
	return nil
}

// escapePath escapes a path of a repository for a URL.
func escapePath(name string) string {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return strings.Join(parts, "/")
}

// address returns the URL of a file at a commit.
func (c *Client) address(ref Ref, commit, name string) string {
	return fmt.Sprintf("%s/%s/resolve/%s/%s", c.Endpoint, ref.page(), commit, escapePath(name))
}
