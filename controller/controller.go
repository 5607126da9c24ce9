package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/engine"
	"kontroler/controller/fault"
	"kontroler/controller/informer"
	"kontroler/controller/leader"
	"kontroler/controller/logs"
	"kontroler/controller/pod"
	"kontroler/controller/podevents"
	"kontroler/controller/queue"
	"kontroler/controller/retention"
	"kontroler/controller/schedule"
	"kontroler/controller/wait"
	"kontroler/controller/webhook"
	"kontroler/generated/clientset/versioned"
	"kontroler/store"
)

// Config is what a controller needs to know. Zero values of the optional fields take the defaults named beside them.
type Config struct {
	// Kube and Client speak to the cluster; Kube in protobuf.
	Kube   kubernetes.Interface
	Client versioned.Interface
	// ID is the controller's id, from its database.
	ID string
	// Since is when the id was made. What was due before is none of this controller's: DAGs may be older, and have been another
	// controller's, or the existing Kontroler's.
	Since time.Time
	// Namespaces that it works in; empty: all.
	Namespaces []string
	// Class of the DAGs that it may claim.
	Class string
	// LeaseNamespace is where its Lease is, by which others judge its claims.
	LeaseNamespace string
	// MaxPods bounds its live Pods; default 2,000.
	MaxPods int
	// StartGrace is how long an attempt may fail to start; default engine.DefaultStartGrace.
	StartGrace time.Duration
	// HistoryRetention is how long rows and logs are kept after their end; 0: for ever.
	HistoryRetention time.Duration
	// WebhookDeny are the networks that webhooks may not reach beside those that none may: CIDRs, separated by commas.
	WebhookDeny string
	// LogLimit is how many bytes of a task's log are kept; 0: none, logs are not read.
	LogLimit int64
	// Workers is how many runs are synced at once; default 8.
	Workers int
	// Writes counts the requests that changed something; what progress patches are rationed by.
	Writes func() uint64
	// DatabaseAway says since when the database has not answered.
	DatabaseAway func() (since time.Time, away bool)
	Metrics      *Metrics
	Log          *slog.Logger
}

// Controller holds what outlives a term of leadership: clients and warm caches.
type Controller struct {
	Config
	dagSource  informer.Set[*v1alpha1.DAG]
	taskSource informer.Set[*v1alpha1.DagTask]
	runSource  informer.Set[*v1alpha1.DagRun]
	podSource  informer.Set[*corev1.Pod]
	events     record.EventRecorder
	broadcast  record.EventBroadcaster
	led        atomic.Bool // this process was a leader
	notices    outageNotices
	guard      webhook.Guard // of WebhookDeny
}

// New checks the configuration and makes a controller; nothing runs yet.
func New(cfg Config) (*Controller, error) {
	if cfg.Kube == nil || cfg.Client == nil || cfg.ID == "" || cfg.Log == nil || cfg.Metrics == nil {
		return nil, errors.New("controller: Kube, Client, ID, Log and Metrics are required")
	}
	if cfg.MaxPods == 0 {
		cfg.MaxPods = 2000
	}
	if cfg.StartGrace == 0 {
		cfg.StartGrace = engine.DefaultStartGrace
	}
	if cfg.Workers == 0 {
		cfg.Workers = 8
	}
	if cfg.Writes == nil {
		cfg.Writes = func() uint64 { return 0 }
	}
	if cfg.DatabaseAway == nil {
		cfg.DatabaseAway = func() (time.Time, bool) { return time.Time{}, false }
	}
	guard, err := webhook.NewGuard(cfg.WebhookDeny)
	if err != nil {
		return nil, fmt.Errorf("controller: WebhookDeny: %w", err)
	}
	c := &Controller{Config: cfg, guard: guard}
	c.makeSources()
	c.broadcast, c.events = newEvents(cfg.Kube)
	return c, nil
}

// Start starts the watches; a standby keeps them warm. They end with ctx.
func (c *Controller) Start(ctx context.Context) error {
	c.dagSource.Run(ctx)
	c.taskSource.Run(ctx)
	c.runSource.Run(ctx)
	c.podSource.Run(ctx)
	context.AfterFunc(ctx, c.broadcast.Shutdown)
	go c.sayOutage(ctx)
	return nil
}

