package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"kontroler/controller/fault"
	"kontroler/controller/metrics"
	"kontroler/controller/wait"
	"kontroler/controller/webhook"
	"kontroler/generated/clientset/versioned"
	"kontroler/store"
)

// Config configures a controller.
type Config struct {
	// Kube and Client are clients of the API server. Kube uses protobuf.
	Kube   kubernetes.Interface
	Client versioned.Interface
	// ID is the controller's id, from its database.
	ID string
	// Since is when the controller got its id. Earlier due times do not run here, because another controller, or the
	// existing Kontroler, may have run them.
	Since time.Time
	// Namespaces are the namespaces to work in. Empty means all.
	Namespaces []string
	// Class is the class of the DAGs to claim.
	Class string
	// LeaseNamespace is the namespace of its Lease. Other controllers read the Lease to check that this one is alive.
	LeaseNamespace string
	// MaxPods is the maximum number of live Pods.
	MaxPods int
	// StartGrace is how long an attempt may fail to start.
	StartGrace time.Duration
	// HistoryRetention is how long rows and logs are kept after their end. 0 means for ever.
	HistoryRetention time.Duration
	// WebhookDeny lists further networks that webhooks may not reach: CIDRs, separated by commas.
	WebhookDeny string
	// LogLimit is how many bytes of a task's log are kept. 0 means that logs are not read.
	LogLimit int64
	// Writes returns the number of requests that changed something. One progress patch is allowed for every twenty of
	// them.
	Writes func() uint64
	// DatabaseAway reports whether the database is unavailable, and since when.
	DatabaseAway func() (since time.Time, away bool)
	Metrics      *metrics.Metrics
	Log          *slog.Logger
}

// Controller holds what outlives a term of leadership: clients and warm caches.
type Controller struct {
	cfg       Config
	cached    *caches
	events    record.EventRecorder
	broadcast record.EventBroadcaster
	led       atomic.Bool   // this process has led at least once
	leads     atomic.Bool   // this process leads now
	guard     webhook.Guard // made from WebhookDeny
}

// New checks the configuration and makes a controller. Nothing runs yet.
func New(cfg Config) (*Controller, error) {
	if cfg.Kube == nil || cfg.Client == nil || cfg.ID == "" || cfg.MaxPods == 0 || cfg.StartGrace == 0 ||
		cfg.Writes == nil || cfg.DatabaseAway == nil || cfg.Log == nil || cfg.Metrics == nil {
		return nil, errors.New(
			"controller: Kube, Client, ID, MaxPods, StartGrace, Writes, DatabaseAway, Log and Metrics are required")
	}
	guard, err := webhook.NewGuard(cfg.WebhookDeny)
	if err != nil {
		return nil, fmt.Errorf("controller: WebhookDeny: %w", err)
	}
	c := &Controller{cfg: cfg, cached: newCaches(&cfg), guard: guard}
	c.broadcast, c.events = newEvents(cfg.Kube)
	return c, nil
}

// Start starts the watches, and the goroutine that reports database outages. Both end with ctx. A standby runs them
// too, so that its caches are warm when it becomes the leader.
func (c *Controller) Start(ctx context.Context) {
	c.cached.run(ctx)
	context.AfterFunc(ctx, c.broadcast.Shutdown)
	go c.showOutage(ctx)
}

// Synced reports whether every watch has delivered its first list.
func (c *Controller) Synced() bool { return c.cached.hasSynced() }

// Lead works as the leader until ctx ends. Syncs that are running then have ten seconds to finish. Lead returns nil
// after ctx has ended, store.ErrFenced if another leader has taken over, or the error that kept the term from starting.
func (c *Controller) Lead(ctx context.Context, db *store.Leader) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	c.led.Store(true)
	c.leads.Store(true)
	defer c.leads.Store(false)
	defer c.cfg.Metrics.LiveAttempts(0) // the next leader counts them
	t := newTerm(c, db, fail)
	defer t.shutDown()
	if !cache.WaitForCacheSync(ctx.Done(), c.Synced) {
		return nil
	}
	for err := t.resume(ctx); err != nil; err = t.resume(ctx) {
		if !store.IsUnavailable(err) {
			return err
		}
		t.Failed(err)
		if !wait.For(ctx, time.Second) {
			return nil
		}
	}
	fault.Point("term-resumed")
	release, err := t.watch()
	defer release()
	if err != nil {
		return err
	}
	t.work(ctx)
	if cause := context.Cause(ctx); errors.Is(cause, store.ErrFenced) {
		return cause
	}
	return nil
}

// watches reports whether the controller works in a namespace.
func (cfg *Config) watches(namespace string) bool {
	return len(cfg.Namespaces) == 0 || slices.Contains(cfg.Namespaces, namespace)
}

// namespaces returns the namespaces to watch, or metav1.NamespaceAll if none are named.
func (cfg *Config) namespaces() []string {
	if len(cfg.Namespaces) == 0 {
		return []string{metav1.NamespaceAll}
	}
	return cfg.Namespaces
}
