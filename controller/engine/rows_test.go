package engine_test

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"kontroler/apis/dag"
	"kontroler/controller/engine"
	"kontroler/store/transition"
)

// taskRow and attemptRow are rows of the database, including columns that the engine does not read.
type taskRow struct {
	engine.Task
	reason   string
	attempts []*attemptRow
}

type attemptRow struct {
	engine.Attempt
	hasEnded bool
	end      engine.End
	// stopBefore is the stop that was committed before its end. inStop reports that it ended while the run was being
	// stopped.
	stopBefore string
	inStop     bool
	endedAt    time.Time
	decided    time.Time
}

// rows is a run in memory. It changes only by legal transitions. Each transition is checked as in the database: first
// the phase that it starts from, then the CHECK constraints of the row.
type rows struct {
	graph    *dag.Graph
	run      engine.Run
	reason   string
	tasks    []*taskRow
	attempts map[int64]*attemptRow
	live     map[int64]*attemptRow
	byName   map[string]*attemptRow
	nextID   int64
	commits  int
}

func newRows(g *dag.Graph, now time.Time) *rows {
	r := &rows{
		graph:    g,
		attempts: map[int64]*attemptRow{},
		live:     map[int64]*attemptRow{},
		byName:   map[string]*attemptRow{},
		nextID:   1,
	}
	r.run = engine.Run{Phase: engine.RunPending, Total: g.Len()}
	for i := range g.Len() {
		t := &taskRow{
			Task: engine.Task{ID: int64(1000 + i), Position: i, Phase: engine.TaskWaiting, Unmet: len(g.Parents(i))},
		}
		if t.Unmet == 0 {
			t.Phase, t.Due = engine.TaskReady, now
			r.run.Ready++
		} else {
			r.run.Waiting++
		}
		r.tasks = append(r.tasks, t)
	}
	return r
}

// ordered returns the values of a map, sorted by key.
func ordered[K cmp.Ordered, V any](m map[K]V) []V {
	all := make([]V, 0, len(m))
	for _, key := range slices.Sorted(maps.Keys(m)) {
		all = append(all, m[key])
	}
	return all
}

// A commit writes in the order of the store, not in the order of the calls.
const (
	opPending = iota
	opRunning
	opWaits
	opDue
	opStopping
	opEnded
	opLiveStopped
	opUnblocked
	opReady
	opSkipped
	opBackedOff
	opSucceeded
	opFailed
	opCancelled
	opChildrenSkipped
	opActive
	opUnstarted
	opDecided
	opRun
	opRunEnded
	ops
)

// changes are the transitions of one decision.
type changes struct {
	rows  *rows
	ops   [ops][]func() error
	calls int
	ended []*attemptRow
}

func (c *changes) do(op int, f func() error) {
	c.calls++
	c.ops[op] = append(c.ops[op], f)
}

// commit applies all changes. It fails on an illegal transition.
func (c *changes) commit() error {
	for op := range c.ops {
		for _, f := range c.ops[op] {
			if err := f(); err != nil {
				return err
			}
		}
	}
	if c.calls == 0 {
		return nil
	}
	c.rows.commits++
	if !c.rows.isCheckDue() {
		return nil
	}
	return c.rows.check()
}

// isCheckDue reports whether all rows are checked now. Large runs are not checked after each commit.
func (r *rows) isCheckDue() bool {
	over := r.run.Phase != engine.RunPending && r.run.Phase != engine.RunRunning
	return over || len(r.tasks) <= 100 || r.commits%16 == 0
}

func (r *rows) tallies() (n [7]int) {
	index := map[string]int{
		"Waiting":   0,
		"Ready":     1,
		"Active":    2,
		"Succeeded": 3,
		"Failed":    4,
		"Skipped":   5,
		"Cancelled": 6,
	}
	for _, t := range r.tasks {
		n[index[t.Phase]]++
	}
	return n
}

