package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"testing"
)

// The UI and the API have one origin. Every piece of a stream goes on while the stream is open.
func TestSite(t *testing.T) {
	asked := make(chan *http.Request, 1)
	hold := make(chan struct{})
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r
		_, _ = io.WriteString(w, "piece")
		w.(http.Flusher).Flush()
		<-hold
	}))
	defer api.Close()
	defer close(hold)
	target, err := url.Parse(api.URL)
	if err != nil {
		t.Fatal(err)
	}
	bundle := t.TempDir()
	if err := os.WriteFile(filepath.Join(bundle, "index.html"), []byte("the page"), 0o600); err != nil {
		t.Fatal(err)
	}
	site := httptest.NewServer(newSite(bundle, target))
	defer site.Close()
	page, err := http.Get(site.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer page.Body.Close()
	if text, err := io.ReadAll(page.Body); err != nil || string(text) != "the page" {
		t.Errorf("the page is %q, %v", text, err)
	}
	for _, path := range []string{"/api/v1/events", "/docs", "/docs/x.js", "/openapi.yaml"} {
		answer, err := http.Get(site.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		piece := make([]byte, len("piece"))
		if _, err := io.ReadFull(answer.Body, piece); err != nil || string(piece) != "piece" {
			t.Errorf("%s: %q, %v", path, piece, err)
		}
		answer.Body.Close()
		got := <-asked
		if got.URL.Path != path || "http://"+got.Host != site.URL || got.Header.Get("X-Forwarded-For") != "127.0.0.1" {
			t.Errorf("%s: the server is asked for %s at %s by %s",
				path, got.URL, got.Host, got.Header.Get("X-Forwarded-For"))
		}
	}
}
