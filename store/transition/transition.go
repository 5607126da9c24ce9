package transition

import "time"

// Transition is one of the types of this package.
type Transition interface{ isTransition() }

// Transitions of a run.
type (
	// RunStarted: Pending → Running.
	RunStarted struct{ At time.Time }
	// RunStopping marks a live run as being stopped, for a reason.
	RunStopping struct{ Reason string }
	// RunHeld states why the Ready tasks of a live run do not start. An empty reason means that nothing holds them.
	RunHeld struct{ Reason string }
	// RunEnded: live → Succeeded, Failed or Cancelled. No task of it is Waiting, Ready or Active.
	RunEnded struct {
		Phase, Reason, Message string
		At                     time.Time
	}
)

// Transitions of a task, named by its id.
type (
	// TaskUnblocked: stays Waiting, with Met fewer unmet parents and at least one left. Several for one task add up.
	TaskUnblocked struct {
		Task int64
		Met  int
	}
	// TaskReady: Waiting → Ready, due at At.
	TaskReady struct {
		Task int64
		At   time.Time
	}
	// TaskSkipped: Waiting → Skipped, reason ParentFailed. ChildrenPending means that some of its children are not
	// skipped yet.
	TaskSkipped struct {
		Task            int64
		Message         string
		ChildrenPending bool
		At              time.Time
	}
	// TaskActive: Ready → Active, for its next attempt.
	TaskActive struct {
		Task int64
		At   time.Time
	}
	// TaskBackedOff: Active → Ready, due at Due. Retries and Restarts are what is spent of each budget.
	TaskBackedOff struct {
		Task              int64
		Reason, Message   string
		Due               time.Time
		Retries, Restarts int
	}
	// TaskSucceeded: Active → Succeeded.
	TaskSucceeded struct {
		Task int64
		At   time.Time
	}
	// TaskFailed: Active → Failed. ChildrenPending means that some of its children are not skipped yet.
	TaskFailed struct {
		Task            int64
		Reason, Message string
		ChildrenPending bool
		At              time.Time
	}
	// TaskCancelled: Active → Cancelled.
	TaskCancelled struct {
		Task            int64
		Reason, Message string
		At              time.Time
	}
	// TaskChildrenSkipped clears ChildrenPending: all children of a Failed or Skipped task are skipped.
	TaskChildrenSkipped struct{ Task int64 }
	// UnstartedCancelled: every Waiting and Ready task of the run → Cancelled, after all other transitions of tasks.
	// No task is left with ChildrenPending.
	UnstartedCancelled struct {
		Reason, Message string
		At              time.Time
	}
)

// Transitions of an attempt, named by its id.
type (
	// AttemptDecided makes an attempt of a task that becomes Active in the same commit. Number is the task's count of
	// attempts, this one included.
	AttemptDecided struct {
		Task    int64
		Number  int
		PodName string
		At      time.Time
	}
	// AttemptPending: Decided → Pending. Its Pod was first seen at At. The attempt loses its reason. Node may be empty.
	AttemptPending struct {
		Attempt      int64
		PodUID, Node string
		At, Due      time.Time
	}
	// AttemptRunning: Decided or Pending → Running. The attempt loses its reason.
	AttemptRunning struct {
		Attempt        int64
		PodUID, Node   string
		StartedAt, Due time.Time
	}
	// AttemptWaits states why a Decided, Pending or Running attempt does not run. The time of the reason changes only
	// with the reason.
	AttemptWaits struct {
		Attempt         int64
		Reason, Message string
		At, Due         time.Time
	}
	// AttemptDue sets when a live attempt is due. The last one for an attempt counts. An empty Node keeps what the row
	// has.
	AttemptDue struct {
		Attempt int64
		Node    string
		Due     time.Time
	}
	// AttemptStopping: Decided, Pending or Running → Stopping, for a reason.
	AttemptStopping struct {
		Attempt         int64
		Reason, Message string
		Due             time.Time
	}
	// LiveStopped: every Decided, Pending or Running attempt of the run → Stopping, after all other transitions of
	// attempts.
	LiveStopped struct {
		Reason, Message string
		Due             time.Time
	}
	// AttemptEnded: live → Succeeded, Failed, Lost or Cancelled. An empty PodUID or Node and a zero StartedAt keep what
	// the row has.
	AttemptEnded struct {
		Attempt                int64
		Phase, Reason, Message string
		ExitCode               *int32
		PodUID, Node           string
		StartedAt, FinishedAt  time.Time
	}
)

func (RunStarted) isTransition()  {}
func (RunStopping) isTransition() {}
func (RunHeld) isTransition()     {}
func (RunEnded) isTransition()    {}

func (TaskUnblocked) isTransition()       {}
func (TaskReady) isTransition()           {}
func (TaskSkipped) isTransition()         {}
func (TaskActive) isTransition()          {}
func (TaskBackedOff) isTransition()       {}
func (TaskSucceeded) isTransition()       {}
func (TaskFailed) isTransition()          {}
func (TaskCancelled) isTransition()       {}
func (TaskChildrenSkipped) isTransition() {}
func (UnstartedCancelled) isTransition()  {}

func (AttemptDecided) isTransition()  {}
func (AttemptPending) isTransition()  {}
func (AttemptRunning) isTransition()  {}
func (AttemptWaits) isTransition()    {}
func (AttemptDue) isTransition()      {}
func (AttemptStopping) isTransition() {}
func (LiveStopped) isTransition()     {}
func (AttemptEnded) isTransition()    {}
