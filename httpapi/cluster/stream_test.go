package cluster_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/client-go/rest"

	"kontroler/httpapi/cluster"
)

// scripted is an API server in memory. Each request is passed to its script.
type scripted func(*http.Request) (*http.Response, error)

func (s scripted) RoundTrip(r *http.Request) (*http.Response, error) { return s(r) }

// reader runs a Reader of some namespaces in the bubble of a test.
func (s scripted) reader(t *testing.T, namespaces ...string) (*cluster.Reader, *reported) {
	t.Helper()
	k := &reported{}
	r := cluster.NewReader(clientsOf(t, &rest.Config{Host: "http://api", Transport: s}), namespaces, k.report,
		slog.New(slog.NewTextHandler(k, nil)))
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = r.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return r, k
}

// body answers with a body. Its end is that of the request, if it is a watch.
func body(r *http.Request, status int, text string) (*http.Response, error) {
	var content io.Reader = strings.NewReader(text)
	if status == http.StatusOK && r.URL.Query().Get("watch") != "" {
		content = io.MultiReader(content, endless{r.Context()})
	}
	return &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(content),
		Request: r,
	}, nil
}

// endless has no content until its context ends.
type endless struct{ context.Context }

func (e endless) Read([]byte) (int, error) {
	<-e.Done()
	return 0, e.Err()
}

const (
	kinds     = `"apiVersion": "kontroler.greedykomodo/v1alpha1", "kind": "%s"`
	emptyList = `{` + kinds + `, "metadata": {"resourceVersion": "1"}, "items": []}`
	bookmark  = `{"type": "BOOKMARK", "object": {` + kinds + `, "metadata": {"resourceVersion": "2", "annotations": ` +
		`{"k8s.io/initial-events-end": "true"}}}}`
	notStreamed = `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Invalid", "code": 422}`
)

// kindOf returns the kind of a path.
func kindOf(r *http.Request) string {
	if strings.HasSuffix(r.URL.Path, "/dags") {
		return "DAG"
	}
	return "DagTask"
}

// TestNoAnswer checks that a namespace for which the API server does not answer delays the start for at most a minute.
func TestNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, k := scripted(func(r *http.Request) (*http.Response, error) {
			switch {
			case strings.Contains(r.URL.Path, "/namespaces/silent/"):
				return hanging(r)
			case r.URL.Query().Get("sendInitialEvents") != "": // as an API server before 1.34
				return body(r, http.StatusUnprocessableEntity, notStreamed)
			case r.URL.Query().Get("watch") != "":
				return body(r, http.StatusOK, "")
			}
			return body(r, http.StatusOK, fmt.Sprintf(emptyList, kindOf(r)+"List"))
		}).reader(t, "good", "silent")
		time.Sleep(time.Minute - time.Second)
		synctest.Wait()
		if r.Waiting() == "" {
			t.Error("the start waits for less than a minute")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if why := r.Waiting(); why != "" {
			t.Errorf("the start waits for %q", why)
		}
		const want = "not silent: The Kubernetes API does not answer."
		if got := names(r, scope{"good", "silent"}); got != want {
			t.Errorf("DAGs: %q, want %q", got, want)
		}
		for namespace, want := range map[string]int{"good": 0, "silent": 1} {
			if n := k.lines("live objects cannot be read", "dags", namespace); n != want {
				t.Errorf("the log says %d times that namespace %s cannot be read, want %d", n, namespace, want)
			}
		}
	})
}

// TestStreamedList checks that a list that is streamed through a watch is used when it is complete. Until then a Reader
// does not answer with objects from before the outage.
func TestStreamedList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const added = `{"type": "ADDED", "object": {` + kinds + `, "metadata": {"namespace": "a", "name": "old", ` +
			`"resourceVersion": "1"}}}`
		var mu sync.Mutex
		first, isAway, isComplete := context.Background(), false, make(chan struct{})
		first, cut := context.WithCancel(first)
		r, _ := scripted(func(r *http.Request) (*http.Response, error) {
			mu.Lock()
			defer mu.Unlock()
			if isAway {
				return nil, syscall.ECONNREFUSED
			}
			answer, err := body(r, http.StatusOK, "")
			kind := kindOf(r)
			if first.Err() == nil {
				answer.Body = io.NopCloser(io.MultiReader(
					strings.NewReader(fmt.Sprintf(added, kind)+fmt.Sprintf(bookmark, kind)), endless{first}))
			} else {
				answer.Body = io.NopCloser(io.MultiReader(
					later{isComplete}, strings.NewReader(fmt.Sprintf(bookmark, kind)), endless{r.Context()}))
			}
			return answer, err
		}).reader(t, "a")
		synctest.Wait()
		if got := names(r, scope{"a"}); got != "a/old" {
			t.Fatalf("DAGs: %q", got)
		}
		mu.Lock()
		isAway = true
		mu.Unlock()
		cut()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		const away = "error: The Kubernetes API does not answer."
		if got := names(r, scope{"a"}); got != away {
			t.Fatalf("while the API server is away: %q", got)
		}
		mu.Lock()
		isAway = false
		mu.Unlock()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := names(r, scope{"a"}); got != away {
			t.Errorf("while the list is not complete: %q", got)
		}
		close(isComplete)
		synctest.Wait()
		if got := names(r, scope{"a"}); got != "" {
			t.Errorf("when the list is complete: %q", got)
		}
	})
}

// later has no content, and ends when its channel is closed.
type later struct{ end chan struct{} }

func (l later) Read([]byte) (int, error) {
	<-l.end
	return 0, io.EOF
}
