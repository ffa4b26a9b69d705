package serve

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are shown at /metrics, from a registry of the server's own.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec   // by path and code
	seconds  *prometheus.HistogramVec // by path
	inFlight prometheus.Gauge
	ready    prometheus.Gauge
	reloads  *prometheus.CounterVec // by model and result

	samples, batches, batchItems, batchTokens *prometheus.CounterVec // by model
	batchSeconds                              *prometheus.HistogramVec
}

func newMetrics() *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "haf_" + name, Help: help}, labels)
		m.registry.MustRegister(c)
		return c
	}
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "haf_" + name, Help: help})
		m.registry.MustRegister(g)
		return g
	}
	histogram := func(name, help, label string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "haf_" + name, Help: help,
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 17)}, []string{label})
		m.registry.MustRegister(h)
		return h
	}
	m.requests = counter("requests_total", "Requests answered.", "path", "code")
	m.seconds = histogram("request_seconds", "Seconds from a request's header to its answer.", "path")
	m.inFlight = gauge("requests_in_flight", "Requests being answered.")
	m.ready = gauge("ready", "1 where all models are loaded and the server is not being ended.")
	m.reloads = counter("reloads_total", "Loadings of a model after the first.", "model", "result")
	m.samples = counter("samples_total", "Samples that were given rewards.", "model")
	m.batches = counter("batches_total", "Batches read.", "model")
	m.batchItems = counter("batch_samples_total", "Samples in the batches.", "model")
	m.batchTokens = counter("batch_tokens_total", "Tokens in the batches, a shared prompt once.",
		"model")
	m.batchSeconds = histogram("batch_seconds", "Seconds that a batch took.", "model")
	m.registry.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// modelMetrics are the metrics of one model.
type modelMetrics struct {
	samples, batches, items, tokens prometheus.Counter
	seconds                         prometheus.Observer
}

// of returns a model's metrics. A scrape reads the queue's length from queue.
func (m *metrics) of(model string, queue *queue) *modelMetrics {
	waiting := func(name, help string, of func() float64) {
		m.registry.MustRegister(
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "haf_" + name, Help: help,
				ConstLabels: prometheus.Labels{"model": model}}, of))
	}
	waiting("waiting_samples", "Samples that wait to be read.",
		func() float64 { items, _ := queue.waiting(); return float64(items) })
	waiting("waiting_tokens", "Tokens that wait to be read.",
		func() float64 { _, tokens := queue.waiting(); return float64(tokens) })
	return &modelMetrics{
		samples: m.samples.WithLabelValues(model), batches: m.batches.WithLabelValues(model),
		items:  m.batchItems.WithLabelValues(model),
		tokens: m.batchTokens.WithLabelValues(model), seconds: m.batchSeconds.WithLabelValues(model),
	}
}

func (m *modelMetrics) batch(items, tokens int, took time.Duration) {
	m.batches.Inc()
	m.items.Add(float64(items))
	m.tokens.Add(float64(tokens))
	m.seconds.Observe(took.Seconds())
}

// request counts an answered request. The path is one of the server's own, so that clients cannot
// create new labels.
func (m *metrics) request(path string, code int, took time.Duration) {
	m.requests.WithLabelValues(path, strconv.Itoa(code)).Inc()
	m.seconds.WithLabelValues(path).Observe(took.Seconds())
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}
