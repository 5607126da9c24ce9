package engine

import (
	"time"

	"kontroler/apis/dag"
	"kontroler/store/transition"
)

// apis/README.md and controller/README.md document the exported values.
const (
	// RestartLimit is how often a task is restarted after infrastructure failures.
	RestartLimit = 10
	// RestartsResetAfter is how long an attempt must run to reset the restarts of its task.
	RestartsResetAfter = 10 * time.Minute
	// NodeLostAfter is how long after its deletionTimestamp a Pod on a lost node counts as lost.
	NodeLostAfter = time.Minute

	restartDelay    = time.Second
	restartDelayMax = 5 * time.Minute
	// stopRetry is how long a delete may take before it is repeated.
	stopRetry = 30 * time.Second
	// messageInterval limits how often the message of a waiting attempt is written while its reason stays the same.
	messageInterval = 10 * time.Second
	// slowStart is how long a start may take before its routine steps are reported as a reason.
	slowStart = 5 * time.Second
	// unknownRequeueDelay is the delay before the next decision about an attempt that is due and has no facts.
	unknownRequeueDelay = time.Second
)

// Run is the row of a run.
type Run struct {
	Phase, Stop, Hold                                                    string
	Waiting, Ready, Active, Succeeded, Failed, Skipped, Cancelled, Total int
	// Deadline of the whole run. Zero means none.
	Deadline time.Time
}

// Task is the row of a task.
type Task struct {
	ID                                 int64
	Position                           int
	Phase                              string
	Unmet, Attempts, Retries, Restarts int
	// ChildrenPending reports that the task failed or was skipped and that some of its children are not skipped yet.
	ChildrenPending bool
	Due             time.Time
}

// Attempt is the row of a live attempt.
type Attempt struct {
	ID                                            int64
	Task                                          int // position
	Number                                        int
	Phase, Reason, Message, Stop, PodName, PodUID string
	ReasonAt, MessageAt, Due                      time.Time
	// Started is when the container started, by the clock of its node.
	Started time.Time
	// FirstSeen is when the controller first saw the Pod, by the clock of the controller.
	FirstSeen time.Time
}

// Snapshot is the complete input of a decision.
type Snapshot struct {
	Graph *dag.Graph
	Run   Run
	// Tasks are the tasks of Attempts, the children of tasks whose attempt ends, Ready tasks that are due (MaxStarts of
	// them, if there are so many), and tasks with ChildrenPending together with their children.
	Tasks []Task
	// Attempts are the live attempts that changed, are due, or have no Pod yet.
	Attempts []Attempt
	// Pods are the facts about the Pods of Attempts, by name. An attempt without facts stays as it is until the caller
	// has gathered them.
	Pods map[string]*Pod
	// Refusals are the answers of the API server to creates that it rejected, by Pod name. Each is passed to one
	// decision only. The next decision requests the create again.
	Refusals map[string]Refusal
	// Blocked has the tasks whose Decided attempts may not create a Pod now, by position, with the reason. They take no
	// slot. The caller syncs the run again when it may create them.
	Blocked map[int]Refusal
	Intent
	// Unreadable is why the version of the run cannot be read. If it is not empty, Graph is blank and the run is
	// stopped.
	Unreadable string
	StartLimits
	// PodName derives the name of an attempt's Pod.
	PodName func(task string, index, number int) string

	// ends has the attempts that ended, by Pod name. It is nil until findEnds has run.
	ends map[string]End
}

// Intent is what a DagRun requests of its run.
type Intent struct {
	// CancelRequested is the DagRun's spec.cancel.
	CancelRequested bool
	// DagRunDeleted reports that the DagRun does not exist or has a deletionTimestamp.
	DagRunDeleted bool
	// DagRunEnded reports that the DagRun's status is final although the row is live. Status is written after the row,
	// so the database was restored from an older backup.
	DagRunEnded bool
}

// StartLimits limit which attempts may start, and for how long they may fail to.
type StartLimits struct {
	// MaxStarts is how many attempts this sync may decide, in addition to one for each Decided attempt that gets a Pod
	// or ends. StartHold is the hold of the run if MaxStarts is less than what a sync usually starts.
	MaxStarts int
	StartHold string
	// Slots is how many Pods this sync may create, for new attempts and for those decided earlier.
	Slots int
	// StartGrace is how long an attempt may fail to start.
	StartGrace time.Duration
}

// Refusal is the answer of the API server to a create that it rejected.
type Refusal struct {
	Reason, Message string
	// IsPermanent reports that no retry can succeed.
	IsPermanent bool
}

// Decision is what follows from a snapshot: transitions to commit together, and what to do after the commit.
type Decision struct {
	Transitions []transition.Transition
	Create      []Create
	Delete      []Delete
	Limit       []Limit
	// Reap names the Pods whose outcome this decision counts. The reaper may delete them after the commit.
	Reap []string
	// Ended names the Pods of all attempts that this decision ends. Some of them do not exist any more.
	Ended []string
	// RequeueAt is when the next decision is due if nothing changes before. Zero means never. Rows that the snapshot
	// lacks may be due earlier.
	RequeueAt time.Time
	// Requeue reports that another decision is due now.
	Requeue bool
	// Throttled reports that more slots would allow more creates.
	Throttled bool
	// IsLast reports that the run ends.
	IsLast bool
}

// Create is a Pod to create for a Decided attempt.
type Create struct {
	Task    int // position
	Number  int
	PodName string
	// Reason is why the Pod was not created before.
	Reason string
	// Ready is when the task became due. It is set only if this decision starts the task.
	Ready time.Time
}

// Delete is a Pod to delete because its attempt is being stopped.
type Delete struct{ PodName, PodUID string }

// Limit is a Pod whose activeDeadlineSeconds is to be lowered. Its kubelet then ends it even if no controller does.
type Limit struct {
	PodName, PodUID string
	Seconds         int64
}
