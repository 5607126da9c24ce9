package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/dag"
	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/engine"
	"kontroler/controller/fault"
	"kontroler/controller/kube"
	"kontroler/controller/queue"
	"kontroler/controller/text"
	"kontroler/controller/webhook"
	"kontroler/store"
)

// admitter turns DagRuns into runs.
type admitter struct {
	*core
	queue  *queue.Queue[queue.RunKey]
	dags   *dagReconciler
	runs   *runReconciler
	status *statusWriter
}

// syncAdmission turns a DagRun into a run: it writes the row, claims the DagRun, and enqueues the run.
func (a *admitter) syncAdmission(ctx context.Context, key queue.RunKey) error {
	err := queue.Guard(key, func() error { return a.reconcileAdmission(ctx, key) })
	a.status.noteRun(key, err)
	return err
}

func (a *admitter) reconcileAdmission(ctx context.Context, key queue.RunKey) error {
	dagRun := a.cached.cachedRun(key)
	if dagRun == nil {
		// The DagRun may have been deleted while it was being admitted. The sync of the run then ends the run.
		a.backlog.queue.AddAfter(key, goneRetry)
		return nil
	}
	row, found, err := a.db.RunByUID(ctx, string(key))
	if err != nil {
		return err
	}
	if !found {
		if row, found, err = a.admit(ctx, dagRun); err != nil || !found {
			return err
		}
	}
	switch {
	case v1alpha1.RunPhase(row.Phase).Ended():
		a.runs.runEnded(row, dagRun)
		return nil
	case row.Phase == engine.RunPending:
		if isOurs, err := a.claimRun(ctx, row, dagRun); err != nil || !isOurs {
			return err
		}
		a.backlog.pending.Claimed(key)
	}
	a.backlog.queue.Add(key)
	return nil
}

// admit writes the row of a DagRun, from the current spec of its DAG. found is false for a DagRun that belongs to
// another controller, that waits for its DAG or a DagTask, or whose row is gone.
func (a *admitter) admit(ctx context.Context, run *v1alpha1.DagRun) (row store.Run, found bool, err error) {
	switch {
	case run.IsOtherKontrolers():
		return store.Run{}, false, a.disown(ctx, run)
	case run.Status.Controller != "" && run.Status.Controller != a.cfg.ID, run.Status.Phase.Ended(), isDeleted(run):
		return store.Run{}, false, nil
	case run.Status.RunID != 0:
		return store.Run{}, false, a.historyLost(ctx, run)
	}
	c, err := a.dags.compileDAG(ctx, cache.NewObjectName(run.Namespace, run.Spec.DagName))
	switch {
	case errors.Is(err, errNoDAG):
		return store.Run{}, false, a.dagNotFound(ctx, run)
	case errors.Is(err, errNotOurs):
		return store.Run{}, false, nil
	case err != nil:
		return store.Run{}, false, err
	case dag.LacksDagTasks(c.faults):
		return store.Run{}, false, a.wait(ctx, run, engine.ReasonDagTaskNotFound, c.invalid())
	}
	row, err = a.writeRun(ctx, run, c)
	if err != nil {
		return store.Run{}, false, err
	}
	fault.Point("run-admitted")
	a.cfg.Log.Info("run admitted", "namespace", run.Namespace, "run", run.Name, "dag", run.Spec.DagName,
		"version", row.VersionNumber, "tasks", row.Counts.Total, "phase", row.Phase)
	return row, true, nil
}

