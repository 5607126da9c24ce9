package store

import (
	"cmp"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"kontroler/store/transition"
)

// changes is what one commit writes to one run: one change for each row, even if the row goes through several
// transitions.
type changes struct {
	tasks    taskChanges
	attempts attemptChanges
	run      runChange
	// unstarted and live are the transitions that change many rows. They are nil if the commit has none.
	unstarted *transition.UnstartedCancelled
	live      *transition.LiveStopped
}

// runChange is the change of the run's row.
type runChange struct {
	started, finished      time.Time
	stop, hold             sql.NullString
	phase, reason, message sql.NullString
}

// newChanges merges transitions. The transitions of a row are applied in the order of its state machine, whatever their
// order in the argument. ErrConflict means that a transition does not start in the phase in which an earlier one has
// left its row.
func newChanges(transitions []transition.Transition) (*changes, error) {
	c := &changes{
		tasks:    taskChanges{rows: []*taskChange{}, byID: map[int64]*taskChange{}},
		attempts: attemptChanges{rows: []*attemptChange{}, byID: map[int64]*attemptChange{}},
	}
	ordered := slices.Clone(transitions)
	slices.SortStableFunc(ordered, func(a, b transition.Transition) int { return rank(a) - rank(b) })
	for _, t := range ordered {
		c.add(t)
		if err := cmp.Or(c.tasks.err, c.attempts.err); err != nil {
			return nil, fmt.Errorf("%T: %w", t, err)
		}
	}
	if c.unstarted != nil {
		for _, t := range c.tasks.rows {
			t.ChildrenPending = false // UnstartedCancelled clears it for all tasks
		}
	}
	return c, nil
}

// rank orders the transitions of one commit: a task may become Ready and then Active, an attempt Running and then
// Stopping.
func rank(t transition.Transition) int {
	switch t.(type) {
	case transition.AttemptPending, transition.TaskUnblocked:
		return 0
	case transition.AttemptRunning, transition.TaskReady, transition.TaskBackedOff:
		return 1
	case transition.AttemptWaits, transition.TaskActive:
		return 2
	case transition.AttemptDue, transition.AttemptDecided:
		return 3
	case transition.AttemptStopping:
		return 4
	}
	return 5
}

func (c *changes) add(t transition.Transition) {
	switch t := t.(type) {
	case transition.RunStarted:
		c.run.started = t.At
	case transition.RunStopping:
		c.run.stop = sql.NullString{String: t.Reason, Valid: true}
	case transition.RunHeld:
		if !c.run.hasEnded() { // a run that ends is not held
			c.run.hold = sql.NullString{String: t.Reason, Valid: true}
		}
	case transition.RunEnded:
		c.run.end(t)
	case transition.UnstartedCancelled:
		c.unstarted = &t
	case transition.LiveStopped:
		c.live = &t
	case transition.AttemptPending, transition.AttemptRunning, transition.AttemptWaits, transition.AttemptDue,
		transition.AttemptStopping, transition.AttemptEnded:
		c.attempts.add(t)
	default:
		c.tasks.add(t)
	}
}

func (r *runChange) hasEnded() bool { return !r.finished.IsZero() }

// end ends the run, and clears the reason why Ready tasks did not start.
func (r *runChange) end(t transition.RunEnded) {
	r.finished = t.At
	r.hold = sql.NullString{Valid: true}
	r.phase = sql.NullString{String: t.Phase, Valid: true}
	r.reason = sql.NullString{String: t.Reason, Valid: true}
	r.message = sql.NullString{String: clean(t.Message), Valid: true}
}

// phases returns the phases that the run must be in, and the one that it is in afterwards, NULL if it keeps its phase.
func (r *runChange) phases() (from []string, to sql.NullString) {
	from, to = []string{"Pending", "Running"}, r.phase
	if !r.started.IsZero() {
		from = from[:1]
		if !to.Valid {
			to = sql.NullString{String: "Running", Valid: true}
		}
	}
	return from, to
}

