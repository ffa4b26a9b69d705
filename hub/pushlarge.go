package hub

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"haf/internal/retry"
	"haf/internal/webclient"
)

const (
	lfsType = "application/vnd.git-lfs+json"
	// maxAnswer limits the hub's answer to a push, in bytes.
	maxAnswer = 16 << 20
)

// An action describes how to store a file: one PUT, or a PUT per part and then a POST.
type action struct {
	Href   string         `json:"href"`
	Header map[string]any `json:"header"`
}

// storeLarge sends the large files that the storage lacks.
func (u *upload) storeLarge(ctx context.Context) error {
	type object struct {
		OID  string `json:"oid"`
		Size int64  `json:"size"`
	}
	bySum := map[string]*uploadFile{}
	var objects []object
	for _, f := range u.files {
		if f.large && !f.ignore && bySum[f.sum] == nil {
			bySum[f.sum] = f
			objects = append(objects, object{f.sum, f.size})
		}
	}
	if len(objects) == 0 {
		return nil
	}
	body := map[string]any{"operation": "upload", "transfers": []string{"basic", "multipart"},
		"objects": objects, "hash_algo": "sha256", "ref": map[string]string{"name": u.ref.Revision}}
	var answer struct {
		Objects []struct {
			object
			Actions struct {
				Upload *action `json:"upload"`
				Verify *action `json:"verify"`
			} `json:"actions"`
			Error *struct {
				Message string `json:"message"`
			} `json:"error"`
		} `json:"objects"`
	}
	if err := u.ask(ctx, "/"+u.ref.ID+".git/info/lfs/objects/batch", body, &answer); err != nil {
		return err
	}
	for _, o := range answer.Objects {
		f := bySum[o.OID]
		if f == nil {
			return fmt.Errorf("hub: %s: the storage answers for an unknown file %q", u.ref, o.OID)
		}
		delete(bySum, o.OID)
		if o.Error != nil {
			return fmt.Errorf("hub: %s: the storage refuses %s: %s", u.ref, f.Name, o.Error.Message)
		}
		if o.Actions.Upload == nil {
			u.c.say("%s is in the hub's storage already", f.Name)
			continue
		}
		if err := u.store(ctx, f, *o.Actions.Upload); err != nil {
			return err
		}
		if v := o.Actions.Verify; v != nil {
			if err := u.ask(ctx, v.Href, object{f.sum, f.size}, nil); err != nil {
				return err
			}
		}
	}
	for _, f := range bySum {
		return fmt.Errorf("hub: %s: the storage does not answer for %s", u.ref, f.Name)
	}
	return nil
}

// store sends a file, whole or in the parts that the storage asks for.
func (u *upload) store(ctx context.Context, f *uploadFile, to action) error {
	chunk, err := strconv.ParseInt(fmt.Sprint(to.Header["chunk_size"]), 10, 64)
	if to.Header["chunk_size"] == nil {
		_, err := u.put(ctx, f, to.Href, 0, f.size)
		return err
	}
	if err != nil || chunk <= 0 {
		return fmt.Errorf("hub: %s: the storage wants parts of %v bytes", u.ref,
			to.Header["chunk_size"])
	}
	type part struct {
		Number int    `json:"partNumber"`
		ETag   string `json:"etag"`
	}
	var parts []part
	for n := range int((f.size + chunk - 1) / chunk) {
		// the names of parts are numbers, with leading zeros if there are many
		href := ""
		for key, value := range to.Header {
			if k, err := strconv.Atoi(key); err == nil && k == n+1 {
				href, _ = value.(string)
			}
		}
		if href == "" {
			return fmt.Errorf("hub: %s: the storage has no address for part %d of %s", u.ref,
				n+1, f.Name)
		}
		from := int64(n) * chunk
		etag, err := u.put(ctx, f, href, from, min(chunk, f.size-from))
		if err != nil {
			return err
		}
		if etag == "" {
			return fmt.Errorf("hub: %s: the storage gives no etag for part %d of %s", u.ref,
				n+1, f.Name)
		}
		parts = append(parts, part{n + 1, etag})
	}
	return u.ask(ctx, to.Href, map[string]any{"oid": f.sum, "parts": parts}, nil)
}

