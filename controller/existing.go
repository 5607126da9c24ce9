package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/informer"
	"kontroler/controller/kube"
	"kontroler/controller/queue"
)

// The existing Kontroler has the same custom resources. Its DagRuns are not run again, and its finalizers are removed
// from deleted objects. Every controller that watches an object does this, whichever controller owns it. A repetition
// changes nothing.

// isDisowned reports whether a DagRun already shows that it belongs to the existing Kontroler.
func isDisowned(run *v1alpha1.DagRun) bool {
	admitted := meta.FindStatusCondition(run.Status.Conditions, v1alpha1.RunConditionAdmitted)
	return admitted != nil && admitted.Reason == v1alpha1.RunReasonOtherKontroler
}

// releaser removes finalizers of the existing Kontroler from deleted objects.
type releaser struct {
	*core
	queue *queue.Queue[releaseKey]
}

// disown adds to the status of a DagRun of the existing Kontroler that it does not run here.
func (a *admitter) disown(ctx context.Context, run *v1alpha1.DagRun) error {
	if isDisowned(run) || run.DeletionTimestamp != nil {
		return nil
	}
	what := "the existing Kontroler took it on"
	if id := run.Status.DagRunID; id != 0 {
		what = fmt.Sprintf("the existing Kontroler ran it, as its run %d", id)
	}
	message := what + ": it is history, and not run again; make another DagRun to run the DAG"
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

// sharedObject is an object of a kind that both projects have.
type sharedObject interface {
	informer.Object
	OldFinalizers() []string
}

// releaseWorkers is how many objects of a namespace are released at a time, so that a start with many does not flood
// the API server.
const releaseWorkers = 2

// releaseKey names an object that a finalizer of the existing Kontroler may hold.
type releaseKey struct {
	resource string
	name     cache.ObjectName
}

func (k releaseKey) namespace() string { return k.name.Namespace }

// isHeldByOld reports whether an object was deleted and a finalizer of the existing Kontroler holds it.
func isHeldByOld(o sharedObject) bool {
	isOld := func(finalizer string) bool { return slices.Contains(o.OldFinalizers(), finalizer) }
	return o.GetDeletionTimestamp() != nil && slices.ContainsFunc(o.GetFinalizers(), isOld)
}

// releaseOld enqueues an object if it is to be released.
func (r *releaser) releaseOld(resource string, o sharedObject) {
	if isHeldByOld(o) {
		r.queue.Add(releaseKey{resource, cache.MetaObjectToName(o)})
	}
}

// syncRelease removes the finalizers of the existing Kontroler from a deleted object. The patch has the UID and the
// finalizers as preconditions. After any other change it is retried with what the cache shows then.
func (r *releaser) syncRelease(ctx context.Context, key releaseKey) error {
	o, there := r.cachedObject(key)
	if !there || !isHeldByOld(o) {
		return nil
	}
	kept := slices.DeleteFunc(
		slices.Clone(o.GetFinalizers()),
		func(f string) bool { return slices.Contains(o.OldFinalizers(), f) },
	)
	body, err := json.Marshal([]map[string]any{
		{"op": "test", "path": "/metadata/uid", "value": o.GetUID()},
		{"op": "test", "path": "/metadata/finalizers", "value": o.GetFinalizers()},
		{"op": "replace", "path": "/metadata/finalizers", "value": kept},
	})
	if err != nil {
		return fmt.Errorf("encoding finalizers: %w", err)
	}
	err = r.cfg.Client.KontrolerV1alpha1().RESTClient().Patch(types.JSONPatchType).Namespace(key.name.Namespace).
		Resource(key.resource).Name(key.name.Name).Body(body).Do(ctx).Error()
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("removing the finalizer of the existing Kontroler from the deleted %s %s: %w", key.resource,
			key.name, err)
	}
	r.cfg.Log.Info("removed the finalizer of the existing Kontroler from a deleted object", "resource", key.resource,
		"namespace", key.name.Namespace, "name", key.name.Name)
	return nil
}

// cachedObject returns the object of a key from the cache.
func (r *releaser) cachedObject(key releaseKey) (o sharedObject, there bool) {
	switch key.resource {
	case "dags":
		return r.cached.dags.Get(key.name)
	case "dagtasks":
		return r.cached.dagTasks.Get(key.name)
	default:
		return r.cached.dagRuns.Get(key.name)
	}
}
