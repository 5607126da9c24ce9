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

// Metrics is what a controller tells Prometheus, in a registry of its own. A nil *Metrics measures nothing. Label
// values come from small sets: resources, queues, phases, reasons; never a name that a user chose.
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
	startSeconds  prometheus.Histogram
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

// New makes the metrics, those of the Go runtime and of the process with them.
func New() *Metrics {
	registry := registry{prometheus.NewRegistry()}
	registry.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m := &Metrics{
		registry: registry.Registry,
		apiRequests: registry.counter("kontroler_api_requests_total",
			"Requests to the Kubernetes API server.", "verb", "resource", "code"),
		syncs: registry.counter("kontroler_syncs_total",
			"Syncs of a key of a queue, by result: success, unavailable (of the database), error.", "queue", "result"),
		syncSeconds: registry.histogram("kontroler_sync_duration_seconds",
			"Duration of a sync.", prometheus.ExponentialBuckets(0.001, 2, 15), "queue"),
		queueDepth: registry.gauge("kontroler_queue_depth", "Keys that wait in a queue.", "queue"),
		runsEnded:  registry.counter("kontroler_runs_ended_total", "Runs that ended, by phase.", "phase"),
		attemptsEnded: registry.counter("kontroler_attempts_ended_total",
			"Attempts that ended, by phase and reason.", "phase", "reason"),
		runsDeleted: registry.counter("kontroler_dagruns_deleted_total",
			"DagRuns that were deleted, by what ended their time: ttl, limit.", "by"),
		removed: registry.counter("kontroler_history_removed_total",
			"Rows and partitions of history that were removed, by kind.", "kind"),
		deliveries: registry.counter("kontroler_deliveries_total",
			"Tries to deliver a notification, by result: delivered, failed, parked (failed for the last time).",
			"result"),
		liveAttempts: registry.gauge("kontroler_live_attempts",
			"Attempts whose Pod has not ended: what --max-pods bounds.").WithLabelValues(),
		podEvents: registry.counter("kontroler_pod_events_total",
			"Events of Pods: kept, or dropped because the database refuses them.", "result"),
		epoch: registry.gauge("kontroler_epoch",
			"Epoch of the last term of leadership of this process.").WithLabelValues(),
		leader: registry.gauge("kontroler_leader", "Whether this process leads.").WithLabelValues(),
		logs:   registry.counter("kontroler_logs_total", "Logs of tasks, by state: Captured, Lost.", "state"),
		logBytes: registry.counter("kontroler_log_bytes_total",
			"Bytes of logs that were kept, before compression.").WithLabelValues(),
		logStreams: registry.gauge("kontroler_log_streams",
			"Logs that are read while their container runs, or were and are not stored yet.").WithLabelValues(),
		databaseUp: registry.gauge("kontroler_database_up", "Whether the database answers.").WithLabelValues(),
		roundTrips: registry.counter("kontroler_database_round_trips_total",
			"Round trips of the leader to the database.").WithLabelValues(),
	}
	start := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "kontroler_task_start_latency_seconds",
		Help:    "Time from a task being ready to its Pod being created.",
		Buckets: prometheus.ExponentialBuckets(0.005, 2, 17),
	})
	registry.MustRegister(start)
	m.startSeconds = start
	return m
}

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

// APIRequest counts a request to the API server.
func (m *Metrics) APIRequest(verb, resource, code string) {
	if m != nil {
		m.apiRequests.WithLabelValues(verb, resource, code).Inc()
	}
}

// SyncDone counts a sync of a queue's key. An unreachable database is told apart from other errors.
func (m *Metrics) SyncDone(queue string, d time.Duration, err error) {
	if m == nil {
		return
	}
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

// QueueDepth notes how many keys wait in a queue.
func (m *Metrics) QueueDepth(queue string, n int) {
	if m != nil {
		m.queueDepth.WithLabelValues(queue).Set(float64(n))
	}
}

// LiveAttempts notes how many attempts have a Pod that has not ended.
func (m *Metrics) LiveAttempts(n int) {
	if m != nil {
		m.liveAttempts.Set(float64(n))
	}
}

// RunEnded counts a run, once its end is committed.
func (m *Metrics) RunEnded(phase string) {
	if m != nil {
		m.runsEnded.WithLabelValues(phase).Inc()
	}
}

// AttemptEnded counts an attempt, once its end is committed.
func (m *Metrics) AttemptEnded(phase, reason string) {
	if m != nil {
		m.attemptsEnded.WithLabelValues(phase, reason).Inc()
	}
}

// DagRunDeleted counts a DagRun whose time was over.
func (m *Metrics) DagRunDeleted(by string) {
	if m != nil {
		m.runsDeleted.WithLabelValues(by).Inc()
	}
}

// HistoryRemoved counts what retention removed.
func (m *Metrics) HistoryRemoved(kind string, n int) {
	if m != nil && n > 0 {
		m.removed.WithLabelValues(kind).Add(float64(n))
	}
}

// Delivery counts a try to deliver a notification, once it is noted.
func (m *Metrics) Delivery(result string) {
	if m != nil {
		m.deliveries.WithLabelValues(result).Inc()
	}
}

// PodCreated notes how long a task that was ready waited for its Pod.
func (m *Metrics) PodCreated(sinceReady time.Duration) {
	if m != nil {
		m.startSeconds.Observe(sinceReady.Seconds())
	}
}

// PodEvents counts Events of Pods by what became of them: kept, dropped.
func (m *Metrics) PodEvents(result string, n int) {
	if m != nil {
		m.podEvents.WithLabelValues(result).Add(float64(n))
	}
}

// DatabaseRoundTrip counts a round trip of the leader to the database.
func (m *Metrics) DatabaseRoundTrip() {
	if m != nil {
		m.roundTrips.Inc()
	}
}

// Epoch notes the epoch of this process's last term.
func (m *Metrics) Epoch(epoch int64) {
	if m != nil {
		m.epoch.Set(float64(epoch))
	}
}

// Leader notes whether this process leads.
func (m *Metrics) Leader(leads bool) {
	if m != nil {
		m.leader.Set(boolean(leads))
	}
}

// LogKept counts a log, once it is committed.
func (m *Metrics) LogKept(state string, bytes int) {
	if m != nil {
		m.logs.WithLabelValues(state).Inc()
		m.logBytes.Add(float64(bytes))
	}
}

// LogStreams notes how many streams there are.
func (m *Metrics) LogStreams(n int) {
	if m != nil {
		m.logStreams.Set(float64(n))
	}
}

// DatabaseUp notes whether the database answers.
func (m *Metrics) DatabaseUp(up bool) {
	if m != nil {
		m.databaseUp.Set(boolean(up))
	}
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
			m.AttemptEnded(t.Phase, t.Reason)
		case transition.RunEnded:
			m.RunEnded(t.Phase)
		}
	}
}
