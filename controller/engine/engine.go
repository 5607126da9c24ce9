package engine

import (
	"time"

	"kontroler/apis/dag"
	"kontroler/store/transition"
)

// Numbers of the contract that apis/README.md and controller/README.md state.
const (
	// RestartLimit is the budget of restarts after infrastructure failures, per task.
	RestartLimit = 10
	// RestartGivenBack is how long an attempt must have run for its task's budget to be whole again.
	RestartsResetAfter = 10 * time.Minute
	// NodeLostAfter is how long past its deletion time a Pod on a lost node is waited for.
	NodeLostAfter = time.Minute
	// DefaultStartGrace is how long an attempt may fail to start.
	DefaultStartGrace = 5 * time.Minute

	restartDelay    = time.Second
	restartDelayMax = 5 * time.Minute
	stopRetry       = 30 * time.Second
	messageInterval = 10 * time.Second
	// slowStart is how long a Pod may take to start before anybody is told what it is at.
	slowStart           = 5 * time.Second
	unknownRequeueDelay = time.Second
)

// Run is the run's row.
type Run struct {
	Phase, Stop, Hold                                                    string
	Waiting, Ready, Active, Succeeded, Failed, Skipped, Cancelled, Total int
	// Deadline of the whole run; zero: none.
	Deadline time.Time
}

// Task is a task's row.
type Task struct {
	ID                                 int64
	Position                           int
	Phase                              string
	Unmet, Attempts, Retries, Restarts int
	ChildrenPending                    bool
	Due                                time.Time
}

// Attempt is the row of a live attempt.
type Attempt struct {
	ID                                            int64
	Task                                          int // the position
	Number                                        int
	Phase, Reason, Message, Stop, PodName, PodUID string
	ReasonAt, MessageAt, Due, Started             time.Time
	// Seen is when its Pod was first seen, by the controller's clock; Started is told by the clock of its node.
	FirstSeen time.Time
}

// Snapshot is everything a decision may know.
type Snapshot struct {
	Graph *dag.Graph
	Run   Run
	// Tasks: those of Attempts, the children of those whose attempt ends, Ready ones that may start (as many as Starts, if
	// there are so many), and those whose failure their children do not know (Cascade) with their children.
	Tasks []Task
	// Attempts: live ones that changed, are due, or have no Pod yet.
	Attempts []Attempt
	// Pods, by name: facts about the attempts' Pods. No fact: nothing is known, nothing follows; who gathered keeps the
	// attempt among those to look at.
	Pods map[string]*Pod
	// Refusals, by Pod name: why the API server did not create it. Each is told once: without one the create is asked again.
	Refusals map[string]Refusal
	// Blocked says, by task, why Pods of Decided attempts may not be created now. They need no slot. The caller decides
	// the run again when their turn comes.
	Blocked map[int]Refusal
	// CancelRequested is the DagRun's spec.cancel. DagRunDeleted: it is gone, or being deleted. DagRunEnded: its status says
	// that the run has ended, so the rows are older than it: the database was restored.
	CancelRequested, DagRunDeleted, DagRunEnded bool
	// Unreadable is why the version of the run cannot be read; empty: it can. Graph is blank then, and the run is stopped.
	Unreadable string
	// Starts is how many attempts this sync may decide, StartsHeld the hold when that is less than a sync's worth.
	MaxStarts int
	StartHold string
	// Slots is how many Pods this sync may create, for attempts that it decides and for those that were decided before.
	Slots int
	// StartGrace is how long an attempt may fail to start.
	StartGrace time.Duration
	// PodName derives the name of an attempt's Pod.
	PodName func(task string, index, number int) string

	// ends are how attempts ended, by Pod name, once the snapshot is judged.
	ends map[string]End
}

// Refusal is the API server's answer to a create. Never: it can never be right.
type Refusal struct {
	Reason, Message string
	IsPermanent     bool
}

// Decision is what follows from a snapshot: transitions to commit together, and what to do once they are committed.
type Decision struct {
	Transitions []transition.Transition
	Create      []Create
	Delete      []Delete
	// Reap names the Pods whose outcome is counted by the commit, Ended all Pods of attempts that end, also of those that
	// are gone.
	Reap, Ended []string
	// Wake is when the snapshot must be decided again although nothing happens. Zero: never. Rows that it lacks may be due
	// sooner.
	RequeueAt time.Time
	// Again reports that there is more to decide now.
	Requeue bool
	// Throttled reports that more Pods would be created if there were more slots.
	Throttled bool
	// IsLast reports that the run ends: nothing is left to decide.
	IsLast bool
}

// Create a Pod for an attempt that was decided. Reason is why it was not created before; Ready is since when its task could
// have started, where this decision starts it.
type Create struct {
	Task, Number    int // Task: the position
	PodName, Reason string
	Ready           time.Time
}

// Delete the Pod of an attempt that is being stopped.
type Delete struct{ PodName, PodUID string }
