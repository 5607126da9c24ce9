package metrics

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"kontroler/store"
	"kontroler/store/transition"
)

// Metrics are the metrics of a controller, in a registry of their own.
type Metrics struct {
	registry      *prometheus.Registry
	apiRequests   *prometheus.CounterVec
	syncs         *prometheus.CounterVec
	syncSeconds   *prometheus.HistogramVec
	queueDepth    *prometheus.GaugeVec
	liveAttempts  prometheus.Gauge
	runsEnded     *prometheus.CounterVec
	attemptsEnded *prometheus.CounterVec
	deliveries    *prometheus.CounterVec
	startSeconds  prometheus.Observer
	runsDeleted   *prometheus.CounterVec
	removed       *prometheus.CounterVec
	podEvents     *prometheus.CounterVec
	epoch         prometheus.Gauge
	leader        prometheus.Gauge
	databaseUp    prometheus.Gauge
	roundTrips    prometheus.Counter
	logs          *prometheus.CounterVec
	logBytes      prometheus.Counter
	logStreams    prometheus.Gauge
}

// registry makes metrics and registers them.
type registry struct{ *prometheus.Registry }

func (r registry) counter(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	r.MustRegister(c)
	return c
}

func (r registry) gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	r.MustRegister(g)
	return g
}

func (r registry) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	r.MustRegister(h)
	return h
}

// New makes the metrics, including those of the Go runtime and of the process.
func New() *Metrics {
	registry := registry{prometheus.NewRegistry()}
	registry.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return &Metrics{
		registry: registry.Registry,
		apiRequests: registry.counter("kontroler_api_requests_total",
			"Requests to the Kubernetes API server.", "verb", "resource", "code"),
		syncs: registry.counter("kontroler_syncs_total",
			"Syncs of the keys of a queue, by result: success, unavailable (the database), error.", "queue", "result"),
		syncSeconds: registry.histogram("kontroler_sync_duration_seconds",
			"Duration of a sync.", prometheus.ExponentialBuckets(0.001, 2, 15), "queue"),
		queueDepth: registry.gauge("kontroler_queue_depth", "Keys that wait in a queue.", "queue"),
		runsEnded:  registry.counter("kontroler_runs_ended_total", "Runs that ended, by phase.", "phase"),
		attemptsEnded: registry.counter("kontroler_attempts_ended_total",
			"Attempts that ended, by phase and reason.", "phase", "reason"),
		startSeconds: registry.histogram("kontroler_task_start_latency_seconds",
			"Time from a task being ready to its Pod being created.",
			prometheus.ExponentialBuckets(0.005, 2, 17)).WithLabelValues(),
		runsDeleted: registry.counter("kontroler_dagruns_deleted_total",
			"DagRuns that were deleted, by reason: ttl, limit.", "by"),
		removed: registry.counter("kontroler_history_removed_total",
			"Rows and partitions of history that were removed, by kind.", "kind"),
		deliveries: registry.counter("kontroler_deliveries_total",
			"Tries to deliver a notification, by result: delivered, failed, parked (failed for the last time).",
			"result"),
		liveAttempts: registry.gauge("kontroler_live_attempts",
			"Attempts whose Pod has not ended, which --max-pods limits.").WithLabelValues(),
		podEvents: registry.counter("kontroler_pod_events_total",
			"Events of Pods: kept, or dropped because the database rejects them.", "result"),
		epoch: registry.gauge("kontroler_epoch",
			"Epoch of the last term of leadership of this process.").WithLabelValues(),
		leader: registry.gauge("kontroler_leader", "Whether this process leads.").WithLabelValues(),
		logs:   registry.counter("kontroler_logs_total", "Logs of tasks, by state: Captured, Lost.", "state"),
		logBytes: registry.counter("kontroler_log_bytes_total",
			"Bytes of logs that were kept, before compression.").WithLabelValues(),
		logStreams: registry.gauge("kontroler_log_streams",
			"Log streams that are open, or have ended and are not stored yet.").WithLabelValues(),
		databaseUp: registry.gauge("kontroler_database_up", "Whether the database answers.").WithLabelValues(),
		roundTrips: registry.counter("kontroler_database_round_trips_total",
			"Round trips of the leader to the database.").WithLabelValues(),
	}
}

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

// APIRequest counts a request to the API server.
func (m *Metrics) APIRequest(verb, resource, code string) {
	m.apiRequests.WithLabelValues(verb, resource, code).Inc()
}

// SyncDone records the result and the duration of one sync. Errors of an unavailable database have a result of their
// own.
func (m *Metrics) SyncDone(queue string, d time.Duration, err error) {
	result := "success"
	switch {
	case store.IsUnavailable(err):
		result = "unavailable"
	case err != nil:
		result = "error"
	}
	m.syncs.WithLabelValues(queue, result).Inc()
	m.syncSeconds.WithLabelValues(queue).Observe(d.Seconds())
}

// QueueDepth sets how many keys wait in a queue.
func (m *Metrics) QueueDepth(queue string, n int) {
	m.queueDepth.WithLabelValues(queue).Set(float64(n))
}

// LiveAttempts sets how many attempts have a Pod that has not ended.
func (m *Metrics) LiveAttempts(n int) {
	m.liveAttempts.Set(float64(n))
}

// DagRunDeleted counts a deleted DagRun, by reason: ttl, limit.
func (m *Metrics) DagRunDeleted(by string) {
	m.runsDeleted.WithLabelValues(by).Inc()
}

// HistoryRemoved counts what retention removed.
func (m *Metrics) HistoryRemoved(kind string, n int) {
	if n > 0 {
		m.removed.WithLabelValues(kind).Add(float64(n))
	}
}

// Delivery counts a try to deliver a notification, once it is recorded.
func (m *Metrics) Delivery(result string) {
	m.deliveries.WithLabelValues(result).Inc()
}

// PodCreated observes how long a task that was ready waited for its Pod.
func (m *Metrics) PodCreated(sinceReady time.Duration) {
	m.startSeconds.Observe(sinceReady.Seconds())
}

// PodEvents counts Events of Pods by result: kept, dropped.
func (m *Metrics) PodEvents(result string, n int) {
	m.podEvents.WithLabelValues(result).Add(float64(n))
}

// DatabaseRoundTrip counts a round trip of the leader to the database.
func (m *Metrics) DatabaseRoundTrip() {
	m.roundTrips.Inc()
}

// Epoch sets the epoch of this process's last term.
func (m *Metrics) Epoch(epoch int64) {
	m.epoch.Set(float64(epoch))
}

// Leader sets whether this process leads.
func (m *Metrics) Leader(leads bool) {
	m.leader.Set(boolean(leads))
}

// LogKept counts a log, once it is committed.
func (m *Metrics) LogKept(state string, bytes int) {
	m.logs.WithLabelValues(state).Inc()
	m.logBytes.Add(float64(bytes))
}

// LogStreams sets how many streams there are.
func (m *Metrics) LogStreams(n int) {
	m.logStreams.Set(float64(n))
}

// DatabaseUp sets whether the database answers.
func (m *Metrics) DatabaseUp(up bool) {
	m.databaseUp.Set(boolean(up))
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Committed counts the endings among transitions that were committed.
func (m *Metrics) Committed(transitions []transition.Transition) {
	for _, t := range transitions {
		switch t := t.(type) {
		case transition.AttemptEnded:
			m.attemptsEnded.WithLabelValues(t.Phase, t.Reason).Inc()
		case transition.RunEnded:
			m.runsEnded.WithLabelValues(t.Phase).Inc()
		}
	}
}
