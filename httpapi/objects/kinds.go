package objects

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"kontroler/apis/dag"
	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/httpapi/cluster"
)

// Kind reads and writes the objects of a kind. T is *v1alpha1.DAG or *v1alpha1.DagTask. Errors of its methods are
// *Refusal, except those of StoredVersion.
type Kind[T Object] struct {
	client   Client
	resource string
	in       func(namespace string) typed[T]
	check    func(context.Context, T) (faults field.ErrorList, warnings []string, err error)
	// replace returns a copy of a live object with the labels, annotations and spec of another.
	replace func(live, given T) T
}

// Object is an object of a Kind.
type Object interface {
	*v1alpha1.DAG | *v1alpha1.DagTask
	metav1.Object
}

// typed is a typed client for one namespace.
type typed[T any] interface {
	Get(ctx context.Context, name string, options metav1.GetOptions) (T, error)
	Create(ctx context.Context, object T, options metav1.CreateOptions) (T, error)
	Update(ctx context.Context, object T, options metav1.UpdateOptions) (T, error)
	Delete(ctx context.Context, name string, options metav1.DeleteOptions) error
}

// DAGs returns the kind of DAGs. stored is as in Compile.
func (c Client) DAGs(stored StoredVersion) *Kind[*v1alpha1.DAG] {
	return &Kind[*v1alpha1.DAG]{
		client: c, resource: "dags",
		in: func(namespace string) typed[*v1alpha1.DAG] { return c.Kontroler.KontrolerV1alpha1().DAGs(namespace) },
		check: func(ctx context.Context, d *v1alpha1.DAG) (field.ErrorList, []string, error) {
			_, faults, err := c.Compile(ctx, d, stored)
			return faults, dag.Warnings(&d.Spec), err
		},
		replace: func(live, given *v1alpha1.DAG) *v1alpha1.DAG {
			changed := live.DeepCopy()
			changed.Labels, changed.Annotations, changed.Spec = given.Labels, given.Annotations, given.Spec
			return changed
		},
	}
}

// DagTasks returns the kind of DagTasks.
func (c Client) DagTasks() *Kind[*v1alpha1.DagTask] {
	return &Kind[*v1alpha1.DagTask]{
		client: c, resource: "dagtasks",
		in: func(namespace string) typed[*v1alpha1.DagTask] {
			return c.Kontroler.KontrolerV1alpha1().DagTasks(namespace)
		},
		check: func(_ context.Context, task *v1alpha1.DagTask) (field.ErrorList, []string, error) {
			return dag.CheckTask(&task.Spec), dag.TaskWarnings(&task.Spec), nil
		},
		replace: func(live, given *v1alpha1.DagTask) *v1alpha1.DagTask {
			changed := live.DeepCopy()
			changed.Labels, changed.Annotations, changed.Spec = given.Labels, given.Annotations, given.Spec
			return changed
		},
	}
}

// Resource is the plural name of the kind.
func (k *Kind[T]) Resource() string { return k.resource }

func (k *Kind[T]) request(verb string, object metav1.Object) request {
	return request{verb, k.resource, object.GetNamespace(), object.GetName()}
}

// Get reads an object from the API server.
func (k *Kind[T]) Get(ctx context.Context, namespace, name string) (T, error) {
	object, err := k.in(namespace).Get(ctx, name, metav1.GetOptions{})
	return object, k.client.explain(ctx, err, request{"get", k.resource, namespace, name})
}

// Check returns all faults of a manifest, both those that Kontroler finds and those that Kubernetes returns for a dry
// run, and warnings. It changes nothing. live is the object that the manifest would replace, or nil.
func (k *Kind[T]) Check(ctx context.Context, given T, live *T) ([]Fault, []string, error) {
	found, warnings, err := k.check(ctx, given)
	if err != nil {
		return nil, nil, err
	}
	faults := ownFaults(found)
	dryRun := []string{metav1.DryRunAll}
	if live == nil {
		_, err = k.create(ctx, given, dryRun)
	} else {
		_, err = k.update(ctx, *live, given, dryRun)
	}
	if err == nil {
		return faults, warnings, nil
	}
	refusal, ok := errors.AsType[*Refusal](err)
	switch {
	case ok && (refusal.Reason == Invalid || refusal.Reason == Denied) && len(refusal.Faults) == 0:
		faults = append(faults, Fault{Detail: refusal.Detail})
	case ok && refusal.Reason == Invalid:
		faults = merge(faults, refusal.Faults)
	default:
		return nil, nil, err
	}
	return faults, warnings, nil
}

