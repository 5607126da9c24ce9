package v1alpha1

// Labels and annotations of the Pods and DagRuns that a controller makes. Labels carry ids; a name is a label where it
// fits a label's 63 characters, and always an annotation.
const (
	// LabelController is the id of the controller that made the object: nobody else touches it.
	LabelController = GroupName + "/controller"
	// LabelDAG is the DAG's name (on a Pod only when it fits a label).
	LabelDAG = GroupName + "/dag"
	// LabelRun is the UID of the DagRun.
	LabelRun = GroupName + "/run"
	// LabelTask is the task's name.
	LabelTask = GroupName + "/task"
	// LabelAttempt is the number of the attempt, from 1.
	LabelAttempt = GroupName + "/attempt"
	// LabelWorkspace is the DagRun's UID on a Pod that must be on the node of the others with it, as long as it counts.
	LabelWorkspace = GroupName + "/workspace"

	// AnnotationDAG is the DAG's name.
	AnnotationDAG = GroupName + "/dag-name"
	// AnnotationRun is the DagRun's name.
	AnnotationRun = GroupName + "/run-name"
	// AnnotationScript is a task's script, projected into the container by a downwardAPI volume.
	AnnotationScript = GroupName + "/script"
	// AnnotationEpoch is the highest epoch taken, on a controller's Lease.
	AnnotationEpoch = GroupName + "/epoch"

	// LabelScheduled is "true" on a DagRun that a schedule made.
	LabelScheduled = GroupName + "/scheduled"
	// AnnotationScheduledAt is when such a DagRun was due, as RFC 3339 in UTC.
	AnnotationScheduledAt = GroupName + "/scheduled-at"

	// Finalizer of a task's Pod: removed only after the outcome is committed.
	Finalizer = GroupName + "/outcome"

	// TaskContainer is the name of the container whose end decides a task.
	TaskContainer = "task"

	// SecretKey is the key of the Secrets named by defaultFromSecret and fromSecret.
	SecretKey = "secret"
)
