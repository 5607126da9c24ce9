package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/clock"
	"kontroler/controller/conditions"
	"kontroler/controller/existing"
	"kontroler/controller/informer"
	"kontroler/controller/kube"
	"kontroler/controller/leader"
	"kontroler/controller/logs"
	"kontroler/controller/pod"
	"kontroler/controller/podevents"
	"kontroler/controller/queue"
	"kontroler/controller/retention"
	"kontroler/controller/schedule"
	"kontroler/controller/versions"
	"kontroler/controller/wait"
	"kontroler/controller/webhook"
	"kontroler/store"
)

// term is one term of leadership. Everything in it may be lost at any instant.
type term struct {
	*core
	gatekeeper *gatekeeper
	conditions *dagConditions
	dags       *dagReconciler
	admissions *admitter
	runs       *runReconciler
	pods       *podReaper
	status     *statusWriter
	existing   *existing.Releaser
}

// newTerm makes the parts of a term. fail ends it.
func newTerm(controller *Controller, db *store.Leader, fail context.CancelCauseFunc) *term {
	c := &core{
		cfg: &controller.cfg, cached: controller.cached, db: db, clock: clock.New(), events: controller.events,
		Failures: queue.NewFailures(controller.cfg.Log, controller.cfg.DatabaseAway, fail),
		backlog:  newBacklog(&controller.cfg, controller.cached.namespaceOf),
	}
	metrics := c.cfg.Metrics
	t := &term{core: c, conditions: newDAGConditions(c)}
	t.gatekeeper = &gatekeeper{core: c,
		pods: queue.NewGates(t.backlog.queue.Add), claims: queue.NewGates(t.backlog.queue.Add)}
	graphs := versions.New(db.DAGs, versions.CacheBytes)
	workspaces := &workspaces{
		core:       c,
		gatekeeper: t.gatekeeper,
		graphs:     graphs,
		runs:       map[queue.RunKey]*workspace{},
	}
	t.dags = newDAGReconciler(c, graphs, t.conditions)
	t.status = &statusWriter{
		core:        c,
		queue:       queue.New("ends", metrics, c.cached.namespaceOf),
		projections: newProjections(metrics, c.cached.namespaceOf),
		syncErrors:  conditions.NewSyncErrors[queue.RunKey](),
		workspaces:  workspaces,
	}
	t.pods = &podReaper{core: c, queue: queue.New("pods", metrics, queue.ByName),
		counted: queue.NewCounted()}
	t.admissions = &admitter{
		core:   c,
		queue:  queue.New("admissions", metrics, c.cached.namespaceOf),
		dags:   t.dags,
		status: t.status,
	}
	t.runs = &runReconciler{core: c, graphs: graphs, workspaces: workspaces,
		gatherer:  &gatherer{core: c, gatekeeper: t.gatekeeper, workspaces: workspaces, graphs: graphs},
		podWriter: &podWriter{core: c, gatekeeper: t.gatekeeper, workspaces: workspaces},
		status:    t.status, pods: t.pods, admissions: t.admissions}
	t.admissions.runs = t.runs
	t.existing = existing.New(existing.Config{
		Client: c.cfg.Client, DAGs: &c.cached.dags, DagTasks: &c.cached.dagTasks, DagRuns: &c.cached.dagRuns,
		Failed: t.Failed, Metrics: metrics, Log: c.cfg.Log,
	})
	c.scheduler, c.retention, c.podEvents = t.newScheduler(), t.newCleaner(), t.newPodEvents()
	c.notifier, c.logs = t.newNotifier(controller.guard, graphs), t.newLogs(graphs)
	return t
}

// newPodEvents makes the Keeper that stores the Events of this term's Pods.
func (t *term) newPodEvents() *podevents.Keeper {
	return podevents.New(podevents.Config{
		Events:       t.cfg.Kube.CoreV1(),
		Database:     t.db.PodEvents,
		ControllerID: t.cfg.ID,
		Namespaces:   t.cfg.namespaces(),
		CachedPod:    t.cached.pods.WithUID,
		Enqueue:      t.backlog.touched,
		Failed:       t.Failed,
		Now:          t.now,
		Metrics:      t.cfg.Metrics,
		Log:          t.cfg.Log,
	})
}

