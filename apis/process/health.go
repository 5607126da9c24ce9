package process

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

// Health serves /healthz, which always answers ok, and /readyz, which reports for each part of the process whether it
// is ready.
type Health struct {
	mu    sync.Mutex
	parts []part
}

// part is a part of the process that must be ready.
type part struct {
	name  string
	fault func() string // empty means ready
}

// NewHealth makes a Health whose parts are not ready yet.
func NewHealth(names ...string) *Health {
	h := &Health{}
	for _, name := range names {
		h.parts = append(h.parts, part{name, func() string { return "starting" }})
	}
	return h
}

// Set replaces the fault of a part. An empty fault means that the part is ready.
func (h *Health) Set(name string, fault func() string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.parts {
		if h.parts[i].name == name {
			h.parts[i].fault = fault
		}
	}
}

func (h *Health) live(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok\n") }

func (h *Health) ready(w http.ResponseWriter, _ *http.Request) {
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

// Probes are the addresses of /healthz and /readyz, and of /metrics. They may be equal. An empty address serves
// nothing.
type Probes struct {
	Health, Metrics string
	// Flags names the flags of the addresses, for errors.
	Flags string
}

// Serve serves health and metrics until stop is called.
func (p Probes) Serve(h *Health, metrics http.Handler, log *slog.Logger) (stop func(), err error) {
	muxes := map[string]*http.ServeMux{}
	at := func(address string) *http.ServeMux {
		if muxes[address] == nil {
			muxes[address] = http.NewServeMux()
		}
		return muxes[address]
	}
	at(p.Health).HandleFunc("GET /healthz", h.live)
	at(p.Health).HandleFunc("GET /readyz", h.ready)
	at(p.Metrics).Handle("GET /metrics", metrics)
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
			return nil, fmt.Errorf("%w. Change %s", err, p.Flags)
		}
		server := &http.Server{
			Handler: mux, ReadHeaderTimeout: 5 * time.Second,
			ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		}
		servers = append(servers, server)
		log.Info("serving", "address", listener.Addr().String(),
			"health", address == p.Health, "metrics", address == p.Metrics)
		go func() {
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				log.Error("serving health and metrics", "address", address, "error", err)
			}
		}()
	}
	return stop, nil
}
