package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/dag"
	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/engine"
	"kontroler/controller/fault"
	"kontroler/controller/informer"
	"kontroler/controller/pod"
	"kontroler/controller/queue"
	"kontroler/controller/versions"
	"kontroler/store"
)

const (
	// outcomesPerSync and startsPerSync bound one sync. The next sync takes the rest.
	outcomesPerSync = 500
	startsPerSync   = 100
)

// runReconciler syncs runs that were admitted.
type runReconciler struct {
	*core
	graphs     *versions.Loader
	workspaces *workspaces
	gatherer   *gatherer
	podWriter  *podWriter
	status     *statusWriter
	pods       *podReaper
	admissions *admitter
}

// syncRun is one sync of an admitted run. If it fails, it puts back the changes that it took. It first drops the alarm
// of the run. A sync that leaves work for later sets a new one, and so do changes that arrive meanwhile.
func (r *runReconciler) syncRun(ctx context.Context, key queue.RunKey) error {
	r.backlog.alarms.Drop(key)
	changes, hasMore := r.backlog.pending.Take(key, outcomesPerSync)
	err := queue.Guard(key, func() error { return r.reconcileRun(ctx, key, changes) })
	r.status.noteRun(key, err)
	if err != nil {
		if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrUnknownCommit) {
			changes.IsFull = true
		}
		r.backlog.pending.Restore(key, changes)
		r.backlog.slots.Forget(key) // other runs may use the reserved slot while this one fails
		return err
	}
	if hasMore {
		r.backlog.queue.Add(key)
	}
	return nil
}

// noteRun records the result of a sync. If the error lasts, the status of the DagRun shows it.
func (s *statusWriter) noteRun(key queue.RunKey, err error) {
	if !s.IsOutage(err) && s.syncErrors.Note(key, err, s.now()) {
		s.projections.progress(key)
	}
}

// reconcileRun advances a run that has a row. A run that has no row, or no claim yet, is enqueued for admission.
func (r *runReconciler) reconcileRun(ctx context.Context, key queue.RunKey, changes *queue.Changes) error {
	now, dagRun := r.now(), r.cached.cachedRun(key)
	rows, found, err := r.gatherer.read(ctx, key, dagRun, changes, now)
	row := rows.Run
	switch {
	case err != nil:
		return err
	case !found:
		r.backlog.slots.Forget(key)
		r.gatherer.runVersions.Delete(key)
		r.releaseUnknown(key, changes)
		if dagRun != nil {
			r.admissions.queue.Add(key)
		}
		return nil
	case v1alpha1.RunPhase(row.Phase).Ended():
		for name := range changes.Pods {
			r.pods.queue.Add(cache.NewObjectName(row.Namespace, name))
		}
		r.runEnded(row, dagRun)
		return nil
	}
	if dagRun == nil {
		if dagRun, err = r.liveRun(ctx, row); err != nil {
			return err
		}
	}
	if row.Phase == engine.RunPending && dagRun != nil && !changes.IsClaimed && !r.hasClaim(dagRun, row) {
		r.admissions.queue.Add(key)
		return nil
	}
	return r.advance(ctx, rows, dagRun, changes, now)
}

// releaseUnknown passes the changed Pods of a run without a row to the reaper, because the history of the run may be
// lost.
func (r *runReconciler) releaseUnknown(key queue.RunKey, changes *queue.Changes) {
	if len(changes.Pods) == 0 {
		return
	}
	for _, p := range r.cached.pods.By(informer.ByRun, string(key)) {
		if _, changed := changes.Pods[p.Name]; changed && pod.OwnerUID(p) == string(key) {
			r.pods.queue.Add(cache.MetaObjectToName(p))
		}
	}
}

// cachedRun returns the cached DagRun of a key, or nil if there is none.
func (c *caches) cachedRun(key queue.RunKey) *v1alpha1.DagRun {
	run, _ := c.dagRuns.WithUID(types.UID(key))
	return run
}

