package tracking

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"haf/internal/webclient"
)

// Limits of MLflow's REST API.
const (
	maxMetrics     = 1000 // per batch
	maxParams      = 100  // per batch
	maxParamLength = 6000 // characters
	maxAnswer      = 16 << 20
)

const (
	requestTimeout = 10 * time.Second
	apiPath        = "/api/2.0/mlflow/"
	flushEvery     = 2 * time.Second
	retryFactor    = 15 // pause after a failure, in multiples of flushEvery
)

// mlflow sends metrics to an MLflow server in batches, from its own goroutine, so that a slow
// server does not slow the run.
type mlflow struct {
	uri    string // address of the server, without the API's path
	id     string // id of the run
	client *http.Client
	// for one request
	timeout time.Duration
	sent    map[string]int // last step on the server, by metric
	warnf   func(string, ...any)
	every   time.Duration // between batches

	announced sync.Once // reports once that the server is slow

	mutex   sync.Mutex
	pending []metric
	failed  error         // permanent error
	quit    chan struct{} // closed by finish
	stopped chan struct{} // closed by send
}

type metric struct {
	Key       string  `json:"key"`
	Value     float64 `json:"value"`
	Timestamp int64   `json:"timestamp"` // milliseconds
	Step      int     `json:"step"`
}

type keyValue struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// newMLflow finds or creates the experiment and the run.
func newMLflow(ctx context.Context, run Run, warnf func(string, ...any)) (sink, error) {
	if err := CheckURI(run.URI); err != nil {
		return nil, err
	}
	m := &mlflow{uri: strings.TrimRight(run.URI, "/"), sent: map[string]int{}, warnf: warnf,
		client: webclient.New(1), timeout: cmp.Or(run.Timeout, requestTimeout),
		every: flushEvery, quit: make(chan struct{}), stopped: make(chan struct{})}
	s, err := readState(run.Dir)
	if err != nil {
		return nil, err
	}
	if s.MLflow != "" && s.URI == m.uri {
		err = m.resume(ctx, s.MLflow)
	} else {
		err = m.create(ctx, run)
		s.MLflow, s.URI = m.id, m.uri
	}
	if err == nil {
		err = s.write(run.Dir)
	}
	if err != nil {
		return nil, err
	}
	go m.send()
	return m, nil
}

// CheckURI returns an error unless the URI can be that of an MLflow server.
func CheckURI(uri string) error {
	if uri == "" {
		return errors.New("no server is named: set tracking.mlflow_uri or MLFLOW_TRACKING_URI, " +
			"such as http://localhost:5000")
	}
	u, err := url.Parse(uri)
	if strings.Contains(uri, "@") { // check this first, so that no password is printed
		return errors.New("the URI holds a password, which would stand in the manifest: set " +
			"MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD")
	}
	if err == nil && (u.RawQuery != "" || u.Fragment != "") {
		return errors.New("the URI has a query, want that of a server alone, http://HOST:PORT: set " +
			"MLFLOW_TRACKING_TOKEN for a token")
	}
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("the URI is %.100q, want that of a server, http://HOST:PORT: haf writes no "+
			"file store of MLflow, start one with: mlflow server", uri)
	}
	return nil
}

// ReachMLflow returns an error if no MLflow server answers at the URI. warnf gets a warning about a
// server that does not answer yet.
func ReachMLflow(
	ctx context.Context, uri string, warnf func(string, ...any),
) error {
	err := CheckURI(uri)
	if err == nil {
		m := &mlflow{uri: strings.TrimRight(uri, "/"), client: webclient.New(1),
			timeout: requestTimeout, warnf: warnf}
		err = m.call(ctx, http.MethodPost, "experiments/search", map[string]any{"max_results": 1},
			&struct{}{})
	}
	if err != nil {
		return fmt.Errorf("tracking: %s: %w", MLflow, err)
	}
	return nil
}

