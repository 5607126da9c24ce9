package main

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestReadiness(t *testing.T) {
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))
	tests := map[string]struct {
		started, away, synced bool
		status                int
		body                  string
	}{
		"before the start nothing is ready": {status: 503, body: "database: starting\ncaches: starting\n"},
		"with all parts the process is ready": {
			started: true, synced: true, status: 200, body: "database: ok\ncaches: ok\n",
		},
		"without its database it is not ready": {
			started: true, away: true, synced: true, status: 503,
			body: "database: no answer since 2026-01-02T02:04:05Z\ncaches: ok\n",
		},
		"without its caches it is not ready": {
			started: true, status: 503, body: "database: ok\ncaches: waiting for the first lists of the watches\n",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHealth("database", "caches")
			if test.started {
				h.set("database", databaseFault(func() (time.Time, bool) { return since, test.away }))
				h.set("caches", cachesFault(func() bool { return test.synced }))
			}
			w := httptest.NewRecorder()
			h.ready(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
			if w.Code != test.status {
				t.Errorf("status %d, want %d", w.Code, test.status)
			}
			if diff := cmp.Diff(test.body, w.Body.String()); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
		})
	}
}

func TestServe(t *testing.T) {
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "metrics") })
	tests := map[string]struct {
		health, metrics string
		want            map[string]int // status by path, at the health address
		servers         int
	}{
		"health and metrics share an address": {
			health: "127.0.0.1:0", metrics: "127.0.0.1:0", servers: 1,
			want: map[string]int{"/healthz": 200, "/readyz": 503, "/metrics": 200, "/": 404},
		},
		"metrics can be off": {health: "127.0.0.1:0", servers: 1, want: map[string]int{"/healthz": 200, "/metrics": 404}},
		"both can be off":    {},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var logs strings.Builder
			stop, err := serve(config{healthAddress: test.health, metricsAddress: test.metrics}, newHealth("database"), metrics,
				slog.New(slog.NewTextHandler(&logs, nil)))
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
			addresses := regexp.MustCompile(`address=(\S+)`).FindAllStringSubmatch(logs.String(), -1)
			if len(addresses) != test.servers {
				t.Fatalf("%d servers, want %d:\n%s", len(addresses), test.servers, &logs)
			}
			for path, status := range test.want {
				resp, err := http.Get("http://" + addresses[0][1] + path)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.StatusCode != status {
					t.Errorf("GET %s: %d, want %d", path, resp.StatusCode, status)
				}
			}
		})
	}
}

func TestServeReportsATakenAddress(t *testing.T) {
	taken := httptest.NewServer(http.NotFoundHandler())
	defer taken.Close()
	_, err := serve(config{healthAddress: taken.Listener.Addr().String()}, newHealth(), http.NotFoundHandler(),
		slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "--health-address") {
		t.Errorf("got %v", err)
	}
}