// check applies the CHECK constraints and unique indexes of the migration.
func (r *rows) check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	n, run := r.tallies(), r.run
	if counted := [7]int{
		run.Waiting, run.Ready, run.Active, run.Succeeded, run.Failed, run.Skipped, run.Cancelled,
	}; n != counted {
		bad("counters %v are not the rows' %v", counted, n)
	}
	over := run.Phase != engine.RunPending && run.Phase != engine.RunRunning
	if busy := n[0]+n[1]+n[2] > 0; over == busy {
		bad("run is %s with %d waiting, %d ready, %d active", run.Phase, n[0], n[1], n[2])
	}
	if run.Phase == engine.RunSucceeded && run.Succeeded != run.Total {
		bad("run succeeded with %d of %d", run.Succeeded, run.Total)
	}
	liveOf := map[int]int{}
	for _, a := range ordered(r.live) {
		liveOf[a.Task]++
		switch {
		case r.tasks[a.Task].Phase != engine.TaskActive:
			bad("live attempt %d of a task that is %s", a.ID, r.tasks[a.Task].Phase)
		case (a.Phase == engine.AttemptPending || a.Phase == engine.AttemptRunning) && a.PodUID == "":
			bad("attempt %d is %s without a Pod", a.ID, a.Phase)
		case a.Phase == engine.AttemptRunning && a.Started.IsZero():
			bad("attempt %d runs and has not started", a.ID)
		case a.Phase == engine.AttemptStopping && a.Stop == "":
			bad("attempt %d is stopped for nothing", a.ID)
		}
	}
	for _, t := range r.tasks {
		ready, started := t.Phase == engine.TaskReady,
			t.Phase == engine.TaskActive || t.Phase == engine.TaskSucceeded || t.Phase == engine.TaskFailed
		switch {
		case ready == t.Due.IsZero():
			bad("task %d is %s and due %v", t.Position, t.Phase, t.Due)
		case (ready || started) && t.Unmet != 0:
			bad("task %d is %s with %d unmet parents", t.Position, t.Phase, t.Unmet)
		case t.Phase == engine.TaskActive != (liveOf[t.Position] == 1):
			bad("task %d is %s with %d live attempts", t.Position, t.Phase, liveOf[t.Position])
		case t.Phase == engine.TaskWaiting && t.Unmet == 0:
			bad("task %d waits for nothing", t.Position)
		}
	}
	return errors.Join(errs...)
}

func (c *changes) task(op int, id int64, from string, f func(*taskRow) error) {
	c.do(op, func() error {
		t := c.rows.tasks[id-1000]
		if t.Phase != from {
			return fmt.Errorf("transition %d of task %d: it is %s, not %s", op, t.Position, t.Phase, from)
		}
		return f(t)
	})
}

func (c *changes) attempt(op int, id int64, f func(*attemptRow) error, from ...string) {
	c.do(op, func() error {
		a := c.rows.live[id]
		if a == nil {
			return fmt.Errorf("transition %d of attempt %d, which has ended", op, id)
		}
		if !slices.Contains(from, a.Phase) {
			return fmt.Errorf("transition %d of attempt %d: it is %s, not one of %v", op, id, a.Phase, from)
		}
		return f(a)
	})
}

// become gives a task a phase and updates the run's counters.
func (r *rows) become(t *taskRow, phase string) {
	*r.counter(t.Phase)--
	*r.counter(phase)++
	t.Phase, t.Due, t.reason = phase, time.Time{}, ""
}

func (r *rows) counter(phase string) *int {
	return map[string]*int{
		engine.TaskWaiting: &r.run.Waiting, engine.TaskReady: &r.run.Ready, engine.TaskActive: &r.run.Active,
		engine.TaskSucceeded: &r.run.Succeeded, engine.TaskFailed: &r.run.Failed, engine.TaskSkipped: &r.run.Skipped,
		engine.TaskCancelled: &r.run.Cancelled,
	}[phase]
}

