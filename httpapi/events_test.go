package httpapi_test

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kontroler/httpapi"
	"kontroler/httpapi/auth"
	"kontroler/httpapi/metrics"
	"kontroler/store/accounts"
	"kontroler/store/transition"
)

// message is a server-sent event, or an id alone.
type message struct{ event, id, data string }

// isNews reports whether the message is an event that something has caused.
func (m message) isNews() bool { return m.event != "" && m.event != "heartbeat" }

// data is what the data of events have.
type data struct {
	Kind, Namespace, DAG, Run, Phase string
	Reason, Detail                   string
}

// follower is a client of events.
type follower struct {
	*testing.T
	response *http.Response
	lines    *bufio.Scanner
	lastID   string
}

// streaming runs the feed of a server until the test ends, or until stop.
func streaming(t *testing.T, r *replica) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.api.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// heartbeat is how often the streams of often send something.
const heartbeat = 50 * time.Millisecond

// often lets streams recheck and send heartbeats often.
func often(r *replica) *replica {
	r.api.Pace(heartbeat, 20*time.Millisecond, 10*time.Second)
	return r
}

// open opens a stream of events, which it retries until the feed runs, and returns the response.
func (r *replica) open(token, query string, header ...string) *http.Response {
	r.Helper()
	for {
		req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, r.base+"/api/v1/events"+query, nil)
		if err != nil {
			r.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		response, err := r.client.Do(req)
		if err != nil {
			r.Fatal(err)
		}
		if response.StatusCode != http.StatusServiceUnavailable {
			return response
		}
		response.Body.Close()
	}
}

// follow opens a stream, and reads its first id.
func (r *replica) follow(token, query string, header ...string) *follower {
	r.Helper()
	response := r.open(token, query, header...)
	r.Cleanup(func() { response.Body.Close() })
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "text/event-stream" ||
		response.Header.Get("X-Accel-Buffering") != "no" || response.Header.Get("Cache-Control") != "no-store" {
		r.Fatalf("status %d, header %v", response.StatusCode, response.Header)
	}
	f := &follower{T: r.T, response: response, lines: bufio.NewScanner(response.Body)}
	if len(header) == 0 {
		f.until(func(m message) bool { return m.id != "" })
	}
	return f
}

// next returns the next message. ok is false at the end of the stream.
func (f *follower) next() (m message, ok bool) {
	f.Helper()
	for f.lines.Scan() {
		name, value, _ := strings.Cut(f.lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case f.lines.Text() == "":
			if m.id != "" {
				f.lastID = m.id
			}
			return m, true
		case name == "event":
			m.event = value
		case name == "id":
			m.id = value
		case name == "data":
			m.data = value
		case name != "retry":
			f.Errorf("line %q", f.lines.Text())
		}
	}
	return m, false
}

// bounded closes the stream after a minute. The function that it returns ends that, or the test if it has happened.
func (f *follower) bounded() (stop func()) {
	timer := time.AfterFunc(time.Minute, func() { f.response.Body.Close() })
	return func() {
		f.Helper()
		if !timer.Stop() {
			f.Fatal("the stream goes on after a minute")
		}
	}
}

// until reads until a message satisfies a condition, and returns those with an event, each once.
func (f *follower) until(isLast func(message) bool) (all []message) {
	f.Helper()
	defer f.bounded()()
	for {
		m, ok := f.next()
		if !ok {
			f.Fatalf("the stream has ended after %+v: %v", all, f.lines.Err())
		}
		if m.isNews() {
			all = append(all, m)
		}
		if isLast(m) {
			return all
		}
	}
}

// rest reads until the stream ends, and returns the last message with an event.
func (f *follower) rest() (last message) {
	f.Helper()
	defer f.bounded()()
	for {
		m, ok := f.next()
		if !ok {
			return last
		}
		if m.isNews() {
			last = m
		}
	}
}

func (m message) parse(t *testing.T) (d data) {
	t.Helper()
	if err := json.Unmarshal([]byte(m.data), &d); err != nil {
		t.Fatalf("%v: %q", err, m.data)
	}
	return d
}

// isOf returns a condition: the message is of a run in a phase.
func isOf(run, phase string) func(message) bool {
	return func(m message) bool {
		return strings.Contains(m.data, fmt.Sprintf(`"run":%q,"phase":%q`, run, phase))
	}
}

