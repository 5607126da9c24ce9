package httpapi

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path"
	"runtime/debug"
	"strings"
	"time"

	"kontroler/httpapi/auth"
	"kontroler/httpapi/recorder"
	"kontroler/store/accounts"
)

// requestTimeout is how long a handler may work, unless its answer is a stream.
const requestTimeout = 15 * time.Second

// auditTimeout is how long recording an outcome may take. The client may have gone by then.
const auditTimeout = 5 * time.Second

// call is a request, with what the server knows about its client.
type call struct {
	*http.Request
	id        string
	from      auth.Origin
	isHTTPS   bool
	principal auth.Principal // zero if the route needs no authentication
	// credential is the token that authenticated the principal.
	credential string
	route      string // the path of the route, empty if there is none
	// arrived is the request without requestTimeout. A stream uses it.
	arrived  *http.Request
	isStream bool
	// release ends the turn of the request. A stream ends it when it begins: streams have a limit of their own.
	release func()
}

type callKey struct{}

// ServeHTTP answers a request: it logs and measures it, and passes it to its route.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := s.now()
	c := &call{id: strings.ToLower(rand.Text()[:16]), release: func() {}}
	var isIgnored bool
	if c.from, c.isHTTPS, isIgnored = s.proxies.Client(r); isIgnored {
		s.ignored.Log(s.log, c.from.Address, began)
	}
	c.Request = r.WithContext(context.WithValue(r.Context(), callKey{}, c))
	answer := &recorder.Recorder{ResponseWriter: w}
	header := w.Header()
	header.Set("X-Request-Id", c.id)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	header.Set("Referrer-Policy", "no-referrer")
	defer s.finish(answer, c, began)
	if err := s.dispatch(answer, c); err != nil {
		s.fail(answer, c, err)
	}
}

// dispatch passes a request to its route. If there is none, it returns the problem.
func (s *Server) dispatch(w http.ResponseWriter, c *call) error {
	if p := c.URL.EscapedPath(); !strings.HasPrefix(p, "/") || path.Clean(p) != p {
		return fault(notFound, "There is no such path. Paths have no empty segments, no dots, and no slash at the end.")
	}
	if err := s.protection.Check(c.Request); err != nil {
		return fault(crossOrigin, "A browser sent the request from another origin.")
	}
	handler, pattern := s.mux.Handler(c.Request)
	if pattern != "" {
		s.mux.ServeHTTP(w, c.Request)
		return nil
	}
	// The mux answers 404, or 405 with the header Allow.
	refusal := recorder.NewRefusal()
	handler.ServeHTTP(refusal, c.Request)
	if refusal.Status != http.StatusMethodNotAllowed {
		return fault(notFound, "There is no such path.")
	}
	allow := refusal.Header().Get("Allow")
	w.Header().Set("Allow", allow)
	return fault(methodNotAllowed, "The methods of this path are "+allow+".")
}

// adapt makes a handler of a route. It authenticates the caller, bounds the request, and responds to an error with its
// problem.
func (s *Server) adapt(r route) http.Handler {
	_, routePath, _ := strings.Cut(r.pattern, " ")
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		c, ok := req.Context().Value(callKey{}).(*call)
		if !ok {
			http.Error(w, "a route was called without ServeHTTP", http.StatusInternalServerError)
			return
		}
		ctx, cancel := context.WithTimeout(req.Context(), requestTimeout)
		defer cancel()
		c.Request, c.arrived, c.route = req.WithContext(ctx), req, routePath
		c.Body = http.MaxBytesReader(w, req.Body, maxBody)
		err := s.admit(c, r.access)
		if err == nil && c.principal.UserID != 0 {
			c.release, err = s.turns.Take(c.Context(), c.principal.UserID)
		}
		if err == nil {
			defer c.release()
			err = r.handler(w, c)
		}
		if err != nil {
			s.fail(w, c, err)
		}
	})
}

