package harness

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
)

// Shared returns the manifest of a DagTask with the fields of a task. Version 0 leaves spec.version out.
func (w *World) Shared(name string, version int32, task v1alpha1.Task) string {
	spec := v1alpha1.DagTaskSpec{TaskTemplate: task.TaskTemplate}
	if version != 0 {
		spec.Version = &version
	}
	return w.Manifest("DagTask", name, spec)
}

// FromDagTask returns a task that refers to a DagTask. Version 0 follows the DagTask.
func FromDagTask(name, dagTask string, version int32, options ...TaskOption) v1alpha1.Task {
	t := v1alpha1.Task{Name: name, TaskRef: &v1alpha1.TaskRef{Name: dagTask, Version: int64(version)}}
	for _, option := range options {
		option(&t)
	}
	return t
}

// WaitValid waits until the condition Valid of a DAG or DagTask has a status, and a message that contains a text.
func (w *World) WaitValid(kind, name string, status metav1.ConditionStatus, text string) {
	w.T.Helper()
	what := fmt.Sprintf("%s %s to be Valid=%s with %q", kind, name, status, text)
	w.Eventually(what, Patience, func(context.Context) (bool, string) {
		c := meta.FindStatusCondition(w.conditionsOf(kind, name), v1alpha1.DAGValid)
		return c != nil && c.Status == status && strings.Contains(c.Message, text), fmt.Sprintf("%+v", c)
	})
}

func (w *World) conditionsOf(kind, name string) []metav1.Condition {
	w.T.Helper()
	if kind == "DAG" {
		return w.DAG(name).Status.Conditions
	}
	return w.DagTask(name).Status.Conditions
}

// DagTask reads a DagTask.
func (w *World) DagTask(name string) *v1alpha1.DagTask {
	w.T.Helper()
	task, err := w.Client.KontrolerV1alpha1().DagTasks(w.Namespace).Get(w.T.Context(), name, metav1.GetOptions{})
	if err != nil {
		w.T.Fatal(err)
	}
	return task
}
