package schedule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/fault"
	"kontroler/controller/kube"
	typedv1alpha1 "kontroler/generated/clientset/versioned/typed/kontroler/v1alpha1"
	"kontroler/store"
)

// dagRuns sends the requests for scheduled DagRuns.
type dagRuns struct {
	client typedv1alpha1.DagRunsGetter
}

// refusedError is the API server's refusal of a DagRun that it may accept later: a quota is full, a webhook denies it
// or does not answer, a permission is missing.
type refusedError struct{ error }

// impossibleError is why a DagRun can never be created.
type impossibleError struct{ error }

var errNameTaken = errors.New("another DagRun has its name")

// read reads a DagRun live. It returns nil if the DagRun does not exist.
func (r dagRuns) read(ctx context.Context, namespace, name string) (*v1alpha1.DagRun, error) {
	found, err := r.client.DagRuns(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading DagRun %s/%s: %w", namespace, name, err)
	}
	return found, nil
}

// create creates the DagRun of a due time, or finds that it exists, and returns its UID. It returns a *refusedError, an
// *impossibleError, or an error after which it is unknown whether the DagRun exists.
func (r dagRuns) create(ctx context.Context, d *v1alpha1.DAG, run store.ScheduledRun) (uid string, err error) {
	runs := r.client.DagRuns(d.Namespace)
	fault.Point("tick-create")
	created, err := runs.Create(ctx, newRun(d, run), metav1.CreateOptions{})
	switch {
	case err == nil:
		return string(created.UID), nil
	case kube.IsInvalid(err), apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return "", &impossibleError{err}
	case apierrors.IsAlreadyExists(err):
	case kube.IsRefusal(err):
		// The name differs for each due time. Without it, the message of the condition stays the same from try to try.
		return "", &refusedError{errors.New(strings.ReplaceAll(err.Error(), strconv.Quote(run.Name)+" ", ""))}
	default:
		return "", err
	}
	if created, err = runs.Get(ctx, run.Name, metav1.GetOptions{}); err != nil {
		return "", err
	}
	if !isRunOf(created, d, run.DueAt) {
		return "", &impossibleError{errNameTaken}
	}
	return string(created.UID), nil
}

// newRun returns the DagRun of a due time, as it is created.
func newRun(d *v1alpha1.DAG, run store.ScheduledRun) *v1alpha1.DagRun {
	r := &v1alpha1.DagRun{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: d.Namespace, Name: run.Name,
			Labels: map[string]string{v1alpha1.LabelScheduled: "true"},
			Annotations: map[string]string{
				v1alpha1.AnnotationDAG: d.Name, v1alpha1.AnnotationScheduledAt: formatDueAt(run.DueAt),
			},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "DAG",
				Name: d.Name, UID: d.UID, Controller: new(true),
			}},
		},
		Spec: v1alpha1.DagRunSpec{DagName: d.Name},
	}
	if len(d.Name) <= validation.DNS1123LabelMaxLength {
		r.Labels[v1alpha1.LabelDAG] = d.Name
	}
	return r
}

// isRunOf reports whether a DagRun is the one of a DAG's due time.
func isRunOf(found *v1alpha1.DagRun, d *v1alpha1.DAG, dueAt time.Time) bool {
	return metav1.IsControlledBy(found, d) && found.Annotations[v1alpha1.AnnotationScheduledAt] == formatDueAt(dueAt)
}

func formatDueAt(dueAt time.Time) string { return dueAt.UTC().Format(time.RFC3339) }

// cancel cancels a run, if its DagRun still exists. The DagRun stays, as history.
func (r dagRuns) cancel(ctx context.Context, namespace string, run store.ScheduledRun) error {
	body, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": run.UID}, "spec": map[string]any{"cancel": true},
	})
	if err != nil {
		return fmt.Errorf("encoding a cancellation: %w", err)
	}
	_, err = r.client.DagRuns(namespace).Patch(ctx, run.Name, types.MergePatchType, body, metav1.PatchOptions{})
	if apierrors.IsInvalid(err) || apierrors.IsConflict(err) {
		// Another DagRun may have the name now.
		live, readErr := r.client.DagRuns(namespace).Get(ctx, run.Name, metav1.GetOptions{})
		switch {
		case readErr != nil:
			err = readErr
		case string(live.UID) != run.UID:
			return nil
		}
	}
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cancelling DagRun %s/%s: %w", namespace, run.Name, err)
	}
	fault.Point("tick-replaced")
	return nil
}
