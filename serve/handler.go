package serve

import (
	"context"
	_ "embed"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"haf/pref"
)

//go:embed openapi.json
var openAPI []byte

// Headers of replies and requests.
const (
	headerActivation = "X-Haf-Activation"  // in every reply with rewards: raw or sigmoid
	headerModel      = "X-Haf-Model"       // in every reply with rewards
	headerTimeout    = "X-Request-Timeout" // in a request: the seconds that its client will wait
)

// statusGone stands in logs and metrics for a request whose client left before the answer.
const statusGone = 499

// decoders are the paths that return rewards.
var decoders = map[string]decoder{
	"/v1/reward":           decodeNative,
	"/get_reward":          decodeOpenRLHF,
	"/classify":            decodeClassify,
	"/pooling":             decodePooling,
	"/score":               decodeScore,
	"/v1/score":            decodeScore,
	"/rerank":              decodeRerank,
	"/v1/rerank":           decodeRerank,
	"/v2/rerank":           decodeRerank,
	"/v1/embeddings":       decodeEmbeddings,
	"/v1/score/evaluation": decodeLLaMAFactory,
	"/remote_rm":           decodeSlime,
}

// route builds the table of paths.
func (s *Server) route() {
	s.routes = map[string]map[string]http.HandlerFunc{}
	get := func(path string, h http.HandlerFunc) {
		s.routes[path] = map[string]http.HandlerFunc{http.MethodGet: h}
	}
	get("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK,
			status{"ok"})
	})
	get("/readyz", s.readyz)
	get("/health", s.health)
	get("/metrics", s.metrics.handler().ServeHTTP)
	get("/v1/models", s.list)
	get("/openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write(openAPI) // fails if the client is gone
	})
	for path, decode := range decoders {
		s.routes[path] = map[string]http.HandlerFunc{
			http.MethodPost: func(w http.ResponseWriter, r *http.Request) { s.answer(w, r, decode) }}
	}
}

// free are the paths that need no token, for supervisors.
var free = map[string]bool{"/healthz": true, "/readyz": true, "/health": true}

// Handler answers requests. It answers with rewards once [Server.Start] has loaded the models.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := time.Now()
		seen := &recorder{ResponseWriter: w}
		path := "other"
		if s.routes[r.URL.Path] != nil {
			path = r.URL.Path
		}
		s.metrics.inFlight.Inc()
		defer s.metrics.inFlight.Dec()
		r = r.WithContext(context.WithValue(r.Context(), notesKey{}, &seen.notes))
		defer func() {
			if p := recover(); p != nil {
				s.config.Log.Error("a request's handler panicked", "path", path, "panic", p)
				if seen.code == 0 {
					problemOf(nil).write(seen)
				}
			}
			took := time.Since(begin)
			s.metrics.request(path, seen.code, took)
			s.config.Log.Info("request", "method", r.Method, "path", path, "code", seen.code, "took",
				took.Round(time.Microsecond),
				"client", seen.notes.client, "model", seen.notes.model, "samples", seen.notes.samples, "tokens",
				seen.notes.tokens, "reason", seen.notes.reason)
		}()
		if p := s.dispatch(seen, r); p != nil {
			seen.notes.reason = reason(p)
			p.write(seen)
		}
	})
}

