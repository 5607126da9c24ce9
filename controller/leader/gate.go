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

// errStale answers a request that the gate did not let through; the process is ending.
var errStale = errors.New("not sent: this leader's Lease was not renewed in time")

// Gate is the door through which every request to the API server goes. The cluster has no fence against a leader that
// was stopped and does not know it: so a leader whose Lease is stale ends its process instead of sending anything. It asks
// twice: when a request is made, and when its bytes are written. The gate also counts the requests.
type Gate struct {
	counted func(verb, resource, code string)
	log     *slog.Logger
	exit    func(code int)
	writes  atomic.Uint64
	closed  sync.Once
	stale   atomic.Pointer[func() bool]
}

// NewGate makes a gate that lets everything through until Guard is called. counted hears of each request and its status
// code, or "error". exit is os.Exit but in tests.
func NewGate(counted func(verb, resource, code string), log *slog.Logger, exit func(code int)) *Gate {
	return &Gate{counted: counted, log: log, exit: exit}
}

// Guard ends the process instead of a request, except one to a Lease, whenever stale is true: Elector.Stale.
func (g *Gate) Guard(stale func() bool) { g.stale.Store(&stale) }

// Writes is how many requests so far were sent to change something.
func (g *Gate) Writes() uint64 { return g.writes.Load() }

// Wrap puts the gate before a transport, as rest.Config.Wrap expects.
func (g *Gate) Wrap(next http.RoundTripper) http.RoundTripper {
	return &gatedTransport{gate: g, next: next}
}

// Dial puts the gate also before every write to a connection, for all connections but those to the Lease: a request that
// had passed Wrap may have waited for its connection while the process was stopped.
func (g *Gate) Dial(dial func(ctx context.Context, network, address string) (net.Conn, error)) func(ctx context.Context, network, address string) (net.Conn, error) {
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

// Write writes, or ends the process.
func (c *gatedConn) Write(b []byte) (int, error) {
	if c.gate.shut("a write to " + c.RemoteAddr().String()) {
		return 0, errStale
	}
	return c.Conn.Write(b)
}

// shut ends the process when its Lease is stale. unsent is what was to be sent.
func (g *Gate) shut(unsent string) bool {
	stale := g.stale.Load()
	if stale == nil || !(*stale)() {
		return false
	}
	g.closed.Do(func() {
		g.log.Error("exiting: the Lease was not renewed in time, another may lead by now", "unsent", unsent)
	})
	g.exit(1)
	return true
}

type gatedTransport struct {
	gate *Gate
	next http.RoundTripper
}

// RoundTrip sends the request, or ends the process.
func (t *gatedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	req := parseRequest(r.Method, r.URL)
	if req.resource != "leases" && t.gate.shut(req.verb+" "+req.resource) {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, errStale
	}
	if req.write() {
		t.gate.writes.Add(1)
	}
	resp, err := t.next.RoundTrip(r)
	code := "error"
	if err == nil {
		code = strconv.Itoa(resp.StatusCode)
	}
	t.gate.counted(req.verb, req.resource, code)
	return resp, err
}

// WrappedRoundTripper is the transport behind the gate, for client-go's helpers that look for a feature of it.
func (t *gatedTransport) WrappedRoundTripper() http.RoundTripper { return t.next }

// request is what a request to the API server is about, in the words of an RBAC rule.
type request struct {
	verb     string
	resource string // with its subresource: pods/log; "" when it is about none
}

func (r request) write() bool { return r.verb != "get" && r.verb != "list" && r.verb != "watch" }

// parseRequest reads /api/v1/… and /apis/group/version/…, also behind a prefix.
func parseRequest(method string, u *url.URL) request {
	segments := strings.Split(strings.Trim(u.Path, "/"), "/")
	var resource []string
	if at := slices.IndexFunc(segments, func(s string) bool { return s == "api" || s == "apis" }); at >= 0 {
		resource = segments[min(at+2+len(segments[at])-len("api"), len(segments)):]
	}
	if len(resource) > 2 && resource[0] == "namespaces" {
		resource = resource[2:]
	}
	named := len(resource) > 1
	var r request
	switch method {
	case http.MethodPost:
		r.verb = "create"
	case http.MethodPut:
		r.verb = "update"
	case http.MethodPatch:
		r.verb = "patch"
	case http.MethodDelete:
		r.verb = "delete"
		if !named {
			r.verb = "deletecollection"
		}
	default:
		r.verb = "get"
		if watch := u.Query().Get("watch"); watch == "true" || watch == "1" {
			r.verb = "watch"
		} else if len(resource) == 1 {
			r.verb = "list"
		}
	}
	if len(resource) > 0 {
		r.resource = resource[0]
	}
	if len(resource) > 2 {
		r.resource += "/" + resource[2]
	}
	return r
}
