package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"kontroler/httpapi/auth"
	"kontroler/httpapi/cluster"
	"kontroler/httpapi/dags"
	"kontroler/httpapi/events"
	"kontroler/httpapi/metrics"
	"kontroler/httpapi/objects"
	"kontroler/httpapi/podlog"
	"kontroler/httpapi/quarters"
	"kontroler/httpapi/turns"
	"kontroler/store/accounts"
	"kontroler/store/view"
)

// Config is what a server needs.
type Config struct {
	Accounts *accounts.DB
	// Views has the history of runs.
	Views *view.DB
	// Quarters counts the runs of Views. Its Run must be running.
	Quarters *quarters.Counts
	// Clients reach the cluster, for the Namespaces that the server serves; none means all.
	Clients    cluster.Clients
	Namespaces []string
	// Cluster reads live objects. Its Run must be running.
	Cluster *cluster.Reader
	// Class is the class of the controller whose objects the server creates.
	Class   string
	Keys    *auth.Keys
	Proxies auth.Proxies
	// SessionLifetime is how long a session lasts; SessionIdle how long it lasts without being used.
	SessionLifetime, SessionIdle time.Duration
	// IsPrepared reports whether the schema of Accounts can be used.
	IsPrepared func() bool
	Metrics    *metrics.Metrics
	Now        func() time.Time
	Log        *slog.Logger
}

// Server answers requests. Any number of servers may share a database.
type Server struct {
	*base
	mux        *http.ServeMux
	protection *http.CrossOriginProtection
	proxies    auth.Proxies
	ignored    auth.Ignored
	isPrepared func() bool
	turns      *turns.Turns
	events     *eventHandlers
	logs       *logHandlers
}

// base is what the handlers share.
type base struct {
	accounts      *accounts.DB
	views         *view.DB
	quarters      *quarters.Counts
	objects       objects.Client
	dags          *dags.Reader
	authenticator *auth.Authenticator
	hasher        *auth.Hasher
	logins        *auth.Logins
	metrics       *metrics.Metrics
	now           func() time.Time
	log           *slog.Logger
}

// New makes a server.
func New(config Config) *Server {
	b := &base{
		accounts:      config.Accounts,
		views:         config.Views,
		quarters:      config.Quarters,
		objects:       objects.Client{Clients: config.Clients, Namespaces: config.Namespaces, Class: config.Class},
		dags:          &dags.Reader{Cluster: config.Cluster, Views: config.Views},
		authenticator: auth.NewAuthenticator(config.Accounts, config.Keys, config.SessionIdle, config.Now),
		hasher:        auth.NewHasher(), metrics: config.Metrics, now: config.Now, log: config.Log,
	}
	b.logins = &auth.Logins{
		DB: b.accounts, Authenticator: b.authenticator, Hasher: b.hasher, Delays: auth.NewDelays(),
		Lifetime: config.SessionLifetime, Now: config.Now, Log: config.Log,
	}
	s := &Server{
		base: b, mux: http.NewServeMux(), protection: http.NewCrossOriginProtection(), proxies: config.Proxies,
		isPrepared: config.IsPrepared,
		turns:      turns.New(),
		events:     &eventHandlers{b, events.NewFeed(config.Views, config.Now, config.Log), defaultPace},
		logs: &logHandlers{
			base: b, pace: defaultPace, stopping: make(chan struct{}),
			logs: podlog.Logs{Views: config.Views, Pods: config.Clients.Core.CoreV1()},
		},
	}
	for _, r := range s.routes() {
		s.mux.Handle(r.pattern, s.adapt(r))
	}
	return s
}

// Run runs the feed of events until ctx ends. Then it ends all streams.
func (s *Server) Run(ctx context.Context) error {
	defer close(s.logs.stopping)
	return s.events.feed.Run(ctx)
}

// route is a method and a path, who may call it, and its handler.
type route struct {
	pattern string
	access  access
	handler func(http.ResponseWriter, *call) error
}

// access says who may call a route.
type access int

const (
	document access = iota // no authentication, also while the database is unavailable
	anybody                // no authentication
	user                   // a session or an API token
	person                 // a session
	admin                  // an administrator, with a session or an API token
)

// routes are the whole API.
func (s *Server) routes() []route {
	return slices.Concat(s.accountRoutes(), s.readingRoutes(), s.writingRoutes())
}

// accountRoutes are the routes of documents, sessions, tokens, users and the audit.
func (s *Server) accountRoutes() []route {
	var (
		session = sessionHandlers{s.base}
		tokens  = tokenHandlers{s.base}
		users   = userHandlers{s.base}
		audit   = auditHandlers{s.base}
	)
	return []route{
		{"GET /openapi.yaml", document, serveOpenAPI},
		{"GET /docs", document, serveDocs},

		{"POST /api/v1/auth/login", anybody, session.login},
		{"POST /api/v1/auth/logout", person, session.logout},
		{"GET /api/v1/auth/me", user, session.me},
		{"PUT /api/v1/auth/password", person, session.changePassword},
		{"GET /api/v1/auth/tokens", user, tokens.listOwn},
		{"POST /api/v1/auth/tokens", person, tokens.create},
		{"DELETE /api/v1/auth/tokens/{id}", person, tokens.deleteOwn},

		{"GET /api/v1/users", admin, users.list},
		{"POST /api/v1/users", admin, users.create},
		{"GET /api/v1/users/{name}", admin, users.read},
		{"PUT /api/v1/users/{name}", admin, users.update},
		{"DELETE /api/v1/users/{name}", admin, users.delete},
		{"PUT /api/v1/users/{name}/password", admin, users.setPassword},
		{"GET /api/v1/users/{name}/tokens", admin, tokens.list},
		{"DELETE /api/v1/users/{name}/tokens/{id}", admin, tokens.delete},

		{"GET /api/v1/audit", admin, audit.list},
	}
}

