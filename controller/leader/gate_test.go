package leader_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kontroler/controller/leader"
)

// gated is a client behind a gate, with a server that answers every request.
type gated struct {
	*leader.Gate
	client  *http.Client
	url     string
	counted []string // requests: verb, resource, code
	seen    []string
	exits   []int
	logs    strings.Builder
}

func newGated(t *testing.T) *gated {
	g := &gated{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.seen = append(g.seen, r.Method+" "+r.URL.Path)
		switch {
		case strings.HasSuffix(r.URL.Path, "/taken"):
			w.WriteHeader(http.StatusConflict)
		case strings.HasSuffix(r.URL.Path, "/denied"):
			w.Header().Set("Retry-After", r.Header.Get("Test-Retry-After"))
			w.WriteHeader(http.StatusTooManyRequests)
		}
	}))
	t.Cleanup(server.Close)
	counted := func(verb, resource, code string) { g.counted = append(g.counted, verb+" "+resource+" "+code) }
	g.Gate = leader.NewGate(
		counted,
		slog.New(slog.NewTextHandler(&g.logs, nil)),
		func(code int) { g.exits = append(g.exits, code) },
	)
	g.client, g.url = &http.Client{Transport: g.Wrap(http.DefaultTransport)}, server.URL
	return g
}

func (g *gated) send(t *testing.T, method, path string) error {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, g.url+path, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := g.client.Do(req)
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.Body.Close()
}

// An admission webhook cannot make a write wait for a day. A Retry-After of the API server itself is kept.
func TestGateShortensRetryAfter(t *testing.T) {
	const date = "Fri, 31 Dec 2100 23:59:59 GMT"
	g := newGated(t)
	for _, c := range []struct{ method, answer, want string }{
		{"PATCH", "86400", "1"}, {"GET", "86400", "86400"}, {"PATCH", "11", "1"}, {"PATCH", "10", "10"},
		{"PATCH", date, date},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, g.url+"/api/v1/namespaces/a/pods/denied", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Test-Retry-After", c.answer)
		resp, err := g.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := resp.Header.Get("Retry-After"); got != c.want {
			t.Errorf("%s: Retry-After %s is %s, want %s", c.method, c.answer, got, c.want)
		}
	}
}

func TestGateStopsAStaleLeader(t *testing.T) {
	g := newGated(t)
	stale := false
	send := func(method, path string) bool { return g.send(t, method, path) == nil }
	if !send("POST", "/api/v1/namespaces/a/pods") {
		t.Error("a request before Guard was not sent")
	}
	g.Guard(func() bool { return stale })
	if !send("POST", "/api/v1/namespaces/a/pods") || len(g.exits) > 0 {
		t.Errorf("a fresh leader was stopped: exits %v", g.exits)
	}
	stale = true
	if !send("PUT", "/apis/coordination.k8s.io/v1/namespaces/a/leases/x") || len(g.exits) > 0 {
		t.Errorf("a renewal was stopped: exits %v", g.exits)
	}
	before := len(g.seen)
	for _, method := range []string{"POST", "GET", "DELETE"} {
		if send(method, "/api/v1/namespaces/a/pods/p") {
			t.Errorf("%s of a stale leader was sent", method)
		}
	}
	if diff := cmp.Diff([]int{1, 1, 1}, g.exits); diff != "" || len(g.seen) != before {
		t.Errorf("exits (-want +got):\n%s\nseen by the server: %v", diff, g.seen)
	}
	if lines := strings.Count(g.logs.String(), "\n"); lines != 1 {
		t.Errorf("%d lines logged:\n%s", lines, &g.logs)
	}
	if writes := g.Writes(); writes != 3 {
		t.Errorf("%d writes counted, want 3", writes)
	}
}

// TestGateStopsAStaleLeaderAtItsConnection: the Lease expires after a request passed the transport, while it waits
// for its connection.
func TestGateStopsAStaleLeaderAtItsConnection(t *testing.T) {
	g := newGated(t)
	stale := false
	g.Guard(func() bool { return stale })
	transport := &http.Transport{
		DialContext: g.Dial(func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
			stale = true
			return conn, err
		}),
	}
	t.Cleanup(transport.CloseIdleConnections)
	g.client = &http.Client{Transport: g.Wrap(transport)}
	if g.send(t, "POST", "/api/v1/namespaces/a/pods") == nil || len(g.seen) > 0 {
		t.Errorf("a stale leader's request was sent: %v", g.seen)
	}
	if len(g.exits) == 0 {
		t.Error("the stale leader continues")
	}
}

func TestGateCounts(t *testing.T) {
	tests := map[string]struct {
		method, path string
		want         string // verb, resource, code
		write        bool
	}{
		"create":      {"POST", "/api/v1/namespaces/a/pods", "create pods 200", true},
		"get":         {"GET", "/api/v1/namespaces/a/pods/p", "get pods 200", false},
		"list":        {"GET", "/api/v1/pods?limit=500", "list pods 200", false},
		"watch":       {"GET", "/api/v1/namespaces/a/pods?watch=true&resourceVersion=1", "watch pods 200", false},
		"logs":        {"GET", "/api/v1/namespaces/a/pods/p/log", "get pods/log 200", false},
		"delete":      {"DELETE", "/api/v1/namespaces/a/pods/p", "delete pods 200", true},
		"delete many": {"DELETE", "/api/v1/namespaces/a/pods", "deletecollection pods 200", true},
		"patch of a status": {
			"PATCH",
			"/apis/kontroler.greedykomodo/v1alpha1/namespaces/a/dagruns/r/status",
			"patch dagruns/status 200",
			true,
		},
		"cluster scope": {"GET", "/api/v1/nodes/n", "get nodes 200", false},
		"a namespace":   {"GET", "/api/v1/namespaces/kube-system", "get namespaces 200", false},
		"behind a prefix": {
			"PUT",
			"/k8s/clusters/c-1/apis/coordination.k8s.io/v1/namespaces/a/leases/l",
			"update leases 200",
			true,
		},
		"rejected create":    {"POST", "/api/v1/namespaces/a/pods/taken", "create pods 409", true},
		"no resource":        {"GET", "/version", "get  200", false},
		"discovery":          {"GET", "/apis/kontroler.greedykomodo/v1alpha1", "get  200", false},
		"discovery, shorter": {"GET", "/apis", "get  200", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			g := newGated(t)
			if err := g.send(t, test.method, test.path); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(g.counted, ", "); got != test.want {
				t.Errorf("counted %s, want %s", got, test.want)
			}
			if (g.Writes() == 1) != test.write {
				t.Errorf("%d writes", g.Writes())
			}
		})
	}
}

func TestGateCountsFailures(t *testing.T) {
	g := newGated(t)
	g.url = "http://127.0.0.1:1"
	if err := g.send(t, "POST", "/api/v1/namespaces/a/pods"); err == nil {
		t.Fatal("port 1 answers")
	}
	want := "create pods error"
	if got := strings.Join(g.counted, ", "); got != want {
		t.Errorf("counted %s, want %s", got, want)
	}
}
