package leader

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// errStale is the error of a request that the gate stopped. The process is ending.
var errStale = errors.New("request not sent: the Lease was not renewed in time")

// Gate checks every request to the API server. The cluster has no fence against a leader that was suspended and does
// not know that its Lease has expired. Such a leader ends its process instead of sending anything. The gate checks
// twice: when a request is made, and when its bytes are written. It also counts the requests.
type Gate struct {
	count  func(verb, resource, code string)
	log    *slog.Logger
	exit   func(code int)
	writes atomic.Uint64
	closed sync.Once
	stale  atomic.Pointer[func() bool]
}

// NewGate makes a gate that is open until Guard is called. count is called with verb, resource and status code of each
// request, or with "error" as the code. exit is os.Exit except in tests.
func NewGate(count func(verb, resource, code string), log *slog.Logger, exit func(code int)) *Gate {
	return &Gate{count: count, log: log, exit: exit}
}

// Guard makes the gate end the process instead of sending a request while stale returns true. Requests for Leases
// always pass.
func (g *Gate) Guard(stale func() bool) { g.stale.Store(&stale) }

// Writes returns the number of requests sent so far that change something.
func (g *Gate) Writes() uint64 { return g.writes.Load() }

// Wrap adds the gate to a transport, as rest.Config.Wrap expects.
func (g *Gate) Wrap(next http.RoundTripper) http.RoundTripper {
	return &gatedTransport{gate: g, next: next}
}

// Dial adds the gate to the connections of a dialer. A request that passed the transport may have waited for its
// connection while the process was suspended. Connections for Leases must not use Dial.
func (g *Gate) Dial(
	dial func(ctx context.Context, network, address string) (net.Conn, error),
) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &gatedConn{Conn: conn, gate: g}, nil
	}
}

type gatedConn struct {
	net.Conn
	gate *Gate
}

// Write writes to the connection, or ends the process.
func (c *gatedConn) Write(b []byte) (int, error) {
	if c.gate.exitIfStale("a write to " + c.RemoteAddr().String()) {
		return 0, errStale
	}
	return c.Conn.Write(b)
}

// exitIfStale ends the process if its Lease is stale. unsent describes the request for the log.
func (g *Gate) exitIfStale(unsent string) bool {
	stale := g.stale.Load()
	if stale == nil || !(*stale)() {
		return false
	}
	g.closed.Do(func() {
		g.log.Error("exiting: the Lease was not renewed in time; another process may lead", "unsent", unsent)
	})
	g.exit(1)
	return true
}

type gatedTransport struct {
	gate *Gate
	next http.RoundTripper
}

// retryAfter is the header that tells client-go how many seconds to sleep before it repeats a request. An admission
// webhook that denies a write can set it to any value. RoundTrip therefore replaces a value above maxRetryAfter by one
// second in responses to writes. The API server's priority and fairness stays below maxRetryAfter. A date is kept,
// because client-go does not retry after one.
const (
	retryAfter    = "Retry-After"
	maxRetryAfter = 10
)

// RoundTrip sends the request, or ends the process.
func (t *gatedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	verb, resource := parseRequest(r.Method, r.URL)
	if resource != "leases" && t.gate.exitIfStale(verb+" "+resource) {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, errStale
	}
	if r.Method != http.MethodGet {
		t.gate.writes.Add(1)
	}
	resp, err := t.next.RoundTrip(r)
	code := "error"
	if err == nil {
		code = strconv.Itoa(resp.StatusCode)
		seconds, noNumber := strconv.Atoi(resp.Header.Get(retryAfter))
		if r.Method != http.MethodGet && noNumber == nil && seconds > maxRetryAfter {
			resp.Header.Set(retryAfter, "1")
		}
	}
	t.gate.count(verb, resource, code)
	return resp, err
}

// WrappedRoundTripper returns the transport behind the gate. client-go looks for it to find features of a transport.
func (t *gatedTransport) WrappedRoundTripper() http.RoundTripper { return t.next }

// parseRequest describes a request in the terms of an RBAC rule. resource includes the subresource, as in pods/log; it
// is empty if the request has none. The path is /api/v1/… or /apis/group/version/…, with or without a prefix.
func parseRequest(method string, u *url.URL) (verb, resource string) {
	segments := strings.Split(strings.Trim(u.Path, "/"), "/")
	var path []string
	if at := slices.IndexFunc(segments, func(s string) bool { return s == "api" || s == "apis" }); at >= 0 {
		path = segments[min(at+2+len(segments[at])-len("api"), len(segments)):]
	}
	if len(path) > 2 && path[0] == "namespaces" {
		path = path[2:]
	}
	hasName := len(path) > 1
	switch method {
	case http.MethodPost:
		verb = "create"
	case http.MethodPut:
		verb = "update"
	case http.MethodPatch:
		verb = "patch"
	case http.MethodDelete:
		verb = "delete"
		if !hasName {
			verb = "deletecollection"
		}
	default:
		verb = "get"
		if watch := u.Query().Get("watch"); watch == "true" || watch == "1" {
			verb = "watch"
		} else if len(path) == 1 {
			verb = "list"
		}
	}
	if len(path) > 0 {
		resource = path[0]
	}
	if len(path) > 2 {
		resource += "/" + path[2]
	}
	return verb, resource
}
