package serve

import (
	"log/slog"
	"strings"
	"sync"
	"testing"
)

// TestMemory wants a batch that there is no memory for answered with 503, its log line with the
// reason, and those that shared the batch answered.
func TestMemory(t *testing.T) {
	var log strings.Builder
	engine := &fake{gate: make(chan struct{})}
	s, h := start(t, Config{Models: []Model{of("m", engine)},
		Log: slog.New(slog.NewTextHandler(&log, nil))})
	var wg sync.WaitGroup
	one := func(body string, want int, says string) {
		wg.Go(func() {
			code, header, answer, err := post(t.Context(), h.URL+"/v1/reward", body)
			if err != nil || code != want || !strings.Contains(answer, says) ||
				(code == 503) != (header.Get("Retry-After") == "5") || strings.Contains(answer, "/srv") {
				t.Errorf("%s: %d %v %s %v, want %d and %q", body, code, header, answer, err, want, says)
			}
		})
	}
	one(sample(0), 200, "reward") // is read, while the others gather
	queue := s.models[0].batcher.queue
	eventually(t, "the first batch", func() bool {
		n, _ := queue.waiting()
		return n == 0 && s.calls.Load() == 1
	})
	one(`{"prompt":"fill the memory","response":"r"}`, 503, "too little memory")
	one(sample(1), 200, "reward")
	eventually(t, "two requests", func() bool { n, _ := queue.waiting(); return n == 2 })
	close(engine.gate)
	wg.Wait()
	one(sample(2), 200, "reward")
	wg.Wait()
	h.Close()                             // nothing more is logged
	if n := len(engine.batches); n != 3 { // those that were read: first, its companion, the last
		t.Errorf("%d batches were read: %v", n, engine.batches)
	}
	if !strings.Contains(log.String(), "reading with /srv/model: not enough memory") {
		t.Errorf("the log does not say why:\n%s", log.String())
	}
}
