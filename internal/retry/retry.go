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

// A Policy says how often something is tried and how long the pauses are. Pauses double from First
// to Longest, and each is drawn between a half and one and a half of its length, so that clients
// that failed together do not come back together.
type Policy struct {
	Tries   int           // in all, at least 1
	First   time.Duration // pause before the second try
	Longest time.Duration // pause that the policy chooses by itself
	// LongestAsked bounds the pause that a server may ask for: where it asks for a longer one, no
	// further try is made, because it would be refused.
	LongestAsked time.Duration
	// Notify, if not nil, is told of each failure that is followed by another try.
	Notify func(err error, pause time.Duration)
}

// Temporary is an error that may go away by itself. Only such an error is followed by another try.
type Temporary struct {
	Err     error
	After   time.Duration // the pause that the server asked for; 0 is none
	Further bool          // the try got further than the one before: the count begins anew
}

func (t *Temporary) Error() string { return t.Err.Error() }
func (t *Temporary) Unwrap() error { return t.Err }

// Do calls f until it succeeds, fails for good or has failed Tries times. It returns the error of
// the context once that is over, whatever that led to.
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
		return ctx.Err() // the cause may be a signal's name
	case errors.As(err, &t) && t.After > p.LongestAsked:
		return fmt.Errorf("%w; the server asks for a pause of %s, haf waits for %s at most: run the "+
			"same command later", err, t.After.Round(time.Second), p.LongestAsked)
	case errors.As(err, &t) && w.tried > 1:
		return fmt.Errorf("tried %d times: %w", w.tried, err)
	}
	return err
}

// waits are the pauses of one call of Do. It implements backoff.BackOff, because only there can a
// count of tries begin anew.
type waits struct {
	policy Policy
	pauses *backoff.ExponentialBackOff
	tried  int
	after  time.Duration // that the server asked for at the last try
}

// failed notes the failure of a try, nil if it was none or for good.
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

// Status reports whether a request that was answered with an HTTP status may succeed later.
func Status(code int) bool {
	switch code {
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return true
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return false
	}
	return code >= 500
}

// After reads the pause that the header Retry-After asks for, in seconds or as a date; 0 is none. A
// date is compared with that of the answer, because the clock here may be another.
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