func (c *changes) TaskUnblocked(task int64, met int) {
	c.task(opUnblocked, task, engine.TaskWaiting, func(t *taskRow) error {
		if met <= 0 || t.Unmet <= met {
			return fmt.Errorf("task %d waits for %d parents, %d fewer leave none", t.Position, t.Unmet, met)
		}
		t.Unmet -= met
		return nil
	})
}

func (c *changes) TaskReady(task int64, at time.Time) {
	c.task(opReady, task, engine.TaskWaiting, func(t *taskRow) error {
		c.rows.become(t, engine.TaskReady)
		t.Unmet, t.Due = 0, at
		return nil
	})
}

func (c *changes) TaskSkipped(task int64, _ string, cascade bool, _ time.Time) {
	c.task(opSkipped, task, engine.TaskWaiting, func(t *taskRow) error {
		c.rows.become(t, engine.TaskSkipped)
		t.ChildrenPending = cascade
		return nil
	})
}

func (c *changes) TaskActive(task int64, _ time.Time) {
	c.task(opActive, task, engine.TaskReady, func(t *taskRow) error {
		c.rows.become(t, engine.TaskActive)
		t.Attempts++
		return nil
	})
}

func (c *changes) TaskBackedOff(task int64, reason, _ string, due time.Time, retries, restarts int) {
	c.task(opBackedOff, task, engine.TaskActive, func(t *taskRow) error {
		c.rows.become(t, engine.TaskReady)
		t.reason, t.Due, t.Retries, t.Restarts = reason, due, retries, restarts
		return nil
	})
}

func (c *changes) TaskSucceeded(task int64, _ time.Time) {
	c.task(
		opSucceeded,
		task,
		engine.TaskActive,
		func(t *taskRow) error { c.rows.become(t, engine.TaskSucceeded); return nil },
	)
}

func (c *changes) TaskFailed(task int64, reason, _ string, cascade bool, _ time.Time) {
	c.task(opFailed, task, engine.TaskActive, func(t *taskRow) error {
		c.rows.become(t, engine.TaskFailed)
		t.reason, t.ChildrenPending = reason, cascade
		return nil
	})
}

func (c *changes) TaskCancelled(task int64, reason, _ string, _ time.Time) {
	c.task(opCancelled, task, engine.TaskActive, func(t *taskRow) error {
		c.rows.become(t, engine.TaskCancelled)
		t.reason = reason
		return nil
	})
}

func (c *changes) TaskChildrenSkipped(task int64) {
	c.do(opChildrenSkipped, func() error {
		t := c.rows.tasks[task-1000]
		if !t.ChildrenPending {
			return fmt.Errorf("task %d cascades no more", t.Position)
		}
		t.ChildrenPending = false
		return nil
	})
}

func (c *changes) UnstartedCancelled(reason, _ string, _ time.Time) {
	c.do(opUnstarted, func() error {
		for _, t := range c.rows.tasks {
			t.ChildrenPending = false
			if t.Phase == engine.TaskWaiting || t.Phase == engine.TaskReady {
				c.rows.become(t, engine.TaskCancelled)
				t.reason = reason
			}
		}
		return nil
	})
}

func (c *changes) AttemptDecided(task int64, number int, podName string, at time.Time) {
	c.do(opDecided, func() error {
		r, t := c.rows, c.rows.tasks[task-1000]
		if t.Phase != engine.TaskActive || t.Attempts != number || r.byName[podName] != nil {
			return fmt.Errorf("attempt %d of task %d, which is %s with %d attempts",
				number, t.Position, t.Phase, t.Attempts)
		}
		a := &attemptRow{
			Attempt: engine.Attempt{
				ID:      r.nextID,
				Task:    t.Position,
				Number:  number,
				Phase:   engine.AttemptDecided,
				PodName: podName,
			},
			decided: at,
		}
		r.nextID++
		r.attempts[a.ID], r.live[a.ID], r.byName[podName] = a, a, a
		t.attempts = append(t.attempts, a)
		return nil
	})
}

