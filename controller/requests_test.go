package controller

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// requests stands between a controller and a real API server. It records each request as a few words, such as "create
// pod a.1" or "patch status of dagrun r". A test can answer a request in place of the API server, or act before the API
// server does.
type requests struct {
	server http.RoundTripper
	// nameOf returns the name by which a test knows an object.
	nameOf func(string) string

	mu      sync.Mutex
	sent    []string        // since the last take
	known   map[string]bool // sent ever
	answers map[string]answer
}

// answer is what happens to a request. The API server answers it if err is nil and text is empty.
type answer struct {
	before func()
	err    *apierrors.StatusError
	text   string
}

// RoundTrip records a request and passes it on, unless the test answers it.
func (r *requests) RoundTrip(request *http.Request) (*http.Response, error) {
	var body []byte
	if request.Body != nil {
		var err error
		if body, err = io.ReadAll(request.Body); err != nil {
			return nil, err
		}
		request.Body = io.NopCloser(bytes.NewReader(body))
	}
	words := r.describe(request, body)
	r.mu.Lock()
	r.sent = append(r.sent, words)
	r.known[words] = true
	a := r.answers[words]
	r.mu.Unlock()
	if a.before != nil {
		a.before()
	}
	switch {
	case a.err != nil:
		status := a.err.ErrStatus
		status.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
		encoded, err := json.Marshal(status)
		return response(request, int(status.Code), encoded), err
	case a.text != "":
		return response(request, http.StatusOK, []byte(a.text)), nil
	}
	return r.server.RoundTrip(request)
}

func response(request *http.Request, code int, body []byte) *http.Response {
	return &http.Response{StatusCode: code, Header: http.Header{"Content-Type": {"application/json"}}, Request: request,
		Body: io.NopCloser(bytes.NewReader(body))}
}

// describe puts a request into words. Its path is namespaces/NAMESPACE/KIND, or that and /NAME, or that and
// /SUBRESOURCE, or nodes/NAME.
func (r *requests) describe(request *http.Request, body []byte) string {
	verb := map[string]string{http.MethodPost: "create", http.MethodPatch: "patch", http.MethodDelete: "delete",
		http.MethodGet: "get"}[request.Method]
	_, within, isNamespaced := strings.Cut(request.URL.Path, "/namespaces/")
	parts := strings.Split(within, "/")[1:]
	if !isNamespaced {
		parts = []string{path.Base(path.Dir(request.URL.Path)), path.Base(request.URL.Path)}
	}
	kind := strings.TrimSuffix(strings.TrimPrefix(parts[0], "persistentvolume"), "s")
	switch {
	case len(parts) == 1:
		return fmt.Sprintf("%s %s %s", verb, kind, r.nameInBody(kind, body))
	case len(parts) == 3:
		return fmt.Sprintf("%s %s of %s %s", verb, parts[2], kind, r.nameOf(parts[1]))
	}
	return fmt.Sprintf("%s %s %s", verb, kind, r.nameOf(parts[1]))
}

// nameInBody names the object that is to be created: an Event by its reason.
func (r *requests) nameInBody(kind string, body []byte) string {
	var event corev1.Event
	if err := json.Unmarshal(body, &event); err != nil {
		return err.Error()
	}
	if kind == "event" {
		return event.Reason
	}
	return r.nameOf(event.Name)
}

// take returns the requests since the last call.
func (r *requests) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	sent := r.sent
	r.sent = nil
	return slices.Clone(sent)
}

// wasSent reports whether a request has ever been sent.
func (r *requests) wasSent(words string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.known[words]
}

func (r *requests) answer(words string, a answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answers[words] = a
}
