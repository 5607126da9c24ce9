package controller

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/reference"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/conditions"
	"kontroler/controller/engine"
	"kontroler/controller/fault"
	"kontroler/controller/informer"
	"kontroler/controller/kube"
	"kontroler/controller/names"
	"kontroler/controller/queue"
	"kontroler/controller/text"
	"kontroler/generated/clientset/versioned/scheme"
	"kontroler/store"
)

const (
	reasonDatabaseUnavailable = "DatabaseUnavailable"
	// maxMessage is the limit of status.message of a DagRun, in bytes.
	maxMessage = 4096
)

// statusWriter writes the status of DagRuns and DAGs, and their Events.
type statusWriter struct {
	*core
	queue       *queue.Queue[queue.RunKey] // runs that ended and whose final status is due
	projections *projections
	// reported are the DagRuns whose final status was written. Each is removed when the cache shows that status, when
	// the DagRun is gone, or when the write failed.
	reported informer.UIDSet
	// unclaimed are the DagRuns whose progress is due once the cache shows their claim.
	unclaimed  informer.UIDSet
	syncErrors *conditions.SyncErrors[queue.RunKey]
	workspaces *workspaces
}

// project derives the status of a DagRun from its row. A claimed DagRun shows Running, although its row is Pending
// until the first commit.
func (s *statusWriter) project(row store.Run, run *v1alpha1.DagRun) v1alpha1.DagRunStatus {
	admitted := metav1.NewTime(row.AdmittedAt)
	status := v1alpha1.DagRunStatus{
		ObservedGeneration: run.Generation,
		Phase:              v1alpha1.RunPhase(row.Phase),
		Reason:             row.Reason,
		Message:            text.Shorten(row.Message, maxMessage),
		Controller:         s.cfg.ID,
		RunID:              row.ID,
		DAGVersion:         row.VersionNumber,
		StartTime:          &admitted,
		Progress: fmt.Sprintf("%d/%d", row.Counts.Succeeded+row.Counts.Failed+row.Counts.Skipped+row.Counts.Cancelled,
			row.Counts.Total),
		Tasks: &v1alpha1.TaskCounts{
			Total:     int32(row.Counts.Total),
			Waiting:   int32(row.Counts.Waiting + row.Counts.Ready),
			Running:   int32(row.Counts.Active),
			Succeeded: int32(row.Counts.Succeeded),
			Failed:    int32(row.Counts.Failed),
			Skipped:   int32(row.Counts.Skipped),
			Cancelled: int32(row.Counts.Cancelled),
		},
	}
	condition := metav1.Condition{
		Type:               v1alpha1.RunConditionAdmitted,
		Status:             metav1.ConditionTrue,
		Reason:             "Admitted",
		LastTransitionTime: admitted,
		Message:            fmt.Sprintf("version %d of DAG %q", row.VersionNumber, row.DAGName),
		ObservedGeneration: run.Generation,
	}
	if refused(row) {
		condition.Status, condition.Reason = metav1.ConditionFalse, row.Reason
		condition.Message = text.Shorten(row.Message, 16<<10)
		status.Tasks, status.Progress = nil, ""
	}
	status.Conditions = []metav1.Condition{condition}
	if status.Phase == v1alpha1.RunPending {
		status.Phase = v1alpha1.RunRunning
	}
	if status.Phase.Ended() {
		status.Duration = duration.HumanDuration(row.FinishedAt.Sub(row.AdmittedAt))
		setEnded(&status, metav1.NewTime(row.FinishedAt), run.Generation)
	}
	return status
}

func refused(row store.Run) bool {
	return row.Reason == engine.ReasonInvalidDag || row.Reason == engine.ReasonInvalidParameters
}

// setEnded adds the completion time to the status of a DagRun, and the conditions Succeeded and Failed for kubectl
// wait.
func setEnded(status *v1alpha1.DagRunStatus, at metav1.Time, generation int64) {
	status.CompletionTime = &at
	for _, phase := range []v1alpha1.RunPhase{v1alpha1.RunSucceeded, v1alpha1.RunFailed} {
		value := metav1.ConditionFalse
		if status.Phase == phase {
			value = metav1.ConditionTrue
		}
		status.Conditions = append(status.Conditions, metav1.Condition{
			Type: string(phase), Status: value, Reason: cmp.Or(status.Reason, string(status.Phase)),
			Message: status.Message, LastTransitionTime: at, ObservedGeneration: generation,
		})
	}
}