// beats returns a condition that is true for the nth heartbeat.
func beats(n int) func(message) bool {
	return func(m message) bool {
		if m.event == "heartbeat" {
			n--
		}
		return n == 0
	}
}

// beatsFromNow returns a condition that is true for the nth heartbeat that was sent after this call. On a busy machine,
// many older heartbeats may be buffered. The first one that had to be waited for is new.
func beatsFromNow(n int) func(message) bool {
	isLast, last, isFresh := beats(n), time.Now(), false
	return func(m message) bool {
		isFresh = isFresh || time.Since(last) > heartbeat/2
		last = time.Now()
		return isFresh && isLast(m)
	}
}

// newStreams returns a history with a server that streams.
func newStreams(t *testing.T) *history {
	t.Helper()
	h := newHistory(t)
	often(h.replica)
	streaming(t, h.replica)
	notify(t, h)
	return h
}

// notify sends the notifications of the leader.
func notify(t *testing.T, h *history) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); h.leader.Notify(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
}

// TestEventsOfNamespaces checks that each caller gets the events of its namespaces, and no trace of others.
func TestEventsOfNamespaces(t *testing.T) {
	h := newStreams(t)
	root := h.follow(h.login("root", rootPassword), "")
	rootOfC := h.follow(h.login("root", rootPassword), "?namespace=c")
	amber, cobalt := h.colors[0], h.colors[1]
	ann, bob := h.follow(amber.token, ""), h.follow(cobalt.token, "")
	foreign := h.follow(amber.token, "?namespace=c")
	var runs []string
	for range 3 {
		for _, c := range h.colors {
			run := h.admit(c)
			h.succeed(run, c)
			runs = append(runs, run.UID)
		}
	}
	lastOfA, lastOfC := isOf(runs[4], "Succeeded"), isOf(runs[5], "Succeeded")
	for name, tt := range map[string]struct {
		f          *follower
		isLast     func(message) bool
		namespaces []string
	}{
		"an administrator":                   {root, lastOfC, []string{"a", "c"}},
		"an administrator, with a namespace": {rootOfC, lastOfC, []string{"c"}},
		"a user with one namespace":          {ann, lastOfA, []string{"a"}},
		"a user with another one":            {bob, lastOfC, []string{"c"}},
	} {
		var namespaces []string
		for _, m := range tt.f.until(tt.isLast) {
			d := m.parse(t)
			if m.event != "change" || d.Kind != "run" && d.Kind != "dag" {
				t.Errorf("%s: %+v", name, m)
			}
			namespaces = append(namespaces, d.Namespace)
			foreign := map[string]string{"a": "cobalt", "c": "amber"}[d.Namespace]
			if len(tt.namespaces) == 1 && strings.Contains(m.data, foreign) {
				t.Errorf("%s: a trace of another namespace: %s", name, m.data)
			}
		}
		slices.Sort(namespaces)
		if diff := cmp.Diff(tt.namespaces, slices.Compact(namespaces)); diff != "" {
			t.Errorf("%s: namespaces (-want +got):\n%s", name, diff)
		}
	}
	// Two heartbeats later, the stream of a foreign namespace has nothing, and an ID behind all of it.
	if all := foreign.until(beats(2)); len(all) > 0 {
		t.Errorf("a foreign namespace: %v", all)
	}
}

// TestResumeAStream loses a connection, and resumes at another replica.
func TestResumeAStream(t *testing.T) {
	h := newStreams(t)
	other := often(h.world.replica(func(c *httpapi.Config) { c.Views = h.views }))
	streaming(t, other)
	c := h.colors[0]
	first := h.follow(c.token, "")
	one := h.admit(c)
	first.until(isOf(one.UID, "Pending"))
	first.response.Body.Close()
	two, foreign := h.admit(c), h.admit(h.colors[1])
	resumed := other.follow(c.token, "", "Last-Event-ID", first.lastID)
	three := h.admit(c)
	got := map[string]int{}
	for _, m := range resumed.until(isOf(three.UID, "Pending")) {
		got[m.parse(t).Run]++
	}
	if got[two.UID] != 1 || got[three.UID] != 1 || got[one.UID] != 0 || got[foreign.UID] != 0 {
		t.Errorf("after the connection was lost: %v; before: %s, then %s and %s", got, one.UID, two.UID, three.UID)
	}
	for _, id := range []string{"nonsense", "1/1:1:", fmt.Sprint(h.clock.now().Unix(), "/99999999999:99999999999:")} {
		reset := other.follow(c.token, "", "Last-Event-ID", id)
		all := reset.until(func(m message) bool { return m.event != "" })
		if all[0].event != "reset" || all[0].parse(t).Reason == "" || all[0].id == "" {
			t.Errorf("from %q: %+v", id, all)
		}
		again := other.follow(c.token, "", "Last-Event-ID", all[0].id)
		last := h.admit(c)
		if all := again.until(isOf(last.UID, "Pending")); all[0].event != "change" {
			t.Errorf("behind the reset: %+v", all)
		}
	}
}

