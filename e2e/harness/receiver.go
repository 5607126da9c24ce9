package harness

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"
)

// Told is a notification as it arrived. Its schema is in controller/webhook/README.md: there are no other fields.
type Told struct {
	Type       string     `json:"type"`
	Status     string     `json:"status"`
	DagRunID   int64      `json:"dagRunId"`
	TaskName   string     `json:"taskName"`
	TaskID     int64      `json:"taskId"`
	ID         string     `json:"id"`
	Event      string     `json:"event"`
	Time       time.Time  `json:"time"`
	Controller string     `json:"controller"`
	Namespace  string     `json:"namespace"`
	DAG        string     `json:"dag"`
	Version    int64      `json:"version"`
	Run        toldRun    `json:"run"`
	Task       *ToldEnded `json:"task"`

	Header http.Header
	Body   []byte
	path   string
}

type toldRun struct {
	Name string `json:"name"`
	UID  string `json:"uid"`
	ToldEnd
	Tasks *ToldCounts `json:"tasks"`
}

// ToldEnded is what a notification says of a task.
type ToldEnded struct {
	Name string `json:"name"`
	ToldEnd
	Attempts int  `json:"attempts"`
	ExitCode *int `json:"exitCode"`
}

// ToldEnd is how a run or a task ended.
type ToldEnd struct {
	Phase      string     `json:"phase"`
	Reason     string     `json:"reason"`
	Message    string     `json:"message"`
	StartedAt  *time.Time `json:"startedAt"`
	FinishedAt *time.Time `json:"finishedAt"`
}

// ToldCounts are the tasks of a run, counted.
type ToldCounts struct {
	Total     int `json:"total"`
	Succeeded int `json:"succeeded"`
	Failed    int `json:"failed"`
	Skipped   int `json:"skipped"`
	Cancelled int `json:"cancelled"`
}

// Signature is what a receiver compares with, computed as controller/webhook/README.md says.
func Signature(key string, n Told) string {
	mac := hmac.New(sha256.New, []byte(key))
	fmt.Fprintf(mac, "%s.%s", n.Header.Get("Kontroler-Timestamp"), n.Body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// String is what tests compare: the event and what ended.
func (t Told) String() string { return strings.TrimSpace(t.Event + " " + t.TaskName) }

// Receiver hears notifications. answer answers the n-th of a path, from 1; nil: 200.
type Receiver struct {
	w      *World
	URL    string
	Answer func(n int, w http.ResponseWriter, r *http.Request)
	mu     sync.Mutex
	heard  []Told
	paths  map[string]int
}

// NewReceiver starts a receiver; tls: with a certificate that nobody trusts.
func (w *World) NewReceiver(tls bool) *Receiver {
	w.T.Helper()
	v := &Receiver{w: w, paths: map[string]int{}}
	server := httptest.NewUnstartedServer(v)
	server.Listener.Close()
	server.Listener = listenApart(w.T)
	if tls {
		server.StartTLS()
	} else {
		server.Start()
	}
	w.T.Cleanup(server.CloseClientConnections)
	w.T.Cleanup(func() { server.Listener.Close() })
	v.URL = server.URL
	return v
}

// ServeHTTP hears a notification.
func (v *Receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := Told{Header: r.Header, path: r.URL.Path}
	n.Body, _ = io.ReadAll(r.Body)
	schema := json.NewDecoder(bytes.NewReader(n.Body))
	schema.DisallowUnknownFields()
	if err := schema.Decode(&n); err != nil {
		v.w.T.Errorf("a notification is not what the schema says: %v: %s", err, n.Body)
	}
	v.mu.Lock()
	v.heard = append(v.heard, n)
	v.paths[n.path]++
	count := v.paths[n.path]
	v.mu.Unlock()
	if v.Answer != nil {
		v.Answer(count, w, r)
	}
}

// Of are the notifications of a run, in the order in which they arrived.
func (v *Receiver) Of(run string) []Told {
	v.mu.Lock()
	defer v.mu.Unlock()
	var all []Told
	for _, n := range v.heard {
		if n.Run.Name == run {
			all = append(all, n)
		}
	}
	return all
}

// Texts are the notifications as tests compare them.
func Texts(all []Told) []string {
	out := []string{}
	for _, n := range all {
		out = append(out, n.String())
	}
	return out
}

// Wait waits until n notifications of a run have arrived.
func (v *Receiver) Wait(run string, n int) []Told {
	v.w.T.Helper()
	v.w.Eventually(fmt.Sprintf("%d notifications of %s", n, run), Patience, func(context.Context) (bool, string) {
		all := v.Of(run)
		return len(all) >= n, fmt.Sprint(Texts(all), v.w.Delivered())
	})
	return v.Of(run)
}
