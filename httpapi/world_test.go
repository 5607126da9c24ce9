package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"kontroler/httpapi"
	"kontroler/httpapi/auth"
	"kontroler/httpapi/cluster"
	"kontroler/httpapi/metrics"
	"kontroler/httpapi/quarters"
	"kontroler/store/accounts"
	"kontroler/store/storetest"
	"kontroler/store/view"
)

// clock is a clock that a test moves.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// lockedBuffer is a log that several goroutines write.
type lockedBuffer struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.String()
}

// world is a database and a clock. Its replicas serve over TLS.
type world struct {
	*testing.T
	url   string
	db    *accounts.DB
	clock *clock
	keys  string
	log   *lockedBuffer
}

const (
	rootPassword = "root's secret passphrase"
	annPassword  = "ann's secret passphrase"
	bobPassword  = "bob's secret passphrase"
)

// newWorld makes a database with the administrator root, and ann, who is viewer of a and editor of b.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		T: t, url: storetest.URL(t), clock: &clock{at: time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)},
		keys: filepath.Join(t.TempDir(), "keys"), log: &lockedBuffer{},
	}
	if err := os.WriteFile(w.keys, []byte(strings.Repeat("secret-key-", 4)), 0o600); err != nil {
		t.Fatal(err)
	}
	w.db = w.open()
	if err := w.db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.user("root", rootPassword, accounts.Access{Admin: true})
	w.user("ann", annPassword, accounts.Access{Grants: []accounts.Grant{
		{Namespace: "a", Role: "viewer"}, {Namespace: "b", Role: "editor"},
	}})
	return w
}

func (w *world) open() *accounts.DB {
	w.Helper()
	db, err := accounts.Open(w.url, 8)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { db.Close() })
	return db
}

// hashOf hashes each password once, because hashing is slow under the race detector.
func hashOf(password string) (string, error) {
	hashing.Lock()
	defer hashing.Unlock()
	if hash, ok := hashing.known[password]; ok {
		return hash, nil
	}
	hash, err := auth.NewHasher().Hash(context.Background(), "", password)
	hashing.known[password] = hash
	return hash, err
}

var hashing = struct {
	sync.Mutex
	known map[string]string
}{known: map[string]string{}}

func (w *world) user(name, password string, access accounts.Access) {
	w.Helper()
	hash, err := hashOf(password)
	if err == nil {
		err = w.db.Users.Create(w.Context(), name, access, hash, w.clock.now())
	}
	if err != nil {
		w.Fatal(err)
	}
}

// replica is a server, and a client with no credential.
type replica struct {
	*world
	api    *httpapi.Server
	base   string
	client *http.Client
}

// replica starts a server over TLS with a memory of its own.
func (w *world) replica(change ...func(*httpapi.Config)) *replica {
	w.Helper()
	r := w.unstarted(change...)
	server := httptest.NewUnstartedServer(recorded(w.T, r.api))
	server.EnableHTTP2 = true
	server.StartTLS()
	w.Cleanup(server.Close)
	r.base, r.client = server.URL, server.Client()
	return r
}

// plain starts a server without TLS.
func (w *world) plain(change ...func(*httpapi.Config)) *replica {
	w.Helper()
	r := w.unstarted(change...)
	server := httptest.NewServer(recorded(w.T, r.api))
	w.Cleanup(server.Close)
	r.base, r.client = server.URL, server.Client()
	return r
}

func (w *world) unstarted(change ...func(*httpapi.Config)) *replica {
	w.Helper()
	keys, err := auth.OpenKeys(w.keys)
	if err != nil {
		w.Fatal(err)
	}
	views, err := view.Open(view.Config{URL: w.url})
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { views.Close() })
	// Nothing listens there. A test that needs a cluster has clients of its own.
	away, err := cluster.New(&rest.Config{Host: "http://127.0.0.1:1"}, "test")
	if err != nil {
		w.Fatal(err)
	}
	config := httpapi.Config{
		Clients:  away,
		Accounts: w.db, Views: views, Keys: keys, SessionLifetime: 12 * time.Hour, SessionIdle: 2 * time.Hour,
		IsPrepared: func() bool { return true }, Metrics: metrics.New(), Now: w.clock.now,
		Log: slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, c := range change {
		c(&config)
	}
	if config.Quarters == nil {
		config.Quarters = quarters.New(config.Views, time.Now, config.Log)
	}
	if config.Cluster == nil {
		config.Cluster = noCluster(w.T)
	}
	return &replica{world: w, api: httpapi.New(config)}
}

// noCluster is a cluster whose API server does not answer.
func noCluster(t *testing.T) *cluster.Reader {
	t.Helper()
	return cluster.NewReader(clientsOfNowhere(t), nil, metrics.New().ClusterUp, slog.New(slog.DiscardHandler))
}

func clientsOfNowhere(t *testing.T) cluster.Clients {
	t.Helper()
	clients, err := cluster.New(&rest.Config{Host: "http://127.0.0.1:1"}, cluster.OwnManager)
	if err != nil {
		t.Fatal(err)
	}
	return clients
}

// request is a request of a test. Header lines are "Name: value".
type request struct {
	method, path string
	body         string
	token        string
	header       []string
}

// answer is what came back.
type answer struct {
	*http.Response
	body []byte
}

