package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/fault"
	"kontroler/controller/informer"
	"kontroler/controller/kube"
	"kontroler/controller/pod"
	"kontroler/controller/queue"
	"kontroler/controller/wait"
	"kontroler/store"
)

const (
	// defaultHistoryLimit is how many ended DagRuns of a schedule are kept of each kind, where the DAG does not say.
	defaultHistoryLimit = 10
	// deletesPerSync bounds one sync of a schedule's limits; the next follows when the deletions are seen.
	deletesPerSync = 100
	// retentionWorkers is how many DagRuns are deleted at once: a start with many that are due floods no API server.
	retentionWorkers = 2
	// trimEvery is how often history is looked through for what is old enough to go.
	trimEvery = 10 * time.Minute
	// trimRest is how many times as long as a batch took the next one waits: trimming takes a fifth of one connection.
	trimRest = 4
)

// retirement is what deletes DagRuns: each once its time to live is over, and those of a schedule beyond its limits.
type retirement struct {
	expiries *queue.Queue[queue.RunKey]
	// due is when the time to live of each is over.
	due    *queue.Alarms[queue.RunKey]
	limits *queue.Queue[cache.ObjectName] // by the name of the DAG
	// deleted are DagRuns whose deletion was asked for, until it is seen.
	deleted *informer.UIDSet
}

func newRetirement(metrics *Metrics) *retirement {
	return &retirement{queue.New[queue.RunKey]("expiries", metrics), queue.NewAlarms[queue.RunKey](), queue.New[cache.ObjectName]("limits", metrics), informer.NewUIDSet()}
}

// isOver reports that a DagRun is this controller's, was told its end, and is not being deleted yet.
func (t *term) isOver(run *v1alpha1.DagRun) bool {
	return run.Status.Phase.Ended() && run.Status.Controller == t.ID && run.DeletionTimestamp == nil && !t.retirement.deleted.Has(run.UID)
}

// retire has a DagRun that is over looked at by all that may delete it.
func (t *term) retire(run *v1alpha1.DagRun) {
	if !t.isOver(run) {
		return
	}
	if _, expires := t.expiry(run); expires {
		t.retirement.expiries.Add(queue.RunKey(run.UID))
	}
	if owner := scheduleOf(run); owner != nil {
		t.retirement.limits.Add(cache.NewObjectName(run.Namespace, owner.Name))
	}
}

// retireByUID does so for the DagRun of a Pod that is gone, or of a tick.
func (t *term) retireByUID(key queue.RunKey) {
	if run := t.cachedRun(key); run != nil {
		t.retire(run)
	}
}

// retentionChanged: the DAG's spec may keep its DagRuns for another time.
func (t *term) retentionChanged(old, d *v1alpha1.DAG) {
	if old != nil && old.UID == d.UID && old.Generation == d.Generation {
		return
	}
	t.retirement.limits.Add(cache.MetaObjectToName(d))
	if d.Spec.TTLSecondsAfterFinished == nil {
		return
	}
	for _, run := range t.runSource.By(informer.ByDAG, d.Namespace+"/"+d.Name) {
		t.retire(run)
	}
}

// scheduleOf is the DAG object whose schedule made a DagRun; nil: it was made otherwise.
func scheduleOf(run *v1alpha1.DagRun) *metav1.OwnerReference {
	owner := metav1.GetControllerOfNoCopy(run)
	if owner == nil || owner.Kind != "DAG" || run.Labels[v1alpha1.LabelScheduled] != "true" {
		return nil
	}
	return owner
}

// expiry is when a DagRun's time to live is over. Its DAG's present spec says how long that is, as its author expects who
// edits it; the DagRuns of a DAG that is gone have nobody who says so.
func (t *term) expiry(run *v1alpha1.DagRun) (due time.Time, expires bool) {
	d, there := t.dagSource.Get(cache.NewObjectName(run.Namespace, run.Spec.DagName))
	if !there || d.Spec.TTLSecondsAfterFinished == nil || run.Status.CompletionTime == nil {
		return time.Time{}, false
	}
	return run.Status.CompletionTime.Add(time.Duration(*d.Spec.TTLSecondsAfterFinished) * time.Second), true
}

// syncExpiry deletes a DagRun whose time to live is over, or waits for that.
func (t *term) syncExpiry(ctx context.Context, key queue.RunKey) error {
	run := t.cachedRun(key)
	if run == nil || !t.isOver(run) {
		return nil
	}
	due, expires := t.expiry(run)
	if expires && t.now().Before(due) {
		t.retirement.due.Set(key, due)
		if t.cachedRun(key) == nil {
			t.retirement.due.Drop(key) // it was deleted meanwhile
		}
		return nil
	}
	if !expires || t.hasPods(run.UID) {
		return nil
	}
	return t.deleteRun(ctx, run, "ttl")
}

