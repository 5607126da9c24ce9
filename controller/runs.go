package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"k8s.io/client-go/tools/cache"

	"kontroler/apis/dag"
	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/engine"
	"kontroler/controller/fault"
	"kontroler/controller/informer"
	"kontroler/controller/pod"
	"kontroler/controller/queue"
	"kontroler/store"
)

const (
	// outcomesPerSync and startsPerSync bound one sync. The rest is for the next one.
	outcomesPerSync = 500
	startsPerSync   = 100
)

// syncRun is one sync of a run that was admitted. If it fails, the changes that it took are for the next sync.
func (t *term) syncRun(ctx context.Context, key queue.RunKey) error {
	changes, hasMore := t.pending.take(key, outcomesPerSync)
	err := queue.Guard(key, func() error { return t.reconcileRun(ctx, key, changes) })
	t.noteRun(key, err)
	if err != nil {
		if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrUnknownCommit) {
			changes.isFull = true
		}
		t.pending.restore(key, changes)
		return err
	}
	if hasMore {
		t.runs.Add(key)
	}
	return nil
}

// noteRun records the error of a sync, or its success. The DagRun shows an error that lasts.
func (t *term) noteRun(key queue.RunKey, err error) {
	if t.runTroubles.note(key, err, t.now()) {
		t.status.progress(key)
	}
}

// reconcileRun brings a run forward that has a row. Without one, or before its claim, it is the admissions' turn.
func (t *term) reconcileRun(ctx context.Context, key queue.RunKey, changes *pendingChanges) error {
	dagRun := t.cachedRun(key)
	row, found, err := t.db.RunByUID(ctx, string(key))
	switch {
	case err != nil:
		return fmt.Errorf("reading run %s: %w", key, err)
	case !found:
		t.releaseUnknown(key, changes)
		if dagRun != nil {
			t.admissions.Add(key)
		}
		return nil
	case v1alpha1.RunPhase(row.Phase).Ended():
		for name := range changes.pods {
			t.finishedPods.Add(cache.NewObjectName(row.Namespace, name))
		}
		t.settle(key, dagRun)
		return nil
	}
	if dagRun == nil {
		if dagRun, err = t.liveRun(ctx, row); err != nil {
			return err
		}
	}
	if row.Phase == engine.RunPending && dagRun != nil && !changes.isClaimed && !t.hasClaim(dagRun, row) {
		t.admissions.Add(key)
		return nil
	}
	return t.advance(ctx, row, dagRun, changes)
}

// releaseUnknown enqueues the Pods of a run without a row as finished: its history may be lost.
func (t *term) releaseUnknown(key queue.RunKey, changes *pendingChanges) {
	if len(changes.pods) == 0 {
		return
	}
	for _, p := range t.podSource.By(informer.ByRun, string(key)) {
		if _, changed := changes.pods[p.Name]; changed && pod.OwnerUID(p) == string(key) {
			t.finishedPods.Add(cache.MetaObjectToName(p))
		}
	}
}

// cachedRun returns the cached DagRun of a key; nil: there is none.
func (t *term) cachedRun(key queue.RunKey) *v1alpha1.DagRun {
	for _, run := range t.runSource.By(informer.ByUID, string(key)) {
		return run
	}
	return nil
}

// order is what the DagRun of a run asks for.
type order struct {
	isDeleted, isCancelled bool
	// hasEnded reports that the DagRun has ended although its row is live. Status is written after the row, so the database
	// was restored from an older backup.
	hasEnded bool
}

func orderOf(dagRun *v1alpha1.DagRun) order {
	return order{isDeleted: isDeleted(dagRun), isCancelled: dagRun != nil && dagRun.Spec.Cancel, hasEnded: dagRun != nil && dagRun.Status.Phase.Ended()}
}

// stops reports whether a run is to be stopped, whatever its tasks do.
func (o order) stops(row store.Run, now time.Time) bool {
	return o.isDeleted || o.isCancelled || o.hasEnded || row.Stop != "" || !row.DeadlineAt.IsZero() && !now.Before(row.DeadlineAt)
}

