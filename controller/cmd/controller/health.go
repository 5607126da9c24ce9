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

// health serves /healthz, which always answers ok, and /readyz, which says of each part whether it is ready.
type health struct {
	mu    sync.Mutex
	parts []part
}

// part is a part of the controller that must be ready.
type part struct {
	name  string
	fault func() string // empty means ready
}

// newHealth makes a health whose parts are not ready yet.
func newHealth(names ...string) *health {
	h := &health{}
	for _, name := range names {
		h.parts = append(h.parts, part{name, func() string { return "starting" }})
	}
	return h
}

// set replaces the fault of a part.
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
	_, _ = w.Write([]byte(body)) // an error means that the client has gone
}

// serve serves health and metrics, each at its address. The addresses may be equal or empty. stop ends it.
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
			return nil, fmt.Errorf("%w. Change --health-address or --metrics-address", err)
		}
		server := &http.Server{
			Handler: mux, ReadHeaderTimeout: 5 * time.Second, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		}
		servers = append(servers, server)
		log.Info("serving", "address", listener.Addr().String(),
			"health", address == cfg.healthAddress, "metrics", address == cfg.metricsAddress)
		go func() {
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				log.Error("serving health and metrics", "address", address, "error", err)
			}
		}()
	}
	return stop, nil
}
