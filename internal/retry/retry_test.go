package retry_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"haf/internal/retry"
)

var (
	errBusy = errors.New("busy")
	errGone = errors.New("no such thing")
)

var policy = retry.Policy{Tries: 4, First: time.Second, Longest: 3 * time.Second,
	LongestAsked: time.Minute}

// TestDo counts tries and pauses, in the time of a bubble.
func TestDo(t *testing.T) {
	busy := &retry.Temporary{Err: errBusy}
	asks := func(d time.Duration) error { return &retry.Temporary{Err: errBusy, After: d} }
	const half = time.Second / 2
	further := &retry.Temporary{Err: errBusy, Further: true}
	for name, c := range map[string]struct {
		errs  []error // of the tries, the last one for all that follow
		tries int
		want  error
		text  string
		least time.Duration // of all pauses
		most  time.Duration
	}{
		"success":   {[]error{nil}, 1, nil, "", 0, 0},
		"for good":  {[]error{errGone}, 1, errGone, "no such thing", 0, 0},
		"passes":    {[]error{busy, busy, nil}, 3, nil, "", 3 * half, 9 * half},
		"too often": {[]error{busy}, 4, errBusy, "tried 4 times: busy", 6 * half, 18 * half},
		"then not":  {[]error{busy, errGone}, 2, errGone, "no such thing", half, 3 * half},
		"asked":     {[]error{asks(time.Minute), nil}, 2, nil, "", time.Minute, time.Minute},
		"asks much": {[]error{asks(time.Hour), nil}, 1, errBusy, "busy; the server asks for a pause of " +
			"1h0m0s, haf waits for 1m0s at most: run the same command later", 0, 0},
		"asks little": {[]error{asks(1), nil}, 2, nil, "", half, 3 * half},
		"progress": {[]error{busy, busy, further, further, busy, busy, busy}, 7, errBusy,
			"tried 4 times: busy", 10 * half, 30 * half},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tries, told, began := 0, 0, time.Now()
				p := policy
				p.Notify = func(err error, pause time.Duration) {
					if told++; !errors.Is(err, errBusy) || pause <= 0 {
						t.Errorf("told of %v and a pause of %s", err, pause)
					}
				}
				err := p.Do(t.Context(), func() error {
					tries++
					return c.errs[min(tries, len(c.errs))-1]
				})
				if !errors.Is(err, c.want) || err != nil && err.Error() != c.text {
					t.Errorf("error %v, want %q", err, c.text)
				}
				if tries != c.tries || told != tries-1 {
					t.Errorf("%d tries, told of %d, want %d and one less", tries, told, c.tries)
				}
				if d := time.Since(began); d < c.least || d > c.most {
					t.Errorf("paused for %s, want %s to %s", d, c.least, c.most)
				}
			})
		})
	}
}

// TestContext wants the end of the context to end a pause, and to be the error.
func TestContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		began := time.Now()
		time.AfterFunc(time.Millisecond, func() { cancel(errors.New("interrupt")) })
		err := policy.Do(ctx, func() error { return &retry.Temporary{Err: errBusy} })
		if !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "interrupt") {
			t.Errorf("error %v, want %v", err, context.Canceled)
		}
		if d := time.Since(began); d != time.Millisecond {
			t.Errorf("ended after %s", d)
		}
		err = policy.Do(ctx, func() error { return errGone })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("after the end: error %v, want %v", err, context.Canceled)
		}
	})
}

// TestJitter wants pauses to differ: half of one and a half are drawn.
func TestJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := map[time.Duration]bool{}
		p := policy
		p.Notify = func(_ error, pause time.Duration) { seen[pause] = true }
		for range 8 {
			_ = p.Do(t.Context(), func() error { return &retry.Temporary{Err: errBusy} })
		}
		if len(seen) < 20 {
			t.Errorf("%d different pauses of 24", len(seen))
		}
	})
}

func TestStatus(t *testing.T) {
	for code, want := range map[int]bool{200: false, 400: false, 401: false, 404: false, 408: true,
		422: false, 429: true, 500: true, 501: false, 502: true, 503: true, 504: true, 505: false,
		522: true} {
		if got := retry.Status(code); got != want {
			t.Errorf("%d: %t, want %t", code, got, want)
		}
	}
}

// TestAfter reads good and hostile headers.
func TestAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		soon := time.Now().Add(90 * time.Second).UTC().Format(http.TimeFormat)
		past := time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat)
		for text, want := range map[string]time.Duration{"": 0, "3": 3 * time.Second,
			"0.25": time.Second / 4, "-1": 0, "NaN": 0, "soon": 0, "1e300": 24 * time.Hour,
			"+Inf": 24 * time.Hour, soon: 90 * time.Second, past: 0} {
			got := retry.After(http.Header{"Retry-After": {text}})
			if d := got - want; d.Abs() > time.Second || want < time.Second && d != 0 {
				t.Errorf("%q: %s, want %s", text, got, want)
			}
		}
		there := time.Now().Add(365 * 24 * time.Hour) // the server's clock
		got := retry.After(http.Header{"Date": {there.UTC().Format(http.TimeFormat)},
			"Retry-After": {there.Add(90 * time.Second).UTC().Format(http.TimeFormat)}})
		if got != 90*time.Second {
			t.Errorf("by a clock that is a year ahead: %s", got)
		}
	})
}
