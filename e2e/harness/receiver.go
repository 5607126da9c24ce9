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

// Notification is a notification that arrived. controller/webhook/README.md documents its fields.
type Notification struct {
	Type       string      `json:"type"`
	Status     string      `json:"status"`
	DagRunID   int64       `json:"dagRunId"`
	TaskName   string      `json:"taskName"`
	TaskID     int64       `json:"taskId"`
	ID         string      `json:"id"`
	Event      string      `json:"event"`
	Time       time.Time   `json:"time"`
	Controller string      `json:"controller"`
	Namespace  string      `json:"namespace"`
	DAG        string      `json:"dag"`
	Version    int64       `json:"version"`
	Run        notifiedRun `json:"run"`
	Task       *EndedTask  `json:"task"`

	Header http.Header
	Body   []byte
	path   string
}

type notifiedRun struct {
	Name string `json:"name"`
	UID  string `json:"uid"`
	Ending
	Tasks *TaskCounts `json:"tasks"`
}

// EndedTask is the task of a notification.
type EndedTask struct {
	Name string `json:"name"`
	Ending
	Attempts int  `json:"attempts"`
	ExitCode *int `json:"exitCode"`
}

// Ending says how a run or a task ended.
type Ending struct {
	Phase      string     `json:"phase"`
	Reason     string     `json:"reason"`
	Message    string     `json:"message"`
	StartedAt  *time.Time `json:"startedAt"`
	FinishedAt *time.Time `json:"finishedAt"`
}

// TaskCounts says how the tasks of a run ended.
type TaskCounts struct {
	Total     int `json:"total"`
	Succeeded int `json:"succeeded"`
	Failed    int `json:"failed"`
	Skipped   int `json:"skipped"`
	Cancelled int `json:"cancelled"`
}

// Signature computes the signature of a notification as controller/webhook/README.md tells receivers to.
func Signature(key string, n Notification) string {
	mac := hmac.New(sha256.New, []byte(key))
	fmt.Fprintf(mac, "%s.%s", n.Header.Get("Kontroler-Timestamp"), n.Body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// String returns the event and the task, which tests compare.
func (t Notification) String() string { return strings.TrimSpace(t.Event + " " + t.TaskName) }

// Receiver receives notifications. Answer, if it is not nil, answers the n-th request of a path, counted from 1.
type Receiver struct {
	w        *World
	URL      string
	Answer   func(n int, w http.ResponseWriter, r *http.Request)
	mu       sync.Mutex
	received []Notification
	paths    map[string]int
}

// NewReceiver starts a receiver. With tls it has a certificate that no system trusts.
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

// ServeHTTP records a notification.
func (v *Receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := Notification{Header: r.Header, path: r.URL.Path}
	n.Body, _ = io.ReadAll(r.Body)
	schema := json.NewDecoder(bytes.NewReader(n.Body))
	schema.DisallowUnknownFields()
	if err := schema.Decode(&n); err != nil {
		v.w.T.Errorf("a notification has other fields than documented: %v: %s", err, n.Body)
	}
	v.mu.Lock()
	v.received = append(v.received, n)
	v.paths[n.path]++
	count := v.paths[n.path]
	v.mu.Unlock()
	if v.Answer != nil {
		v.Answer(count, w, r)
	}
}

// Of returns the notifications of a run, in the order in which they arrived.
func (v *Receiver) Of(run string) []Notification {
	v.mu.Lock()
	defer v.mu.Unlock()
	var all []Notification
	for _, n := range v.received {
		if n.Run.Name == run {
			all = append(all, n)
		}
	}
	return all
}

// Texts returns the notifications as texts, which tests compare.
func Texts(all []Notification) []string {
	out := []string{}
	for _, n := range all {
		out = append(out, n.String())
	}
	return out
}

// Wait waits until n notifications of a run have arrived.
func (v *Receiver) Wait(run string, n int) []Notification {
	v.w.T.Helper()
	v.w.Eventually(fmt.Sprintf("%d notifications of %s", n, run), Patience, func(context.Context) (bool, string) {
		all := v.Of(run)
		return len(all) >= n, fmt.Sprint(Texts(all), v.w.Notifications())
	})
	return v.Of(run)
}
