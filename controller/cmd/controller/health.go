package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// health answers /healthz (the process is there) and /readyz (it can work: each part says ok, or what it lacks).
type health struct {
	mu    sync.Mutex
	parts []part
}

type part struct {
	name  string
	fault func() string // "" is ok
}

// newHealth makes a health that lacks the named parts.
func newHealth(names ...string) *health {
	h := &health{}
	for _, name := range names {
		h.parts = append(h.parts, part{name, func() string { return "starting" }})
	}
	return h
}

// set says how a part is asked from now on.
func (h *health) set(name string, fault func() string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.parts {
		if h.parts[i].name == name {
			h.parts[i].fault = fault
		}
	}
}

func (h *health) live(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok\n") }

func (h *health) ready(w http.ResponseWriter, _ *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	status, body := http.StatusOK, &strings.Builder{}
	for _, p := range h.parts {
		fault := p.fault()
		if fault != "" {
			status = http.StatusServiceUnavailable
		} else {
			fault = "ok"
		}
		fmt.Fprintf(body, "%s: %s\n", p.name, fault)
	}
	answer(w, status, body.String())
}

func answer(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body)) // The one who asked has gone: nobody is left to tell.
}

// serve answers health and metrics at their addresses, which may be the same, or empty. stop ends it.
func serve(cfg config, h *health, metrics http.Handler, log *slog.Logger) (stop func(), err error) {
	muxes := map[string]*http.ServeMux{}
	at := func(address string) *http.ServeMux {
		if muxes[address] == nil {
			muxes[address] = http.NewServeMux()
		}
		return muxes[address]
	}
	at(cfg.healthAddress).HandleFunc("GET /healthz", h.live)
	at(cfg.healthAddress).HandleFunc("GET /readyz", h.ready)
	at(cfg.metricsAddress).Handle("GET /metrics", metrics)
	delete(muxes, "")

	var servers []*http.Server
	stop = func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		for _, server := range servers {
			_ = server.Shutdown(ctx)
		}
	}
	for address, mux := range muxes {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			stop()
			return nil, fmt.Errorf("%w: choose others with --health-address and --metrics-address, or none", err)
		}
		server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
		servers = append(servers, server)
		log.Info("serving", "address", listener.Addr().String(), "health", address == cfg.healthAddress, "metrics", address == cfg.metricsAddress)
		go func() {
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				log.Error("serving health and metrics", "address", address, "error", err)
			}
		}()
	}
	return stop, nil
}
