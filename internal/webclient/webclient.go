// Package webclient makes all HTTP clients of haf: TLS 1.2 or newer, bounded waits for a
// connection, no redirects to another server, and errors without secrets.
package webclient

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Time limits for a connection. The caller limits the wait for an answer.
const (
	dialTimeout = 10 * time.Second
	idleTimeout = 30 * time.Second
)

// maxHeader limits the header of an answer, in bytes.
const maxHeader = 256 << 10

// maxRedirects is the largest number of redirects of a request.
const maxRedirects = 5

// Quiet is how long a server may be silent at first before the user is told.
const Quiet = 2 * time.Second

// Transport returns a transport with at most idle idle connections to a server.
func Transport(idle int) *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: dialTimeout, KeepAlive: idleTimeout}).DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    dialTimeout,
		IdleConnTimeout:        idleTimeout,
		MaxIdleConnsPerHost:    idle,
		MaxResponseHeaderBytes: maxHeader,
		ForceAttemptHTTP2:      true,
	}
}

// New returns a client for requests to one server. It follows redirects only within that server and
// only those that keep the method, because requests may carry secrets for that server.
func New(idle int) *http.Client {
	return &http.Client{Transport: Transport(idle), CheckRedirect: checkRedirect}
}

// A Redirected error says that haf does not follow a server's redirect.
type Redirected struct{ problem string }

func (r *Redirected) Error() string { return r.problem }

func checkRedirect(to *http.Request, via []*http.Request) error {
	from := via[0]
	switch {
	case !SameOrigin(to.URL, from.URL):
		return &Redirected{fmt.Sprintf("it redirects to another server, %s, to which haf sends neither "+
			"the request nor its key: if that one is meant, give its address", Shown(to.URL))}
	case to.Method != from.Method:
		return &Redirected{fmt.Sprintf("it redirects %s to %s %s: give the address that answers %s",
			from.Method, to.Method, Shown(to.URL), from.Method)}
	case len(via) > maxRedirects:
		return &Redirected{fmt.Sprintf("it redirects more than %d times, lately to %s: is the address "+
			"right?", maxRedirects, Shown(to.URL))}
	}
	return nil
}

// SameOrigin reports whether two addresses have the same scheme, host and port.
func SameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) &&
		port(a) == port(b)
}

func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	return map[string]string{"http": "80", "https": "443"}[u.Scheme]
}

// Shown returns an address for messages, without user, password, query and fragment, which may hold
// secrets.
func Shown(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}

// ShownText is Shown for a text. If the text is no address, it replaces everything up to the last @
// by an ellipsis and cuts the query.
func ShownText(text string) string {
	if u, err := url.Parse(text); err == nil && u.Host != "" {
		return Shown(u)
	}
	text, _, _ = strings.Cut(text, "?")
	if i := strings.LastIndexByte(text, '@'); i >= 0 {
		text = "…" + text[i:]
	}
	return text
}

// Cause returns the error of a request without the address that net/http puts before it, because
// that may hold secrets. The caller adds the address itself.
func Cause(err error) error {
	var of *url.Error
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}

// Hide removes secrets from a text of another origin, such as a server's answer that repeats the
// key.
func Hide(text string, secrets ...string) string {
	for _, secret := range secrets {
		if len(secret) >= 4 { // a shorter one may occur in words
			text = strings.ReplaceAll(text, secret, "[secret]")
		}
	}
	return text
}

// Announce calls f, and calls say if f has not returned after [Quiet].
func Announce(say func(), f func() error) error {
	timer := time.AfterFunc(Quiet, say)
	defer timer.Stop()
	return f()
}