// writeRun writes the row of a run, with its tasks or as refused.
func (a *admitter) writeRun(ctx context.Context, run *v1alpha1.DagRun, c *compiled) (store.Run, error) {
	row := store.NewRun{
		UID: string(run.UID), Namespace: run.Namespace, Name: run.Name, DAGName: run.Spec.DagName,
		DAGID: c.version.DAGID, VersionID: c.version.ID, Parameters: []byte("[]"),
		CreatedAt: run.CreationTimestamp.UTC(), AdmittedAt: a.now(),
	}
	row.Origin.Trigger, row.Origin.RequestedBy, row.Origin.DueAt = run.Origin()
	if c.version.ID != 0 {
		row.NotifyFailed = webhook.Wants(c.graph.Spec().Webhook, v1alpha1.EventRunFailed)
	}
	if why := c.invalid(); why != "" {
		return a.refuseRun(ctx, row, engine.ReasonInvalidDag, why)
	}
	values, faults := c.graph.Resolve(run.Spec.Parameters)
	if len(faults) > 0 {
		return a.refuseRun(ctx, row, engine.ReasonInvalidParameters, faultMessage(faults))
	}
	var err error
	if row.Parameters, err = json.Marshal(values); err != nil {
		return store.Run{}, fmt.Errorf("encoding parameters: %w", err)
	}
	if deadline := c.graph.Spec().ActiveDeadlineSeconds; deadline != nil {
		row.DeadlineSeconds = *deadline
	}
	tasks := make([]store.NewTask, c.graph.Len())
	for i := range tasks {
		tasks[i] = store.NewTask{Position: i, Name: c.graph.Task(i).Name, Parents: c.graph.Parents(i)}
	}
	return a.db.Admit(ctx, row, tasks)
}

// refuseRun writes the row of a run that fails at admission.
func (a *admitter) refuseRun(ctx context.Context, row store.NewRun, reason, message string) (store.Run, error) {
	refused, err := a.db.Refuse(ctx, row, reason, message)
	if row.NotifyFailed {
		a.notifier.Wake()
	}
	return refused, err
}

// hasClaim reports whether the DagRun names this controller and this row.
func (c *core) hasClaim(run *v1alpha1.DagRun, row store.Run) bool {
	return run.Status.Controller == c.cfg.ID && run.Status.RunID == row.ID
}

// claimRun records this controller and this row in the DagRun, before the first Pod. If several controllers try, the
// first patch wins and the others delete their rows. isOurs reports whether this controller must sync the run: it has
// claimed the DagRun, or the DagRun is gone.
func (a *admitter) claimRun(ctx context.Context, row store.Run, run *v1alpha1.DagRun) (isOurs bool, err error) {
	for range 3 {
		switch s := run.Status; {
		case a.hasClaim(run, row):
			return true, nil
		case s.Controller != "", s.RunID != 0, s.Phase.Ended(), run.IsOtherKontrolers():
			a.cfg.Log.Info("run belongs to another controller, or ended before its claim", "namespace", row.Namespace,
				"run", row.Name, "controller", s.Controller)
			return false, a.db.Discard(ctx, row.ID)
		}
		patched, err := a.status.patchStatus(ctx, run, a.status.project(row, run), run.ResourceVersion)
		if err == nil {
			fault.Point("run-claimed")
			a.status.projections.lastRun(dagOf(row))
			run = patched
			continue
		}
		if !apierrors.IsConflict(err) && !apierrors.IsInvalid(err) && !apierrors.IsNotFound(err) {
			return false, fmt.Errorf("claiming DagRun %s/%s: %w", row.Namespace, row.Name, err)
		}
		if run, err = a.liveRun(ctx, row); err != nil || run == nil {
			return err == nil, err
		}
	}
	return false, fmt.Errorf("claiming DagRun %s/%s: it keeps changing", row.Namespace, row.Name)
}

// liveRun reads the DagRun of a row live. It returns nil if the DagRun is gone.
func (c *core) liveRun(ctx context.Context, row store.Run) (*v1alpha1.DagRun, error) {
	ctx, cancel := context.WithTimeout(ctx, liveReadTimeout)
	defer cancel()
	run, err := c.cfg.Client.KontrolerV1alpha1().DagRuns(row.Namespace).Get(ctx, row.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err), err == nil && string(run.UID) != row.UID:
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading DagRun %s/%s: %w", row.Namespace, row.Name, err)
	}
	return run, nil
}

