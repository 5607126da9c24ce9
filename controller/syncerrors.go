package controller

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/conditions"
	"kontroler/controller/kube"
	"kontroler/controller/queue"
	"kontroler/controller/text"
)

// dagConditions sets the conditions of DAGs whose syncs fail.
type dagConditions struct {
	*core
	dagErrors, scheduleErrors *conditions.SyncErrors[cache.ObjectName]
}

func newDAGConditions(c *core) *dagConditions {
	return &dagConditions{
		core:           c,
		dagErrors:      conditions.NewSyncErrors[cache.ObjectName](),
		scheduleErrors: conditions.NewSyncErrors[cache.ObjectName](),
	}
}

// noteDAG records the result of a sync in the condition of a DAG. It returns err.
func (c *dagConditions) noteDAG(
	ctx context.Context, name cache.ObjectName, condition string,
	of *conditions.SyncErrors[cache.ObjectName], err error,
) error {
	if !c.IsOutage(err) && of.Note(name, err, c.now()) {
		setErr := c.setCondition(ctx, name, condition, of.Condition(name, c.now()), conditions.ReasonSyncFailed)
		if setErr != nil && ctx.Err() == nil {
			c.cfg.Log.Warn("setting the condition of a DAG failed", "namespace", name.Namespace, "dag", name.Name,
				"error", setErr)
		}
	}
	return err
}

// setDAGCondition sets a condition that a DAG has only while it is False. A nil condition removes it.
func (c *dagConditions) setDAGCondition(
	ctx context.Context, name cache.ObjectName, kind string, condition *metav1.Condition,
) error {
	return c.setCondition(ctx, name, kind, condition, "")
}

// setCondition sets a condition. If condition is nil, it removes one that has the reason removable, or any reason if
// that is empty. A new condition also produces an Event.
func (c *dagConditions) setCondition(
	ctx context.Context, name cache.ObjectName, kind string, condition *metav1.Condition, removable string,
) error {
	cached, ok := c.cached.dags.Get(name)
	if !ok || conditions.Says(cached.Status.Conditions, kind, condition) {
		return nil
	}
	dags := c.cfg.Client.KontrolerV1alpha1().DAGs(name.Namespace)
	d, err := dags.Get(ctx, name.Name, metav1.GetOptions{})
	if err != nil || d.Status.Controller != c.cfg.ID || conditions.Says(d.Status.Conditions, kind, condition) {
		return kube.IgnoreNotFound(err)
	}
	shown := meta.FindStatusCondition(d.Status.Conditions, kind)
	if condition == nil && removable != "" && shown.Reason != removable {
		return nil // somebody else set the condition for another reason
	}
	conditions.Set(&d.Status.Conditions, kind, condition, d.Generation)
	_, err = kube.PatchStatus(ctx, dags, d, map[string]any{"conditions": d.Status.Conditions})
	if err = kube.IgnoreNotFound(err); err != nil {
		return fmt.Errorf("patching the conditions of DAG %s: %w", name, err)
	}
	if condition != nil && shown == nil {
		c.events.Event(d, corev1.EventTypeWarning, condition.Reason, text.Shorten(condition.Message, text.MaxBytes))
	}
	return nil
}

// showSyncError shows in a DagRun without a row, or without a claim, why it is not admitted.
func (s *statusWriter) showSyncError(ctx context.Context, run *v1alpha1.DagRun) (sent bool, err error) {
	condition := s.syncErrors.Condition(queue.RunKey(run.UID), s.now())
	hasNotice := run.Status.Reason == reasonDatabaseUnavailable
	if conditions.Says(run.Status.Conditions, v1alpha1.ConditionReconciled, condition) && !hasNotice {
		return false, nil
	}
	status := *run.Status.DeepCopy()
	if hasNotice {
		status.Reason, status.Message = "", ""
		// The condition Admitted still says what a DagRun without a run waits for.
		admitted := meta.FindStatusCondition(status.Conditions, v1alpha1.RunConditionAdmitted)
		if admitted != nil && admitted.Status == metav1.ConditionFalse {
			status.Reason, status.Message = admitted.Reason, admitted.Message
		}
	}
	conditions.Set(&status.Conditions, v1alpha1.ConditionReconciled, condition, run.Generation)
	_, err = s.patchStatus(ctx, run, status, run.ResourceVersion)
	return true, kube.IgnoreNotFound(err)
}