// put sends bytes of a file and returns the etag in the answer.
func (u *upload) put(
	ctx context.Context, f *uploadFile, address string, from, size int64,
) (etag string, err error) {
	err = u.c.retry(ctx, f.Name, func() (bool, error) {
		body, err := f.open()
		if err != nil {
			return false, err
		}
		defer body.Close() //nolint:errcheck // it is only read
		resp, err := u.request(ctx, http.MethodPut, address, "", io.NewSectionReader(body, from,
			size),
			size)
		if err != nil {
			return false, &retry.Temporary{Err: err}
		}
		defer resp.Body.Close()
		etag = resp.Header.Get("ETag")
		return false, u.decode(resp, nil)
	})
	if err == nil && u.c.Progress != nil {
		u.c.Progress(f.Name, from+size, f.size)
	}
	return etag, err
}

// request sends a body. The token goes to the hub's own host only.
func (u *upload) request(
	ctx context.Context, method, address, kind string, body io.Reader, size int64,
) (*http.Response, error) {
	home, err := url.Parse(u.c.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("hub: %w", webclient.Cause(err))
	}
	outer := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	alive := &watch{every: 2 * u.c.stall}
	alive.timer = time.AfterFunc(alive.every, func() {
		cancel(fmt.Errorf("%w: %s: nothing moved for %s", errUnreachable, u.c.shown(), alive.every))
	})
	if body != nil {
		body = &moving{body, alive}
	}
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, fmt.Errorf("hub: %w", webclient.Cause(err))
	}
	req.ContentLength = size
	req.Header.Set("User-Agent", "haf")
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	if kind == lfsType {
		req.Header.Set("Accept", lfsType)
	}
	if req.URL.Scheme == home.Scheme && req.URL.Host == home.Host {
		req.Header.Set("Authorization", "Bearer "+u.c.Token)
	}
	silent := time.AfterFunc(webclient.Quiet, func() {
		if body == nil || size < 1<<20 { // a large body takes long anyway
			u.c.say("%s has not answered yet; waiting for %s at most", webclient.Shown(req.URL), u.c.stall)
		}
	})
	defer silent.Stop()
	resp, err := u.c.http.Do(req)
	if err != nil {
		alive.timer.Stop()
		if outer.Err() == nil && ctx.Err() == nil { // hides the address, which may be signed
			return nil, fmt.Errorf("%w: %s: %w", errUnreachable, webclient.Shown(req.URL),
				webclient.Cause(err))
		}
		return nil, context.Cause(ctx)
	}
	inner := resp.Body
	resp.Body = &answerBody{Reader: &moving{inner, alive}, close: func() error {
		alive.timer.Stop()
		defer cancel(nil)
		return inner.Close()
	}}
	return resp, nil
}

// A watch ends a request that moves no byte in either direction for a while.
type watch struct {
	timer *time.Timer
	every time.Duration
}

// moving is a reader that reports every byte to a watch.
type moving struct {
	io.Reader
	watch *watch
}

func (m *moving) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	if n > 0 {
		m.watch.timer.Reset(m.watch.every)
	}
	return n, err
}

type answerBody struct {
	io.Reader
	close func() error
}

func (b *answerBody) Close() error { return b.close() }

// decode reads an answer. A status in fine is no failure, and then there is no answer.
func (u *upload) decode(resp *http.Response, into any, fine ...int) error {
	for _, status := range fine {
		if resp.StatusCode == status {
			return nil
		}
	}
	switch {
	case resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden:
		return fmt.Errorf("hub: %s: %s answers %s: the token may not write there: set HF_TOKEN to "+
			"one with write access to %s", u.ref, u.c.shown(), resp.Status, u.ref.ID)
	case resp.StatusCode/100 != 2:
		return u.c.failure(u.ref, resp)
	case into == nil:
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(into); err != nil {
		return fmt.Errorf("hub: %s: the answer of %s is not the hub's: %w: is HF_ENDPOINT right?",
			u.ref, u.c.shown(), err)
	}
	return nil
}
