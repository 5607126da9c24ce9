package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
)

// startUI serves the UI on a port of the loopback interface. It ends with this process.
func (d *demo) startUI(context.Context, func(string)) (string, error) {
	api, err := url.Parse(d.server.url)
	if err != nil {
		return "", fmt.Errorf("reading the URL of the server: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("listening for browsers: %w", err)
	}
	// Browsers come and go, and the terminal is for the demo.
	site := &http.Server{Handler: newSite(d.bundle, api), ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = site.Serve(listener) }() // until it is closed
	// Streams of events have no end of their own.
	d.atEnd("", func(context.Context) error { return site.Close() })
	d.ui = "http://" + listener.Addr().String() + "/"
	return "UI ready", nil
}

// newSite serves a bundle, and on the same origin the API. It does what web/nginx does, as far as one browser on this
// machine needs it.
func newSite(bundle string, api *url.URL) http.Handler {
	proxy := &httputil.ReverseProxy{ // It holds no stream back: they have no length.
		ErrorLog: log.New(io.Discard, "", 0),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(api)
			r.Out.Host = r.In.Host // The server compares it with Origin.
			r.SetXForwarded()
		},
	}
	files := http.FileServer(http.Dir(bundle))
	mux := http.NewServeMux()
	for _, path := range []string{"/api/", "/docs", "/docs/", "/openapi.yaml"} {
		mux.Handle(path, proxy)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store") // The next demo may have the same port and another bundle.
		files.ServeHTTP(w, r)
	})
	return mux
}