// namespaceOf returns the namespace of a run. It is empty if neither the DagRun nor one of its Pods is cached.
func (c *caches) namespaceOf(key queue.RunKey) string {
	if run := c.cachedRun(key); run != nil {
		return run.Namespace
	}
	for _, p := range c.pods.By(informer.ByRun, string(key)) {
		return p.Namespace
	}
	return ""
}

// intentOf returns what a DagRun requests of its run. dagRun is nil if it does not exist.
func intentOf(dagRun *v1alpha1.DagRun) engine.Intent {
	return engine.Intent{
		DagRunDeleted:   isDeleted(dagRun),
		CancelRequested: dagRun != nil && dagRun.Spec.Cancel,
		DagRunEnded:     dagRun != nil && dagRun.Status.Phase.Ended(),
	}
}

// advance gathers the remaining facts, decides, commits and acts.
func (r *runReconciler) advance(
	ctx context.Context, rows store.Snapshot, dagRun *v1alpha1.DagRun, changes *queue.Changes, now time.Time,
) error {
	row, intent := rows.Run, intentOf(dagRun)
	isStopped := engine.StopReason(engineRun(row), intent, now) != ""
	graph, unreadable, err := r.graphs.LoadForRun(ctx, row.VersionID, row.Counts.Total, isStopped)
	if err != nil {
		return err
	}
	facts, err := r.gatherer.gather(ctx, rows, graph, changes, now)
	if err != nil {
		return err
	}
	slots := r.takeSlots(row, facts)
	defer func() {
		slots.Settle()
		r.cfg.Metrics.LiveAttempts(r.backlog.slots.InUse())
	}()

	facts.snapshot.Intent, facts.snapshot.Unreadable, facts.snapshot.Slots = intent, unreadable, slots.Remaining()
	decision, err := engine.Decide(facts.snapshot, now)
	if err != nil {
		return fmt.Errorf("deciding run %s/%s: %w", row.Namespace, row.Name, err)
	}
	slots.Keep(len(decision.Create))

	// If this process dies after the commit, the next one finds the Pods of ended attempts only by their labels.
	ending, living := partition(facts.unlabelled, decision.Reap)
	if err := r.podWriter.relabelAll(ctx, row, ending); err != nil {
		return err
	}
	if err := r.commit(ctx, row, graph, decision); err != nil {
		for _, name := range decision.Reap {
			changes.Pods[name] = struct{}{} // the commit may have succeeded: these Pods must not be forgotten
		}
		return err
	}
	// The commit has consumed the changes. If a request below fails, the next sync repeats it, because it gathers all
	// attempts that are Decided or due. Postponed Pods are pending by name.
	wasFull := changes.IsFull
	changes.IsFull = false
	clear(changes.Refusals)
	for _, name := range decision.Ended {
		r.backlog.slots.Release(cache.NewObjectName(row.Namespace, name))
	}

	r.enqueueFinished(row, facts, decision)
	if decision.IsLast {
		fault.Point("run-end-committed")
		r.runEnded(row, dagRun)
		return nil
	}
	r.logs.Follow(facts.graph.Spec().Logs, row.Namespace, maps.Keys(facts.snapshot.Pods))
	err = errors.Join(r.podWriter.act(ctx, row, facts, slots, decision), r.podWriter.relabelAll(ctx, row, living))
	r.requeue(row, facts, decision)
	r.enqueueStatus(row, decision, wasFull)
	return err
}

// enqueueStatus enqueues the status updates of a live run and its DAG. wasFull reports that the status may lack an
// earlier commit, because its answer was lost or its process died.
func (r *runReconciler) enqueueStatus(row store.Run, decision engine.Decision, wasFull bool) {
	if wasFull {
		r.status.projections.lastRun(dagOf(row))
	}
	if wasFull || changesStatus(decision.Transitions) {
		r.status.projections.progress(queue.RunKey(row.UID))
	}
}

