package bench_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The listeners of events. A user has at most ten streams.
const (
	listeningUsers = 100
	streamsOfUser  = 10
	// announced is how many changes the listeners hear of, one after another.
	announced = 20
)

// listeners are open streams of events. Each is told of every change.
type listeners struct {
	transport http.Transport
	bodies    []io.Closer
	reading   sync.WaitGroup
	heard     atomic.Int64

	mu sync.Mutex
	// began is when the change under way was committed, took how long each stream waited for it.
	began time.Time
	took  []time.Duration
}

// measureListeners opens 1,000 streams of events, and measures how long after its commit they hear of a change of a
// run, and a kind of request beside them.
func (s *visitor) measureListeners(beside kind) {
	s.b.Helper()
	before := s.resident()
	l := s.listen(s.tokensOfListeners())
	defer l.close()
	for n := range announced {
		l.mu.Lock()
		l.began = time.Now()
		l.mu.Unlock()
		s.exec(`INSERT INTO kontroler.changes (kind, run_id, namespace, dag_id)
SELECT 'run', id, namespace, dag_id FROM kontroler.runs ORDER BY id DESC LIMIT 1`)
		s.exec(`NOTIFY kontroler_changes`)
		want := int64((n + 1) * len(l.bodies))
		s.await("all listeners to hear of a change", func() bool { return l.heard.Load() >= want })
	}
	s.b.Logf("%-34s %8.2f %8.2f %8.2f   %8s %8s", fmt.Sprint("an event for ", len(l.bodies), " listeners"),
		quantile(l.took, 0.5), quantile(l.took, 0.99), quantile(l.took, 1), "–", "–")
	s.b.Logf("the listeners take %d MiB of the server", s.resident()-before)
	beside.name += ", beside listeners"
	s.measure(beside)
}

// tokensOfListeners creates the users that listen, and returns a token of each.
func (s *apiServer) tokensOfListeners() (tokens []string) {
	s.b.Helper()
	for user := range listeningUsers {
		tokens = append(tokens, s.tokenOfListener(fmt.Sprint("listener-", user)))
	}
	return tokens
}

// listen opens the streams of all listeners.
func (s *apiServer) listen(tokens []string) *listeners {
	s.b.Helper()
	l := &listeners{}
	for _, token := range tokens {
		for range streamsOfUser {
			answer := s.openStream(&http.Client{Transport: &l.transport}, token)
			l.bodies = append(l.bodies, answer.Body)
			l.reading.Go(func() { l.read(bufio.NewScanner(answer.Body)) })
		}
	}
	return l
}

// close closes all streams.
func (l *listeners) close() {
	for _, body := range l.bodies {
		body.Close()
	}
	l.reading.Wait()
	l.transport.CloseIdleConnections()
}

// read reads a stream until it is closed.
func (l *listeners) read(lines *bufio.Scanner) {
	for lines.Scan() {
		if lines.Text() != "event: change" {
			continue
		}
		now := time.Now()
		l.mu.Lock()
		l.took = append(l.took, now.Sub(l.began))
		l.mu.Unlock()
		l.heard.Add(1)
	}
}

// tokenOfListener creates a user who is viewer of all namespaces, and returns an API token of theirs.
func (s *apiServer) tokenOfListener(name string) string {
	s.b.Helper()
	s.post(s.token, "/api/v1/users", map[string]any{
		"name": name, "password": adminPassword, "grants": []map[string]string{{"namespace": "*", "role": "viewer"}},
	})
	session := s.post("", "/api/v1/auth/login", map[string]any{"user": name, "password": adminPassword})
	return session["token"].(string)
}

// post sends JSON, and returns the answer.
func (s *apiServer) post(token, path string, body map[string]any) (answer map[string]any) {
	s.b.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		s.b.Fatal(err)
	}
	request, err := http.NewRequestWithContext(s.b.Context(), http.MethodPost, s.url+path, bytes.NewReader(text))
	if err != nil {
		s.b.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := s.client.Do(request)
	if err != nil {
		s.b.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || response.StatusCode >= 300 {
		s.b.Fatalf("%s: %s, %v: %v", path, response.Status, answer, err)
	}
	return answer
}

// openStream opens a stream of events. It waits until the server follows the changes.
func (s *apiServer) openStream(client *http.Client, token string) (answer *http.Response) {
	s.b.Helper()
	s.await("a stream of events", func() bool {
		request, err := http.NewRequestWithContext(s.b.Context(), http.MethodGet, s.url+"/api/v1/events", nil)
		if err != nil {
			s.b.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+token)
		if answer, err = client.Do(request); err != nil {
			s.b.Fatal(err)
		}
		if answer.StatusCode == http.StatusServiceUnavailable {
			return answer.Body.Close() != nil
		}
		if kind := answer.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/event-stream") {
			s.b.Fatalf("events: %s, %s", answer.Status, kind)
		}
		return true
	})
	return answer
}
