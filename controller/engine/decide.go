package engine

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"kontroler/store/transition"
)

// decision is the state of one call of Decide: the facts, and the plan that follows from them.
type decision struct {
	Snapshot
	plan

	tasks map[int]*Task // by position
	// met counts, by position of a Waiting task, the parents that succeed in this decision.
	met map[int]int
	// failed are the positions of tasks whose children must be skipped.
	failed []int
	// ready are the positions of Ready tasks that may start.
	ready []int
}

// Decide returns what follows from a snapshot at time now. It returns an error only if the snapshot contradicts itself:
// it lacks a row that it must contain, or contains a row that cannot exist.
func Decide(s Snapshot, now time.Time) (Decision, error) {
	s.findEnds(now)
	s.Tasks, s.Attempts = slices.Clone(s.Tasks), slices.Clone(s.Attempts)
	d := &decision{
		Snapshot: s, plan: plan{now: now, delta: map[string]int{}},
		tasks: make(map[int]*Task, len(s.Tasks)), met: map[int]int{},
	}
	for i := range s.Tasks {
		t := &s.Tasks[i]
		if d.tasks[t.Position] != nil {
			continue
		}
		d.tasks[t.Position] = t
		if t.Phase == TaskReady && !t.Due.After(now) {
			d.ready = append(d.ready, t.Position)
		}
	}
	for i := range s.Tasks {
		// If a task is in the snapshot only as a child of another task, its own children are not. A later decision
		// skips them.
		if t := &s.Tasks[i]; t.ChildrenPending && d.hasAllChildren(t.Position) {
			d.failed = append(d.failed, t.Position)
		}
	}
	if s.Run.Phase == RunPending {
		d.add(transition.RunStarted{At: now})
	}
	d.stopRun()
	for i := range s.Attempts {
		if err := d.updateAttempt(&s.Attempts[i]); err != nil {
			return Decision{}, err
		}
	}
	if err := d.updateChildren(); err != nil {
		return Decision{}, err
	}
	d.startTasks()
	d.endRun()
	return d.Decision, nil
}

// StopReason returns why a run is being stopped or must be, whatever its tasks do. It is empty if the run may go on.
func StopReason(run Run, intent Intent, now time.Time) string {
	switch {
	case run.Stop != "":
		return run.Stop
	case intent.DagRunDeleted:
		return ReasonDeleted
	case intent.DagRunEnded:
		return ReasonHistoryLost
	case intent.CancelRequested:
		return ReasonUserCancelled
	case !run.Deadline.IsZero() && !now.Before(run.Deadline):
		return ReasonDeadlineExceeded
	}
	return ""
}

// stopRun begins to stop the run, once, for the first reason that applies. An attempt whose end is in the same snapshot
// keeps its own outcome.
func (d *decision) stopRun() {
	if d.Run.Stop != "" {
		return
	}
	reason := StopReason(d.Run, d.Intent, d.now)
	if reason == "" && d.Unreadable != "" {
		reason = ReasonVersionUnreadable
	}
	if reason == "" {
		d.requeueAt(d.Run.Deadline)
		return
	}
	d.Run.Stop = reason
	message := d.stopMessage()
	d.add(transition.RunStopping{Reason: reason})
	d.add(transition.UnstartedCancelled{Reason: reason, Message: message, At: d.now})
	d.delta[TaskCancelled] += d.Run.Waiting + d.Run.Ready
	d.delta[TaskWaiting] -= d.Run.Waiting
	d.delta[TaskReady] -= d.Run.Ready
	d.add(transition.LiveStopped{Reason: reason, Message: message, Due: d.now})
	d.Requeue = true
	for _, t := range d.tasks {
		if t.Phase == TaskWaiting || t.Phase == TaskReady {
			t.Phase = TaskCancelled
		}
	}
	d.ready, d.failed = nil, nil
}

