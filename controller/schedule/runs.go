package schedule

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/fault"
	"kontroler/controller/queue"
	"kontroler/controller/text"
	"kontroler/store"
)

// scheduledRuns returns the runs of a schedule that have not ended, oldest first, and the due times of those that have.
func (s *Scheduler) scheduledRuns(ctx context.Context, d *v1alpha1.DAG, row store.Schedule) (
	live []store.ScheduledRun, settled []time.Time, err error,
) {
	if row.DAGUID == "" {
		return nil, nil, nil
	}
	runs, err := s.cfg.Schedules.Runs(ctx, row.DAGID, string(d.UID))
	if err != nil {
		return nil, nil, err
	}
	for _, run := range runs {
		hasEnded := v1alpha1.RunPhase(run.Phase).Ended()
		if run.UID != "" && run.RowUID == "" {
			if hasEnded, err = s.hasEndedWithoutRow(ctx, d.Namespace, run); err != nil {
				return nil, nil, err
			}
		}
		if hasEnded && run.UID != "" {
			settled = append(settled, run.DueAt)
			continue
		}
		live = append(live, run)
	}
	return live, settled, nil
}

// hasEndedWithoutRow reports whether a run that has a DagRun and no row has ended. It has no row if it was never
// admitted, or if retention has removed its row.
func (s *Scheduler) hasEndedWithoutRow(ctx context.Context, namespace string, run store.ScheduledRun) (bool, error) {
	found := s.cfg.CachedRun(queue.RunKey(run.UID))
	if found == nil {
		live, err := s.dagRuns.read(ctx, namespace, run.Name)
		if err != nil {
			return false, err
		}
		if live != nil && string(live.UID) == run.UID {
			found = live
		}
	}
	return found == nil || found.Status.Phase.Ended() || found.IsOtherKontrolers(), nil
}

// findUncreated looks for the DagRuns of earlier decisions whose UID is not known. It stores the UIDs of those that
// exist, in the database and in runs, and returns the due times of the others.
func (s *Scheduler) findUncreated(ctx context.Context, d *v1alpha1.DAG, dagID int64, runs []store.ScheduledRun) (
	uncreated []time.Time, err error,
) {
	for i := range runs {
		run := &runs[i]
		if run.UID != "" {
			continue
		}
		uid := run.RowUID
		if uid == "" {
			found, err := s.dagRuns.read(ctx, d.Namespace, run.Name)
			if err != nil {
				return nil, err
			}
			if found == nil || !isRunOf(found, d, run.DueAt) {
				uncreated = append(uncreated, run.DueAt)
				continue
			}
			uid = string(found.UID)
		}
		if err := s.noteCreated(ctx, dagID, run.DueAt, uid); err != nil {
			return nil, err
		}
		run.UID = uid
	}
	return uncreated, nil
}

// noteCreated stores the UID of a DagRun that exists. It then calls Retire, because the DagRun was kept until its UID
// was stored, and its run may have ended meanwhile.
func (s *Scheduler) noteCreated(ctx context.Context, dagID int64, dueAt time.Time, uid string) error {
	if err := s.cfg.Schedules.RecordRun(ctx, dagID, dueAt, uid); err != nil {
		return err
	}
	s.cfg.Retire(queue.RunKey(uid))
	return nil
}

// takeBack removes due times whose DagRuns do not exist from the ledger, so that they are decided again.
func (s *Scheduler) takeBack(ctx context.Context, row store.Schedule, uncreated []time.Time) error {
	parsed, err := parse(row.Expression, row.TimeZone)
	if err != nil {
		return fmt.Errorf("parsing the stored schedule %q: %w", row.Expression, err)
	}
	before := func(due time.Time) time.Time { return cursorBefore(parsed, due) }
	if err := s.cfg.Schedules.Rewind(ctx,
		store.Rewind{Schedule: row, Uncreated: uncreated, CursorBefore: before}); err != nil {
		return err
	}
	fault.Point("tick-rewound")
	return nil
}