// patchStatus replaces the status of a DagRun. Its UID is a precondition, and so is resourceVersion if it is not empty.
func (s *statusWriter) patchStatus(
	ctx context.Context, run *v1alpha1.DagRun, status v1alpha1.DagRunStatus, resourceVersion string,
) (*v1alpha1.DagRun, error) {
	type operation struct {
		Op    string `json:"op"`
		Path  string `json:"path"`
		Value any    `json:"value"`
	}
	patch := []operation{{"test", "/metadata/uid", run.UID}, {"add", "/status", status}}
	if resourceVersion != "" {
		patch = append(patch, operation{"replace", "/metadata/resourceVersion", resourceVersion})
	}
	body, err := json.Marshal(patch)
	if err != nil {
		return nil, fmt.Errorf("encoding a status: %w", err)
	}
	return s.cfg.Client.KontrolerV1alpha1().
		DagRuns(run.Namespace).
		Patch(ctx, run.Name, types.JSONPatchType, body, metav1.PatchOptions{}, "status")
}

// reportEnd writes the final status of a DagRun and the Event of its end.
func (s *statusWriter) reportEnd(ctx context.Context, row store.Run, run *v1alpha1.DagRun) error {
	fault.Point("end-report")
	status, guard := s.project(row, run), ""
	switch {
	case run.IsOtherKontrolers():
		return nil
	case run.Status.Controller == "" && run.Status.RunID == 0:
		// The run was refused or cancelled before its claim. The final status is the claim.
		guard = run.ResourceVersion
	case run.Status.Controller != s.cfg.ID:
		return nil
	}
	if err := s.recordEnd(ctx, run, status); err != nil {
		return err
	}
	fault.Point("end-recorded")
	s.reported.Add(run.UID) // before the watch can show it
	if _, err := s.patchStatus(ctx, run, status, guard); err != nil {
		s.reported.Remove(run.UID)
		return kube.IgnoreNotFound(err)
	}
	fault.Point("end-reported")
	s.projections.lastRun(dagOf(row))
	s.cfg.Log.Info("run ended", "namespace", run.Namespace, "run", run.Name, "dag", row.DAGName, "phase", row.Phase,
		"reason", row.Reason, "duration", status.Duration)
	return nil
}

// tasksNamed is how many failed tasks and how many waiting tasks the message of a DagRun names.
const tasksNamed = 3

// nameFailures adds the names of failed tasks, and why they failed, to the message of the row.
func nameFailures(row store.Run, failed []store.TaskReason) store.Run {
	if row.Reason != engine.ReasonTaskFailed {
		return row
	}
	for i, task := range failed {
		separator := "; "
		if i == 0 {
			separator = ": "
		}
		row.Message += separator + task.Task + " (" + text.Shorten(task.Message, 256) + ")"
	}
	return row
}

// dagOf returns the name of the DAG of a run.
func dagOf(row store.Run) cache.ObjectName { return cache.NewObjectName(row.Namespace, row.DAGName) }

// recordEnd writes the Event of the end of a run. It comes before the last patch, after which the DagRun is not synced
// again.
func (s *statusWriter) recordEnd(ctx context.Context, run *v1alpha1.DagRun, status v1alpha1.DagRunStatus) error {
	kind, reason := corev1.EventTypeNormal, string(status.Phase)
	message := fmt.Sprintf("%s tasks done in %s", status.Progress, status.Duration)
	if status.Phase != v1alpha1.RunSucceeded {
		kind, reason, message = corev1.EventTypeWarning, status.Reason, status.Message
	}
	return s.recordEvent(ctx, run, "end", kind, reason, message)
}

// recordEvent writes an Event of a DagRun. Its name derives from its subject, so a repeated call writes nothing.
func (s *statusWriter) recordEvent(
	ctx context.Context, run *v1alpha1.DagRun, about, kind, reason, message string,
) error {
	object, err := reference.GetReference(scheme.Scheme, run)
	if err != nil {
		return fmt.Errorf("making an Event of DagRun %s/%s: %w", run.Namespace, run.Name, err)
	}
	now := metav1.NewTime(s.now())
	_, err = s.cfg.Kube.CoreV1().Events(run.Namespace).Create(ctx, &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: run.Namespace, Name: names.RunEvent(string(run.UID), run.Name, about),
		},
		InvolvedObject: *object, Type: kind, Reason: reason, Message: text.Shorten(message, text.MaxBytes),
		FirstTimestamp: now, LastTimestamp: now, Count: 1,
		Source: corev1.EventSource{Component: component}, ReportingController: component,
	}, metav1.CreateOptions{})
	switch {
	case err == nil, apierrors.IsAlreadyExists(err):
	case apierrors.IsForbidden(err), apierrors.IsNotFound(err), apierrors.IsInvalid(err):
		// The namespace is terminating, or accepts no Events. The status matters more.
		s.cfg.Log.Warn("Event was refused", "namespace", run.Namespace, "run", run.Name, "error", err)
	default:
		return fmt.Errorf("creating an Event of DagRun %s/%s: %w", run.Namespace, run.Name, err)
	}
	return nil
}
