package v1alpha1

// Labels and annotations of the Pods and DagRuns that a controller creates. Labels carry ids. Names are in
// annotations, and also in labels if they fit into 63 characters.
const (
	// LabelController is the id of the controller that created the object. No other controller changes it.
	LabelController = GroupName + "/controller"
	// LabelDAG is the name of the DAG, if it fits into a label.
	LabelDAG = GroupName + "/dag"
	// LabelRun is the UID of the DagRun.
	LabelRun = GroupName + "/run"
	// LabelTask is the name of the task.
	LabelTask = GroupName + "/task"
	// LabelAttempt is the number of the attempt, from 1.
	LabelAttempt = GroupName + "/attempt"
	// LabelWorkspace is the UID of the DagRun. Pods with the same value share a node, because they share a workspace.
	LabelWorkspace = GroupName + "/workspace"

	// AnnotationDAG is the name of the DAG.
	AnnotationDAG = GroupName + "/dag-name"
	// AnnotationRun is the name of the DagRun.
	AnnotationRun = GroupName + "/run-name"
	// AnnotationScript is the script of a task. A downwardAPI volume projects it into the container.
	AnnotationScript = GroupName + "/script"
	// AnnotationEpoch is the highest epoch that a leader has taken, on the controller's Lease.
	AnnotationEpoch = GroupName + "/epoch"

	// LabelScheduled is "true" on a DagRun that a schedule created.
	LabelScheduled = GroupName + "/scheduled"
	// AnnotationScheduledAt is when such a DagRun was due, in RFC 3339 and UTC.
	AnnotationScheduledAt = GroupName + "/scheduled-at"
	// AnnotationRequestedBy names who asked for a DagRun. Kontroler's server writes the name of its user. Nothing
	// verifies it: whoever may create DagRuns can claim any name.
	AnnotationRequestedBy = GroupName + "/requested-by"

	// AnnotationRequest identifies a request for a DagRun: a hash of what was asked for. Kontroler's server compares it
	// when the request is repeated.
	AnnotationRequest = GroupName + "/request"

	// Finalizer is on the Pods of tasks. It is removed after the outcome of the Pod is committed.
	Finalizer = GroupName + "/outcome"

	// TaskContainer is the name of the container whose end decides a task.
	TaskContainer = "task"

	// SecretKey is the key of the Secrets named by defaultFromSecret and fromSecret.
	SecretKey = "secret"
)
