// Package metrics has the Prometheus metrics of the server.
package metrics

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"kontroler/httpapi/auth"
)

// Metrics are the metrics of a server, in their own registry. Label values come from small sets, never from a client.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	logins   *prometheus.CounterVec
	database *prometheus.GaugeVec
	cluster  *prometheus.GaugeVec
	// Streams counts the open streams of events, Events the events sent to them, Resets the resets by reason.
	Streams prometheus.Gauge
	Events  prometheus.Counter
	Resets  *prometheus.CounterVec
}

// New makes the metrics, including those of the Go runtime and of the process.
func New() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kontroler_http_requests_total", Help: "Requests, by route and status. Route none has no handler.",
		}, []string{"method", "route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "kontroler_http_request_duration_seconds", Help: "Duration of requests, by route.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
		}, []string{"method", "route"}),
		logins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kontroler_logins_total", Help: "Logins, by result: succeeded, wrong, delayed, busy, error.",
		}, []string{"result"}),
		database: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "kontroler_server_database_up", Help: "1 if the database can be used: accounts, views.",
		}, []string{"database"}),
		cluster: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "kontroler_server_cluster_up",
			Help: "1 if live objects can be read, by resource and namespace of --namespaces, empty for all.",
		}, []string{"resource", "namespace"}),
		Streams: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "kontroler_event_streams", Help: "Streams of events that are open.",
		}),
		Events: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "kontroler_events_sent_total", Help: "Events of changes that were sent to streams.",
		}),
		Resets: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kontroler_event_resets_total", Help: "Resets that were sent to streams of events, by reason.",
		}, []string{"reason"}),
	}
	m.registry.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		m.requests, m.seconds, m.logins, m.database, m.cluster, m.Streams, m.Events, m.Resets)
	return m
}

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// DatabaseUp records whether a database can be used.
func (m *Metrics) DatabaseUp(database string, isUp bool) {
	set(m.database.WithLabelValues(database), isUp)
}

// ClusterUp records whether a kind can be read in a namespace, or in all namespaces if it is empty.
func (m *Metrics) ClusterUp(resource, namespace string, isUp bool) {
	set(m.cluster.WithLabelValues(resource, namespace), isUp)
}

func set(gauge prometheus.Gauge, isUp bool) {
	value := 0.0
	if isUp {
		value = 1
	}
	gauge.Set(value)
}

// Request counts a request, and measures its duration unless it is a stream.
func (m *Metrics) Request(method, route string, status int, took time.Duration, isStream bool) {
	if route == "" {
		method, route = "any", "none"
	}
	m.requests.WithLabelValues(method, route, strconv.Itoa(status)).Inc()
	if !isStream {
		m.seconds.WithLabelValues(method, route).Observe(took.Seconds())
	}
}

// Login counts a login by its error.
func (m *Metrics) Login(err error) {
	result := "error"
	_, isDelayed := errors.AsType[*auth.DelayedError](err)
	switch {
	case err == nil:
		result = "succeeded"
	case isDelayed:
		result = "delayed"
	case errors.Is(err, auth.ErrUnauthenticated):
		result = "wrong"
	case errors.Is(err, auth.ErrBusy):
		result = "busy"
	}
	m.logins.WithLabelValues(result).Inc()
}