// taskChange is the change of a task, as sqlCommit reads it.
type taskChange struct {
	ID int64 `json:"id"`
	// From is the phase that the task must be in. If it is empty, the task must have ChildrenPending, and keeps its
	// phase and reason.
	From            string `json:"before"`
	To              string `json:"phase"`
	Met             int    `json:"met"` // parents that have succeeded
	Reason          string `json:"reason"`
	Message         string `json:"message"`
	ChildrenPending bool   `json:"children_pending"`
	Retries         *int   `json:"retries,omitempty"`
	Restarts        *int   `json:"restarts,omitempty"`

	Ready   time.Time `json:"ready,omitzero"`
	Due     time.Time `json:"due,omitzero"`
	Started time.Time `json:"started,omitzero"`
	Ended   time.Time `json:"ended,omitzero"`

	// The attempt that is decided, if Number is not 0.
	Number  int       `json:"number"`
	PodName string    `json:"pod_name,omitempty"`
	Decided time.Time `json:"decided,omitzero"`
}

// taskChanges are the changes of the tasks of a run, and the change of its counters that follows.
type taskChanges struct {
	rows   []*taskChange
	byID   map[int64]*taskChange
	counts Counts
	err    error // the conflict
}

// move returns the change of a task that goes from one phase to another. After a conflict, nothing reads the change.
func (c *taskChanges) move(id int64, from, to string) *taskChange {
	t := c.byID[id]
	switch {
	case t == nil:
		t = &taskChange{ID: id, From: from}
		c.rows = append(c.rows, t)
		c.byID[id] = t
	case from == "" || t.To != from:
		c.err = fmt.Errorf("%w: task %d is %s in the same commit", ErrConflict, id, t.To)
		return &taskChange{}
	}
	t.To = to
	if from != to {
		*c.counts.of(from)--
		*c.counts.of(to)++
	}
	return t
}

// of returns the counter of a phase.
func (c *Counts) of(phase string) *int {
	switch phase {
	case "Waiting":
		return &c.Waiting
	case "Ready":
		return &c.Ready
	case "Active":
		return &c.Active
	case "Succeeded":
		return &c.Succeeded
	case "Failed":
		return &c.Failed
	case "Skipped":
		return &c.Skipped
	}
	return &c.Cancelled
}

// add applies a transition.
func (c *taskChanges) add(t transition.Transition) {
	switch t := t.(type) {
	case transition.TaskUnblocked:
		row := c.move(t.Task, "Waiting", "Waiting")
		row.Met += t.Met
	case transition.TaskReady:
		row := c.move(t.Task, "Waiting", "Ready")
		row.Ready, row.Due = stored(t.At), stored(t.At)
	case transition.TaskActive:
		row := c.move(t.Task, "Ready", "Active")
		row.Reason, row.Message, row.Due, row.Started = "", "", time.Time{}, stored(t.At)
	case transition.AttemptDecided:
		row := c.byID[t.Task]
		if row == nil || row.To != "Active" || row.Number != 0 {
			c.err = fmt.Errorf("%w: task %d does not become Active in the same commit", ErrConflict, t.Task)
			return
		}
		row.Number, row.PodName, row.Decided = t.Number, t.PodName, stored(t.At)
	case transition.TaskBackedOff:
		row := c.move(t.Task, "Active", "Ready")
		row.Reason, row.Message, row.Due = t.Reason, clean(t.Message), stored(t.Due)
		row.Retries, row.Restarts = &t.Retries, &t.Restarts
	case transition.TaskChildrenSkipped:
		c.move(t.Task, "", "")
	default:
		c.end(t)
	}
}

// end applies a transition to a final phase of a task.
func (c *taskChanges) end(t transition.Transition) {
	switch t := t.(type) {
	case transition.TaskSkipped:
		row := c.move(t.Task, "Waiting", "Skipped")
		row.Reason, row.Message, row.Ended = "ParentFailed", clean(t.Message), stored(t.At)
		row.ChildrenPending = t.ChildrenPending
	case transition.TaskSucceeded:
		row := c.move(t.Task, "Active", "Succeeded")
		row.Ended = stored(t.At)
	case transition.TaskFailed:
		row := c.move(t.Task, "Active", "Failed")
		row.Reason, row.Message, row.Ended = t.Reason, clean(t.Message), stored(t.At)
		row.ChildrenPending = t.ChildrenPending
	case transition.TaskCancelled:
		row := c.move(t.Task, "Active", "Cancelled")
		row.Reason, row.Message, row.Ended = t.Reason, clean(t.Message), stored(t.At)
	}
}

// decided counts the attempts that are decided.
func (c *taskChanges) decided() (n int) {
	for _, t := range c.rows {
		if t.Number != 0 {
			n++
		}
	}
	return n
}

