package controller

import (
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/informer"
	"kontroler/controller/pod"
	"kontroler/controller/queue"
)

// caches hold the objects that are watched, trimmed to the fields that are read. They hold only the Pods of this
// controller.
type caches struct {
	dags     informer.Set[*v1alpha1.DAG]
	dagTasks informer.Set[*v1alpha1.DagTask]
	dagRuns  informer.Set[*v1alpha1.DagRun]
	pods     informer.Set[*corev1.Pod]
}

// newCaches makes empty caches.
func newCaches(cfg *Config) *caches {
	c := &caches{}
	for _, namespace := range cfg.namespaces() {
		kontroler := cfg.Client.KontrolerV1alpha1()
		c.add(watched{
			dags: kontroler.DAGs(namespace), dagTasks: kontroler.DagTasks(namespace),
			dagRuns: kontroler.DagRuns(namespace), pods: cfg.Kube.CoreV1().Pods(namespace),
		}, cfg.ID)
	}
	return c
}

// watched has a client for each kind that caches hold.
type watched struct {
	dags     informer.Client[*v1alpha1.DAGList]
	dagTasks informer.Client[*v1alpha1.DagTaskList]
	dagRuns  informer.Client[*v1alpha1.DagRunList]
	pods     informer.Client[*corev1.PodList]
}

// add adds an informer for each kind. It selects only the Pods of the controller with this id.
func (c *caches) add(from watched, id string) {
	mine := labels.SelectorFromSet(labels.Set{v1alpha1.LabelController: id}).String()
	informer.AddTo(&c.dags, from.dags, "", informer.TrimDAG, cache.Indexers{informer.ByTask: indexTask})
	informer.AddTo(&c.dagTasks, from.dagTasks, "", informer.TrimDagTask, cache.Indexers{})
	informer.AddTo(&c.dagRuns, from.dagRuns, "", informer.TrimDagRun, cache.Indexers{
		informer.ByUID: informer.IndexUID, informer.ByDAG: indexDAG, informer.ByWaiting: indexWaiting,
		informer.BySchedule: indexSchedule,
	})
	informer.AddTo(&c.pods, from.pods, mine, pod.Trim, cache.Indexers{
		informer.ByUID: informer.IndexUID, informer.ByRun: indexRun,
	})
}

// run starts the watches, which end with ctx.
func (c *caches) run(ctx context.Context) {
	c.dags.Run(ctx)
	c.dagTasks.Run(ctx)
	c.dagRuns.Run(ctx)
	c.pods.Run(ctx)
}

// hasSynced reports whether every watch has delivered its first list.
func (c *caches) hasSynced() bool {
	return c.dags.HasSynced() && c.dagTasks.HasSynced() && c.dagRuns.HasSynced() && c.pods.HasSynced()
}

func indexDAG(obj any) ([]string, error) {
	run := obj.(*v1alpha1.DagRun)
	return []string{run.Namespace + "/" + run.Spec.DagName}, nil
}

func indexWaiting(obj any) ([]string, error) {
	run := obj.(*v1alpha1.DagRun)
	if run.Status.RunID != 0 || run.Status.Phase.Ended() || run.IsOtherKontrolers() {
		return nil, nil
	}
	return indexDAG(obj)
}

func indexSchedule(obj any) ([]string, error) {
	if owner := obj.(*v1alpha1.DagRun).ScheduleOwner(); owner != nil {
		return []string{string(owner.UID)}, nil
	}
	return nil, nil
}

func indexTask(obj any) ([]string, error) {
	d := obj.(*v1alpha1.DAG)
	names := make([]string, len(d.Spec.Task))
	for i := range d.Spec.Task {
		names[i] = d.Namespace + "/" + d.Spec.Task[i].TaskRef.Name
	}
	return names, nil
}

func indexRun(obj any) ([]string, error) {
	if uid, ok := pod.RunUID(obj.(*corev1.Pod)); ok {
		return []string{uid}, nil
	}
	return nil, nil
}

