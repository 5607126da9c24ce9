package process_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kontroler/apis/process"
)

func TestReadiness(t *testing.T) {
	tests := map[string]struct {
		faults map[string]string // by part; a part without an entry is not set
		status int
		body   string
	}{
		"before the start nothing is ready": {status: 503, body: "database: starting\ncaches: starting\n"},
		"with all parts the process is ready": {
			faults: map[string]string{"database": "", "caches": ""}, status: 200, body: "database: ok\ncaches: ok\n",
		},
		"without one of its parts it is not ready": {
			faults: map[string]string{"database": "no answer", "caches": ""}, status: 503,
			body: "database: no answer\ncaches: ok\n",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			h := process.NewHealth("database", "caches")
			for part, fault := range test.faults {
				h.Set(part, func() string { return fault })
			}
			base, _ := serve(t, process.Probes{Health: "127.0.0.1:0"}, h)
			resp, err := http.Get(base + "/readyz")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != test.status {
				t.Errorf("status %d, want %d", resp.StatusCode, test.status)
			}
			if diff := cmp.Diff(test.body, string(body)); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
		})
	}
}

// serve serves probes until the test ends. It returns the URL of one of the servers, if there is one, and their number.
func serve(t *testing.T, probes process.Probes, h *process.Health) (base string, servers int) {
	t.Helper()
	var logs strings.Builder
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "metrics") })
	stop, err := probes.Serve(h, metrics, slog.New(slog.NewTextHandler(&logs, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	addresses := regexp.MustCompile(`address=(\S+)`).FindAllStringSubmatch(logs.String(), -1)
	if len(addresses) > 0 {
		base = "http://" + addresses[0][1]
	}
	return base, len(addresses)
}

func TestServe(t *testing.T) {
	tests := map[string]struct {
		probes  process.Probes
		want    map[string]int // status by path
		servers int
	}{
		"health and metrics share an address": {
			probes: process.Probes{Health: "127.0.0.1:0", Metrics: "127.0.0.1:0"}, servers: 1,
			want: map[string]int{"/healthz": 200, "/readyz": 503, "/metrics": 200, "/": 404},
		},
		"metrics can be off": {
			probes: process.Probes{Health: "127.0.0.1:0"}, servers: 1,
			want: map[string]int{"/healthz": 200, "/metrics": 404},
		},
		"both can be off": {},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			base, servers := serve(t, test.probes, process.NewHealth("database"))
			if servers != test.servers {
				t.Fatalf("%d servers, want %d", servers, test.servers)
			}
			for path, status := range test.want {
				resp, err := http.Get(base + path)
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
	probes := process.Probes{Health: taken.Listener.Addr().String(), Flags: "--health-address"}
	_, err := probes.Serve(process.NewHealth(), http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "--health-address") {
		t.Errorf("got %v", err)
	}
}