func (a *attemptRow) unreasoned() {
	a.Reason, a.Message, a.ReasonAt, a.MessageAt = "", "", time.Time{}, time.Time{}
}

func (c *changes) AttemptPending(attempt int64, podUID, _ string, at, due time.Time) {
	c.attempt(opPending, attempt, func(a *attemptRow) error {
		a.Phase, a.PodUID, a.FirstSeen, a.Due = engine.AttemptPending, podUID, at, due
		a.unreasoned()
		return nil
	}, engine.AttemptDecided)
}

func (c *changes) AttemptRunning(attempt int64, podUID, _ string, startedAt, due time.Time) {
	c.attempt(opRunning, attempt, func(a *attemptRow) error {
		a.Phase, a.PodUID, a.Started, a.Due = engine.AttemptRunning, podUID, startedAt, due
		if a.FirstSeen.IsZero() {
			a.FirstSeen = a.decided
		}
		a.unreasoned()
		return nil
	}, engine.AttemptDecided, engine.AttemptPending)
}

func (c *changes) AttemptWaits(attempt int64, reason, message string, at, due time.Time) {
	c.attempt(opWaits, attempt, func(a *attemptRow) error {
		if a.Reason == reason && a.Message != message && at.Sub(a.MessageAt) < 10*time.Second {
			return fmt.Errorf("attempt %d: another text after %v", a.ID, at.Sub(a.MessageAt))
		}
		if a.Reason != reason || a.ReasonAt.IsZero() {
			a.ReasonAt = at
		}
		a.Reason, a.Message, a.MessageAt, a.Due = reason, message, at, due
		return nil
	}, engine.AttemptDecided, engine.AttemptPending)
}

var liveAttempt = []string{engine.AttemptDecided, engine.AttemptPending, engine.AttemptRunning, engine.AttemptStopping}

func (c *changes) AttemptDue(attempt int64, due time.Time) {
	c.attempt(opDue, attempt, func(a *attemptRow) error { a.Due = due; return nil }, liveAttempt...)
}

func (a *attemptRow) stop(stop, message string, due time.Time) {
	a.unreasoned()
	a.Phase, a.Stop, a.Reason, a.Message, a.Due = engine.AttemptStopping, stop, stop, message, due
}

func (c *changes) AttemptStopping(attempt int64, stop, message string, due time.Time) {
	c.attempt(
		opStopping,
		attempt,
		func(a *attemptRow) error { a.stop(stop, message, due); return nil },
		liveAttempt[:3]...)
}

func (c *changes) LiveStopped(stop, message string, due time.Time) {
	c.do(opLiveStopped, func() error {
		for _, a := range c.rows.live {
			if a.Phase != engine.AttemptStopping {
				a.stop(stop, message, due)
			}
		}
		return nil
	})
}

func (c *changes) AttemptEnded(
	attempt int64, phase, reason, message string, exitCode *int32, podUID, _ string, startedAt, finishedAt time.Time,
) {
	c.attempt(opEnded, attempt, func(a *attemptRow) error {
		if slices.Contains(liveAttempt, phase) {
			return fmt.Errorf("attempt %d ends as %s", a.ID, phase)
		}
		a.hasEnded, a.stopBefore = true, a.Stop
		a.Phase, a.Due = phase, time.Time{}
		a.end = engine.End{
			Phase:    phase,
			Reason:   reason,
			Message:  message,
			ExitCode: exitCode,
			Started:  startedAt,
			Finished: finishedAt,
		}
		if podUID != "" {
			a.PodUID = podUID
		}
		delete(c.rows.live, a.ID)
		c.ended = append(c.ended, a)
		return nil
	}, liveAttempt...)
}