// createRuns creates the DagRuns of new ticks, oldest first. If the API server refuses one, createRuns takes its due
// time and all later ones back and returns an error that wraps *refusedError.
func (s *Scheduler) createRuns(
	ctx context.Context, d *v1alpha1.DAG, row store.Schedule, runs []store.ScheduledRun,
) error {
	for i, run := range runs {
		if run.UID != "" {
			continue
		}
		isDropped, err := s.createAndNote(ctx, d, row.DAGID, run)
		if isDropped {
			keepReplaced(runs)
		}
		if _, isRefused := errors.AsType[*refusedError](err); isRefused {
			if failed := s.takeBack(ctx, row, dueTimesWithoutRun(runs[i:])); failed != nil {
				return failed // the next sync finds the due times, and is refused again
			}
			return err
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// end ends the schedule of a DAG that is gone, is being deleted, or belongs to another controller. It first stores the
// UIDs of the DagRuns that exist, because the due times of all others become Missed.
func (s *Scheduler) end(ctx context.Context, name cache.ObjectName) error {
	row, found, err := s.cfg.Schedules.Read(ctx, name.Namespace, name.Name)
	if err != nil || !found || row.DAGUID == "" {
		return err
	}
	runs, err := s.cfg.Schedules.Runs(ctx, row.DAGID, row.DAGUID)
	if err != nil {
		return err
	}
	former := &v1alpha1.DAG{ObjectMeta: metav1.ObjectMeta{
		Namespace: name.Namespace, Name: name.Name, UID: types.UID(row.DAGUID),
	}}
	if _, err := s.findUncreated(ctx, former, row.DAGID, runs); err != nil {
		return err
	}
	return s.cfg.Schedules.End(ctx, name.Namespace, name.Name)
}

// dueTimesWithoutRun returns the due times of the runs that have no DagRun.
func dueTimesWithoutRun(runs []store.ScheduledRun) (dueTimes []time.Time) {
	for _, run := range runs {
		if run.UID == "" {
			dueTimes = append(dueTimes, run.DueAt)
		}
	}
	return dueTimes
}

// keepReplaced unmarks the runs that were to be replaced, because their replacement cannot be created.
func keepReplaced(runs []store.ScheduledRun) {
	for i := range runs {
		runs[i].IsReplaced = false
	}
}

// createAndNote creates the DagRun of a tick and stores its UID. If the DagRun can never be created, createAndNote
// drops the run, so that its due time is Missed.
func (s *Scheduler) createAndNote(
	ctx context.Context, d *v1alpha1.DAG, dagID int64, run store.ScheduledRun,
) (isDropped bool, err error) {
	uid, err := s.dagRuns.create(ctx, d, run)
	if impossible, ok := errors.AsType[*impossibleError](err); ok {
		s.cfg.Log.Warn("scheduled DagRun cannot be created", "namespace", d.Namespace, "dag", d.Name, "run", run.Name,
			"due", run.DueAt, "error", impossible)
		due := formatDueAt(run.DueAt)
		message := fmt.Sprintf("DagRun %s, due at %s, cannot be created: %v", run.Name, due, impossible)
		s.cfg.Events.Event(d, corev1.EventTypeWarning, "ScheduleMissed", text.Shorten(message, text.MaxBytes))
		err := s.cfg.Schedules.DropRun(ctx, dagID, run.DueAt)
		return err == nil, err
	}
	if err != nil {
		return false, fmt.Errorf("creating scheduled DagRun %s/%s: %w", d.Namespace, run.Name, err)
	}
	fault.Point("tick-created")
	return false, s.noteCreated(ctx, dagID, run.DueAt, uid)
}

// cancelReplaced cancels the runs that newer ones replace.
func (s *Scheduler) cancelReplaced(ctx context.Context, d *v1alpha1.DAG, runs []store.ScheduledRun) error {
	for _, run := range runs {
		if !run.IsReplaced || run.UID == "" {
			continue
		}
		if cached := s.cfg.CachedRun(queue.RunKey(run.UID)); cached != nil && cached.Spec.Cancel {
			continue
		}
		if err := s.dagRuns.cancel(ctx, d.Namespace, run); err != nil {
			return err
		}
	}
	return nil
}