// dispatch finds the handler for an authorized request.
func (s *Server) dispatch(w *recorder, r *http.Request) *problem {
	methods := s.routes[r.URL.Path]
	if !free[r.URL.Path] {
		client, p := s.client(r)
		if p != nil {
			return p
		}
		w.notes.client = client
		if err := s.origins.Check(r); err != nil {
			return refuse(http.StatusForbidden, "the request comes from a page of another origin, which "+
				"this server does not answer")
		}
	}
	if methods == nil {
		return refuse(http.StatusNotFound,
			"there is no such path: GET /openapi.json lists those that are")
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	handler := methods[method]
	if handler == nil {
		for allowed := range methods {
			w.Header().Set("Allow", allowed)
		}
		return refuse(http.StatusMethodNotAllowed, "the method %s is not for this path", r.Method)
	}
	handler(w, r)
	return nil
}

// notes are a request's entries in the log, never its text.
type notes struct {
	client, model, reason string
	samples, tokens       int
}

type notesKey struct{}

// recorder records the status of an answer.
type recorder struct {
	http.ResponseWriter
	code  int
	notes notes
}

func (w *recorder) WriteHeader(code int) {
	if w.code == 0 {
		w.code = code
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *recorder) Write(data []byte) (int, error) {
	if w.code == 0 {
		w.code = http.StatusOK
	}
	return w.ResponseWriter.Write(data)
}

func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// reason returns a problem's message if the log may show it. Messages about mistakes in a request
// may quote it, so they are left out.
func reason(p *problem) string {
	if p.status == http.StatusBadRequest || p.status == http.StatusNotFound {
		return p.param
	}
	return p.message
}

type status struct {
	Status string `json:"status"`
}

func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	switch {
	case s.draining.Load():
		writeJSON(w, http.StatusServiceUnavailable, status{"draining"})
	case !s.loaded.Load():
		writeJSON(w, http.StatusServiceUnavailable, status{"loading"})
	default:
		writeJSON(w, http.StatusOK, status{"ready"})
	}
}

// health answers like vLLM's /health: 200 without a body if the server can compute rewards, else
// 503. vLLM listens only once its model is loaded, so a model that is still loading is a 503 here.
// SGLang does the same.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	if s.draining.Load() || !s.loaded.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusOK)
}

type modelList struct {
	Object string      `json:"object"`
	Data   []modelInfo `json:"data"`
}

func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	out := modelList{Object: "list", Data: []modelInfo{}}
	for _, m := range s.served {
		info, _ := m.describe()
		out.Data = append(out.Data, info)
	}
	writeJSON(w, http.StatusOK, out)
}

// answer reads a request, computes its rewards, and replies.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, decode decoder) {
	n, _ := r.Context().Value(notesKey{}).(*notes)
	body, headers, err := s.reply(r, decode, n)
	if errors.Is(err, context.Canceled) || err == nil && r.Context().Err() != nil {
		if rec, ok := w.(*recorder); ok {
			rec.code = statusGone
		}
		return
	}
	if err != nil {
		p := problemOf(err)
		if p.status == http.StatusInternalServerError || errors.Is(err, pref.ErrMemory) {
			s.config.Log.Error("a request failed", "path", r.URL.Path, "error", err)
		}
		n.reason = reason(p)
		if p.status == http.StatusRequestEntityTooLarge || p.status == http.StatusRequestTimeout {
			w.Header().Set("Connection", "close") // do not wait for the rest of the body
		}
		p.write(w)
		return
	}
	w.Header().Set(headerModel, headers[0])
	w.Header().Set(headerActivation, headers[1])
	writeJSON(w, http.StatusOK, body)
}