// watch registers the event handlers, which feed the queues. They first receive the objects that are cached already.
// release removes them. It must be called even after an error.
func (t *term) watch() (release func(), err error) {
	dags, dagsErr := t.cached.dags.Handle(t.dagChanged, t.dagDeleted)
	tasks, tasksErr := t.cached.dagTasks.Handle(t.taskChanged, t.taskDeleted)
	runs, runsErr := t.cached.dagRuns.Handle(t.runChanged, t.runDeleted)
	pods, podsErr := t.cached.pods.Handle(t.podChanged, t.podDeleted)
	return func() { dags(); tasks(); runs(); pods() }, errors.Join(dagsErr, tasksErr, runsErr, podsErr)
}

// dagChanged enqueues a DAG, and the DagRuns that wait for it.
func (t *term) dagChanged(old, dag *v1alpha1.DAG) {
	t.existing.Enqueue("dags", dag)
	t.scheduler.Changed(old, dag)
	t.retention.DagChanged(old, dag)
	if old != nil && old.Generation == dag.Generation && old.Status.Controller == dag.Status.Controller &&
		old.UID == dag.UID {
		return
	}
	t.dags.queue.Add(cache.MetaObjectToName(dag))
	if last := dag.Status.LastRun; last == nil || !last.Phase.Ended() {
		t.status.projections.lastRun(cache.MetaObjectToName(dag)) // an earlier leader may have died before it wrote it
	}
	t.enqueueWaiting(dag)
}

// enqueueWaiting enqueues the DagRuns of a DAG that are not admitted.
func (t *term) enqueueWaiting(dag *v1alpha1.DAG) {
	for _, run := range t.cached.dagRuns.By(informer.ByWaiting, cache.MetaObjectToName(dag).String()) {
		t.admissions.queue.Add(queue.RunKey(run.UID))
	}
}

func (t *term) dagDeleted(dag *v1alpha1.DAG) {
	t.dags.queue.Add(cache.MetaObjectToName(dag))
	t.scheduler.Enqueue(cache.MetaObjectToName(dag)) // to drop its timer
}

// taskChanged enqueues a DagTask, and the DAGs that name it.
func (t *term) taskChanged(old, task *v1alpha1.DagTask) {
	t.existing.Enqueue("dagtasks", task)
	same := old != nil && old.Generation == task.Generation && old.UID == task.UID
	if same && old.Status.Controller == task.Status.Controller {
		return
	}
	t.dags.taskQueue.Add(cache.MetaObjectToName(task))
	if !same {
		t.taskTouched(task)
	}
}

func (t *term) taskDeleted(task *v1alpha1.DagTask) {
	t.dags.taskQueue.Add(cache.MetaObjectToName(task))
	t.taskTouched(task)
}

// taskTouched enqueues the DAGs of this controller that name a DagTask, and the DagRuns that may wait for it. A DAG
// whose claim is not cached yet is enqueued when the cache shows the claim.
func (t *term) taskTouched(task *v1alpha1.DagTask) {
	for _, d := range t.cached.dags.By(informer.ByTask, task.Namespace+"/"+task.Name) {
		if d.Status.Controller == t.cfg.ID {
			t.dags.queue.Add(cache.MetaObjectToName(d))
			t.enqueueWaiting(d)
		}
	}
}

// isDeleted reports whether a DagRun does not exist or has a deletionTimestamp.
func isDeleted(run *v1alpha1.DagRun) bool { return run == nil || run.DeletionTimestamp != nil }

