package httpapi

import (
	"net/http"
	"net/http/httptest"
	"time"

	"kontroler/httpapi/auth"
	"kontroler/httpapi/recorder"
)

// OpenAPI is the document that is served.
var OpenAPI = openAPI

// Pace changes how often streams do what no event causes. The server must not have been called.
func (s *Server) Pace(heartbeat, recheck, write time.Duration) {
	s.events.pace = pace{heartbeat, recheck, write}
	s.logs.pace = s.events.pace
}

// Patterns returns the patterns of all routes, and whether each needs a credential.
func (s *Server) Patterns() map[string]bool {
	needs := map[string]bool{}
	for _, r := range s.routes() {
		needs[r.pattern] = r.access > anybody
	}
	return needs
}

// Problems returns the slugs of all problems.
func Problems() []string {
	var slugs []string
	for _, k := range []kind{
		badRequest, notAuthenticated, forbidden, crossOrigin, notFound, methodNotAllowed, conflict, preconditionFailed,
		tooLarge, unsupportedMediaType, invalid, preconditionRequired, tooManyRequests, internal, unavailable,
		gone, rangeNotSatisfiable,
	} {
		slugs = append(slugs, problemPrefix+k.slug)
	}
	return slugs
}

// Callers returns who may call each route, in the words of x-role in openapi.yaml. It does not distinguish the roles in
// namespaces.
func (s *Server) Callers() map[string]string {
	words := map[access]string{
		document: "anybody", anybody: "anybody", user: "user", person: "session", admin: "administrator",
	}
	callers := map[string]string{}
	for _, r := range s.routes() {
		callers[r.pattern] = words[r.access]
	}
	return callers
}

// Abort serves a request whose handler aborts the response. It panics like the handler.
func (s *Server) Abort(r *http.Request) {
	w := &recorder.Recorder{ResponseWriter: httptest.NewRecorder(), Status: http.StatusOK}
	defer s.finish(w, &call{Request: r, route: "/aborted"}, s.now())
	panic(http.ErrAbortHandler)
}

// Delays are those of failed logins.
func (s *Server) Delays() *auth.Delays { return s.logins.Delays }
