package controller

import (
	"context"
	"errors"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"

	"kontroler/controller/clock"
	"kontroler/controller/logs"
	"kontroler/controller/podevents"
	"kontroler/controller/queue"
	"kontroler/controller/retention"
	"kontroler/controller/schedule"
	"kontroler/controller/webhook"
	"kontroler/store"
)

// core is what every part of a term uses: configuration, caches, the database and its clock, and the packages below.
type core struct {
	cfg       *Config
	cached    *caches
	db        *store.Leader
	clock     *clock.Clock
	events    record.EventRecorder
	fail      context.CancelCauseFunc // ends the term; the first error counts
	backlog   *backlog
	scheduler *schedule.Scheduler
	retention *retention.Cleaner
	notifier  *webhook.Notifier
	logs      *logs.Keeper
	podEvents *podevents.Keeper
}

// backlog holds the runs to sync, and what changed in each.
type backlog struct {
	queue   *queue.Queue[queue.RunKey]
	pending *queue.Pending
	// alarms hold when runs are due: for a deadline, a timeout or a retry.
	alarms *queue.Alarms[queue.RunKey]
	// slots limit the live Pods. A run that gets a slot is enqueued.
	slots *queue.Slots
}

func newBacklog(cfg *Config, namespaceOf func(queue.RunKey) string) *backlog {
	b := &backlog{pending: queue.NewPending(), alarms: queue.NewAlarms[queue.RunKey]()}
	b.queue = queue.NewOrdered("runs", cfg.Metrics, namespaceOf, func() workqueue.Queue[queue.RunKey] {
		return queue.NewPriority(b.pending.IsUrgent)
	})
	b.slots = queue.NewSlots(cfg.MaxPods, workers, func(key queue.RunKey) {
		b.pending.SlotReserved(key)
		b.queue.Add(key)
	})
	return b
}

// failed logs an error of work that is retried. store.ErrFenced ends the term.
func (c *core) failed(err error) {
	switch {
	case errors.Is(err, store.ErrFenced):
		c.fail(err)
	case apierrors.IsConflict(err):
		c.cfg.Log.Debug("failed; will be retried", "error", err)
	default:
		c.cfg.Log.Warn("failed; will be retried", "error", err)
	}
}

// isOutage reports whether an error comes from an outage of the database, which readiness and DagRuns show. A database
// that answers and cannot do what a sync needs, because its disk is full or a table is locked, is a fault of that sync.
func (c *core) isOutage(err error) bool {
	_, isAway := c.cfg.DatabaseAway()
	return isAway && store.IsUnavailable(err)
}

// now returns the time of the database, which decides what is due.
func (c *core) now() time.Time { return c.clock.Now() }