// ofRun applies a transition of the run that is legal in these phases.
func (c *changes) ofRun(op int, f func(*engine.Run) error, from ...string) {
	c.do(op, func() error {
		if !slices.Contains(from, c.rows.run.Phase) {
			return fmt.Errorf("transition %d of the run, which is %s", op, c.rows.run.Phase)
		}
		return f(&c.rows.run)
	})
}

func (c *changes) RunStarted(time.Time) {
	c.ofRun(opRun, func(r *engine.Run) error { r.Phase = engine.RunRunning; return nil }, engine.RunPending)
}

func (c *changes) RunStopping(stop string) {
	c.ofRun(opRun, func(r *engine.Run) error {
		if r.Stop != "" {
			return errors.New("the run is being stopped already")
		}
		r.Stop = stop
		return nil
	}, engine.RunPending, engine.RunRunning)
}

func (c *changes) RunHeld(hold string) {
	c.ofRun(opRun, func(r *engine.Run) error { r.Hold = hold; return nil }, engine.RunPending, engine.RunRunning)
}

func (c *changes) RunEnded(phase, reason, _ string, _ time.Time) {
	c.ofRun(opRunEnded, func(r *engine.Run) error {
		r.Phase, c.rows.reason = phase, reason
		return nil
	}, engine.RunRunning)
}

func (c *changes) add(transitions []transition.Transition) {
	for _, t := range transitions {
		switch t := t.(type) {
		case transition.TaskUnblocked:
			c.TaskUnblocked(t.Task, t.Met)
		case transition.TaskReady:
			c.TaskReady(t.Task, t.At)
		case transition.TaskSkipped:
			c.TaskSkipped(t.Task, t.Message, t.ChildrenPending, t.At)
		case transition.TaskActive:
			c.TaskActive(t.Task, t.At)
		case transition.TaskBackedOff:
			c.TaskBackedOff(t.Task, t.Reason, t.Message, t.Due, t.Retries, t.Restarts)
		case transition.TaskSucceeded:
			c.TaskSucceeded(t.Task, t.At)
		case transition.TaskFailed:
			c.TaskFailed(t.Task, t.Reason, t.Message, t.ChildrenPending, t.At)
		case transition.TaskCancelled:
			c.TaskCancelled(t.Task, t.Reason, t.Message, t.At)
		case transition.TaskChildrenSkipped:
			c.TaskChildrenSkipped(t.Task)
		case transition.UnstartedCancelled:
			c.UnstartedCancelled(t.Reason, t.Message, t.At)
		case transition.AttemptDecided:
			c.AttemptDecided(t.Task, t.Number, t.PodName, t.At)
		case transition.AttemptPending:
			c.AttemptPending(t.Attempt, t.PodUID, t.Node, t.At, t.Due)
		case transition.AttemptRunning:
			c.AttemptRunning(t.Attempt, t.PodUID, t.Node, t.StartedAt, t.Due)
		case transition.AttemptWaits:
			c.AttemptWaits(t.Attempt, t.Reason, t.Message, t.At, t.Due)
		case transition.AttemptDue:
			c.AttemptDue(t.Attempt, t.Due)
		case transition.AttemptStopping:
			c.AttemptStopping(t.Attempt, t.Reason, t.Message, t.Due)
		case transition.LiveStopped:
			c.LiveStopped(t.Reason, t.Message, t.Due)
		case transition.AttemptEnded:
			c.AttemptEnded(t.Attempt, t.Phase, t.Reason, t.Message, t.ExitCode, t.PodUID, t.Node,
				t.StartedAt, t.FinishedAt)
		case transition.RunStarted:
			c.RunStarted(t.At)
		case transition.RunStopping:
			c.RunStopping(t.Reason)
		case transition.RunHeld:
			c.RunHeld(t.Reason)
		case transition.RunEnded:
			c.RunEnded(t.Phase, t.Reason, t.Message, t.At)
		}
	}
}