// advance gathers, decides, commits, acts.
func (t *term) advance(ctx context.Context, row store.Run, dagRun *v1alpha1.DagRun, changes *pendingChanges) error {
	key, now, order := queue.RunKey(row.UID), t.now(), orderOf(dagRun)
	graph, unreadable, err := t.runGraph(ctx, row, order.stops(row, now))
	if err != nil {
		return err
	}
	facts, err := t.gather(ctx, row, graph, changes, now)
	if err != nil {
		return err
	}
	slots := t.takeSlots(row, facts)
	defer func() {
		slots.Settle()
		t.Metrics.LiveAttempts(t.slots.InUse())
	}()

	snapshot := facts.snapshot
	snapshot.Slots = slots.Remaining()
	snapshot.DagRunDeleted, snapshot.CancelRequested, snapshot.DagRunEnded = order.isDeleted, order.isCancelled, order.hasEnded
	snapshot.Unreadable = unreadable
	decision, err := engine.Decide(snapshot, now)
	if err != nil {
		return fmt.Errorf("deciding run %s/%s: %w", row.Namespace, row.Name, err)
	}

	if err := t.relabelAll(ctx, row, facts.unlabelled); err != nil {
		return err
	}
	if err := t.commit(ctx, row, graph, decision); err != nil {
		for _, name := range decision.Reap {
			changes.pods[name] = struct{}{} // the commit may have succeeded: these Pods must not be forgotten
		}
		return err
	}
	clear(changes.refusals) // the engine has consumed them; if a later step fails, the creates are retried
	for _, name := range decision.Ended {
		t.slots.Release(cache.NewObjectName(row.Namespace, name))
	}

	t.enqueueFinished(row, facts, decision)
	if decision.IsLast {
		fault.Point("run-end-committed")
		t.settle(key, dagRun)
		return nil
	}
	t.logs.Follow(facts.graph.Spec().Logs, row.Namespace, maps.Keys(facts.snapshot.Pods))
	err = t.act(ctx, row, facts, slots, decision)
	t.requeue(key, facts, decision, now)
	if changeStatus(decision.Transitions) || dagRun != nil && dagRun.Status.Reason == reasonDatabaseUnavailable {
		t.status.progress(key)
	}
	return err
}

// takeSlots takes as many slots as the run could use, after those of its live Pods.
func (t *term) takeSlots(row store.Run, facts *facts) *queue.Grant {
	for name, p := range facts.snapshot.Pods {
		if p.IsLive() {
			t.slots.Seen(cache.NewObjectName(row.Namespace, name))
		}
	}
	return t.slots.Take(queue.RunKey(row.UID), facts.creatable(row))
}

// commit writes a decision.
func (t *term) commit(ctx context.Context, row store.Run, graph *dag.Graph, decision engine.Decision) error {
	if len(decision.Transitions) == 0 {
		return nil
	}
	notices := noticesOf(graph.Spec().Webhook, decision.Transitions)
	err := t.db.Commit(ctx, row.ID, decision.Transitions, notices)
	if len(notices) > 0 {
		t.notifier.Wake() // also when the answer to the commit was lost
	}
	if err != nil {
		return fmt.Errorf("committing run %s/%s: %w", row.Namespace, row.Name, err)
	}
	fault.Point("run-committed")
	t.Metrics.Committed(decision.Transitions)
	return nil
}

// enqueueFinished enqueues Pods whose outcome is counted, and Pods of no live attempt.
func (t *term) enqueueFinished(row store.Run, facts *facts, decision engine.Decision) {
	for _, names := range [][]string{decision.Reap, facts.strangers} {
		for _, name := range names {
			t.finishedPods.Add(cache.NewObjectName(row.Namespace, name))
		}
	}
}

// requeue is when the run is synced again although nothing happens.
func (t *term) requeue(key queue.RunKey, facts *facts, decision engine.Decision, now time.Time) {
	for _, name := range facts.postponed {
		t.pending.pod(key, name)
	}
	switch {
	case decision.Again || facts.hasMore:
		t.runs.Add(key)
	default:
		t.wakes.Put(key, earlier(decision.Wake, facts.nextDue))
	}
	if !facts.claimDue.IsZero() {
		t.runs.AddAfter(key, facts.claimDue.Sub(now))
	}
	if decision.Throttled {
		t.slots.Wait(key) // also if the run waits for something else
	}
}

// settle leaves to the final status what is left to do for a run that has ended.
func (t *term) settle(key queue.RunKey, dagRun *v1alpha1.DagRun) {
	t.slots.Forget(key)
	t.workspaces.forget(key)
	t.wakes.Drop(key)
	switch {
	case dagRun == nil:
	case dagRun.Status.Phase.Ended():
		t.retention.RunEnded(dagRun) // the database was restored: the DagRun ended before its row did
	default:
		t.finalStatus.Add(key)
	}
}

// syncFinalStatus deletes the workspace of a run that has ended and writes the final status of its DagRun.
func (t *term) syncFinalStatus(ctx context.Context, key queue.RunKey) error {
	t.makeWay(ctx, t.finalStatus.Len)
	row, found, err := t.db.RunByUID(ctx, string(key))
	if err != nil || !found || !v1alpha1.RunPhase(row.Phase).Ended() {
		return err
	}
	dagRun := t.cachedRun(key)
	if dagRun == nil {
		if dagRun, err = t.liveRun(ctx, row); err != nil {
			return err
		}
	}
	if dagRun == nil || dagRun.Status.Phase.Ended() || t.status.reported(dagRun.UID) {
		return nil
	}
	if err := t.dropWorkspace(ctx, row, dagRun); err != nil {
		return err
	}
	return t.reportEnd(ctx, row, dagRun)
}