// TestAStreamEndsWithItsCredential revokes the credential of a stream at another replica.
func TestAStreamEndsWithItsCredential(t *testing.T) {
	h := newStreams(t)
	elsewhere := h.world.replica()
	root := elsewhere.login("root", rootPassword)
	session := func(name string) string { return h.login(name, bobPassword) }
	ofToken := func(h *history, name string) (secret, id string) {
		return h.apiToken(session(name), "t", `"grants": [{"namespace": "a", "role": "viewer"}]`)
	}
	var tokenID string
	tests := map[string]struct {
		open func(name string) string
		take func(name, token string)
		want string
	}{
		"a logout": {session, func(_, token string) {
			elsewhere.want(204, request{method: "POST", path: "/api/v1/auth/logout", token: token})
		}, "The session or API token has ended."},
		"another password": {session, func(name, _ string) {
			elsewhere.want(204, request{method: "PUT", path: "/api/v1/users/" + name + "/password", token: root,
				body: `{"password": "another secret passphrase"}`})
		}, "The session or API token has ended."},
		"a user that is disabled": {session, func(name, _ string) {
			elsewhere.want(200, request{method: "PUT", path: "/api/v1/users/" + name, token: root,
				body: `{"admin": false, "grants": [], "disabled": true}`, header: []string{`If-Match: "1"`}})
		}, "The session or API token has ended."},
		"a user that is deleted": {session, func(name, _ string) {
			elsewhere.want(204, request{method: "DELETE", path: "/api/v1/users/" + name, token: root})
		}, "The session or API token has ended."},
		"an API token that is deleted": {func(name string) (secret string) {
			secret, tokenID = ofToken(h, name)
			return secret
		}, func(name, _ string) {
			elsewhere.want(204, request{
				method: "DELETE", path: "/api/v1/users/" + name + "/tokens/" + tokenID, token: root,
			})
		}, "The session or API token has ended."},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			user := strings.ReplaceAll(strings.ToLower(name), " ", "-")
			h.user(user, bobPassword, accounts.Access{Grants: []accounts.Grant{{Namespace: "a", Role: "viewer"}}})
			token := tt.open(user)
			f := h.follow(token, "")
			tt.take(user, token)
			h.passTime(auth.MaxStale)
			if last := f.rest(); last.event != "end" || last.parse(t).Detail != tt.want {
				t.Errorf("the stream ended with %+v, want %q", last, tt.want)
			}
		})
	}
}

// passTime moves the clock.
func (w *world) passTime(d time.Duration) { w.clock.add(d) }

// TestAStreamDoesNotKeepASession follows for longer than the idle time of a session, and for longer than its lifetime.
func TestAStreamDoesNotKeepASession(t *testing.T) {
	const isUnused, hasExpired = "The session was unused for too long.", "The session has expired."
	reopen := func(r *replica, token string) { r.open(token, "").Body.Close() }
	use := func(r *replica, token string) { r.do(request{method: "GET", path: "/api/v1/auth/me", token: token}) }
	for name, tt := range map[string]struct {
		hours  int
		hourly func(r *replica, token string)
		want   string
	}{
		"a session that only a stream uses":                  {2, func(*replica, string) {}, isUnused},
		"a session that only streams use, one after another": {2, reopen, isUnused},
		"a session that is used":                             {12, use, hasExpired},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			r := often(w.replica())
			streaming(t, r)
			token := r.login("ann", annPassword)
			f := r.follow(token, "")
			for range tt.hours {
				f.until(beats(2)) // The stream has read the session since.
				w.clock.add(time.Hour)
				tt.hourly(r, token)
			}
			if last := f.rest(); last.event != "end" || last.parse(t).Detail != tt.want {
				t.Errorf("the stream ended with %+v, want %q", last, tt.want)
			}
		})
	}
}