// do sends a request. It checks that the answer is documented, and that a problem is complete.
func (r *replica) do(q request) answer {
	r.Helper()
	req, err := http.NewRequestWithContext(context.Background(), q.method, r.base+q.path, strings.NewReader(q.body))
	if err != nil {
		r.Fatal(err)
	}
	if q.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if q.token != "" {
		req.Header.Set("Authorization", "Bearer "+q.token)
	}
	for _, line := range q.header {
		name, value, _ := strings.Cut(line, ": ")
		if req.Header.Set(name, value); value == "" {
			req.Header.Del(name)
		}
	}
	resp, err := r.client.Do(req)
	if err != nil {
		r.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		r.Fatal(err)
	}
	a := answer{resp, body}
	if resp.StatusCode >= 400 && q.method != http.MethodHead {
		r.checkProblem(a)
	}
	if undocumented := documentation().fault(q, a); undocumented != "" {
		r.Error(undocumented)
	}
	return a
}

func (r *replica) checkProblem(a answer) {
	r.Helper()
	var p struct {
		Type, Title, RequestID string
		Status                 int
	}
	if err := json.Unmarshal(a.body, &p); err != nil {
		r.Fatalf("no problem, but %q: %v", a.body, err)
	}
	isRetryable := a.StatusCode == http.StatusServiceUnavailable || a.StatusCode == http.StatusTooManyRequests
	if a.Header.Get("Content-Type") != "application/problem+json" || p.Status != a.StatusCode || p.Title == "" ||
		!strings.HasPrefix(p.Type, "urn:kontroler:problem:") || p.RequestID != a.Header.Get("X-Request-Id") ||
		p.RequestID == "" || isRetryable != (a.Header.Get("Retry-After") != "") {
		r.Errorf("incomplete problem %s with header %v", a.body, a.Header)
	}
}

// want checks the status of an answer, and returns its body.
func (r *replica) want(status int, q request) map[string]any {
	r.Helper()
	a := r.do(q)
	if a.StatusCode != status {
		r.Fatalf("%s %s: status %d, want %d\n%s", q.method, q.path, a.StatusCode, status, a.body)
	}
	if len(a.body) == 0 {
		return nil
	}
	var body map[string]any
	if err := json.Unmarshal(a.body, &body); err != nil {
		r.Fatalf("%v\n%s", err, a.body)
	}
	return body
}

// login returns the token of a new session.
func (r *replica) login(user, password string) string {
	r.Helper()
	body, err := json.Marshal(map[string]string{"user": user, "password": password})
	if err != nil {
		r.Fatal(err)
	}
	token, _ := r.want(200, request{method: "POST", path: "/api/v1/auth/login", body: string(body)})["token"].(string)
	if token == "" {
		r.Fatal("no token")
	}
	return token
}

// apiToken creates an API token of whoever has a session.
func (r *replica) apiToken(session, name, rights string) (token string, id string) {
	r.Helper()
	created := r.want(201, request{method: "POST", path: "/api/v1/auth/tokens", token: session, body: fmt.Sprintf(
		`{"name": %q, "expiresAt": %q, %s}`, name, r.clock.now().Add(24*time.Hour).Format(time.RFC3339), rights)})
	return created["token"].(string), fmt.Sprint(created["id"])
}

// document is what openapi.yaml says: the statuses of each method of each path.
type document struct {
	paths    map[string]map[string]map[string]bool
	patterns map[string]*regexp.Regexp
	problems []string
}

var documentation = sync.OnceValue(func() document {
	var parsed struct {
		Paths      map[string]map[string]json.RawMessage
		Components struct {
			Schemas struct {
				Problem struct {
					Properties struct{ Type struct{ Enum []string } }
				}
			}
		}
	}
	if err := yaml.Unmarshal(httpapi.OpenAPI, &parsed); err != nil {
		panic(err)
	}
	d := document{
		paths: map[string]map[string]map[string]bool{}, patterns: map[string]*regexp.Regexp{},
		problems: parsed.Components.Schemas.Problem.Properties.Type.Enum,
	}
	for path, methods := range parsed.Paths {
		d.paths[path] = map[string]map[string]bool{}
		d.patterns[path] = regexp.MustCompile("^" + regexp.MustCompile(`\{\w+\}`).ReplaceAllString(path, "[^/]+") + "$")
		for method, raw := range methods {
			if method == "parameters" {
				continue
			}
			var operation struct{ Responses map[string]any }
			if err := json.Unmarshal(raw, &operation); err != nil {
				panic(err)
			}
			statuses := map[string]bool{}
			for status := range operation.Responses {
				statuses[status] = true
			}
			d.paths[path][strings.ToUpper(method)] = statuses
		}
	}
	return d
})

// fault says what of an answer is not documented.
func (d document) fault(q request, a answer) string {
	requested, _, _ := strings.Cut(q.path, "?")
	method := q.method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	for path, pattern := range d.patterns {
		if statuses := d.paths[path][method]; statuses != nil && pattern.MatchString(requested) &&
			!statuses[fmt.Sprint(a.StatusCode)] {
			return fmt.Sprintf("openapi.yaml does not have status %d of %s %s", a.StatusCode, q.method, path)
		}
	}
	return ""
}

// dial opens a connection to a server without TLS.
func (r *replica) dial() net.Conn {
	r.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.base, "http://"))
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { conn.Close() })
	return conn
}

func scrape(t *testing.T, metrics http.Handler) string {
	t.Helper()
	w := httptest.NewRecorder()
	metrics.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w.Body.String()
}

// decoded returns the JSON of an answer.
func decoded(t *testing.T, a answer) (body map[string]any) {
	t.Helper()
	if err := json.Unmarshal(a.body, &body); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	return body
}