// startTasks decides attempts for Ready tasks, oldest first, within maxParallel, MaxStarts and Slots.
func (d *decision) startTasks() {
	throttled := ""
	if d.Throttled {
		throttled = HoldThrottled
	}
	hold := throttled
	if d.Run.Stop == "" {
		slices.SortFunc(d.ready, func(a, b int) int {
			return cmp.Or(d.tasks[a].Due.Compare(d.tasks[b].Due), cmp.Compare(a, b))
		})
		room := len(d.ready)
		if max := d.Graph.MaxParallel(); max > 0 {
			if left := max - d.Run.Active - d.delta[TaskActive]; left < room {
				room, hold = left, HoldMaxParallel
			}
		}
		if d.MaxStarts < room {
			room, hold = d.MaxStarts, cmp.Or(d.StartHold, throttled)
		}
		if d.Slots < room {
			room, hold, d.Throttled = d.Slots, HoldThrottled, true
		}
		for i := 0; i < room; i++ {
			d.startTask(d.tasks[d.ready[i]])
		}
		// This sync starts as many tasks as it may. The run may have Ready tasks that the snapshot lacks.
		if d.MaxStarts > 0 && room == d.MaxStarts && d.StartHold == "" && d.Run.Ready+d.delta[TaskReady] > 0 {
			d.Requeue = true
		}
	}
	if hold != d.Run.Hold {
		d.add(transition.RunHeld{Reason: hold})
	}
}

func (d *decision) startTask(t *Task) {
	number := t.Attempts + 1
	name := d.PodName(d.Graph.Task(t.Position).Name, 0, number)
	d.add(transition.TaskActive{Task: t.ID, At: d.now})
	d.add(transition.AttemptDecided{Task: t.ID, Number: number, PodName: name, At: d.now})
	d.moveTask(t, TaskActive)
	d.Slots--
	d.Create = append(d.Create, Create{Task: t.Position, Number: number, PodName: name, Ready: t.Due})
}

// endRun ends the run if none of its tasks can run any more.
func (d *decision) endRun() {
	r, count := d.Run, func(phase string, n int) int { return n + d.delta[phase] }
	if count(TaskWaiting, r.Waiting)+count(TaskReady, r.Ready)+count(TaskActive, r.Active) > 0 {
		return
	}
	failed, cancelled := count(TaskFailed, r.Failed), count(TaskCancelled, r.Cancelled)
	switch {
	case (r.Stop == ReasonDeadlineExceeded || r.Stop == ReasonVersionUnreadable) && (failed > 0 || cancelled > 0):
		d.add(transition.RunEnded{Phase: RunFailed, Reason: r.Stop, Message: d.stopMessage(), At: d.now})
	case r.Stop != "" && cancelled > 0:
		d.add(transition.RunEnded{Phase: RunCancelled, Reason: r.Stop, Message: d.stopMessage(), At: d.now})
	case failed > 0:
		d.add(transition.RunEnded{Phase: RunFailed, Reason: ReasonTaskFailed, Message: failures(failed), At: d.now})
	default:
		d.add(transition.RunEnded{Phase: RunSucceeded, At: d.now})
	}
	d.IsLast, d.Requeue, d.RequeueAt = true, false, time.Time{}
}

// stopMessage says why the run is being stopped.
func (d *decision) stopMessage() string {
	switch d.Run.Stop {
	case ReasonDeleted:
		return "the DagRun was deleted"
	case ReasonHistoryLost:
		return "the DagRun has already finished: the database was restored from an older backup"
	case ReasonDeadlineExceeded:
		return "the run took longer than activeDeadlineSeconds"
	case ReasonVersionUnreadable:
		message := "the DAG version of this run cannot be read from the database"
		if d.Unreadable != "" {
			message += ": " + d.Unreadable
		}
		return message
	}
	return "cancelled by spec.cancel"
}

func failures(n int) string {
	if n == 1 {
		return "1 task failed"
	}
	return fmt.Sprintf("%d tasks failed", n)
}