// runChanged enqueues a DagRun that may have to be admitted, cancelled or patched. It passes a finished DagRun to
// retention.
func (t *term) runChanged(old, run *v1alpha1.DagRun) {
	if old != nil && old.UID != run.UID {
		t.runDeleted(old) // a relist reports a DagRun that was deleted and created again as an update
	}
	t.existing.Enqueue("dagruns", run)
	if run.IsOtherKontrolers() {
		if !isDisowned(run) {
			t.admissions.queue.Add(queue.RunKey(run.UID))
		}
		return
	}
	if run.Status.Phase.Ended() {
		t.status.reported.Remove(run.UID)
		t.status.unclaimed.Remove(run.UID)
		t.retention.RunEnded(run)
		return
	}
	if run.Status.Reason == reasonDatabaseUnavailable {
		t.status.projections.progress(queue.RunKey(run.UID)) // replaces the outage notice
	}
	if run.Status.RunID != 0 && (old == nil || t.status.unclaimed.Has(run.UID)) {
		t.status.unclaimed.Remove(run.UID)
		t.status.projections.progress(queue.RunKey(run.UID))
	}
	if old != nil && old.UID == run.UID && old.Spec.Cancel == run.Spec.Cancel && isDeleted(old) == isDeleted(run) {
		return
	}
	switch other := run.Status.Controller; {
	case other != "" && other != t.cfg.ID:
	case run.Status.RunID == 0 && !isDeleted(run):
		t.admissions.queue.Add(queue.RunKey(run.UID))
	default:
		t.backlog.queue.Add(queue.RunKey(run.UID))
	}
}

func (t *term) runDeleted(run *v1alpha1.DagRun) {
	t.status.reported.Remove(run.UID)
	t.status.unclaimed.Remove(run.UID)
	t.retention.RunDeleted(run)
	if other := run.Status.Controller; other == "" || other == t.cfg.ID {
		t.backlog.queue.Add(queue.RunKey(run.UID))
	}
}

func (t *term) podChanged(old, p *corev1.Pod) {
	if old != nil && old.UID != p.UID {
		t.podDeleted(old)
		old = nil
	}
	if t.pods.released.Has(p.UID) {
		return
	}
	t.logs.OpenDeleted(old, p)
	if pod.HasStarted(p) {
		t.podEvents.Started(p.UID)
	}
	if old != nil && pod.SameFacts(old, p) {
		return
	}
	uid, _ := pod.RunUID(p)
	if old == nil && uid != "" && !pod.HasStarted(p) && p.DeletionTimestamp == nil {
		t.backlog.appeared(uid, p.Name, t.now().Add(startTime))
		return
	}
	t.backlog.touched(uid, p.Name)
	if old != nil {
		if was, _ := pod.RunUID(old); was != uid {
			t.backlog.touched(was, p.Name) // somebody changed the label: a sync of the owning run restores it
		}
	}
}

// touched records a changed Pod and enqueues its run, if it has one.
func (b *backlog) touched(runUID, pod string) {
	if runUID != "" {
		b.pending.Pod(queue.RunKey(runUID), pod)
		b.queue.Add(queue.RunKey(runUID))
	}
}

// startTime is how long a new Pod may take to start before its run is synced. Most Pods start or end sooner, and the
// sync for that change covers their creation too.
const startTime = 500 * time.Millisecond

// appeared records a new Pod that has not started, and sets an alarm for its run.
func (b *backlog) appeared(runUID, pod string, due time.Time) {
	b.pending.Pod(queue.RunKey(runUID), pod)
	b.alarms.Set(queue.RunKey(runUID), due)
}

// podDeleted is also called for Pods that lost our label, because the watch selects by it. Only a live read tells the
// two apart.
func (t *term) podDeleted(p *corev1.Pod) {
	uid, _ := pod.RunUID(p)
	t.backlog.slots.Release(cache.MetaObjectToName(p))
	t.podEvents.Gone(p)
	t.runs.gatherer.deletions.Drop(p.UID)
	t.retention.RunFreed(queue.RunKey(uid))
	t.logs.Forget(p)
	if t.pods.released.Has(p.UID) {
		t.pods.released.Remove(p.UID)
		return
	}
	t.backlog.touched(uid, p.Name)
}

// liveReadTimeout bounds a live read.
const liveReadTimeout = 10 * time.Second