// TestRightsOfAStreamChange revokes and grants namespaces while a stream is open.
func TestRightsOfAStreamChange(t *testing.T) {
	h := newStreams(t)
	root := h.login("root", rootPassword)
	f := h.follow(h.colors[0].token, "")
	narrowed := h.follow(h.colors[0].token, "?namespace=a")
	grant := func(generation int, namespace string) {
		t.Helper()
		const body = `{"admin": false, "grants": [{"namespace": %q, "role": "viewer"}], "disabled": false}`
		h.want(200, request{
			method: "PUT", path: "/api/v1/users/viewer-of-amber", token: root,
			header: []string{fmt.Sprintf(`If-Match: "%d"`, generation)}, body: fmt.Sprintf(body, namespace),
		})
	}
	isRights := func(m message) bool { return m.event == "reset" && strings.Contains(m.data, "rights") }
	grant(1, "c")
	f.until(isRights)
	narrowed.until(isRights)
	inA, inC := h.admit(h.colors[0]), h.admit(h.colors[1])
	for _, m := range f.until(isOf(inC.UID, "Pending")) {
		if strings.Contains(m.data, inA.UID) {
			t.Errorf("an event of a namespace that was taken away: %s", m.data)
		}
	}
	if all := narrowed.until(beats(2)); len(all) > 0 {
		t.Errorf("events of a namespace that was taken away: %v", all)
	}
	grant(2, "a")
	narrowed.until(isRights)
	again := h.admit(h.colors[0])
	narrowed.until(isOf(again.UID, "Pending"))
}

// TestRightsBehindAReset reads the session after a stream has said that its rights are others. It must not be told the
// rights that it had read shortly before.
func TestRightsBehindAReset(t *testing.T) {
	h := newStreams(t)
	root := h.world.replica() // where the administrator is
	admin, token := root.login("root", rootPassword), h.colors[0].token
	rights := func() string {
		return string(h.do(request{method: "GET", path: "/api/v1/auth/me", token: token}).body)
	}
	rights()
	h.clock.add(time.Second)
	f := h.follow(token, "")
	f.until(beats(2)) // The stream has read the session.
	h.clock.add(time.Second)
	rights()
	root.want(200, request{
		method: "PUT", path: "/api/v1/users/viewer-of-amber", token: admin, header: []string{`If-Match: "1"`},
		body: `{"admin": false, "grants": [{"namespace": "c", "role": "viewer"}], "disabled": false}`,
	})
	f.until(func(m message) bool {
		h.clock.add(auth.MaxStale / 8) // so that the server keeps what is less than MaxStale old
		return m.event == "reset" && strings.Contains(m.data, "rights")
	})
	if got := rights(); !strings.Contains(got, `"namespace":"c"`) {
		t.Errorf("behind the reset, the rights are %s", got)
	}
}

// TestAStreamWaitsForTheUsers makes the sessions unreadable for a while. The stream sends no event that its caller may
// have lost the right to, and catches up afterwards.
func TestAStreamWaitsForTheUsers(t *testing.T) {
	h := newStreams(t)
	f := h.follow(h.colors[0].token, "")
	h.exec(`ALTER TABLE kontroler_server.sessions RENAME TO away`)
	h.clock.add(auth.MaxStale)
	f.until(beatsFromNow(20)) // It has tried to read the session since.
	run := h.admit(h.colors[0])
	if all := f.until(beats(20)); len(all) > 0 {
		t.Errorf("events for a session that cannot be read: %v", all)
	}
	h.exec(`ALTER TABLE kontroler_server.away RENAME TO sessions`)
	f.until(isOf(run.UID, "Pending"))
}

