package metrics_test

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kontroler/controller/metrics"
	"kontroler/store"
	"kontroler/store/transition"
)

// scrape returns the lines that metrics answers whose names begin so.
func scrape(t *testing.T, m *metrics.Metrics, prefix string) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	var lines []string
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, prefix) {
			lines = append(lines, strings.TrimSuffix(line, "\n"))
		}
	}
	return strings.Join(lines, "\n")
}

func measure(m *metrics.Metrics) {
	m.SyncDone("runs", time.Millisecond, nil)
	m.SyncDone("runs", time.Millisecond, errors.New("odd"))
	m.SyncDone("runs", time.Millisecond, fmt.Errorf("syncing: %w", store.ErrUnavailable))
	m.QueueDepth("runs", 4)
	m.LiveAttempts(5)
	m.Committed([]transition.Transition{
		transition.RunEnded{Phase: "Succeeded"},
		transition.AttemptEnded{Phase: "Failed", Reason: "ExitCode"},
	})
	m.DagRunDeleted("ttl")
	m.HistoryRemoved("run", 3)
	m.HistoryRemoved("task", 0)
	m.PodCreated(20 * time.Millisecond)
	m.PodEvents("kept", 3)
	m.Epoch(7)
	m.Leader(true)
	m.LogKept("Captured", 100)
	m.LogKept("Lost", 0)
	m.LogStreams(3)
	m.DatabaseUp(true)
	m.DatabaseUp(false)
	m.DatabaseRoundTrip()
}

func TestMetrics(t *testing.T) {
	m := metrics.New()
	measure(m)
	var got []string
	for line := range strings.Lines(scrape(t, m, "kontroler_") + "\n") {
		if !strings.Contains(line, "_bucket{") && !strings.Contains(line, "_sum") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	want := []string{
		`kontroler_attempts_ended_total{phase="Failed",reason="ExitCode"} 1`,
		`kontroler_dagruns_deleted_total{by="ttl"} 1`,
		`kontroler_database_round_trips_total 1`,
		`kontroler_database_up 0`,
		`kontroler_epoch 7`,
		`kontroler_history_removed_total{kind="run"} 3`,
		`kontroler_leader 1`,
		`kontroler_live_attempts 5`,
		`kontroler_log_bytes_total 100`,
		`kontroler_log_streams 3`,
		`kontroler_logs_total{state="Captured"} 1`,
		`kontroler_logs_total{state="Lost"} 1`,
		`kontroler_pod_events_total{result="kept"} 3`,
		`kontroler_queue_depth{queue="runs"} 4`,
		`kontroler_runs_ended_total{phase="Succeeded"} 1`,
		`kontroler_sync_duration_seconds_count{queue="runs"} 3`,
		`kontroler_syncs_total{queue="runs",result="error"} 1`,
		`kontroler_syncs_total{queue="runs",result="success"} 1`,
		`kontroler_syncs_total{queue="runs",result="unavailable"} 1`,
		`kontroler_task_start_latency_seconds_count 1`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
	if scrape(t, m, "go_goroutines") == "" || scrape(t, m, "process_start_time_seconds") == "" {
		t.Error("the metrics of runtime and process are missing")
	}
}