func (m *mlflow) create(ctx context.Context, run Run) error {
	var experiment struct {
		ID         string `json:"experiment_id"`
		Experiment struct {
			ID string `json:"experiment_id"`
		} `json:"experiment"`
	}
	err := m.call(ctx, http.MethodGet, "experiments/get-by-name?experiment_name="+
		url.QueryEscape(run.Project), nil, &experiment)
	id := experiment.Experiment.ID
	var refused *refusal
	if errors.As(err, &refused) && refused.Code == "RESOURCE_DOES_NOT_EXIST" {
		err = m.call(ctx, http.MethodPost, "experiments/create",
			map[string]any{"name": run.Project}, &experiment)
		id = experiment.ID
	}
	if err != nil {
		return err
	}
	if id == "" {
		return fmt.Errorf("%s names no experiment in its answer: is an MLflow server running there?",
			m.uri)
	}
	var made struct {
		Run struct {
			Info struct {
				ID string `json:"run_id"`
			} `json:"info"`
		} `json:"run"`
	}
	err = m.call(ctx, http.MethodPost, "runs/create", map[string]any{
		"experiment_id": id, "run_name": run.Name, "start_time": run.Started.UnixMilli(),
		"tags": []keyValue{{"mlflow.source.name", "haf"}, {"mlflow.source.type", "LOCAL"}},
	}, &made)
	if err != nil {
		return err
	}
	if m.id = made.Run.Info.ID; m.id == "" {
		return fmt.Errorf("%s made a run without an id: is it an MLflow server?", m.uri)
	}
	return m.params(ctx, run.Params)
}

// params sends the recipe.
func (m *mlflow) params(ctx context.Context, params map[string]string) error {
	var all []keyValue
	for _, key := range slices.Sorted(maps.Keys(params)) {
		value := params[key]
		if runes := []rune(value); len(runes) > maxParamLength {
			value = string(runes[:maxParamLength])
		}
		all = append(all, keyValue{allowed(key), value})
	}
	for part := range slices.Chunk(all, maxParams) {
		err := m.call(ctx, http.MethodPost, "runs/log-batch",
			map[string]any{"run_id": m.id, "params": part}, nil)
		if err != nil {
			return err
		}
	}
	return nil
}

// resume reads which metrics of the run the server has.
func (m *mlflow) resume(ctx context.Context, id string) error {
	m.id = id
	var got struct {
		Run struct {
			Data struct {
				Metrics []metric `json:"metrics"`
			} `json:"data"`
		} `json:"run"`
	}
	err := m.call(ctx, http.MethodGet, "runs/get?run_id="+url.QueryEscape(id), nil, &got)
	if err != nil {
		return err
	}
	for _, had := range got.Run.Data.Metrics {
		m.sent[had.Key] = had.Step
	}
	return m.call(ctx, http.MethodPost, "runs/update",
		map[string]any{"run_id": id, "status": "RUNNING"}, nil)
}

func (m *mlflow) log(p point) error {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	for _, v := range p.values {
		key := allowed(v.name)
		if last, had := m.sent[key]; had && p.step <= last {
			continue // sent by an earlier start of the run
		}
		m.pending = append(m.pending, metric{key, v.x, p.at.UnixMilli(), p.step})
	}
	return m.failed
}

// send sends pending values at intervals until the run ends.
func (m *mlflow) send() {
	defer close(m.stopped)
	ctx := context.Background() // finish ends it
	pause, warned := m.every, false
	for {
		select {
		case <-m.quit:
			return
		case <-time.After(pause):
		}
		pause = m.every
		if err := m.flush(ctx); err != nil {
			pause *= retryFactor
			if !warned {
				m.warnf("warning: tracking: mlflow: %v; haf keeps the values and tries again", err)
			}
			warned = true
		}
	}
}

// flush sends pending values, a batch at a time. Values stay pending after a failure, unless the
// server refuses them permanently.
func (m *mlflow) flush(ctx context.Context) error {
	for {
		m.mutex.Lock()
		batch := m.pending[:min(len(m.pending), maxMetrics)]
		m.mutex.Unlock()
		if len(batch) == 0 {
			return nil
		}
		err := m.call(ctx, http.MethodPost, "runs/log-batch",
			map[string]any{"run_id": m.id, "metrics": batch}, nil)
		m.mutex.Lock()
		var refused *refusal
		if err == nil {
			m.pending = m.pending[len(batch):]
		} else if errors.As(err, &refused) && refused.permanent() {
			m.failed = err
		}
		m.mutex.Unlock()
		if err != nil {
			return err
		}
	}
}