// newScheduler makes the scheduler of a term.
func (t *term) newScheduler() *schedule.Scheduler {
	return schedule.New(schedule.Config{
		Schedules:     t.db.Schedules,
		Client:        t.cfg.Client,
		ControllerID:  t.cfg.ID,
		Since:         t.cfg.Since,
		StatusWorkers: workers,
		Now:           t.now,
		Log:           t.cfg.Log,
		Events:        t.events,
		Metrics:       t.cfg.Metrics,
		CachedDAG:     t.cached.dags.Get,
		CachedRun:     t.cached.cachedRun,
		SetCondition:  t.conditions.setDAGCondition,
		Synced: func(ctx context.Context, dag cache.ObjectName, err error) {
			_ = t.conditions.noteDAG(ctx, dag, v1alpha1.DAGScheduled, t.conditions.scheduleErrors, err)
		},
		Failed: t.Failed,
		Retire: func(key queue.RunKey) { t.retention.RunFreed(key) },
	})
}

// newCleaner makes the retention of a term.
func (t *term) newCleaner() *retention.Cleaner {
	return retention.New(retention.Config{
		Client:           t.cfg.Client,
		History:          t.db.History,
		DAGs:             &t.cached.dags,
		DagRuns:          &t.cached.dagRuns,
		Pods:             &t.cached.pods,
		ControllerID:     t.cfg.ID,
		HistoryRetention: t.cfg.HistoryRetention,
		Now:              t.now,
		Failed:           t.Failed,
		Metrics:          t.cfg.Metrics,
		Log:              t.cfg.Log,
	})
}

// newNotifier makes the notifier of a term.
func (t *term) newNotifier(guard webhook.Guard, graphs *versions.Loader) *webhook.Notifier {
	return webhook.New(webhook.Config{
		Outbox:       t.db.Outbox,
		Kube:         t.cfg.Kube,
		ControllerID: t.cfg.ID,
		Guard:        guard,
		Webhook:      graphs.Webhook,
		DAG:          t.cached.dags.Get,
		Events:       t.events,
		Now:          t.now,
		Failed:       t.Failed,
		Metrics:      t.cfg.Metrics,
		Log:          t.cfg.Log,
	})
}

// newLogs makes the Keeper that stores the logs of a term.
func (t *term) newLogs(graphs *versions.Loader) *logs.Keeper {
	return logs.New(logs.Config{
		Kube:         t.cfg.Kube.CoreV1(),
		Logs:         t.db.Logs,
		CachedPod:    t.cached.pods.Get,
		Limit:        t.cfg.LogLimit,
		Policy:       graphs.LogPolicy,
		Enqueue:      t.pods.queue.Add,
		EnqueueAfter: t.pods.queue.AddAfter,
		Failed:       t.Failed,
		Now:          t.now,
		Metrics:      t.cfg.Metrics,
		Log:          t.cfg.Log,
	})
}

// resume enqueues every live run. It needs only the rows and synced caches. It first creates missing partitions. If
// that fails because a table is locked, for example by a backup, rows go to the default partition.
func (t *term) resume(ctx context.Context) error {
	if err := t.clock.ReadFrom(ctx, t.db.Clock, t.cfg.Log); err != nil {
		return err
	}
	if err := t.db.History.Maintain(ctx, t.now()); errors.Is(err, store.ErrConflict) || store.IsUnavailable(err) {
		t.cfg.Log.Warn("maintaining the database failed; next try in a minute", "error", err)
	} else if err != nil {
		return fmt.Errorf("maintaining the database: %w", err)
	}
	t.cached.pods.All(func(p *corev1.Pod) {
		if pod.IsLive(p) && kube.HasFinalizer(p) {
			t.backlog.slots.Seen(cache.MetaObjectToName(p))
		}
	})
	for after, more := int64(0), true; more; {
		keys, err := t.db.LiveRuns(ctx, leader.Shard, after, resumePage)
		if err != nil {
			return fmt.Errorf("listing live runs: %w", err)
		}
		for _, key := range keys {
			after = key.ID
			if !t.cfg.watches(key.Namespace) {
				t.cfg.Log.Warn(
					"run is in a namespace outside --namespaces; it stays paused until that namespace is included",
					"namespace", key.Namespace, "run", key.Name)
				continue
			}
			t.backlog.pending.Full(queue.RunKey(key.UID))
			t.backlog.queue.Add(queue.RunKey(key.UID))
		}
		more = len(keys) == resumePage
	}
	return nil
}

// findDeleted enqueues the DAGs and DagTasks that were deleted while there was no leader. It must be called after the
// event handlers are registered, which see every later deletion.
func (t *term) findDeleted(ctx context.Context) {
	for {
		err := cmp.Or(enqueueDeleted(ctx, t.cfg, t.db.DAGs.List, &t.cached.dags, t.dags.queue),
			enqueueDeleted(ctx, t.cfg, t.db.DagTasks.List, &t.cached.dagTasks, t.dags.taskQueue))
		if err == nil || !wait.For(ctx, time.Second) {
			return
		}
		t.Failed(err)
	}
}