// reply makes the answer to a request, with headers for its model and activation.
func (s *Server) reply(
	r *http.Request, decode decoder, n *notes,
) (body any, headers [2]string, err error) {
	if s.draining.Load() {
		return nil, headers, later(http.StatusServiceUnavailable, time.Second, "the server is being "+
			"ended: ask another")
	}
	if calls := s.calls.Add(1); calls > int64(s.config.MaxCalls) {
		s.calls.Add(-1)
		return nil, headers, later(http.StatusTooManyRequests, time.Second, "%d requests are being "+
			"answered, no more are taken: try again in a second", s.config.MaxCalls)
	}
	defer s.calls.Add(-1)
	timeout, err := s.timeout(r)
	if err != nil {
		return nil, headers, err
	}
	data, release, err := s.body(r)
	if err != nil {
		return nil, headers, err
	}
	defer release() // the body's values use memory until the answer
	if s.config.LogText {
		s.config.Log.Debug("request body", "path", r.URL.Path, "body", string(data))
	}
	if err := checkBody(data, s.config.MaxItems); err != nil {
		return nil, headers, err
	}
	c, err := decode(data, r.URL.Query())
	if err == nil {
		err = c.render()
	}
	if err != nil {
		return nil, headers, err
	}
	n.samples = len(c.inputs)
	if n.samples > s.config.MaxItems {
		return nil, headers, refuse(http.StatusRequestEntityTooLarge, "the request has %d samples, the "+
			"server takes up to %d at once: send it in parts", n.samples, s.config.MaxItems)
	}
	m, err := s.find(c)
	if err != nil {
		return nil, headers, err
	}
	n.model = m.name()
	var over error // replaces DeadlineExceeded
	if timeout < s.config.Timeout {
		over = errOwnDeadline
	}
	ctx, cancel := context.WithTimeoutCause(r.Context(), timeout, over)
	defer cancel()
	a, err := m.read(ctx, n.client, c.inputs, c.rewards, c.tokens)
	if err != nil {
		return nil, headers, err
	}
	n.tokens = a.usage().TotalTokens
	for i, l := range a.lengths {
		if c.most > 0 && l.prompt+l.response > c.most {
			return nil, headers, wrong("max_length", "input %d has %d tokens, more than max_length %d: "+
				"inputs are cut by the model's own rule alone; leave max_length out or make it larger", i,
				l.prompt+l.response, c.most)
		}
	}
	return c.reply(c, a), [2]string{a.model, c.activation()}, nil
}

// timeout is the time limit of the request.
func (s *Server) timeout(r *http.Request) (time.Duration, error) {
	text := r.Header.Get(headerTimeout)
	if text == "" {
		return s.config.Timeout, nil
	}
	seconds, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || !(seconds > 0) {
		return 0, wrong(headerTimeout, "the header %s is not a number of seconds above 0", headerTimeout)
	}
	if seconds >= s.config.Timeout.Seconds() {
		return s.config.Timeout, nil
	}
	return time.Duration(seconds * float64(time.Second)), nil
}

// body reads the request's body, within the limit for one and the limit for all. release returns
// its share of the second.
func (s *Server) body(r *http.Request) (data []byte, release func(), err error) {
	room := r.ContentLength
	if room > s.config.MaxBody {
		return nil, nil, refuse(http.StatusRequestEntityTooLarge, "the body has %d bytes, the server "+
			"takes up to %d: send it in parts", room, s.config.MaxBody)
	}
	if room < 0 { // length not stated
		room = s.config.MaxBody
	}
	if s.bodies.Add(room) > s.config.MaxBodies {
		s.bodies.Add(-room)
		return nil, nil, later(http.StatusTooManyRequests, time.Second, "too much is being sent to the "+
			"server: try again in a second")
	}
	defer func() {
		if err != nil {
			s.bodies.Add(-room)
		}
	}()
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return nil, nil, refuse(http.StatusUnsupportedMediaType,
			"the body is compressed: send it as it is")
	}
	data, err = io.ReadAll(io.LimitReader(r.Body, s.config.MaxBody+1))
	switch {
	case len(data) > int(s.config.MaxBody):
		return nil, nil, refuse(http.StatusRequestEntityTooLarge,
			"the body has more than %d bytes: send it in parts", s.config.MaxBody)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, nil, refuse(http.StatusRequestTimeout, "the body did not come whole within %v: send "+
			"it faster, or in parts", s.config.ReadTimeout)
	case errors.Is(err, io.ErrUnexpectedEOF) || r.Context().Err() != nil: // the client is gone
		return nil, nil, context.Canceled
	case err != nil:
		return nil, nil, wrong("", "the body cannot be read: %v", err)
	}
	size := int64(len(data))
	s.bodies.Add(size - room) // corrects for a body without a stated length
	return data, func() { s.bodies.Add(-size) }, nil
}
