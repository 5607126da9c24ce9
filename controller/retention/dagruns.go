package retention

import (
	"cmp"
	"context"
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
)

const (
	// defaultHistoryLimit is how many succeeded DagRuns of a schedule are kept, and how many others, if the DAG sets no
	// limit.
	defaultHistoryLimit = 10
	// maxDeletesPerSync bounds one sync of a DAG. The events of these deletions enqueue the DAG again.
	maxDeletesPerSync = 100
)

// isDeletable reports whether a DagRun is this controller's, has a final status, and is not being deleted.
func (c *Cleaner) isDeletable(run *v1alpha1.DagRun) bool {
	return run.Status.Phase.Ended() && run.Status.Controller == c.ControllerID &&
		run.DeletionTimestamp == nil && !c.deleting.Has(run.UID)
}

// expiry returns when a DagRun's time to live is over. The time to live comes from the DAG's current spec. A DagRun
// whose DAG no longer exists does not expire.
func (c *Cleaner) expiry(run *v1alpha1.DagRun) (due time.Time, expires bool) {
	d, exists := c.DAGs.Get(cache.NewObjectName(run.Namespace, run.Spec.DagName))
	if !exists || d.Spec.TTLSecondsAfterFinished == nil || run.Status.CompletionTime == nil {
		return time.Time{}, false
	}
	return run.Status.CompletionTime.Add(time.Duration(*d.Spec.TTLSecondsAfterFinished) * time.Second), true
}

// syncTimeToLive enqueues the DagRuns of a DAG that expire. There may be many, so the event handler of DAGs does not do
// this itself.
func (c *Cleaner) syncTimeToLive(_ context.Context, dag cache.ObjectName) error {
	for _, run := range c.DagRuns.By(informer.ByDAG, dag.String()) {
		if _, expires := c.expiry(run); expires && c.isDeletable(run) {
			c.expiries.Add(queue.RunKey(run.UID))
		}
	}
	return nil
}

// syncExpiry deletes a DagRun whose time to live is over. For any other DagRun that expires, it sets an alarm.
func (c *Cleaner) syncExpiry(ctx context.Context, key queue.RunKey) error {
	run := c.cachedRun(key)
	if run == nil || !c.isDeletable(run) {
		return nil
	}
	due, expires := c.expiry(run)
	if expires && c.Now().Before(due) {
		c.expiryTimes.Set(key, due)
		if c.cachedRun(key) == nil {
			c.expiryTimes.Drop(key) // RunDeleted may have come before Set
		}
		return nil
	}
	if !expires || c.hasPods(run.UID) {
		return nil
	}
	return c.deleteRun(ctx, run, "ttl")
}

// syncLimits deletes the DagRuns of a DAG's schedule that exceed the limits of the DAG. If a deletion fails because an
// admission webhook hangs, the others are left to the next sync.
func (c *Cleaner) syncLimits(ctx context.Context, name cache.ObjectName) (err error) {
	d, exists := c.DAGs.Get(name)
	if !exists || d.DeletionTimestamp != nil {
		return nil // the garbage collector deletes its DagRuns
	}
	var succeeded, others []*v1alpha1.DagRun
	for _, run := range c.DagRuns.By(informer.BySchedule, string(d.UID)) {
		switch {
		case !c.isDeletable(run):
		case run.Status.Phase == v1alpha1.RunSucceeded:
			succeeded = append(succeeded, run)
		default:
			others = append(others, run)
		}
	}
	surplus := append(
		beyond(d.Spec.SuccessfulRunsHistoryLimit, succeeded), beyond(d.Spec.FailedRunsHistoryLimit, others)...)
	surplus = slices.DeleteFunc(surplus, func(run *v1alpha1.DagRun) bool { return c.hasPods(run.UID) })
	deleted := 0
	for _, run := range surplus {
		began := time.Now()
		failed := c.deleteRun(ctx, run, "limit")
		if failed == nil {
			deleted++
		}
		err = cmp.Or(err, failed) // continue with the others
		if deleted == maxDeletesPerSync || kube.Hung(failed, began) {
			break
		}
	}
	return err
}

// beyond returns the runs beyond a limit: all but the newest by due time. It sorts runs. A nil limit is the default.
func beyond(limit *int32, runs []*v1alpha1.DagRun) []*v1alpha1.DagRun {
	kept := defaultHistoryLimit
	if limit != nil {
		kept = int(*limit)
	}
	slices.SortFunc(runs, func(a, b *v1alpha1.DagRun) int {
		return cmp.Or(informer.DueAt(b).Compare(informer.DueAt(a)), cmp.Compare(a.Name, b.Name))
	})
	return runs[min(len(runs), kept):]
}

// hasPods reports whether Pods of a run still exist. When the last one goes, RunFreed enqueues the run again.
func (c *Cleaner) hasPods(uid types.UID) bool {
	pods := c.Pods.By(informer.ByRun, string(uid))
	return slices.ContainsFunc(pods, func(p *corev1.Pod) bool { return pod.OwnerUID(p) == string(uid) })
}

// deleteRun deletes a DagRun, unless the database still needs it. In a restored database, the run may be live; RunEnded
// enqueues the DagRun when the run has ended. Or the schedule is about to look the DagRun up; RunFreed enqueues it
// afterwards.
func (c *Cleaner) deleteRun(ctx context.Context, run *v1alpha1.DagRun, reason string) error {
	isOver, err := c.History.IsRunOver(ctx, string(run.UID), run.Namespace, run.Name)
	if err != nil || !isOver {
		return err
	}
	fault.Point("run-delete")
	c.deleting.Add(run.UID)
	background := metav1.DeletePropagationBackground
	err = c.Client.KontrolerV1alpha1().DagRuns(run.Namespace).Delete(ctx, run.Name, metav1.DeleteOptions{
		Preconditions: kube.WithUID(string(run.UID)), PropagationPolicy: &background,
	})
	if err != nil && !kube.IsGone(err) {
		c.deleting.Remove(run.UID)
		return fmt.Errorf("deleting DagRun %s/%s: %w", run.Namespace, run.Name, err)
	}
	fault.Point("run-deleted")
	if c.cachedRun(queue.RunKey(run.UID)) == nil {
		c.deleting.Remove(run.UID) // RunDeleted may have come before Add
	}
	c.Metrics.DagRunDeleted(reason)
	c.Log.Info("DagRun deleted; its history stays", "namespace", run.Namespace, "run", run.Name,
		"dag", run.Spec.DagName, "phase", run.Status.Phase, "by", reason)
	return nil
}