// TestTooManyStreams opens one stream more than a user may have.
func TestTooManyStreams(t *testing.T) {
	h := newStreams(t)
	token := h.colors[0].token
	var all []*follower
	for range 10 {
		all = append(all, h.follow(token, ""))
	}
	refused := h.do(request{method: "GET", path: "/api/v1/events", token: token})
	if refused.StatusCode != 429 || !strings.Contains(string(refused.body), "10 open streams") {
		t.Errorf("one more: %d %s", refused.StatusCode, refused.body)
	}
	h.follow(h.colors[1].token, "")
	all[0].response.Body.Close()
	for {
		response := h.open(token, "")
		response.Body.Close()
		if response.StatusCode == 200 {
			break
		}
	}
}

// TestRequestsOfEvents checks requests that get no stream.
func TestRequestsOfEvents(t *testing.T) {
	h := newStreams(t)
	token := h.colors[0].token
	h.follow(token, "").response.Body.Close()
	for query, status := range map[string]int{
		"?namespace=": 400, "?namespace=a&namespace=c": 400, "?dag=x": 400, "?namespace=%00": 400,
	} {
		h.want(status, request{method: "GET", path: "/api/v1/events" + query, token: token})
	}
	h.want(401, request{method: "GET", path: "/api/v1/events"})
	h.want(405, request{method: "POST", path: "/api/v1/events", token: token})
	if head := h.do(request{method: "HEAD", path: "/api/v1/events", token: token}); head.StatusCode != 200 ||
		head.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("HEAD: %d %v", head.StatusCode, head.Header)
	}
	idle := h.world.replica() // Its feed does not run.
	idle.want(503, request{method: "GET", path: "/api/v1/events", token: token})
}

// serveStreams starts a server whose timeouts are a second, with or without HTTP/2.
func (h *history) serveStreams(
	isHTTP2 bool, counters *metrics.Metrics, heartbeat, write time.Duration,
) (*replica, *httptest.Server) {
	h.Helper()
	r := h.unstarted(func(c *httpapi.Config) { c.Views, c.Metrics = h.views, counters })
	r.api.Pace(heartbeat, 100*time.Millisecond, write)
	server := httptest.NewUnstartedServer(r.api)
	server.EnableHTTP2 = isHTTP2
	server.Config.ReadTimeout, server.Config.WriteTimeout = time.Second, time.Second
	server.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if tcp, ok := c.(*net.TCPConn); ok {
			if err := tcp.SetWriteBuffer(4096); err != nil {
				h.Error(err)
			}
		}
		return ctx
	}
	if isHTTP2 {
		server.StartTLS()
	} else {
		server.Start()
	}
	h.Cleanup(server.Close)
	r.base, r.client = server.URL, server.Client()
	return r, server
}

// TestStreamsOutliveTheTimeouts follows for longer than the server's timeouts, over HTTP/1 and HTTP/2. More time passes
// between two heartbeats than a write may take.
func TestStreamsOutliveTheTimeouts(t *testing.T) {
	h := newHistory(t)
	for _, isHTTP2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %t", isHTTP2), func(t *testing.T) {
			r, _ := h.serveStreams(isHTTP2, metrics.New(), 1200*time.Millisecond, time.Second)
			streaming(t, r)
			f := r.follow(h.colors[0].token, "")
			if got := f.response.ProtoMajor == 2; got != isHTTP2 {
				t.Fatalf("protocol %s", f.response.Proto)
			}
			f.until(beats(2))
		})
	}
}