// readingRoutes read the history of runs and the live objects of the cluster.
func (s *Server) readingRoutes() []route {
	var (
		runs       = runHandlers{s.base}
		tasks      = taskHandlers{s.base}
		versions   = versionHandlers{s.base}
		grid       = gridHandlers{s.base}
		live       = dagHandlers{s.base}
		statistics = statisticsHandlers{s.base}
		attention  = attentionHandlers{s.base}
	)
	return []route{
		{"GET /api/v1/runs", user, runs.list},
		{"GET /api/v1/runs/{uid}", user, runs.read},
		{"GET /api/v1/runs/{uid}/graph", user, runs.graph},
		{"GET /api/v1/runs/{uid}/attempts", user, runs.attempts},
		{"GET /api/v1/runs/{uid}/tasks", user, tasks.list},
		{"GET /api/v1/runs/{uid}/tasks/{task}", user, tasks.read},
		{"GET /api/v1/runs/{uid}/tasks/{task}/attempts", user, tasks.attempts},
		{"GET /api/v1/runs/{uid}/tasks/{task}/attempts/{number}", user, tasks.readAttempt},
		{"GET /api/v1/runs/{uid}/tasks/{task}/attempts/{number}/events", user, tasks.podEvents},
		{"GET /api/v1/runs/{uid}/tasks/{task}/attempts/{number}/log", user, s.logs.read},
		{"GET /api/v1/namespaces/{ns}/runs", user, runs.list},
		{"GET /api/v1/namespaces/{ns}/runs/{name}", user, runs.readNewest},
		{"GET /api/v1/pending", user, live.pending},
		{"GET /api/v1/namespaces/{ns}/pending", user, live.pending},

		{"GET /api/v1/namespaces", user, live.namespaces},
		{"GET /api/v1/dags", user, live.list},
		{"GET /api/v1/namespaces/{ns}/dags", user, live.list},
		{"GET /api/v1/namespaces/{ns}/dags/{name}", user, live.read},
		{"GET /api/v1/dagtasks", user, live.listTasks},
		{"GET /api/v1/namespaces/{ns}/dagtasks", user, live.listTasks},
		{"GET /api/v1/namespaces/{ns}/dagtasks/{name}", user, live.readTask},
		{"GET /api/v1/namespaces/{ns}/dagtasks/{name}/users", user, live.users},

		{"GET /api/v1/namespaces/{ns}/dags/{name}/versions", user, versions.list},
		{"GET /api/v1/namespaces/{ns}/dags/{name}/versions/{version}", user, versions.read},
		{"GET /api/v1/namespaces/{ns}/dags/{name}/diff", user, versions.diff},
		{"GET /api/v1/namespaces/{ns}/dags/{name}/ticks", user, versions.ticks},
		{"GET /api/v1/namespaces/{ns}/dags/{name}/grid", user, grid.read},
		{"GET /api/v1/namespaces/{ns}/dags/{name}/statistics", user, statistics.ofDAG},

		{"GET /api/v1/statistics", user, statistics.all},
		{"GET /api/v1/namespaces/{ns}/statistics", user, statistics.all},
		{"GET /api/v1/upcoming", user, live.upcoming},
		{"GET /api/v1/namespaces/{ns}/upcoming", user, live.upcoming},
		{"GET /api/v1/attention", user, attention.read},
		{"GET /api/v1/namespaces/{ns}/attention", user, attention.read},

		{"GET /api/v1/events", user, s.events.follow},
	}
}

// writingRoutes write to the cluster.
func (s *Server) writingRoutes() []route {
	var (
		dags       = s.dagManifests()
		dagTasks   = s.taskManifests()
		suspension = suspensionHandlers{dags}
		starts     = s.starts()
		stops      = stopHandlers{s.base}
	)
	return []route{
		{"POST /api/v1/namespaces/{ns}/dags", user, largeBody(dags.create)},
		{"POST /api/v1/namespaces/{ns}/dags/validate", user, largeBody(dags.validate)},
		{"PUT /api/v1/namespaces/{ns}/dags/{name}", user, largeBody(dags.update)},
		{"DELETE /api/v1/namespaces/{ns}/dags/{name}", user, dags.delete},
		{"POST /api/v1/namespaces/{ns}/dags/{name}/suspend", user, suspension.suspend},
		{"POST /api/v1/namespaces/{ns}/dags/{name}/resume", user, suspension.resume},
		{"POST /api/v1/namespaces/{ns}/dags/{name}/runs", user, largeBody(starts.trigger)},

		{"POST /api/v1/namespaces/{ns}/dagtasks", user, largeBody(dagTasks.create)},
		{"POST /api/v1/namespaces/{ns}/dagtasks/validate", user, largeBody(dagTasks.validate)},
		{"PUT /api/v1/namespaces/{ns}/dagtasks/{name}", user, largeBody(dagTasks.update)},
		{"DELETE /api/v1/namespaces/{ns}/dagtasks/{name}", user, dagTasks.delete},

		{"POST /api/v1/runs/{uid}/again", user, largeBody(starts.again)},
		{"POST /api/v1/runs/{uid}/cancel", user, stops.cancel},
		{"DELETE /api/v1/runs/{uid}", user, stops.delete},
		{"POST /api/v1/namespaces/{ns}/runs/{name}/cancel", user, stops.cancel},
		{"DELETE /api/v1/namespaces/{ns}/runs/{name}", user, stops.delete},
	}
}