// syncLimits deletes the oldest DagRuns that a DAG object's schedule made beyond those that it keeps.
func (t *term) syncLimits(ctx context.Context, name cache.ObjectName) error {
	d, there := t.dagSource.Get(name)
	if !there || d.DeletionTimestamp != nil {
		return nil // they go with their DAG
	}
	var succeeded, failed []*v1alpha1.DagRun
	for _, run := range t.runSource.By(informer.BySchedule, string(d.UID)) {
		switch {
		case !t.isOver(run):
		case run.Status.Phase == v1alpha1.RunSucceeded:
			succeeded = append(succeeded, run)
		default:
			failed = append(failed, run)
		}
	}
	surplus := append(beyond(succeeded, d.Spec.SuccessfulRunsHistoryLimit), beyond(failed, d.Spec.FailedRunsHistoryLimit)...)
	surplus = slices.DeleteFunc(surplus, func(run *v1alpha1.DagRun) bool { return t.hasPods(run.UID) })
	for _, run := range surplus[:min(len(surplus), deletesPerSync)] {
		if err := t.deleteRun(ctx, run, "limit"); err != nil {
			return err
		}
	}
	return nil
}

// beyond returns all but the newest runs, by when they were due.
func beyond(runs []*v1alpha1.DagRun, limit *int32) []*v1alpha1.DagRun {
	kept := defaultHistoryLimit
	if limit != nil {
		kept = int(*limit)
	}
	slices.SortFunc(runs, func(a, b *v1alpha1.DagRun) int {
		// RFC 3339 in UTC sorts as text.
		return cmp.Or(-cmp.Compare(a.Annotations[v1alpha1.AnnotationScheduledAt], b.Annotations[v1alpha1.AnnotationScheduledAt]), cmp.Compare(a.Name, b.Name))
	})
	return runs[min(len(runs), kept):]
}

// hasPods reports whether Pods of the run still exist. Deleting the DagRun now would garbage-collect Pods whose logs
// have not been read. When the last Pod goes, the run is enqueued again.
func (t *term) hasPods(uid types.UID) bool {
	pods := t.podSource.By(informer.ByRun, string(uid))
	return slices.ContainsFunc(pods, func(p *corev1.Pod) bool { return pod.OwnerUID(p) == string(uid) })
}

// deleteRun deletes a DagRun that is over, unless its rows say that it is not: of a database that was restored they may be
// live, and then their end has it looked at again; or its schedule is about to look for it.
func (t *term) deleteRun(ctx context.Context, run *v1alpha1.DagRun, why string) error {
	over, err := t.db.RunOver(ctx, string(run.UID), run.Namespace, run.Name)
	if err != nil || !over {
		return err
	}
	fault.Point("run-delete")
	t.retirement.deleted.Add(run.UID)
	background := metav1.DeletePropagationBackground
	err = t.Client.KontrolerV1alpha1().DagRuns(run.Namespace).Delete(ctx, run.Name, metav1.DeleteOptions{
		Preconditions: kube.WithUID(string(run.UID)), PropagationPolicy: &background})
	if err != nil && !kube.IsGone(err) {
		t.retirement.deleted.Remove(run.UID)
		return fmt.Errorf("deleting DagRun %s/%s: %w", run.Namespace, run.Name, err)
	}
	fault.Point("run-deleted")
	if t.cachedRun(queue.RunKey(run.UID)) == nil {
		t.retirement.deleted.Remove(run.UID) // its deletion was seen before
	}
	t.Metrics.DagRunDeleted(why)
	t.Log.Info("DagRun deleted; its history stays", "namespace", run.Namespace, "run", run.Name, "dag", run.Spec.DagName, "phase", run.Status.Phase, "by", why)
	return nil
}

// trim removes the changes of more than two days ago, and history that is older than --history-retention: immediately, and
// then every ten minutes.
func (t *term) trim(ctx context.Context) {
	for {
		if err := t.trimOnce(ctx); err != nil && ctx.Err() == nil {
			t.failed(fmt.Errorf("trying again in %s: %w", trimEvery, err))
		}
		if !wait.For(ctx, trimEvery) {
			return
		}
	}
}

func (t *term) trimOnce(ctx context.Context) error {
	total, log := store.Removed{}, []any{}
	retention := store.Retention{
		Now: t.now(), Keep: t.HistoryRetention, Spare: t.retained,
		Next: func(removed store.Removed, took time.Duration) error {
			fault.Point("history-trimmed")
			for kind, n := range removed {
				t.Metrics.HistoryRemoved(kind, n)
				total[kind] += n
			}
			wait.For(ctx, trimRest*took)
			return ctx.Err()
		},
	}
	err := t.db.TrimChanges(ctx, retention)
	if t.HistoryRetention > 0 {
		err = errors.Join(err, t.db.Trim(ctx, retention))
	}
	for _, kind := range []string{"run", "task", "attempt", "notification", "version", "schedule", "partition", "row"} {
		if n := total[kind]; n > 0 {
			log = append(log, kind+"s", n)
		}
	}
	if len(log) > 0 {
		t.Log.Info("history trimmed", log...)
	}
	return err
}

// retained reports whether the rows of an ended run are still needed: its DagRun status is not final yet, or it has
// Pods.
func (t *term) retained(uid string) bool {
	run := t.cachedRun(queue.RunKey(uid))
	return run != nil && !run.Status.Phase.Ended() || t.hasPods(types.UID(uid))
}
