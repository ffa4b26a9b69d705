package serve

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"haf/rewarder/rewardertest"
)

// A counted server answers like its handler until it has had so many requests for rewards; 0 is no
// end. Then it breaks connections.
type counted struct {
	http.Handler
	last     int64
	requests atomic.Int64
}

func (c *counted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/v1/reward" {
		if n := c.requests.Add(1); c.last > 0 && n > c.last {
			panic(http.ErrAbortHandler)
		}
	}
	c.Handler.ServeHTTP(w, r)
}

// startReplicas starts servers of one model, of which the number i ends after last[i] requests.
func startReplicas(t *testing.T, last ...int64) (address string, servers []*counted) {
	t.Helper()
	var addresses []string
	for _, n := range last {
		s, _ := start(t, Config{Models: []Model{of("m", &fake{})}})
		c := &counted{Handler: s.Handler(), last: n}
		h := httptest.NewServer(c)
		t.Cleanup(h.Close)
		addresses, servers = append(addresses, h.URL), append(servers, c)
	}
	return strings.Join(addresses, ","), servers
}

// TestReplicas spreads requests over replicas, goes on without those that break off, and gives the
// rewards of one server.
func TestReplicas(t *testing.T) {
	single, _ := startReplicas(t, 0)
	samples := someSamples(60)
	want, err := newClient(t, single, ClientOptions{}).Score(t.Context(), samples)
	if err != nil {
		t.Fatal(err)
	}
	address, servers := startReplicas(t, 0, 5, 0)
	rewardertest.Test(t, connect(t, address+"#m", ClientOptions{}), rewardertest.Options{})
	for _, s := range servers {
		s.requests.Store(0)
	}
	var mu sync.Mutex
	var told []string
	c := newClient(t, address, ClientOptions{Batch: 2, Parallel: 1, Log: func(f string, a ...any) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, fmt.Sprintf(f, a...))
	}})
	got, err := c.Score(t.Context(), samples)
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("%v, %v, want %v", got, err, want)
	}
	for i, s := range servers {
		if n := s.requests.Load(); n < 4 {
			t.Errorf("replica %d of 3 had %d requests of 30", i+1, n)
		}
	}
	if len(told) == 0 || !strings.Contains(told[0], "asking another replica") {
		t.Errorf("told %q of a replica that broke off", told)
	}
}

// TestReplicasRefused refuses replicas that are none: of other models, other rewards or other
// weights; and it says what is wrong with addresses.
func TestReplicasRefused(t *testing.T) {
	_, a := start(t, Config{Models: []Model{of("m", &fake{})}})
	_, b := start(t, Config{Models: []Model{of("other", &fake{})}})
	_, c := start(t, Config{Models: []Model{of("m", &fake{version: 5})}})
	dead := httptest.NewServer(nil)
	dead.Close()
	for _, x := range []struct{ address, want string }{
		{a.URL + "," + b.URL, "name replicas of one model"},
		{a.URL + "," + c.URL, "the replicas serve different models: the reward"},
		{dead.URL + "," + dead.URL, "is named twice"},
		{a.URL + "#m," + c.URL + "#n", "asked for different models"},
		{a.URL + ",nowhere", "is no address of a server"},
		{a.URL + ",", "is no address of a server"},
	} {
		client, err := NewClient(x.address, ClientOptions{Tries: 1})
		if err == nil {
			var r *Remote
			if r, err = client.Connect(t.Context(), RemoteOptions{}); err == nil {
				_, err = r.client.Score(t.Context(), someSamples(3))
			}
		}
		if err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v, want %q", x.address, err, x.want)
		}
	}
	// One that is not there does not stop the others, and without any there is no answer.
	r := connect(t, dead.URL+","+a.URL, ClientOptions{Tries: 1})
	if _, err := r.client.Score(t.Context(), someSamples(3)); err != nil {
		t.Error(err)
	}
	a.Close()
	if _, err := r.client.Score(t.Context(), someSamples(3)); err == nil ||
		!strings.Contains(err.Error(), "no answer") {
		t.Errorf("no replica is left: %v", err)
	}
}
