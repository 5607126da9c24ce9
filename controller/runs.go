package controller

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/client-go/tools/cache"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/engine"
	"kontroler/controller/fault"
	"kontroler/controller/pod"
	"kontroler/controller/queue"
	"kontroler/store"
)

const (
	// outcomesPerSync and startsPerSync bound one sync; the rest requeues.
	outcomesPerSync = 500
	startsPerSync   = 100
)

// syncRun is one sync of one run. What it took from the change set it gives back when it fails.
func (t *term) syncRun(ctx context.Context, key queue.RunKey) error {
	change, more := t.dirty.take(key, outcomesPerSync)
	err := queue.Guard(key, func() error { return t.sync(ctx, key, change) })
	if t.runTroubles.note(key, err, t.now()) {
		t.status.progress(key)
	}
	if err != nil {
		if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrUnknownCommit) {
			change.full = true
		}
		t.dirty.restore(key, change)
		return err
	}
	if more {
		t.runs.Add(key)
	}
	return nil
}

// sync finds the run's row, or makes it, and brings the run forward.
func (t *term) sync(ctx context.Context, key queue.RunKey, change *change) error {
	run := t.cachedRun(key)
	row, found, err := t.db.RunByUID(ctx, string(key))
	if err != nil {
		return fmt.Errorf("reading run %s: %w", key, err)
	}
	if !found {
		if run != nil {
			row, found, err = t.admit(ctx, run)
		}
		if err != nil {
			return err
		}
		if !found {
			t.handUnknown(key, change)
			return nil
		}
	}
	if v1alpha1.RunPhase(row.Phase).Ended() {
		for name := range change.pods {
			t.pods.Add(cache.NewObjectName(row.Namespace, name))
		}
		t.settle(key, run)
		return nil
	}
	if run == nil {
		if run, err = t.liveRun(ctx, row); err != nil {
			return err
		}
	}
	if row.Phase == engine.RunPending && run != nil {
		if claimed, err := t.claimRun(ctx, row, run); err != nil || !claimed {
			return err
		}
	}
	return t.advance(ctx, row, run, change)
}

// handUnknown hands the Pods of a run that has no row to the reaper: its history may be lost.
func (t *term) handUnknown(key queue.RunKey, change *change) {
	if len(change.pods) == 0 {
		return
	}
	for _, p := range t.podSource.By(byRun, string(key)) {
		if _, changed := change.pods[p.Name]; changed && pod.OwnerUID(p) == string(key) {
			t.pods.Add(cache.MetaObjectToName(p))
		}
	}
}

// cachedRun is the DagRun of a key as the cache has it; nil: not there.
func (t *term) cachedRun(key queue.RunKey) *v1alpha1.DagRun {
	for _, run := range t.runSource.By(byUID, string(key)) {
		return run
	}
	return nil
}

// advance gathers, decides, commits, acts.
func (t *term) advance(ctx context.Context, row store.Run, run *v1alpha1.DagRun, change *change) (err error) {
	key, now := queue.RunKey(row.UID), t.now()
	cancel := run != nil && run.Spec.Cancel
	// A DagRun is told its end after the row: one that has ended beside a live row is ahead of a restored database.
	ahead := run != nil && run.Status.Phase.Ended()
	stops := isDeleted(run) || cancel || ahead || row.Stop != "" || !row.DeadlineAt.IsZero() && !now.Before(row.DeadlineAt)
	graph, unreadable, err := t.runGraph(ctx, row, stops)
	if err != nil {
		return err
	}
	facts, err := t.gather(ctx, row, graph, change, now)
	if err != nil {
		return err
	}
	for name, pod := range facts.slice.Pods {
		if pod.IsLive() {
			t.slots.Seen(cache.NewObjectName(row.Namespace, name))
		}
	}
	facts.slots = t.slots.Take(key, facts.wanted(row))
	defer func() {
		facts.slots.Settle()
		t.Metrics.LiveAttempts(t.slots.InUse())
	}()
	if err := t.relabelAll(ctx, row, facts.unlabelled); err != nil {
		return err
	}
	slice := facts.slice
	slice.Slots = facts.slots.Remaining()
	slice.Deleted, slice.Cancel, slice.Ahead, slice.Unreadable = isDeleted(run), cancel, ahead, unreadable
	ledger := newRecorder(graph.Spec().Webhook)
	next, err := engine.Decide(slice, now, ledger)
	if err != nil {
		return fmt.Errorf("deciding run %s/%s: %w", row.Namespace, row.Name, err)
	}
	if !ledger.Empty() {
		err := t.db.Commit(ctx, row.ID, &ledger.Changes)
		if ledger.notified {
			t.wakeNotifications() // also when the commit's answer was lost
		}
		if err != nil {
			for _, name := range next.Reap {
				change.pods[name] = struct{}{} // if it was committed after all, the reaper must hear of it
			}
			return fmt.Errorf("committing run %s/%s: %w", row.Namespace, row.Name, err)
		}
		fault.Point("run-committed")
	}
	// The engine has consumed the refusals. If a later step fails, the creates are retried.
	clear(change.refusals)
	for _, name := range next.Ended {
		t.slots.Release(cache.NewObjectName(row.Namespace, name))
	}
	ledger.count(t.Metrics)
	return t.follow(ctx, row, run, facts, next, ledger)
}

// follow does to the cluster what is committed.
func (t *term) follow(ctx context.Context, row store.Run, run *v1alpha1.DagRun, facts *facts, next engine.Next, ledger *recorder) error {
	key := queue.RunKey(row.UID)
	for _, name := range append(next.Reap, facts.strangers...) {
		t.pods.Add(cache.NewObjectName(row.Namespace, name))
	}
	if next.RunEnded {
		fault.Point("run-end-committed")
		t.settle(key, run)
		return nil
	}
	t.streamFollowed(row, facts)
	err := t.act(ctx, row, facts, next)
	switch {
	case next.Again || facts.more:
		t.runs.Add(key)
	default:
		t.wakes.Put(key, earlier(next.Wake, facts.nextDue))
	}
	if next.Throttled {
		t.slots.Wait(key) // also where the run says that it waits for something else
	}
	if ledger.shows || ledger.hold != unchanged || run != nil && run.Status.Reason == reasonDatabaseUnavailable {
		t.status.progress(key)
	}
	return err
}

// settle is what is left to do for a run that has ended: its workspace is deleted and its DagRun told, by syncEnd.
func (t *term) settle(key queue.RunKey, run *v1alpha1.DagRun) {
	t.slots.Forget(key)
	t.workspaces.forget(key)
	t.wakes.Drop(key)
	switch {
	case run == nil:
	case run.Status.Phase.Ended():
		t.retire(run) // of a restored database: it was told before its row ended
	default:
		t.ends.Add(key)
	}
}

// syncEnd deletes the workspace of a run that has ended and tells its DagRun.
func (t *term) syncEnd(ctx context.Context, key queue.RunKey) error {
	t.makeWay(ctx, t.ends.Len)
	row, found, err := t.db.RunByUID(ctx, string(key))
	if err != nil || !found || !v1alpha1.RunPhase(row.Phase).Ended() {
		return err
	}
	run := t.cachedRun(key)
	if run == nil {
		if run, err = t.liveRun(ctx, row); err != nil {
			return err
		}
	}
	if run == nil || run.Status.Phase.Ended() || t.status.reported(run.UID) {
		return nil
	}
	if err := t.dropWorkspace(ctx, row, run); err != nil {
		return err
	}
	return t.reportEnd(ctx, row, run)
}