// attemptChange is the change of an attempt, as sqlCommit reads it. A field that is omitted keeps what the row has,
// except for Due.
type attemptChange struct {
	ID int64 `json:"id"`
	// Last is the last of the livePhases that the attempt may be in, counted from 1.
	Last int    `json:"last"`
	To   string `json:"phase,omitempty"`
	// HasReason means that Reason, Message and ReasonAt, which may be zero, replace those of the row.
	HasReason bool      `json:"has_reason"`
	Reason    string    `json:"reason"`
	Message   string    `json:"message"`
	ReasonAt  time.Time `json:"reason_at,omitzero"`
	Stop      string    `json:"stop,omitempty"`
	PodUID    string    `json:"pod_uid,omitempty"`
	Node      string    `json:"node,omitempty"`
	ExitCode  *int32    `json:"exit_code,omitempty"`

	Seen    time.Time `json:"seen,omitzero"`
	Started time.Time `json:"started,omitzero"`
	Due     time.Time `json:"due,omitzero"`
	Ended   time.Time `json:"ended,omitzero"`
}

// livePhases are the phases of a live attempt, in their order. An attempt never goes back.
var livePhases = []string{"Decided", "Pending", "Running", "Stopping"}

// The values of attemptChange.Last.
const (
	decidedPhase = 1 + iota
	pendingPhase
	runningPhase
	stoppingPhase
)

// attemptChanges are the changes of the attempts of a run.
type attemptChanges struct {
	rows []*attemptChange
	byID map[int64]*attemptChange
	err  error // the conflict
}

// move returns the change of an attempt that is in one of the first livePhases up to last, and goes to a phase. If that
// is empty, it keeps its phase. After a conflict, nothing reads the change.
func (c *attemptChanges) move(id int64, last int, to string) *attemptChange {
	a := c.byID[id]
	switch {
	case a == nil:
		a = &attemptChange{ID: id, Last: last}
		c.rows = append(c.rows, a)
		c.byID[id] = a
	case a.To == "":
		a.Last = min(a.Last, last)
	default:
		if phase := slices.Index(livePhases, a.To) + 1; phase == 0 || phase > last {
			c.err = fmt.Errorf("%w: attempt %d is %s in the same commit", ErrConflict, id, a.To)
			return &attemptChange{}
		}
	}
	if to != "" {
		a.To = to
	}
	return a
}

func (a *attemptChange) setReason(reason, message string, at time.Time) {
	a.HasReason, a.Reason, a.Message, a.ReasonAt = true, reason, clean(message), stored(at)
}

// setPod sets the UID and the node of the Pod, unless they are empty.
func (a *attemptChange) setPod(uid, node string) {
	a.PodUID, a.Node = cmp.Or(uid, a.PodUID), cmp.Or(node, a.Node)
}

// add applies a transition.
func (c *attemptChanges) add(t transition.Transition) {
	switch t := t.(type) {
	case transition.AttemptPending:
		a := c.move(t.Attempt, decidedPhase, "Pending")
		a.setReason("", "", time.Time{})
		a.setPod(t.PodUID, t.Node)
		a.Seen, a.Due = stored(t.At), stored(t.Due)
	case transition.AttemptRunning:
		a := c.move(t.Attempt, pendingPhase, "Running")
		a.setReason("", "", time.Time{})
		a.setPod(t.PodUID, t.Node)
		a.Started, a.Due = stored(t.StartedAt), stored(t.Due)
	case transition.AttemptWaits:
		a := c.move(t.Attempt, runningPhase, "")
		a.setReason(t.Reason, t.Message, t.At)
		a.Due = stored(t.Due)
	case transition.AttemptDue:
		a := c.move(t.Attempt, stoppingPhase, "")
		a.setPod("", t.Node)
		a.Due = stored(t.Due)
	case transition.AttemptStopping:
		a := c.move(t.Attempt, runningPhase, "Stopping")
		a.setReason(t.Reason, t.Message, time.Time{})
		a.Stop, a.Due = t.Reason, stored(t.Due)
	case transition.AttemptEnded:
		c.end(t)
	}
}

func (c *attemptChanges) end(t transition.AttemptEnded) {
	a := c.move(t.Attempt, stoppingPhase, t.Phase)
	a.setReason(t.Reason, t.Message, t.FinishedAt)
	a.setPod(t.PodUID, t.Node)
	a.ExitCode = t.ExitCode
	if !t.StartedAt.IsZero() {
		a.Started = stored(t.StartedAt)
	}
	a.Due, a.Ended = time.Time{}, stored(t.FinishedAt)
}
