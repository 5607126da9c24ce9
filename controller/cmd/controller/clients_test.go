package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/controller/leader"
)

// The clients share a connection, except for that of the Lease.
func TestClientsShareConnections(t *testing.T) {
	var connections atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, "{}")
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	const format = `{"clusters": [{"name": "c", "cluster": {"server": %q}}], "current-context": "c",
		"contexts": [{"name": "c", "context": {"cluster": "c"}}]}`
	if err := os.WriteFile(kubeconfig, fmt.Appendf(nil, format, server.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	gate := leader.NewGate(func(string, string, string) {}, slog.New(slog.DiscardHandler), os.Exit)
	clients, err := newClients(config{kubeconfig: kubeconfig}, gate)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		what string
		list func(context.Context) error
		want int32 // connections so far
	}{
		{"Pods", func(ctx context.Context) error {
			_, err := clients.kube.CoreV1().Pods("n").List(ctx, metav1.ListOptions{})
			return err
		}, 1},
		{"DAGs", func(ctx context.Context) error {
			_, err := clients.dags.KontrolerV1alpha1().DAGs("n").List(ctx, metav1.ListOptions{})
			return err
		}, 1},
		{"Leases", func(ctx context.Context) error {
			_, err := clients.lease.CoordinationV1().Leases("n").List(ctx, metav1.ListOptions{})
			return err
		}, 2},
	} {
		if err := step.list(t.Context()); err != nil {
			t.Errorf("listing %s: %v", step.what, err)
		}
		if got := connections.Load(); got != step.want {
			t.Errorf("%d connections after %s, want %d", got, step.what, step.want)
		}
	}
}
