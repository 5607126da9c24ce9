package controller

import (
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"kontroler/controller/engine"
	"kontroler/store"
)

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

// A sync sends no more requests of a kind once one of them hangs in an admission webhook.
func TestRequestsWhileAWebhookHangs(t *testing.T) {
	const pods, sentTogether = 100, 16
	for name, test := range map[string]struct {
		send  func(*podWriter) error
		fails bool
	}{
		"stops": {fails: true, send: func(w *podWriter) error {
			return w.stopPods(t.Context(), store.Run{}, slices.Repeat([]engine.Delete{{PodName: "p"}}, pods))
		}},
		"deadlines": {send: func(w *podWriter) error {
			return w.limitPods(t.Context(), store.Run{}, slices.Repeat([]engine.Limit{{PodName: "p"}}, pods))
		}},
		"labels": {fails: true, send: func(w *podWriter) error {
			p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}}
			return w.relabelAll(t.Context(), store.Run{}, slices.Repeat([]*corev1.Pod{p}, pods))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var sent atomic.Int32
				client := kubernetes.NewForConfigOrDie(&rest.Config{QPS: -1, Transport: roundTripper(
					func(*http.Request) (*http.Response, error) {
						sent.Add(1)
						time.Sleep(10 * time.Second) // of the bubble's clock
						return nil, errors.New("no answer")
					})})
				cfg := &Config{Kube: client, Log: slog.New(slog.DiscardHandler)}
				err := test.send(&podWriter{core: &core{cfg: cfg}})
				if (err != nil) != test.fails {
					t.Errorf("the error is %v", err)
				}
				if got := sent.Load(); got != sentTogether {
					t.Errorf("sent %d requests, want %d", got, sentTogether)
				}
			})
		})
	}
}