// enqueueDeleted enqueues the objects of a kind that have a row and no longer exist.
func enqueueDeleted[T informer.Object](
	ctx context.Context, cfg *Config, list func(context.Context, int64, int) ([]store.ObjectKey, error),
	cached *informer.Set[T], deleted *queue.Queue[cache.ObjectName],
) error {
	for after, more := int64(0), true; more; {
		keys, err := list(ctx, after, resumePage)
		if err != nil {
			return err
		}
		for _, key := range keys {
			name := cache.NewObjectName(key.Namespace, key.Name)
			if _, exists := cached.Get(name); !exists && cfg.watches(key.Namespace) {
				deleted.Add(name)
			}
			after = key.ID
		}
		more = len(keys) == resumePage
	}
	return nil
}

const (
	// resumePage is how many rows one query reads at the start of a term.
	resumePage = 1000
	// workers is how many runs of one namespace are synced concurrently. dagWorkers is the same for DAGs, and for
	// DagTasks.
	workers, dagWorkers = 8, 4
)

// work runs the goroutines of the term until ctx ends. Syncs that are running then have ten seconds to finish before
// they are cancelled.
func (t *term) work(ctx context.Context) {
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var syncs, loops sync.WaitGroup
	start := func(n int, run func()) {
		for range n {
			syncs.Go(run)
		}
	}
	start(queue.WorkersFor(workers), func() { t.admissions.queue.Work(working, t.admissions.syncAdmission, t.Failed) })
	start(queue.WorkersFor(workers), func() { t.backlog.queue.Work(working, t.runs.syncRun, t.Failed) })
	start(queue.WorkersFor(dagWorkers), func() { t.dags.queue.Work(working, t.dags.syncDAG, t.Failed) })
	start(queue.WorkersFor(dagWorkers), func() { t.dags.taskQueue.Work(working, t.dags.syncTask, t.Failed) })
	t.scheduler.Start(working, start)
	start(queue.WorkersFor(workers+logs.ReadsAtOnce), func() { t.pods.queue.Work(working, t.pods.sync, t.Failed) })
	start(queue.WorkersFor(workers), func() { t.status.queue.Work(working, t.status.syncFinalStatus, t.Failed) })
	start(queue.WorkersFor(projectionWorkers), func() {
		t.status.projections.Work(working, t.status.syncProjection, t.Failed)
	})
	start(1, func() { t.existing.Run(working) })
	start(1, func() { t.notifier.Run(ctx, working) })
	start(1, func() { t.retention.Run(ctx, working) })
	for _, loop := range []func(context.Context){
		func(ctx context.Context) { t.status.projections.earn(ctx, t.cfg.Writes) },
		func(ctx context.Context) { t.backlog.alarms.Watch(ctx, t.now, t.backlog.queue.Add) },
		t.scheduler.Run, t.dags.watchClaims, t.maintain,
		t.podEvents.Run, t.db.Notify, t.logs.Run, t.gatekeeper.probeNamespaces, t.findDeleted, t.Failures.Watch,
	} {
		loops.Go(func() { loop(ctx) })
	}
	<-ctx.Done()
	t.shutDown()
	drained := make(chan struct{})
	go func() { syncs.Wait(); close(drained) }()
	select {
	case <-drained:
	case <-time.After(10 * time.Second):
		stop()
		<-drained
	}
	loops.Wait()
}

// shutDown shuts the queues down. The next term enqueues the remaining keys again.
func (t *term) shutDown() {
	for _, queue := range []interface{ ShutDown() }{
		t.admissions.queue, t.backlog.queue, t.dags.queue, t.dags.taskQueue, t.scheduler, t.pods.queue,
		t.status.queue, t.status.projections, t.retention, t.existing,
	} {
		queue.ShutDown()
	}
}

// maintain reads the clock and makes the partitions of the coming month, every minute.
func (t *term) maintain(ctx context.Context) {
	for wait.For(ctx, time.Minute) {
		if err := t.clock.ReadFrom(ctx, t.db.Clock, t.cfg.Log); err != nil && ctx.Err() == nil {
			t.Failed(err)
		}
		if err := t.db.History.Maintain(ctx, t.now()); err != nil && ctx.Err() == nil {
			t.Failed(fmt.Errorf("maintaining the database: %w", err))
		}
	}
}
