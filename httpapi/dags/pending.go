package dags

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/httpapi/cluster"
	"kontroler/store/view"
)

// Pending is a DagRun without a row.
type Pending struct {
	Namespace string    `json:"namespace"`
	Name      string    `json:"name"`
	UID       string    `json:"uid"`
	DAG       string    `json:"dag"`
	CreatedAt time.Time `json:"createdAt"`
	Reason    string    `json:"reason"`
	Message   string    `json:"message"`
	Admitted  bool      `json:"admitted"` // false
}

// PendingList lists DagRuns without a row. HasMore says that there may be more.
type PendingList struct {
	cluster.List[Pending]
	HasMore bool
}

// Pending lists the DagRuns of a scope that have no row and were created before a time, oldest first. The zero time
// means no bound.
func (r *Reader) Pending(ctx context.Context, scope view.Scope, before time.Time) (list PendingList, err error) {
	live, err := r.Cluster.Pending(ctx, scope)
	if err != nil {
		return PendingList{}, err
	}
	uids := make([]string, len(live.Items))
	for i, run := range live.Items {
		uids[i] = string(run.UID)
	}
	// A DagRun may have a row already: its status is written after the row.
	admitted, err := r.Views.Admitted(ctx, uids)
	if err != nil {
		return PendingList{}, err
	}
	list.HasMore, list.Unavailable = live.HasMore, live.Unavailable
	for _, run := range live.Items {
		if !admitted[string(run.UID)] && (before.IsZero() || run.CreationTimestamp.Time.Before(before)) {
			list.Items = append(list.Items, pendingOf(run))
		}
	}
	slices.SortFunc(list.Items, func(a, b Pending) int {
		return cmp.Or(
			a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return list, nil
}

func pendingOf(run *v1alpha1.DagRun) Pending {
	reason, message := waits(run)
	return Pending{
		Namespace: run.Namespace, Name: run.Name, UID: string(run.UID), DAG: run.Spec.DagName,
		CreatedAt: run.CreationTimestamp.UTC(), Reason: reason, Message: message,
	}
}

// waits returns why a DagRun has no row.
func waits(run *v1alpha1.DagRun) (reason, message string) {
	conditions := run.Status.Conditions
	if failing := meta.FindStatusCondition(conditions, v1alpha1.ConditionReconciled); failing != nil &&
		failing.Status == metav1.ConditionFalse {
		return failing.Reason, failing.Message
	}
	refused := meta.FindStatusCondition(conditions, v1alpha1.RunConditionAdmitted)
	switch {
	case run.Status.Reason != "":
		return run.Status.Reason, run.Status.Message
	case refused != nil && refused.Status == metav1.ConditionFalse:
		return refused.Reason, refused.Message
	}
	return "NotSeen", "No controller has seen the DagRun yet."
}

// Run is a DagRun without a row. Times that it does not have are zero.
type Run struct {
	Pending
	Phase                string
	Parameters           json.RawMessage
	Trigger, RequestedBy string
	DueAt, FinishedAt    time.Time
}

// Run reads a DagRun that has no row. found is also false for a run of the existing Kontroler.
func (r *Reader) Run(ctx context.Context, namespace, name string) (run Run, found bool, err error) {
	live, found, err := r.Cluster.LiveRun(ctx, namespace, name)
	if err != nil || !found || live.IsOtherKontrolers() {
		return Run{}, false, err
	}
	run = Run{Pending: pendingOf(live), Phase: string(cmp.Or(live.Status.Phase, v1alpha1.RunPending))}
	run.Trigger, run.RequestedBy, run.DueAt = live.Origin()
	if live.Status.CompletionTime != nil {
		run.FinishedAt = live.Status.CompletionTime.UTC()
	}
	parameters := live.Spec.Parameters
	if parameters == nil {
		parameters = []v1alpha1.ParameterValue{}
	}
	run.Parameters, err = json.Marshal(parameters)
	return run, err == nil, err
}
