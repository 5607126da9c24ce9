package controller

import (
	"time"

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
	*queue.Failures
	cfg       *Config
	cached    *caches
	db        *store.Leader
	clock     *clock.Clock
	events    record.EventRecorder
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

// now returns the time of the database, which decides what is due.
func (c *core) now() time.Time { return c.clock.Now() }
