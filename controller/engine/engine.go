package engine

import (
	"time"

	"kontroler/apis/dag"
)

// Numbers of the contract that apis/README.md and controller/README.md state.
const (
	// RestartLimit is the budget of restarts after infrastructure failures, per task.
	RestartLimit = 10
	// RestartGivenBack is how long an attempt must have run for its task's budget to be whole again.
	RestartGivenBack = 10 * time.Minute
	// NodeLostAfter is how long past its deletion time a Pod on a lost node is waited for.
	NodeLostAfter = time.Minute
	// DefaultStartGrace is how long an attempt may fail to start.
	DefaultStartGrace = 5 * time.Minute

	restartDelay    = time.Second
	restartDelayMax = 5 * time.Minute
	stopRetry       = 30 * time.Second
	textEvery       = 10 * time.Second
	// slowStart is how long a Pod may take to start before anybody is told what it is at.
	slowStart = 5 * time.Second
	askAgain  = time.Second
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
	Cascade                            bool
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
	Seen time.Time
}

// Slice is everything a decision may know.
type Slice struct {
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
	// Cancel: the DagRun says so. Deleted: it is gone, read live. Ahead: it has ended, what became of it is not in the rows.
	Cancel, Deleted, Ahead bool
	// Unreadable is why the version of the run cannot be read; empty: it can. Graph is blank then, and the run is stopped.
	Unreadable string
	// Starts is how many attempts this sync may decide, StartsHeld the hold when that is less than a sync's worth.
	Starts     int
	StartsHeld string
	// Slots is how many Pods this sync may create, for attempts that it decides and for those that were decided before.
	Slots int
	// StartGrace is how long an attempt may fail to start.
	StartGrace time.Duration
	// PodName derives the name of an attempt's Pod.
	PodName func(task string, index, number int) string
}

// Refusal is the API server's answer to a create. Never: it can never be right.
type Refusal struct {
	Reason, Message string
	Never           bool
}

// Next is what to do once the decision is committed.
type Next struct {
	Create []Create
	Delete []Delete
	// Reap names the Pods whose outcome is now counted.
	Reap []string
	// Wake is when what the slice has needs a look although nothing happens; zero: never. Rows that it has not may be due
	// sooner: who gathers knows.
	Wake time.Time
	// Again: there is more to decide now.
	Again bool
	// Throttled: more Pods would be created if there were more slots.
	Throttled bool
	// Ended names the Pods of the attempts that ended.
	Ended []string
	// RunEnded: this was the run's last decision.
	RunEnded bool
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

// Ledger receives the transitions of a decision; package store's Changes is the one that writes them. Each method is one
// legal transition; times are UTC, a zero due time is none.
type Ledger interface {
	TaskUnblocked(task int64, met int)
	TaskReady(task int64, at time.Time)
	TaskSkipped(task int64, message string, cascade bool, at time.Time)
	TaskActive(task int64, at time.Time)
	TaskBackedOff(task int64, reason, message string, due time.Time, retries, restarts int)
	TaskSucceeded(task int64, at time.Time)
	TaskFailed(task int64, reason, message string, cascade bool, at time.Time)
	TaskCancelled(task int64, reason, message string, at time.Time)
	TaskCascaded(task int64)
	UnstartedCancelled(reason, message string, at time.Time)

	AttemptDecided(task int64, number int, podName string, at time.Time)
	AttemptPending(attempt int64, podUID, node string, at, due time.Time)
	AttemptRunning(attempt int64, podUID, node string, startedAt, due time.Time)
	AttemptWaits(attempt int64, reason, message string, at, due time.Time)
	AttemptDue(attempt int64, due time.Time)
	AttemptStopping(attempt int64, stop, message string, due time.Time)
	LiveStopped(stop, message string, due time.Time)
	AttemptEnded(attempt int64, phase, reason, message string, exitCode *int32, podUID, node string, startedAt, finishedAt time.Time)

	RunStarted(at time.Time)
	RunStopping(stop string)
	RunHeld(hold string)
	RunEnded(phase, reason, message string, at time.Time)
	RunCounts(waiting, ready, active, succeeded, failed, skipped, cancelled int)
}
