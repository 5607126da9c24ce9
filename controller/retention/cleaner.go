package retention

import (
	"context"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/informer"
	"kontroler/controller/queue"
	"kontroler/generated/clientset/versioned"
	"kontroler/store"
)

// workers is how many keys of one namespace each queue syncs at the same time. The limit keeps a start with many
// expired DagRuns from flooding the API server.
const workers = queue.LeastPerNamespace

// History is what a Cleaner needs of the database. *store.History implements it.
type History interface {
	// IsRunOver reports whether a DagRun may be deleted: its run has ended or is unknown, and its schedule does not
	// need it.
	IsRunOver(ctx context.Context, uid, namespace, name string) (bool, error)
	// Trim removes old history.
	Trim(ctx context.Context, r store.Retention) error
	// TrimChanges removes the changes that readers have had time to follow.
	TrimChanges(ctx context.Context, r store.Retention) error
}

// Metrics counts what is deleted. *metrics.Metrics implements it.
type Metrics interface {
	queue.Metrics
	// DagRunDeleted is called for each deleted DagRun, with the reason: ttl or limit.
	DagRunDeleted(by string)
	// HistoryRemoved is called with the number of removed rows of a kind.
	HistoryRemoved(kind string, n int)
}

// Config is what a Cleaner needs. All fields but HistoryRetention are required.
type Config struct {
	Client  versioned.Interface
	History History
	// DAGs is the cache of DAGs.
	DAGs *informer.Set[*v1alpha1.DAG]
	// DagRuns is the cache of DagRuns, with the indexes ByUID, ByDAG and BySchedule.
	DagRuns *informer.Set[*v1alpha1.DagRun]
	// Pods is the cache of Pods, with the index ByRun.
	Pods *informer.Set[*corev1.Pod]
	// ControllerID is the id of the controller whose DagRuns are deleted.
	ControllerID string
	// HistoryRetention is how long history is kept after the end of a run. 0 means for ever.
	HistoryRetention time.Duration
	// Now is the database's time.
	Now func() time.Time
	// Failed is called with each error before the work is retried, unless an outage of the database caused it.
	Failed  func(error)
	Metrics Metrics
	Log     *slog.Logger
}

// namespaceOf returns the namespace of a DagRun. It is empty if the DagRun is not cached.
func (c *Config) namespaceOf(key queue.RunKey) string {
	if run := c.cachedRun(key); run != nil {
		return run.Namespace
	}
	return ""
}

// Cleaner deletes DagRuns and history during one term of leadership.
type Cleaner struct {
	Config
	// expiries are DagRuns whose time to live may be over. expiryTimes has an alarm for each DagRun that expires later.
	expiries    *queue.Queue[queue.RunKey]
	expiryTimes *queue.Alarms[queue.RunKey]
	// limits are DAGs that may have more DagRuns than they keep. timesToLive are DAGs whose time to live has changed.
	limits, timesToLive *queue.Queue[cache.ObjectName]
	// deleting are the DagRuns whose deletion was requested and is not visible in the cache yet.
	deleting informer.UIDSet
}

// New makes a Cleaner. Run starts it. ShutDown must be called even if it was never started.
func New(cfg Config) *Cleaner {
	return &Cleaner{
		Config:      cfg,
		expiries:    queue.New("expiries", cfg.Metrics, cfg.namespaceOf),
		expiryTimes: queue.NewAlarms[queue.RunKey](),
		limits:      queue.New("limits", cfg.Metrics, queue.ByName),
		timesToLive: queue.New("times-to-live", cfg.Metrics, queue.ByName),
	}
}

// Run deletes enqueued DagRuns and old history, until ctx has ended and ShutDown was called. It then waits for the
// deletions that are running. The end of working cancels them.
func (c *Cleaner) Run(ctx, working context.Context) {
	var running sync.WaitGroup
	for range queue.WorkersFor(workers) {
		running.Go(func() { c.expiries.Work(working, c.syncExpiry, c.Failed) })
		running.Go(func() { c.limits.Work(working, c.syncLimits, c.Failed) })
		running.Go(func() { c.timesToLive.Work(working, c.syncTimeToLive, c.Failed) })
	}
	running.Go(func() { c.expiryTimes.Watch(ctx, c.Now, c.expiries.Add) })
	running.Go(func() { c.trim(ctx) })
	running.Wait()
}

// ShutDown shuts the queues down. The next term enqueues the remaining keys again.
func (c *Cleaner) ShutDown() {
	c.expiries.ShutDown()
	c.limits.ShutDown()
	c.timesToLive.ShutDown()
}

// DagChanged enqueues a DAG that is new or whose spec has changed. Limits and times to live come from the DAG's current
// spec, also for DagRuns that have ended. old is nil if the DAG is new.
func (c *Cleaner) DagChanged(old, d *v1alpha1.DAG) {
	if old != nil && old.UID == d.UID && old.Generation == d.Generation {
		return
	}
	name := cache.MetaObjectToName(d)
	c.limits.Add(name)
	isNew := old == nil || old.UID != d.UID
	if isNew || !ptr.Equal(old.Spec.TTLSecondsAfterFinished, d.Spec.TTLSecondsAfterFinished) {
		c.timesToLive.Add(name)
	}
}

// RunEnded enqueues a DagRun if it may be deleted now or later, and the DAG whose schedule created it.
func (c *Cleaner) RunEnded(run *v1alpha1.DagRun) {
	if !c.isDeletable(run) {
		return
	}
	if _, expires := c.expiry(run); expires {
		c.expiries.Add(queue.RunKey(run.UID))
	}
	c.enqueueSchedule(run)
}

// RunFreed is RunEnded for the cached DagRun of a key. It must be called when a reason to keep the DagRun is gone: a
// Pod of the run, or a lookup by its schedule.
func (c *Cleaner) RunFreed(key queue.RunKey) {
	if run := c.cachedRun(key); run != nil {
		c.RunEnded(run)
	}
}

// RunDeleted forgets a DagRun that no longer exists. It enqueues the DAG whose schedule created it, which may have more
// to delete.
func (c *Cleaner) RunDeleted(run *v1alpha1.DagRun) {
	c.deleting.Remove(run.UID)
	c.expiryTimes.Drop(queue.RunKey(run.UID))
	c.enqueueSchedule(run)
}

func (c *Cleaner) enqueueSchedule(run *v1alpha1.DagRun) {
	if owner := run.ScheduleOwner(); owner != nil {
		c.limits.Add(cache.NewObjectName(run.Namespace, owner.Name))
	}
}

// cachedRun returns the DagRun of a key, or nil if the cache does not have it.
func (c *Config) cachedRun(key queue.RunKey) *v1alpha1.DagRun {
	run, _ := c.DagRuns.WithUID(types.UID(key))
	return run
}
