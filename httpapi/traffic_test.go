package httpapi_test

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
	"sync"
	"testing"
)

// exchange is a request and its answer, as scripts/apicheck reads them. Headers that prove who calls have no value.
type exchange struct {
	Test     string      `json:"test"`
	Method   string      `json:"method"`
	Path     string      `json:"path"` // escaped
	Query    string      `json:"query"`
	Header   http.Header `json:"header"`
	Body     []byte      `json:"body"`
	Status   int         `json:"status"`
	Answered http.Header `json:"answered"`
	// AnswerBody is missing if the answer is neither JSON nor a problem.
	AnswerBody []byte `json:"answerBody"`
}

// recorded returns a handler that writes every exchange to a file of the directory TEST_TRAFFIC, if that is set.
func recorded(t *testing.T, next http.Handler) http.Handler {
	t.Helper()
	dir := os.Getenv("TEST_TRAFFIC")
	if dir == "" {
		return next
	}
	file, err := os.CreateTemp(dir, "*.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var answering sync.WaitGroup // Handlers of HTTP/2 may end after their server has closed.
	t.Cleanup(func() {
		answering.Wait()
		file.Close()
	})
	var mu sync.Mutex
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answering.Add(1)
		defer answering.Done()
		e := exchange{
			Test: t.Name(), Method: r.Method, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery,
			Header: publicHeader(r.Header),
		}
		body := &readBody{ReadCloser: r.Body}
		r.Body = body
		answer := &answerRecorder{ResponseWriter: w}
		defer func() {
			e.Body, e.Status = body.bytes(), answer.status
			e.Answered, e.AnswerBody = publicHeader(w.Header()), answer.body.Bytes()
			mu.Lock()
			defer mu.Unlock()
			if err := json.NewEncoder(file).Encode(e); err != nil {
				t.Errorf("recording an exchange: %v", err)
			}
		}()
		next.ServeHTTP(answer, r)
	})
}

// publicHeader returns a copy of a header without credentials.
func publicHeader(header http.Header) http.Header {
	header = header.Clone()
	for _, name := range []string{"Authorization", "Cookie", "Set-Cookie"} {
		if len(header[name]) > 0 {
			header[name] = []string{"not recorded"}
		}
	}
	return header
}

// readBody keeps what was read of a body.
type readBody struct {
	io.ReadCloser
	mu   sync.Mutex
	read bytes.Buffer
}

func (b *readBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.read.Write(p[:n])
	return n, err
}

func (b *readBody) bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.read.Bytes())
}

// answerRecorder keeps the status of an answer, and its body if that is JSON.
type answerRecorder struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (a *answerRecorder) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answerRecorder) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	media, _, err := mime.ParseMediaType(a.Header().Get("Content-Type"))
	if err == nil && (media == "application/json" || media == "application/problem+json") {
		a.body.Write(p)
	}
	return a.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (a *answerRecorder) Unwrap() http.ResponseWriter { return a.ResponseWriter }