func ownFaults(found field.ErrorList) (faults []Fault) {
	for _, f := range found {
		faults = append(faults, Fault{Field: f.Field, Detail: f.ErrorBody()})
	}
	return faults
}

// merge adds to faults those of more whose field has no fault yet.
func merge(faults, more []Fault) []Fault {
	known := map[string]bool{}
	for _, fault := range faults {
		known[fault.Field] = true
	}
	for _, fault := range more {
		if !known[fault.Field] {
			faults = append(faults, fault)
		}
	}
	return faults
}

// Create creates an object. A *Refusal with the reason Invalid has all faults of the manifest.
func (k *Kind[T]) Create(ctx context.Context, given T) (T, error) {
	if err := k.verify(ctx, given, nil); err != nil {
		var none T
		return none, err
	}
	return k.create(ctx, given, nil)
}

// Replace replaces the labels, annotations and spec of a live object, if it has not changed since it was read. A
// *Refusal with the reason Invalid has all faults of the manifest.
func (k *Kind[T]) Replace(ctx context.Context, live, given T) (T, error) {
	if err := k.verify(ctx, given, &live); err != nil {
		return live, err
	}
	return k.update(ctx, live, given, nil)
}

// verify refuses a manifest in which Kontroler finds faults, because Kubernetes may accept them.
func (k *Kind[T]) verify(ctx context.Context, given T, live *T) error {
	found, _, err := k.check(ctx, given)
	if err != nil || len(found) == 0 {
		return err
	}
	faults, _, err := k.Check(ctx, given, live)
	if err != nil {
		faults = ownFaults(found) // without those that Kubernetes would find
	}
	return &Refusal{Reason: Invalid, Detail: "The manifest is not valid.", Faults: faults}
}

func (k *Kind[T]) create(ctx context.Context, given T, dryRun []string) (T, error) {
	options := metav1.CreateOptions{FieldManager: cluster.OwnManager, DryRun: dryRun}
	created, err := k.in(given.GetNamespace()).Create(ctx, given, options)
	return created, k.client.explain(ctx, err, k.request("create", given))
}

func (k *Kind[T]) update(ctx context.Context, live, given T, dryRun []string) (T, error) {
	labels, annotations := given.GetLabels(), given.GetAnnotations()
	defer func() { given.SetLabels(labels); given.SetAnnotations(annotations) }()
	keepOthers(live, given)
	if applied, ok := live.GetAnnotations()[corev1.LastAppliedConfigAnnotation]; ok {
		given.GetAnnotations()[corev1.LastAppliedConfigAnnotation] = applied
	}
	options := metav1.UpdateOptions{FieldManager: cluster.OwnManager, DryRun: dryRun}
	updated, err := k.in(live.GetNamespace()).Update(ctx, k.replace(live, given), options)
	return updated, k.client.explain(ctx, err, k.request("update", live))
}

// Delete deletes a live object and its dependents, if it has not changed since it was read.
func (k *Kind[T]) Delete(ctx context.Context, live T) error {
	uid, version := live.GetUID(), live.GetResourceVersion()
	err := k.in(live.GetNamespace()).Delete(ctx, live.GetName(), metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &version},
	})
	return k.client.explain(ctx, err, k.request("delete", live))
}

// Suspend suspends or resumes the schedule of a live DAG. It warns if another field manager owns spec.suspended.
func (c Client) Suspend(ctx context.Context, live *v1alpha1.DAG, isSuspended bool) (
	patched *v1alpha1.DAG, warnings []string, err error) {
	if managers := cluster.SuspendedManagers(live); len(managers) > 0 && live.Spec.Suspended != isSuspended {
		warnings = []string{fmt.Sprintf(
			"spec.suspended: %s wrote it, and its next sync may undo this. Change it there, too.",
			strings.Join(managers, ", "))}
	}
	body, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": live.UID, "resourceVersion": live.ResourceVersion},
		"spec":     map[string]any{"suspended": isSuspended},
	})
	if err != nil {
		return nil, nil, fmt.Errorf("encoding a suspension: %w", err)
	}
	patched, err = c.Kontroler.KontrolerV1alpha1().DAGs(live.Namespace).
		Patch(ctx, live.Name, types.MergePatchType, body, metav1.PatchOptions{FieldManager: cluster.OwnManager})
	return patched, warnings, c.explain(ctx, err, request{"patch", "dags", live.Namespace, live.Name})
}