// admit authenticates the caller, and checks that the caller may use the route.
func (s *Server) admit(c *call, needed access) (err error) {
	if needed == document {
		return nil
	}
	if !s.isPrepared() {
		return fault(unavailable, "The server is starting, or waits for its database.")
	}
	if needed == anybody {
		return nil
	}
	if c.credential, err = s.authenticator.Credential(c.Request, c.isHTTPS); err != nil {
		return err
	}
	isStream := wantsEvents(c.Header) || c.route == "/api/v1/events"
	if c.principal, err = s.authenticator.AuthenticateRequest(c.Request, c.credential, isStream); err != nil {
		return err
	}
	switch {
	case needed == person && c.principal.SessionID == "":
		return fault(forbidden, "API tokens may not do this. Log in with a password.")
	case needed == admin && !c.principal.Access.Admin:
		return fault(forbidden, "Only administrators may do this.")
	}
	return nil
}

// fail responds with the problem of an error, and logs the cause if the client does not see it.
func (s *Server) fail(w http.ResponseWriter, c *call, err error) {
	p := problemOf(err)
	switch {
	case p.status == http.StatusInternalServerError:
		s.log.Error("a request failed", "requestId", c.id, "error", err)
	case p.status == http.StatusServiceUnavailable && p.cause != nil:
		s.log.Warn("a request could not be served", "requestId", c.id, "error", err)
	}
	p.write(w, c.id, s.log)
}

// finish logs and measures a request. A panic of its handler is an internal error, unless it aborts the answer.
func (s *Server) finish(w *recorder.Recorder, c *call, began time.Time) {
	cause := recover()
	err, _ := cause.(error)
	isAborted := errors.Is(err, http.ErrAbortHandler)
	if cause != nil && !isAborted {
		s.log.Error("a handler panicked", "requestId", c.id, "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
		if w.Status == 0 {
			problemOf(errors.New("panic")).write(w, c.id, s.log)
		}
	}
	took := s.now().Sub(began)
	s.metrics.Request(c.Method, c.route, w.Status, took, c.isStream)
	s.log.Info("request", "requestId", c.id, "method", c.Method, "path", c.URL.Path, "status", w.Status,
		"durationMs", took.Milliseconds(), "user", c.principal.User, "address", c.from.Address.String())
	if isAborted {
		panic(cause)
	}
}

// reply answers with a value as JSON. Nil means no body.
func reply(w http.ResponseWriter, status int, value any) error {
	if value == nil {
		w.WriteHeader(status)
		return nil
	}
	body, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encoding the answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // an error means that the client has gone
	return nil
}

// audited runs an action of the caller. It records the action in the audit before, and the outcome after.
func (b *base) audited(c *call, action, object string, run func(context.Context) error) error {
	p := c.principal
	who := accounts.AuditEntry{UserID: p.UserID, User: p.User, TokenID: p.TokenID}
	return b.auditedFor(c, who, action, object, true, run)
}

// auditedFor is audited for the user of the audit entry who. If keep is false, the record of a failed action is
// removed.
func (b *base) auditedFor(
	c *call, who accounts.AuditEntry, action, object string, keep bool, run func(context.Context) error,
) error {
	who.At, who.RequestID, who.Address, who.Action, who.Object = b.now(), c.id, c.from.Address.String(), action, object
	id, err := b.accounts.Audit.Begin(c.Context(), who)
	if err != nil {
		return fmt.Errorf("recording %s in the audit: %w", action, err)
	}
	err = run(c.Context())
	outcome := "succeeded"
	if err != nil {
		outcome = problemOf(err).slug
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Context()), auditTimeout)
	defer cancel()
	end := func() error { return b.accounts.Audit.End(ctx, id, outcome, b.now()) }
	if err != nil && !keep {
		end = func() error { return b.accounts.Audit.Discard(ctx, id) }
	}
	if failed := end(); failed != nil {
		b.log.Error("recording an outcome in the audit failed", "requestId", c.id, "action", action, "object", object,
			"outcome", outcome, "error", failed)
	}
	return err
}