func (m *mlflow) finish(status Status) error {
	close(m.quit)
	<-m.stopped
	ctx := context.Background() // also send the records of an interrupted run
	err := m.flush(ctx)
	if err != nil {
		err = fmt.Errorf("%w; %d values are not sent: metrics.jsonl has them", err, len(m.pending))
	}
	state := map[Status]string{Finished: "FINISHED", Failed: "FAILED", Interrupted: "KILLED"}[status]
	return errors.Join(err, m.call(ctx, http.MethodPost, "runs/update", map[string]any{
		"run_id": m.id, "status": state, "end_time": time.Now().UnixMilli()}, nil))
}

// A refusal is an answer without success.
type refusal struct {
	Status  int
	Code    string `json:"error_code"`
	Message string `json:"message"`
}

func (r *refusal) Error() string {
	return fmt.Sprintf("the server answered %d %s: %.300s", r.Status, r.Code, r.Message)
}

// permanent reports whether the server would refuse the same request again.
func (r *refusal) permanent() bool {
	return r.Status < 500 && r.Status != http.StatusTooManyRequests &&
		r.Status != http.StatusRequestTimeout
}

// call sends a request and decodes the answer. It reports once that the server is slow.
func (m *mlflow) call(ctx context.Context, method, path string, body, answer any) error {
	var sent io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return err
		}
		sent = bytes.NewReader(data)
	}
	err := webclient.Announce(func() {
		m.announced.Do(func() {
			m.warnf("tracking: mlflow: %s has not answered yet; waiting for %s at most", m.uri, m.timeout)
		})
	}, func() error { return m.once(ctx, method, path, sent, answer) })
	if err == nil {
		return nil
	}
	path, _, _ = strings.Cut(path, "?")
	return fmt.Errorf("%s%s%s: %w: is an MLflow server running there?", m.uri, apiPath, path, err)
}

// once sends a request once.
func (m *mlflow) once(
	ctx context.Context, method, path string, sent io.Reader, answer any,
) error {
	ctx, cancel := context.WithTimeoutCause(ctx, m.timeout,
		fmt.Errorf("no answer within %s", m.timeout))
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, m.uri+apiPath+path, sent)
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	token, password := os.Getenv("MLFLOW_TRACKING_TOKEN"), os.Getenv("MLFLOW_TRACKING_PASSWORD")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	} else if user := os.Getenv("MLFLOW_TRACKING_USERNAME"); user != "" {
		request.SetBasicAuth(user, password)
	}
	failed := func(err error) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return webclient.Cause(err)
	}
	response, err := m.client.Do(request)
	if err != nil {
		return failed(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return failed(err)
	}
	if len(data) > maxAnswer {
		return fmt.Errorf("the server answered with more than %d bytes", maxAnswer)
	}
	if response.StatusCode != http.StatusOK {
		r := &refusal{}
		if json.Unmarshal(data, r) != nil {
			r.Message = strings.Join(strings.Fields(string(data)), " ")
		}
		r.Code = webclient.Hide(r.Code, token, password)
		r.Message = webclient.Hide(r.Message, token, password)
		r.Status = response.StatusCode
		return r
	}
	if answer == nil { // MLflow still answers with an object, not with a page
		answer = &struct{}{}
	}
	if err := json.Unmarshal(data, answer); err != nil {
		return fmt.Errorf("the server answers with something else than MLflow's JSON: %w", err)
	}
	return nil
}

// notAllowed matches the characters that MLflow refuses in names.
var notAllowed = regexp.MustCompile(`[^\w\-./ ]`)

// allowed replaces the characters of a name that MLflow refuses.
func allowed(name string) string { return notAllowed.ReplaceAllString(name, "_") }
