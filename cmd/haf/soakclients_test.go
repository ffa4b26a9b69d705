package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"haf/serve"
)

func (s *soak) client() (*serve.Client, error) {
	return serve.NewClient(s.url, serve.ClientOptions{Token: soakToken, Batch: 16, Tries: 30})
}

func (s *soak) count(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[what]++
}

func (s *soak) fail(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = append(s.failures, fmt.Sprintf(format, args...))
}

// goodClient asks by the Go client and holds every reward against what it must be.
func (s *soak) goodClient(ctx context.Context, worker int) {
	client, err := s.client()
	if err != nil {
		s.fail("%v", err)
		return
	}
	random := rand.New(rand.NewPCG(uint64(worker), 2))
	for ctx.Err() == nil {
		from := random.IntN(len(s.samples))
		to := from + 1 + random.IntN(len(s.samples)-from)
		rewards, err := client.Score(ctx, s.samples[from:to])
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			s.fail("good client: %v", err)
			continue
		}
		s.count("good client: answered")
		for i, r := range rewards {
			s.compare("good client", r, from+i)
		}
	}
}

func (s *soak) compare(client string, r float64, i int) {
	if !(math.Abs(r-s.want[i]) <= 1e-5) {
		s.fail("%s: reward %v of sample %d, want %v", client, r, i, s.want[i])
	}
}

// post sends a body; an answer that is no success must say why, and 429 when to come again.
func (s *soak) post(
	ctx context.Context, client, path string, body []byte, token string,
) (int, []byte) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+path, bytes.NewReader(body))
	if err != nil {
		s.fail("%s: %v", client, err)
		return 0, nil
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil // the end of the test, or a body that was refused before it was sent whole
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, nil
	}
	s.explained(client, response.StatusCode, response.Header, data)
	return response.StatusCode, data
}

func (s *soak) explained(client string, code int, header http.Header, data []byte) {
	s.count(fmt.Sprintf("%s: %d", client, code))
	if code == http.StatusOK {
		return
	}
	var refused struct {
		Error struct{ Message string }
	}
	if err := json.Unmarshal(data, &refused); err != nil || len(refused.Error.Message) < 10 {
		s.fail("%s: %d without a reason: %s", client, code, data)
	}
	if code >= 500 {
		s.fail("%s: %d: %s", client, code, data)
	}
	if code == http.StatusTooManyRequests && header.Get("Retry-After") == "" {
		s.fail("%s: 429 without Retry-After", client)
	}
}

// dialects asks in the trainers' dialects.
func (s *soak) dialects(ctx context.Context, random *rand.Rand) {
	i := random.IntN(len(s.texts))
	text, err := json.Marshal(s.texts[i])
	if err != nil {
		s.fail("%v", err)
		return
	}
	d := []struct{ path, body, reward string }{
		{"/get_reward", `{"query":[%s]}`, `^{"rewards":\[([^,\]]+)`},
		{"/classify", `{"input":%s,"use_activation":false}`, `"probs":\[([^,\]]+)`},
		{"/v1/embeddings", `{"model":"x","input":%s}`, `"embedding":\[([^,\]]+)`},
		{"/v1/score/evaluation", `{"model":"model","messages":[%s]}`, `"scores":\[([^,\]]+)`},
	}[random.IntN(4)]
	code, data := s.post(ctx, "dialect", d.path, fmt.Appendf(nil, d.body, text), soakToken)
	if code != http.StatusOK {
		pause(ctx, 50*time.Millisecond)
		return
	}
	found := regexp.MustCompile(d.reward).FindSubmatch(data)
	if found == nil {
		s.fail("dialect: %s answers %s", d.path, data)
		return
	}
	r, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		s.fail("dialect: %s answers %s", d.path, data)
		return
	}
	s.compare("dialect", r, i)
}

// connect opens a connection of which the whole is in the caller's hand.
func (s *soak) connect(ctx context.Context) net.Conn {
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		if ctx.Err() == nil {
			s.fail("connecting: %v", err)
		}
		pause(ctx, time.Second)
		return nil
	}
	return conn
}

