package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/kube"
	"kontroler/controller/queue"
	"kontroler/controller/text"
	"kontroler/store"
)

const (
	// troubleLasts is how long the syncs of an object must fail before its condition says so.
	troubleLasts  = 5 * time.Second
	reasonTrouble = "SyncFailed"
)

// troubles are the objects whose syncs fail, with the last error. Without them only the log would have the error.
type troubles[K comparable] struct {
	mu    sync.Mutex
	byKey map[K]trouble
}

type trouble struct {
	since   time.Time
	message string
}

func newTroubles[K comparable]() *troubles[K] { return &troubles[K]{byKey: map[K]trouble{}} }

// note records the result of a sync. It reports whether the condition of the object changes.
func (t *troubles[K]) note(key K, err error, now time.Time) (changed bool) {
	if isPassing(err) {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	known, failing := t.byKey[key]
	if err == nil {
		delete(t.byKey, key)
		return failing && now.Sub(known.since) >= troubleLasts
	}
	if !failing {
		known.since = now
	}
	changed = now.Sub(known.since) >= troubleLasts
	t.byKey[key] = trouble{since: known.since, message: text.Shorten(err.Error(), text.MaxBytes)}
	return changed
}

// condition returns the condition of an object whose syncs have failed for long; nil: they have not.
func (t *troubles[K]) condition(key K, now time.Time) *metav1.Condition {
	t.mu.Lock()
	defer t.mu.Unlock()
	known, failing := t.byKey[key]
	if !failing || now.Sub(known.since) < troubleLasts {
		return nil
	}
	return &metav1.Condition{
		Type:               v1alpha1.ConditionReconciled,
		Status:             metav1.ConditionFalse,
		Reason:             reasonTrouble,
		Message:            known.message,
		LastTransitionTime: metav1.NewTime(known.since),
	}
}

// isPassing reports an error that says nothing about the object: the database is unavailable, which has a reason of its
// own, another leader has taken over, or somebody else wrote at the same time.
func isPassing(err error) bool {
	return store.IsUnavailable(err) || errors.Is(err, store.ErrFenced) || errors.Is(err, store.ErrConflict) ||
		apierrors.IsConflict(err) ||
		errors.Is(err, context.Canceled)
}

// dagConditions sets the conditions of DAGs whose syncs fail.
type dagConditions struct {
	*core
	dagTroubles, scheduleTroubles *troubles[cache.ObjectName]
}

func newDAGConditions(c *core) *dagConditions {
	return &dagConditions{
		core:             c,
		dagTroubles:      newTroubles[cache.ObjectName](),
		scheduleTroubles: newTroubles[cache.ObjectName](),
	}
}

// noteDAG records the result of a sync in the condition of a DAG. It returns err.
func (c *dagConditions) noteDAG(
	ctx context.Context,
	name cache.ObjectName,
	condition string,
	of *troubles[cache.ObjectName],
	err error,
) error {
	if of.note(name, err, c.now()) {
		if told := c.setDAGCondition(ctx, name, condition, of.condition(name, c.now())); told != nil && ctx.Err() == nil {
			c.cfg.Log.Warn("setting the condition of a DAG failed", "namespace", name.Namespace, "dag", name.Name, "error", told)
		}
	}
	return err
}

// setDAGCondition sets a condition that a DAG has only while it is False, or removes it. A new condition is also an
// Event.
func (c *dagConditions) setDAGCondition(
	ctx context.Context,
	name cache.ObjectName,
	kind string,
	condition *metav1.Condition,
) error {
	cached, ok := c.cached.dags.Get(name)
	if !ok || says(cached.Status.Conditions, kind, condition) {
		return nil
	}
	dags := c.cfg.Client.KontrolerV1alpha1().DAGs(name.Namespace)
	d, err := dags.Get(ctx, name.Name, metav1.GetOptions{})
	if err != nil || d.Status.Controller != c.cfg.ID || says(d.Status.Conditions, kind, condition) {
		return kube.IgnoreNotFound(err)
	}
	isNew := meta.FindStatusCondition(d.Status.Conditions, kind) == nil
	setCondition(&d.Status.Conditions, kind, condition, d.Generation)
	body, err := json.Marshal(
		map[string]any{"metadata": map[string]any{"uid": d.UID, "resourceVersion": d.ResourceVersion},
			"status": map[string]any{"conditions": d.Status.Conditions}},
	)
	if err != nil {
		return fmt.Errorf("encoding the conditions of DAG %s: %w", name, err)
	}
	_, err = dags.Patch(ctx, name.Name, types.MergePatchType, body, metav1.PatchOptions{}, "status")
	if err = kube.IgnoreNotFound(err); err != nil {
		return fmt.Errorf("patching the conditions of DAG %s: %w", name, err)
	}
	if condition != nil && isNew {
		c.events.Event(d, corev1.EventTypeWarning, condition.Reason, text.Shorten(condition.Message, 1024))
	}
	return nil
}

// setCondition sets a condition. nil removes it.
func setCondition(conditions *[]metav1.Condition, kind string, condition *metav1.Condition, generation int64) {
	if condition == nil {
		meta.RemoveStatusCondition(conditions, kind)
		return
	}
	put := *condition
	put.Type, put.ObservedGeneration, put.Message = kind, generation, text.Shorten(put.Message, 4096)
	meta.SetStatusCondition(conditions, put)
}

// says reports whether a condition has the wanted message; nil: it is to be absent.
func says(conditions []metav1.Condition, kind string, want *metav1.Condition) bool {
	shown := meta.FindStatusCondition(conditions, kind)
	if shown == nil || want == nil {
		return shown == nil && want == nil
	}
	return shown.Message == text.Shorten(want.Message, 4096)
}

// showTrouble shows in a DagRun without a row, or without a claim, why it is not admitted.
func (s *statusWriter) showTrouble(ctx context.Context, run *v1alpha1.DagRun) (sent bool, err error) {
	condition := s.troubles.condition(queue.RunKey(run.UID), s.now())
	if says(run.Status.Conditions, v1alpha1.ConditionReconciled, condition) {
		return false, nil
	}
	status := *run.Status.DeepCopy()
	setCondition(&status.Conditions, v1alpha1.ConditionReconciled, condition, run.Generation)
	_, err = s.patchStatus(ctx, run, status, run.ResourceVersion)
	return true, kube.IgnoreNotFound(err)
}
