package hub

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const weightsSize = 65536

// Connections that break, stall or answer badly are tried again, from where they were.
func TestResumed(t *testing.T) {
	type tamperer func(n int, w http.ResponseWriter, r *http.Request, content []byte) bool
	for name, tamper := range map[string]tamperer{
		"breaks": func(n int, w http.ResponseWriter, r *http.Request, content []byte) bool {
			if n > 3 {
				return false
			}
			from, _, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Range"), "bytes="), "-")
			at, _ := strconv.Atoi(from)
			w.Header().Set("Content-Length", strconv.Itoa(len(content)-at))
			if at > 0 {
				w.Header().Set("Content-Range", "bytes "+from+"-"+strconv.Itoa(len(content)-1)+"/"+
					strconv.Itoa(len(content)))
				w.WriteHeader(http.StatusPartialContent)
			}
			_, _ = w.Write(content[at : at+10000])
			return true
		},
		"stalls": func(n int, w http.ResponseWriter, r *http.Request, content []byte) bool {
			if n > 1 {
				return false
			}
			w.Header().Set("Content-Length", strconv.Itoa(len(content)))
			_, _ = w.Write(content[:20000])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return true
		},
		"ignores ranges": func(n int, w http.ResponseWriter, r *http.Request, content []byte) bool {
			w.Header().Set("Content-Length", strconv.Itoa(len(content)))
			_, _ = w.Write(content[:min(len(content), n*40000)])
			return true
		},
		"5xx": func(n int, w http.ResponseWriter, r *http.Request, content []byte) bool {
			if n < 4 {
				w.WriteHeader(http.StatusBadGateway)
			}
			return n < 4
		},
		"damages": func(n int, w http.ResponseWriter, r *http.Request, content []byte) bool {
			if n > 1 {
				return false
			}
			_, _ = w.Write(append([]byte("X"), content[1:]...))
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStandIn(t)
			s.put("models/org/name", llama())
			c := s.client(t)
			c.stall = 200 * time.Millisecond
			var mu sync.Mutex
			n := 0
			s.tamper = func(w http.ResponseWriter, r *http.Request, content []byte) bool {
				if r.URL.Query().Get("name") != "model.safetensors" {
					return false
				}
				mu.Lock()
				n++
				now := n
				mu.Unlock()
				return tamper(now, w, r, content)
			}
			var end [2]int64
			c.Progress = func(_ string, done, total int64) { end = [2]int64{done, total} }
			got, err := c.Model(ctx, "org/name")
			must(t, got, err)
			if read(t, filepath.Join(got.Paths[0], "model.safetensors")) != llama()["model.safetensors"] {
				t.Error("another content")
			}
			if end != [2]int64{weightsSize, weightsSize} {
				t.Errorf("progress ended at %v", end)
			}
			if name == "breaks" && !slices.Contains(s.ranges, "bytes=20000-") {
				t.Errorf("ranges %q", s.ranges)
			}
		})
	}
}

// An interruption leaves what has come, and the next call goes on from there. What is damaged of it
// is found out.
func TestInterrupted(t *testing.T) {
	s := newStandIn(t)
	s.put("models/org/name", llama())
	c := s.client(t)
	ctx, cancel := context.WithCancel(ctx)
	s.tamper = func(w http.ResponseWriter, r *http.Request, content []byte) bool {
		if r.URL.Query().Get("name") != "model.safetensors" {
			return false
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		_, _ = w.Write(content[:30000])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return true
	}
	c.Progress = func(what string, done, _ int64) {
		if strings.HasSuffix(what, "weights") && done == 30000 {
			cancel()
		}
	}
	_, err := c.Model(ctx, "org/name")
	wantError(t, err, "keeps the part that came")
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v is no cancellation", err)
	}
	etag := etagFor([]byte(llama()["model.safetensors"]), true)
	part := filepath.Join(c.Cache, "models--org--name", "blobs", etag+".incomplete")
	if n := sizeOf(part); n != 30000 {
		t.Fatalf("%d bytes are left", n)
	}
	if exists(filepath.Join(c.Cache, "models--org--name", "refs", "main")) {
		t.Error("the revision is noted although the snapshot is not whole")
	}
	s.tamper, s.ranges = nil, nil
	c.Progress = nil
	for name, left := range map[string]string{"as left": read(t, part),
		"damaged": strings.Repeat("?", 30000), "too long": strings.Repeat("?", 70000),
		"as long": llama()["model.safetensors"], "as long, damaged": strings.Repeat("?", weightsSize)} {
		if err := os.RemoveAll(filepath.Join(c.Cache, "models--org--name", "snapshots")); err != nil {
			t.Fatal(err)
		}
		_ = os.Remove(filepath.Join(c.Cache, "models--org--name", "blobs", etag))
		write(t, part, left)
		s.ranges = nil
		got, err := c.Model(context.Background(), "org/name")
		must(t, got, err)
		if read(t, filepath.Join(got.Paths[0], "model.safetensors")) != llama()["model.safetensors"] ||
			exists(part) {
			t.Errorf("%s: not fixed", name)
		}
		if name == "as left" && !slices.Equal(s.ranges, []string{"bytes=30000-"}) || name == "as long" &&
			len(s.ranges) != 0 {
			t.Errorf("%s: ranges %q", name, s.ranges)
		}
	}
}

// A hub that sends another content than it says is not believed.
func TestDamaged(t *testing.T) {
	s := newStandIn(t)
	s.put("models/org/name", llama())
	c := s.client(t)
	s.tamper = func(w http.ResponseWriter, _ *http.Request, content []byte) bool {
		_, _ = w.Write(append([]byte("X"), content[1:]...))
		return true
	}
	_, err := c.Model(ctx, "org/name")
	wantError(t, err, "the file's hash is", "twice")
	if exists(filepath.Join(c.Cache, "models--org--name", "snapshots", commit1, "tokenizer.json")) {
		t.Error("the damaged file is in the snapshot")
	}
}
