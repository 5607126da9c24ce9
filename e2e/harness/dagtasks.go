package harness

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
)

// Shared is the manifest of a DagTask made of a task of sh; version 0 states none.
func (w *World) Shared(name string, version int32, task v1alpha1.Task) string {
	spec := v1alpha1.DagTaskSpec{TaskTemplate: task.TaskTemplate}
	if version != 0 {
		spec.Version = &version
	}
	return w.Manifest("DagTask", name, spec)
}

// By is a task that is a DagTask's.
func By(name, dagTask string, version int32, options ...TaskOption) v1alpha1.Task {
	t := v1alpha1.Task{Name: name, TaskRef: &v1alpha1.TaskRef{Name: dagTask, Version: int64(version)}}
	for _, option := range options {
		option(&t)
	}
	return t
}

// WaitValid waits until a DAG or DagTask has condition Valid with a status, and a text in its message.
func (w *World) WaitValid(kind, name string, status metav1.ConditionStatus, says string) {
	w.T.Helper()
	w.Eventually(fmt.Sprintf("%s %s to be Valid=%s, saying %q", kind, name, status, says), Patience, func(context.Context) (bool, string) {
		conditions := w.dagTaskOrDAG(kind, name)
		c := meta.FindStatusCondition(conditions, v1alpha1.DAGValid)
		return c != nil && c.Status == status && strings.Contains(c.Message, says), fmt.Sprintf("%+v", c)
	})
}

func (w *World) dagTaskOrDAG(kind, name string) []metav1.Condition {
	w.T.Helper()
	if kind == "DAG" {
		return w.DAG(name).Status.Conditions
	}
	return w.DagTask(name).Status.Conditions
}

// DagTask reads a dagTask.
func (w *World) DagTask(name string) *v1alpha1.DagTask {
	w.T.Helper()
	task, err := w.Client.KontrolerV1alpha1().DagTasks(w.Namespace).Get(w.T.Context(), name, metav1.GetOptions{})
	if err != nil {
		w.T.Fatal(err)
	}
	return task
}