// Synced reports whether every watch has delivered its first list.
func (c *Controller) Synced() bool {
	return c.dagSource.HasSynced() && c.taskSource.HasSynced() && c.runSource.HasSynced() && c.podSource.HasSynced()
}

// term is one leadership: everything in it may be lost at any instant.
type term struct {
	*Controller
	db    *store.Leader
	clock *clock
	// admissions are DagRuns without a run, runs what was admitted.
	admissions, runs *queue.Queue[queue.RunKey]
	dags             *queue.Queue[cache.ObjectName]
	tasks            *queue.Queue[cache.ObjectName] // DagTasks
	// finishedPods are Pods whose outcome may be counted.
	finishedPods *queue.Queue[cache.ObjectName]
	pending      *pending
	// wakes are when runs are due: a deadline, a timeout, a retry.
	wakes *queue.Alarms[queue.RunKey]
	slots *queue.Slots
	gates *queue.Gates
	// storage are the gates of claims, which have quotas of their own.
	storage    *queue.Gates
	workspaces *workspaces
	graphs     *graphCache
	// versions are those of the DAGs as they were last read.
	versions *versionCache
	leases   *otherLeases
	// dagLocks and taskLocks are held while a DAG, a DagTask, is read live and stored.
	dagLocks, taskLocks *nameLocks
	status              *projections
	reaped              *informer.UIDSet
	reaping             *informer.UIDSet // by a worker, at this moment
	// The objects whose syncs fail.
	runTroubles                   *troubles[queue.RunKey]
	dagTroubles, scheduleTroubles *troubles[cache.ObjectName]
	// fail ends the term; the first error wins.
	fail context.CancelCauseFunc

	scheduler *schedule.Scheduler

	// What makes way for starts: DagRuns to be told their end, ended Pods to be deleted.
	finalStatus *queue.Queue[queue.RunKey]
	over        *queue.Queue[cache.ObjectName]
	rush        rush

	retention *retention.Cleaner
	// releases are the deleted objects that a finalizer of the existing Kontroler holds.
	releases  *queue.Queue[releaseKey]
	podEvents *podevents.Keeper
	deletions *deletions
	notifier  *webhook.Notifier
	logs      *logs.Keeper
}

// Lead works as the leader until ctx ends, then lets what is under way finish (at most ten seconds). It returns nil then,
// store.ErrFenced when another leader has taken over.
func (c *Controller) Lead(ctx context.Context, db *store.Leader) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	c.led.Store(true)
	t := &term{
		Controller: c, db: db, clock: newClock(), fail: fail,
		dags: queue.New[cache.ObjectName]("dags", c.Metrics), finishedPods: queue.New[cache.ObjectName]("pods", c.Metrics),
		pending: newPending(), wakes: queue.NewAlarms[queue.RunKey](), workspaces: newWorkspaces(), graphs: newGraphCache(graphBytesCached),
		versions: newVersionCache(), leases: newOtherLeases(), dagLocks: newNameLocks(), taskLocks: newNameLocks(), reaped: informer.NewUIDSet(), reaping: informer.NewUIDSet(),
	}
	t.runTroubles, t.dagTroubles, t.scheduleTroubles = newTroubles[queue.RunKey](), newTroubles[cache.ObjectName](), newTroubles[cache.ObjectName]()
	t.admissions = queue.New[queue.RunKey]("admissions", c.Metrics)
	t.runs = queue.NewOrdered("runs", c.Metrics, queue.NewPriority(t.pending.isUrgent))
	t.tasks = queue.New[cache.ObjectName]("dagtasks", c.Metrics)
	t.scheduler, t.retention = t.newScheduler(), t.newCleaner()
	t.finalStatus, t.over = queue.New[queue.RunKey]("ends", c.Metrics), queue.New[cache.ObjectName]("over", c.Metrics)
	t.releases = queue.New[releaseKey]("releases", c.Metrics)
	t.deletions, t.podEvents = newDeletions(), t.newPodEvents()
	t.notifier = webhook.New(webhook.Config{
		Outbox: db, Kube: c.Kube, ControllerID: c.ID, Guard: c.guard, Webhook: t.webhook, DAG: c.dagSource.Get,
		Events: c.events, Now: t.now, Failed: t.failed, Metrics: c.Metrics, Log: c.Log,
	})
	t.logs = logs.New(logs.Config{
		Kube: c.Kube.CoreV1(), DB: db, Pods: &c.podSource, Limit: c.LogLimit, Policy: t.logPolicy,
		Enqueue: t.finishedPods.Add, EnqueueAfter: t.finishedPods.AddAfter,
		Failed: t.failed, Now: t.now, Metrics: c.Metrics, Log: c.Log,
	})
	defer t.shutDown()
	t.slots = queue.NewSlots(c.MaxPods, func(key queue.RunKey) {
		t.pending.slotReserved(key)
		t.runs.Add(key)
	})
	t.gates, t.storage = queue.NewGates(t.runs.Add), queue.NewGates(t.runs.Add)
	t.status = newProjections()
	if !cache.WaitForCacheSync(ctx.Done(), c.Synced) {
		return nil
	}
	for err := t.resume(ctx); err != nil; err = t.resume(ctx) {
		if !store.IsUnavailable(err) {
			return err
		}
		if !wait.For(ctx, time.Second) {
			return nil
		}
	}
	fault.Point("term-resumed")
	release, err := t.watch()
	if err != nil {
		return err
	}
	defer release()
	t.work(ctx)
	if cause := context.Cause(ctx); errors.Is(cause, store.ErrFenced) {
		return cause
	}
	return nil
}

