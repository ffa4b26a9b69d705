// Package retry repeats requests after temporary failures, with one policy for the clients of the
// hub, of other programs' servers, and of haf's servers.
package retry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// A Policy sets the number of attempts and the pauses between them. Pauses double from First to
// Longest. Each is drawn between half and one and a half of its length, so that clients that failed
// together do not return together.
type Policy struct {
	Tries   int           // attempts in all, at least 1
	First   time.Duration // pause before the second attempt
	Longest time.Duration // longest pause that the policy chooses
	// LongestAsked is the longest pause that a server may ask for. If it asks for more, Do gives up,
	// because an earlier attempt would be refused.
	LongestAsked time.Duration
	// Notify, if not nil, gets each failure that is followed by another attempt.
	Notify func(err error, pause time.Duration)
}

// Temporary is an error that may pass. Do retries only after such an error.
type Temporary struct {
	Err     error
	After   time.Duration // pause that the server asked for; 0 is none
	Further bool          // the attempt made progress: restart the count
}

func (t *Temporary) Error() string { return t.Err.Error() }
func (t *Temporary) Unwrap() error { return t.Err }

// Do calls f until it succeeds, fails permanently or has failed Tries times. Once the context is
// over, it returns the context's error.
func (p Policy) Do(ctx context.Context, f func() error) error {
	w := &waits{policy: p}
	w.pauses = &backoff.ExponentialBackOff{InitialInterval: p.First, MaxInterval: p.Longest,
		Multiplier: 2, RandomizationFactor: 0.5}
	try := func() (struct{}, error) {
		err := f()
		var t *Temporary
		if err != nil && !errors.As(err, &t) {
			err = backoff.Permanent(err)
		}
		w.failed(t)
		return struct{}{}, err
	}
	options := []backoff.RetryOption{backoff.WithBackOff(w), backoff.WithMaxElapsedTime(0)}
	if p.Notify != nil {
		options = append(options, backoff.WithNotify(p.Notify))
	}
	_, err := backoff.Retry(ctx, try, options...)
	var t *Temporary
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err() // the cause may be the name of a signal
	case errors.As(err, &t) && t.After > p.LongestAsked:
		return fmt.Errorf("%w; the server asks for a pause of %s, haf waits for %s at most: run the "+
			"same command later", err, t.After.Round(time.Second), p.LongestAsked)
	case errors.As(err, &t) && w.tried > 1:
		return fmt.Errorf("tried %d times: %w", w.tried, err)
	}
	return err
}

// waits are the pauses of one call of Do. It implements backoff.BackOff, because only there can the
// count of attempts restart.
type waits struct {
	policy Policy
	pauses *backoff.ExponentialBackOff
	tried  int
	after  time.Duration // requested by the server at the last attempt
}

// failed records the temporary failure of an attempt; nil means any other outcome.
func (w *waits) failed(t *Temporary) {
	if w.tried++; t == nil {
		return
	}
	if t.Further {
		w.tried = 1
		w.pauses.Reset()
	}
	w.after = t.After
}

// Reset implements backoff.BackOff.
func (w *waits) Reset() {
	w.pauses.Reset()
	w.tried, w.after = 0, 0
}

// NextBackOff implements backoff.BackOff.
func (w *waits) NextBackOff() time.Duration {
	if w.tried >= w.policy.Tries || w.after > w.policy.LongestAsked {
		return backoff.Stop
	}
	return max(w.pauses.NextBackOff(), w.after)
}

// Status reports whether a request refused with an HTTP status may succeed later.
func Status(code int) bool {
	switch code {
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return true
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return false
	}
	return code >= 500
}

// After returns the pause in the header Retry-After, in seconds or as a date, or 0. It compares a
// date with the answer's own date, because the local clock may differ.
func After(h http.Header) time.Duration {
	const most = 24 * time.Hour // far above what any policy waits
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		if !(seconds > 0) {
			return 0
		}
		return time.Duration(min(seconds, most.Seconds()) * float64(time.Second))
	}
	if at, err := http.ParseTime(text); err == nil {
		now, err := http.ParseTime(h.Get("Date"))
		if err != nil {
			now = time.Now()
		}
		return min(max(at.Sub(now), 0), most)
	}
	return 0
}