// partition returns the Pods that have one of the names, and the others.
func partition(pods []*corev1.Pod, names []string) (named, others []*corev1.Pod) {
	for _, p := range pods {
		if slices.Contains(names, p.Name) {
			named = append(named, p)
		} else {
			others = append(others, p)
		}
	}
	return named, others
}

// takeSlots counts the slots of the run's live Pods, then takes as many more as the run could use.
func (r *runReconciler) takeSlots(row store.Run, facts *facts) *queue.Grant {
	for name, p := range facts.snapshot.Pods {
		if p.IsLive() {
			r.backlog.slots.Seen(cache.NewObjectName(row.Namespace, name))
		}
	}
	return r.backlog.slots.Take(row.Namespace, queue.RunKey(row.UID), facts.creatable(row))
}

// commit writes a decision.
func (r *runReconciler) commit(ctx context.Context, row store.Run, graph *dag.Graph, decision engine.Decision) error {
	if len(decision.Transitions) == 0 {
		return nil
	}
	notices := noticesOf(graph.Spec().Webhook, decision.Transitions)
	err := r.db.Commit(ctx, row.ID, decision.Transitions, notices)
	if len(notices) > 0 {
		r.notifier.Wake() // also when the answer to the commit was lost
	}
	if err != nil {
		return fmt.Errorf("committing run %s/%s: %w", row.Namespace, row.Name, err)
	}
	fault.Point("run-committed")
	r.cfg.Metrics.Committed(decision.Transitions)
	return nil
}

// enqueueFinished passes to the reaper the Pods whose outcome is committed, and those that match no live attempt.
func (r *runReconciler) enqueueFinished(row store.Run, facts *facts, decision engine.Decision) {
	r.pods.counted.Put(row.Namespace, facts.snapshot.Attempts, decision)
	for _, names := range [][]string{decision.Reap, facts.unmatched} {
		for _, name := range names {
			r.pods.queue.Add(cache.NewObjectName(row.Namespace, name))
		}
	}
}

// requeue schedules the next sync of a run, in case no change triggers one earlier.
func (r *runReconciler) requeue(row store.Run, facts *facts, decision engine.Decision) {
	key := queue.RunKey(row.UID)
	if decision.Requeue || facts.hasMore {
		r.backlog.queue.Add(key)
	} else if due := engine.Earlier(decision.RequeueAt, facts.nextDue); !due.IsZero() {
		r.backlog.alarms.Set(key, due)
	}
	for _, name := range facts.postponed {
		r.backlog.pending.Pod(key, name)
	}
}

// runEnded drops the state of a run that has ended, and enqueues its final status.
func (r *runReconciler) runEnded(row store.Run, dagRun *v1alpha1.DagRun) {
	key := queue.RunKey(row.UID)
	r.backlog.slots.Forget(key)
	r.podWriter.gatekeeper.forget(row.Namespace, key)
	r.workspaces.forget(key)
	r.gatherer.runVersions.Delete(key)
	switch {
	case dagRun == nil:
	case dagRun.Status.Phase.Ended():
		r.retention.RunEnded(dagRun) // the database was restored: the DagRun ended before its row did
	default:
		r.status.queue.Add(key)
	}
}

// syncFinalStatus deletes the workspace of a run that has ended and writes the final status of its DagRun.
func (s *statusWriter) syncFinalStatus(ctx context.Context, key queue.RunKey) error {
	row, progress, found, err := s.db.Progress(ctx, string(key), s.now(), tasksNamed)
	if err != nil || !found || !v1alpha1.RunPhase(row.Phase).Ended() {
		return err
	}
	dagRun := s.cached.cachedRun(key)
	if dagRun == nil {
		if dagRun, err = s.liveRun(ctx, row); err != nil {
			return err
		}
	}
	if dagRun == nil || dagRun.Status.Phase.Ended() || s.reported.Has(dagRun.UID) {
		return nil
	}
	if err := s.workspaces.dropWorkspace(ctx, row, dagRun, s.queue.NumRequeues(key)); err != nil {
		return err
	}
	return s.reportEnd(ctx, nameFailures(row, progress.Failed), dagRun)
}