// dagNotFound shows in the status of a DagRun that its DAG does not exist. The class of a missing DAG is unknown, so
// only controllers of the empty class do this.
func (a *admitter) dagNotFound(ctx context.Context, run *v1alpha1.DagRun) error {
	if a.cfg.Class != "" {
		return nil
	}
	return a.wait(ctx, run, engine.ReasonDagNotFound, fmt.Sprintf(
		"there is no DAG %q in namespace %q; the run starts once the DAG exists", run.Spec.DagName, run.Namespace))
}

// wait shows in the status of a DagRun why it is not admitted yet. A cancelled DagRun ends. Its final status is also
// its claim, without which it would never expire.
func (a *admitter) wait(ctx context.Context, run *v1alpha1.DagRun, reason, message string) error {
	message = text.Shorten(message, maxMessage)
	if run.Status.Reason == reason && run.Status.Message == message && !run.Spec.Cancel {
		return nil
	}
	now := metav1.NewTime(a.now())
	status := v1alpha1.DagRunStatus{
		Phase: v1alpha1.RunPending, Reason: reason, Message: message, ObservedGeneration: run.Generation,
		Conditions: []metav1.Condition{{
			Type: v1alpha1.RunConditionAdmitted, Status: metav1.ConditionFalse, Reason: reason,
			Message: message, LastTransitionTime: now, ObservedGeneration: run.Generation,
		}},
	}
	if run.Spec.Cancel {
		status.Phase, status.Reason = v1alpha1.RunCancelled, engine.ReasonUserCancelled
		status.Message, status.Controller = "cancelled by spec.cancel before it was admitted", a.cfg.ID
		setEnded(&status, now, run.Generation)
	}
	_, err := a.status.patchStatus(ctx, run, status, run.ResourceVersion)
	return kube.IgnoreNotFound(err)
}

// historyLost ends a DagRun whose row is gone. The DAG does not run again for it, because its tasks may have run
// already.
func (a *admitter) historyLost(ctx context.Context, run *v1alpha1.DagRun) error {
	message := fmt.Sprintf("row %d of the run is not in the database: its result is unknown, and it is not run again",
		run.Status.RunID)
	status := *run.Status.DeepCopy()
	status.Phase, status.Reason, status.Message = v1alpha1.RunFailed, engine.ReasonHistoryLost, message
	status.ObservedGeneration = run.Generation
	setEnded(&status, metav1.NewTime(a.now()), run.Generation)
	if err := a.status.recordEnd(ctx, run, status); err != nil {
		return err
	}
	fault.Point("loss-recorded")
	_, err := a.status.patchStatus(ctx, run, status, run.ResourceVersion)
	return kube.IgnoreNotFound(err)
}

// isDisowned reports whether a DagRun already shows that it belongs to the existing Kontroler.
func isDisowned(run *v1alpha1.DagRun) bool {
	admitted := meta.FindStatusCondition(run.Status.Conditions, v1alpha1.RunConditionAdmitted)
	return admitted != nil && admitted.Reason == v1alpha1.RunReasonOtherKontroler
}

// disown records in the status of a DagRun of the existing Kontroler that this controller does not run it.
func (a *admitter) disown(ctx context.Context, run *v1alpha1.DagRun) error {
	if isDisowned(run) || run.DeletionTimestamp != nil {
		return nil
	}
	what := "the existing Kontroler took it on"
	if id := run.Status.DagRunID; id != 0 {
		what = fmt.Sprintf("the existing Kontroler ran it, as its run %d", id)
	}
	message := what + ": it is kept as history and does not run again; create another DagRun to run the DAG"
	status := *run.Status.DeepCopy()
	if status.Reason == "" {
		status.Reason = v1alpha1.RunReasonOtherKontroler
	}
	if status.Message == "" {
		status.Message = message
	}
	meta.SetStatusCondition(&status.Conditions, metav1.Condition{
		Type:               v1alpha1.RunConditionAdmitted,
		Status:             metav1.ConditionFalse,
		Reason:             v1alpha1.RunReasonOtherKontroler,
		Message:            message,
		LastTransitionTime: metav1.NewTime(a.now()),
		ObservedGeneration: run.Generation,
	})
	_, err := a.status.patchStatus(ctx, run, status, run.ResourceVersion)
	return kube.IgnoreNotFound(err)
}
