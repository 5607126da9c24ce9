package objects

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/httpapi/cluster"
)

// CreateRun creates a DagRun. An error is a *Refusal.
func (c Client) CreateRun(ctx context.Context, run *v1alpha1.DagRun) (*v1alpha1.DagRun, error) {
	return c.createRun(ctx, run, nil)
}

// CheckRun returns the error that CreateRun would return now. It creates nothing. An error is a *Refusal.
func (c Client) CheckRun(ctx context.Context, run *v1alpha1.DagRun) error {
	_, err := c.createRun(ctx, run, []string{metav1.DryRunAll})
	return err
}

func (c Client) createRun(ctx context.Context, run *v1alpha1.DagRun, dryRun []string) (*v1alpha1.DagRun, error) {
	created, err := c.Kontroler.KontrolerV1alpha1().DagRuns(run.Namespace).
		Create(ctx, run, metav1.CreateOptions{FieldManager: cluster.OwnManager, DryRun: dryRun})
	return created, c.explain(ctx, err, request{"create", "dagruns", run.Namespace, run.Name})
}

// FindRun reads a DagRun from the API server. It returns nil if there is none. An error is a *Refusal.
func (c Client) FindRun(ctx context.Context, namespace, name string) (*v1alpha1.DagRun, error) {
	run, err := c.Kontroler.KontrolerV1alpha1().DagRuns(namespace).Get(ctx, name, metav1.GetOptions{})
	if err = c.explain(ctx, err, request{"get", "dagruns", namespace, name}); isAbsent(err) {
		return nil, nil
	}
	return run, err
}

// Cancel sets spec.cancel of a live DagRun. An error is a *Refusal.
func (c Client) Cancel(ctx context.Context, live *v1alpha1.DagRun) error {
	body, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": live.UID, "resourceVersion": live.ResourceVersion},
		"spec":     map[string]any{"cancel": true},
	})
	if err != nil {
		return fmt.Errorf("encoding a cancellation: %w", err)
	}
	_, err = c.Kontroler.KontrolerV1alpha1().DagRuns(live.Namespace).
		Patch(ctx, live.Name, types.MergePatchType, body, metav1.PatchOptions{FieldManager: cluster.OwnManager})
	return c.explain(ctx, err, request{"patch", "dagruns", live.Namespace, live.Name})
}

// DeleteRun deletes a live DagRun. It is no error if the DagRun no longer exists. An error is a *Refusal.
func (c Client) DeleteRun(ctx context.Context, live *v1alpha1.DagRun) error {
	uid := live.UID
	err := c.Kontroler.KontrolerV1alpha1().DagRuns(live.Namespace).Delete(ctx, live.Name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &uid},
	})
	err = c.explain(ctx, err, request{"delete", "dagruns", live.Namespace, live.Name})
	if refusal, ok := errors.AsType[*Refusal](err); ok && (refusal.Reason == Absent || refusal.Reason == Changed) {
		return nil
	}
	return err
}

func isAbsent(err error) bool {
	refusal, ok := errors.AsType[*Refusal](err)
	return ok && refusal.Reason == Absent
}