// vanish sends a request, or half of one, and goes away.
func (s *soak) vanish(ctx context.Context, random *rand.Rand) {
	conn := s.connect(ctx)
	if conn == nil {
		return
	}
	defer conn.Close()
	body := fmt.Sprintf(`{"prompt":"what does the fox eat","responses":[%s"x"]}`,
		strings.Repeat(`"the fox eats mice",`, 20))
	request := fmt.Sprintf("POST /v1/reward HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "+
		"%s\r\nContent-Length: %d\r\n\r\n%s", soakToken, len(body), body)
	if random.IntN(2) == 0 {
		request = request[:random.IntN(len(request))]
	}
	io.WriteString(conn, request)
	pause(ctx, time.Duration(random.IntN(30))*time.Millisecond)
	s.count("vanished")
}

// slow sends a body that does not come in time.
func (s *soak) slow(ctx context.Context, random *rand.Rand) {
	conn := s.connect(ctx)
	if conn == nil {
		return
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	fmt.Fprintf(conn, "POST /v1/reward HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "+
		"%s\r\nContent-Length: 1000\r\n\r\n", soakToken)
	go func() {
		for {
			if _, err := io.WriteString(conn, "{"); err != nil {
				return
			}
			pause(ctx, 100*time.Millisecond)
		}
	}()
	answer, _ := io.ReadAll(conn)
	if ctx.Err() != nil {
		return
	}
	if !bytes.HasPrefix(answer, []byte("HTTP/1.1 408")) ||
		!bytes.Contains(answer, []byte(`"message"`)) {
		s.fail("slow body: answered %q, want 408 with a reason", answer)
	}
	s.count("slow body: 408")
}

// garbage sends what nobody can read.
func (s *soak) garbage(ctx context.Context, random *rand.Rand) {
	body := make([]byte, random.IntN(2000))
	for i := range body {
		body[i] = `{}[]":,0 etruflasnpom\`[random.IntN(22)]
	}
	if random.IntN(4) == 0 {
		body = []byte(strings.Repeat(`{"prompt":[`, 500+random.IntN(20000)))
	}
	path := []string{"/v1/reward", "/get_reward", "/classify", "/rerank", "/nothing", "/v1/embeddings",
		"/score", "/remote_rm"}[random.IntN(8)]
	if code, _ := s.post(ctx, "garbage", path, body, soakToken); code == http.StatusOK {
		s.fail("garbage %q was answered", body)
	}
	pause(ctx, 10*time.Millisecond)
}

// oversized sends more than is taken: bytes, tokens, samples.
func (s *soak) oversized(ctx context.Context, random *rand.Rand) {
	var body []byte
	switch random.IntN(3) {
	case 0:
		body = bytes.Repeat([]byte("x"), soakMaxBody+1)
	case 1:
		body = fmt.Appendf(nil, `{"prompt":"p","responses":[%s"fox"]}`, strings.Repeat(`"fox",`, 5000))
	case 2:
		body = fmt.Appendf(nil, `{"prompt":"%s","response":"fox"}`, strings.Repeat("fox ", 50000))
	}
	code, _ := s.post(ctx, "oversized", "/v1/reward", body, soakToken)
	if code == http.StatusOK && len(body) > soakMaxBody/2 {
		s.fail("%d bytes were taken", len(body))
	}
	pause(ctx, 200*time.Millisecond)
}

// stranger has no token.
func (s *soak) stranger(ctx context.Context, random *rand.Rand) {
	if code, _ := s.post(ctx, "stranger", "/v1/reward", []byte(`{"prompt":"p","response":"r"}`),
		"soak-0123456789abcdeX"); code != http.StatusUnauthorized && code != 0 {
		s.fail("a stranger was answered %d", code)
	}
	pause(ctx, 50*time.Millisecond)
}

// burst asks for ten times what may wait, at once.
func (s *soak) burst(ctx context.Context, random *rand.Rand) {
	var wg sync.WaitGroup
	for range 300 {
		i := random.IntN(len(s.texts))
		wg.Go(func() {
			body, err := json.Marshal(map[string]any{"query": slices.Repeat([]string{s.texts[i]}, 4)})
			if err != nil {
				s.fail("%v", err)
				return
			}
			code, data := s.post(ctx, "burst", "/get_reward", body, soakToken)
			if code != http.StatusOK {
				return
			}
			var reply struct{ Rewards []float64 }
			if err := json.Unmarshal(data, &reply); err != nil || len(reply.Rewards) != 4 {
				s.fail("burst: %s", data)
				return
			}
			for _, r := range reply.Rewards {
				s.compare("burst", r, i)
			}
		})
	}
	wg.Wait()
	pause(ctx, 3*time.Second)
}