// TestStuckClients has a client that reads nothing, and one that closes half of its connection. Both lose their
// streams. The stream of another client continues.
func TestStuckClients(t *testing.T) {
	h := newHistory(t)
	counters := metrics.New()
	r, _ := h.serveStreams(false, counters, 100*time.Millisecond, 100*time.Millisecond)
	streaming(t, r)
	token := h.login("root", rootPassword)
	follower := r.follow(token, "")
	streams := func() string {
		for line := range strings.SplitSeq(scrape(t, counters.Handler()), "\n") {
			if value, ok := strings.CutPrefix(line, "kontroler_event_streams "); ok {
				return value
			}
		}
		return ""
	}
	ask := func() net.Conn {
		conn := r.dial()
		if tcp, ok := conn.(*net.TCPConn); ok {
			if err := tcp.SetReadBuffer(4096); err != nil {
				t.Fatal(err)
			}
		}
		_, err := fmt.Fprintf(conn, "GET /api/v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", token)
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	ask()
	half := ask()
	for streams() != "3" {
	}
	if err := half.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	for streams() != "2" {
	}
	dag := strings.Repeat("long-", 40)
	h.exec(`INSERT INTO kontroler.dags (namespace, name, uid, created_at)
SELECT 'a', $1 || n, gen_random_uuid(), now() FROM generate_series(1, 2000) n`, dag)
	for streams() != "1" {
		h.exec(`INSERT INTO kontroler.changes (kind, namespace, dag_id) SELECT 'dag', 'a', id FROM kontroler.dags`)
		h.exec(`NOTIFY kontroler_changes`)
		follower.until(func(m message) bool { return m.id != "" && m.event == "change" })
	}
}

func (h *history) exec(statement string, args ...any) {
	h.Helper()
	owner, err := sql.Open("postgres", h.url)
	h.must(err)
	defer owner.Close()
	if _, err := owner.Exec(statement, args...); err != nil {
		h.Fatalf("%v\n%s", err, statement)
	}
}

// TestShutdownEndsStreams shuts a server down that has streams, over HTTP/1 and HTTP/2.
func TestShutdownEndsStreams(t *testing.T) {
	h := newHistory(t)
	for _, isHTTP2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %t", isHTTP2), func(t *testing.T) {
			r, server := h.serveStreams(isHTTP2, metrics.New(), time.Second, time.Second)
			stop := streaming(t, r)
			f := r.follow(h.colors[0].token, "")
			stop()
			if last := f.rest(); last.event != "" {
				t.Errorf("the stream ended with %+v", last)
			}
			if err := server.Config.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestAThousandListeners opens ten streams for each of a hundred users. All streams get an event. When they end, they
// leave no goroutine and no subscription behind.
func TestAThousandListeners(t *testing.T) {
	h := newHistory(t)
	counters := metrics.New()
	r := h.plain(func(c *httpapi.Config) { c.Views, c.Metrics = h.views, counters })
	streaming(t, r)
	tokens := make([]string, 100)
	for i := range tokens {
		tokens[i] = h.tokenOf(fmt.Sprintf("listener-%d", i))
	}
	warm := r.follow(tokens[0], "")
	warm.response.Body.Close()
	var before, during runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	goroutines := runtime.NumGoroutine()
	followers := make([]*follower, 1000)
	var opening sync.WaitGroup
	for i := range followers {
		opening.Go(func() {
			for followers[i] == nil { // The stream that warmed up may not have ended yet.
				response := r.open(tokens[i%100], "")
				if response.StatusCode == 200 {
					followers[i] = &follower{T: t, response: response, lines: bufio.NewScanner(response.Body)}
				} else {
					response.Body.Close()
				}
			}
		})
	}
	opening.Wait()
	runtime.GC()
	runtime.ReadMemStats(&during)
	t.Logf("a stream costs %.1f goroutines and %d KiB, those of the client with it",
		float64(runtime.NumGoroutine()-goroutines)/1000,
		(during.HeapInuse+during.StackInuse-before.HeapInuse-before.StackInuse)/1000/1024)
	run := h.admit(h.colors[0])
	h.must(h.leader.Commit(t.Context(), run.ID,
		[]transition.Transition{transition.RunStarted{At: run.AdmittedAt}}, nil))
	h.exec(`NOTIFY kontroler_changes`)
	for _, f := range followers {
		f.until(isOf(run.UID, "Running"))
		f.response.Body.Close()
	}
	r.client.CloseIdleConnections()
	for !strings.Contains(scrape(t, counters.Handler()), "kontroler_event_streams 0\n") {
	}
	for runtime.NumGoroutine() > goroutines+50 {
	}
}

// tokenOf makes a viewer of a, and returns an API token of it.
func (h *history) tokenOf(name string) string {
	h.Helper()
	access := accounts.Access{Grants: []accounts.Grant{{Namespace: "a", Role: "viewer"}}}
	h.user(name, bobPassword, access)
	user, err := h.db.Users.Get(h.Context(), name)
	h.must(err)
	secret, hash := auth.NewToken()
	_, err = h.db.Tokens.Create(h.Context(), user.ID, accounts.Token{Name: "t", Access: access,
		CreatedAt: h.clock.now(), ExpiresAt: h.clock.now().Add(time.Hour)}, hash)
	h.must(err)
	return secret
}