// newPodEvents makes the Keeper that stores the Events of this term's Pods.
func (t *term) newPodEvents() *podevents.Keeper {
	return podevents.New(podevents.Config{
		Events: t.Kube.CoreV1(), Database: t.db, ControllerID: t.ID, Namespaces: t.namespaces(), CachedPod: t.cachedPod,
		Enqueue: t.touched, Fenced: t.fail, Now: t.now, Metrics: t.Metrics, Log: t.Log,
	})
}

// newScheduler makes the scheduler of a term.
func (t *term) newScheduler() *schedule.Scheduler {
	return schedule.New(schedule.Config{
		DB: t.db, Client: t.Client, ControllerID: t.ID, Since: t.Since, StatusWorkers: t.Workers,
		Now: t.now, Log: t.Log, Events: t.events, Metrics: t.Metrics,
		CachedDAG: t.dagSource.Get, CachedRun: t.cachedRun, SetCondition: t.setDAGCondition,
		Synced: func(ctx context.Context, dag cache.ObjectName, err error) {
			_ = t.noteDAG(ctx, dag, v1alpha1.DAGScheduled, t.scheduleTroubles, err)
		},
		Failed: t.failed, Retire: func(key queue.RunKey) { t.retention.RunFreed(key) }, MakeWay: t.makeWay,
	})
}

// newCleaner makes the retention of a term.
func (t *term) newCleaner() *retention.Cleaner {
	return retention.New(retention.Config{
		Client: t.Client, History: t.db, DAGs: &t.dagSource, DagRuns: &t.runSource, Pods: &t.podSource, ControllerID: t.ID,
		HistoryRetention: t.HistoryRetention, Now: t.now, Failed: t.failed, Metrics: t.Metrics, Log: t.Log,
	})
}

// resume puts every live run on the queue: a start needs the rows and a fresh list, nothing else. Before the first write
// there is a partition for it, unless something holds the table, as a backup does: the default one takes it then.
func (t *term) resume(ctx context.Context) error {
	if err := t.readClock(ctx); err != nil {
		return err
	}
	if err := t.db.Maintain(ctx, t.now()); errors.Is(err, store.ErrConflict) || store.IsUnavailable(err) {
		t.Log.Warn("maintaining the database: tried again in a minute", "error", err)
	} else if err != nil {
		return fmt.Errorf("maintaining the database: %w", err)
	}
	t.podSource.All(func(p *corev1.Pod) {
		if pod.IsLive(p) {
			t.slots.Seen(cache.MetaObjectToName(p))
		}
	})
	for after, more := int64(0), true; more; {
		keys, err := t.db.LiveRuns(ctx, leader.Shard, after, resumePage)
		if err != nil {
			return fmt.Errorf("listing live runs: %w", err)
		}
		for _, key := range keys {
			after = key.ID
			if !t.watches(key.Namespace) {
				t.Log.Warn("run is in a namespace outside --namespaces; it stays paused until that namespace is included",
					"namespace", key.Namespace, "run", key.Name)
				continue
			}
			t.pending.full(queue.RunKey(key.UID))
			t.runs.Add(queue.RunKey(key.UID))
		}
		more = len(keys) == resumePage
	}
	if err := resumeDeleted(ctx, t, t.db.DAGs, &t.dagSource, t.dags); err != nil {
		return err
	}
	return resumeDeleted(ctx, t, t.db.DagTasks, &t.taskSource, t.tasks)
}

// resumeDeleted looks at the objects of a kind that were deleted while nobody led.
func resumeDeleted[T informer.Object](ctx context.Context, t *term, list func(context.Context, int64, int) ([]store.ObjectKey, error), there *informer.Set[T], queue *queue.Queue[cache.ObjectName]) error {
	for after, more := int64(0), true; more; {
		keys, err := list(ctx, after, resumePage)
		if err != nil {
			return err
		}
		for _, key := range keys {
			name := cache.NewObjectName(key.Namespace, key.Name)
			if _, there := there.Get(name); !there && t.watches(key.Namespace) {
				queue.Add(name)
			}
			after = key.ID
		}
		more = len(keys) == resumePage
	}
	return nil
}

func (c *Controller) watches(namespace string) bool {
	return len(c.Namespaces) == 0 || slices.Contains(c.Namespaces, namespace)
}

// resumePage is how many rows a start reads at once.
const resumePage = 1000

// work runs the term's goroutines until ctx ends, then drains them.
func (t *term) work(ctx context.Context) {
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var workers, loops sync.WaitGroup
	start := func(n int, run func()) {
		for range n {
			workers.Go(run)
		}
	}
	start(t.Workers, func() { t.admissions.Work(working, t.syncAdmission, t.failed) })
	start(t.Workers, func() { t.runs.Work(working, t.syncRun, t.failed) })
	start(4, func() { t.dags.Work(working, t.syncDAG, t.failed) })
	start(4, func() { t.tasks.Work(working, t.syncTask, t.failed) })
	t.scheduler.Start(working, start)
	start(t.Workers+logs.ReadsAtOnce, func() { t.finishedPods.Work(working, t.reap, t.failed) })
	start(t.Workers, func() { t.finalStatus.Work(working, t.syncFinalStatus, t.failed) })
	start(t.Workers, func() { t.over.Work(working, t.reapOver, t.failed) })
	start(releaseWorkers, func() { t.releases.Work(working, t.syncRelease, t.failed) })
	start(1, func() { t.notifier.Run(ctx, working) })
	start(1, func() { t.retention.Run(ctx, working) })
	for _, loop := range []func(context.Context){
		func(ctx context.Context) { t.wakes.Watch(ctx, t.now, t.runs.Add) },
		t.scheduler.Run, t.watchClaims, t.projectProgress, t.correctOutage, t.maintain, t.podEvents.Run, t.db.Notify, t.logs.Run, t.probeNamespaces,
	} {
		loops.Go(func() { loop(ctx) })
	}
	<-ctx.Done()
	t.shutDown()
	drained := make(chan struct{})
	go func() { workers.Wait(); close(drained) }()
	select {
	case <-drained:
	case <-time.After(10 * time.Second):
		stop()
		<-drained
	}
	loops.Wait()
}

// shutDown ends the queues: what still waits is for the next term.
func (t *term) shutDown() {
	for _, queue := range []interface{ ShutDown() }{
		t.admissions, t.runs, t.dags, t.tasks, t.scheduler, t.finishedPods, t.finalStatus, t.over, t.retention, t.releases,
	} {
		queue.ShutDown()
	}
}

// failed sees every error of a sync first: a fenced leader is none any more.
func (t *term) failed(err error) {
	switch {
	case errors.Is(err, store.ErrFenced):
		t.fail(err)
	case apierrors.IsConflict(err):
		t.Log.Debug("will be synced again", "error", err)
	default:
		t.Log.Warn("will be synced again", "error", err)
	}
}

// maintain keeps the partitions of the coming month and the clock, every minute.
func (t *term) maintain(ctx context.Context) {
	for wait.For(ctx, time.Minute) {
		if err := t.readClock(ctx); err != nil && ctx.Err() == nil {
			t.failed(err)
		}
		if err := t.db.Maintain(ctx, t.now()); err != nil && ctx.Err() == nil {
			t.failed(fmt.Errorf("maintaining the database: %w", err))
		}
	}
}
