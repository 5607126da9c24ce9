package engine

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"kontroler/apis/dag"
	"kontroler/store/transition"
)

// applyOutcome moves a task after its attempt ended. ranFor is how long the attempt ran.
func (d *decision) applyOutcome(t *Task, end End, ranFor time.Duration) {
	switch {
	case end.Phase == AttemptSucceeded:
		d.add(transition.TaskSucceeded{Task: t.ID, At: d.now})
		d.moveTask(t, TaskSucceeded)
		for _, child := range d.Graph.Children(t.Position) {
			d.met[int(child)]++
		}
	case d.Run.Stop != "":
		d.add(transition.TaskCancelled{Task: t.ID, Reason: d.Run.Stop, Message: d.stopMessage(), At: d.now})
		d.moveTask(t, TaskCancelled)
	case end.Phase == AttemptLost:
		d.restart(t, end, ranFor)
	default:
		d.retry(t, end, ranFor)
	}
}

// restart backs a task off after an infrastructure failure. It spends a restart and no retry.
func (d *decision) restart(t *Task, end End, ranFor time.Duration) {
	restarts := restartsSpent(t, ranFor)
	if restarts >= RestartLimit {
		d.failTask(t, ReasonInfrastructureRetriesSpent,
			fmt.Sprintf("restarted %d times after infrastructure failures; last: %s: %s",
				restarts, end.Reason, end.Message))
		return
	}
	delay := min(restartDelay<<restarts, restartDelayMax)
	message := fmt.Sprintf("restart %d of %d: %s: %s", restarts+1, RestartLimit, end.Reason, end.Message)
	d.backOff(t, delay, message, t.Retries, restarts+1)
}

// restartsSpent returns the restarts that count against RestartLimit. A long attempt resets them, however it ended.
func restartsSpent(t *Task, ranFor time.Duration) int {
	if ranFor >= RestartsResetAfter {
		return 0
	}
	return t.Restarts
}

// retry backs a task off after a failure of its own. It spends a retry.
func (d *decision) retry(t *Task, end End, ranFor time.Duration) {
	policy := dag.Retry(d.Graph.Task(t.Position))
	switch {
	case !policy.Retries(end.ExitCode):
		d.failTask(t, ReasonNotRetryable,
			fmt.Sprintf("%s: %s; not among conditional.retryCodes", end.Reason, end.Message))
	case t.Retries >= policy.Limit:
		message := fmt.Sprintf("%s: %s", end.Reason, end.Message)
		if policy.Limit > 0 {
			message = fmt.Sprintf("failed %d times; last: %s", policy.Limit+1, message)
		}
		d.failTask(t, ReasonRetriesSpent, message)
	default:
		message := fmt.Sprintf("retry %d of %d: %s: %s", t.Retries+1, policy.Limit, end.Reason, end.Message)
		d.backOff(t, policy.Delay(t.Retries+1), message, t.Retries+1, restartsSpent(t, ranFor))
	}
}

func (d *decision) backOff(t *Task, delay time.Duration, message string, retries, restarts int) {
	due := d.now.Add(delay)
	d.add(transition.TaskBackedOff{
		Task: t.ID, Reason: ReasonBackingOff, Message: message, Due: due, Retries: retries, Restarts: restarts,
	})
	d.moveTask(t, TaskReady)
	t.Retries, t.Restarts, t.Due = retries, restarts, due
	d.requeueAt(due)
}

func (d *decision) failTask(t *Task, reason, message string) {
	isPending := !d.hasAllChildren(t.Position)
	d.add(transition.TaskFailed{Task: t.ID, Reason: reason, Message: message, ChildrenPending: isPending, At: d.now})
	d.moveTask(t, TaskFailed)
	if isPending {
		d.Requeue = true
		return
	}
	d.failed = append(d.failed, t.Position)
}

// hasAllChildren reports whether the snapshot has all children of a task.
func (d *decision) hasAllChildren(position int) bool {
	for _, child := range d.Graph.Children(position) {
		if d.tasks[int(child)] == nil {
			return false
		}
	}
	return true
}

// updateChildren moves the children of tasks that ended. The descendants of failed tasks are Skipped as far as the
// snapshot reaches. Children whose last parent succeeded are Ready.
func (d *decision) updateChildren() error {
	if d.Run.Stop != "" {
		return nil
	}
	for len(d.failed) > 0 {
		position := d.failed[0]
		d.failed = d.failed[1:]
		d.skipChildren(position)
	}
	for _, position := range slices.Sorted(maps.Keys(d.met)) {
		t, met := d.tasks[position], d.met[position]
		if t == nil {
			return fmt.Errorf("snapshot lacks the task at position %d, a child of one that succeeded", position)
		}
		switch {
		case t.Phase != TaskWaiting:
		case met > t.Unmet:
			return fmt.Errorf("task at position %d waits for %d parents, %d succeeded", position, t.Unmet, met)
		case met == t.Unmet:
			d.add(transition.TaskReady{Task: t.ID, At: d.now})
			d.moveTask(t, TaskReady)
			t.Due = d.now
			d.ready = append(d.ready, position)
		default:
			d.add(transition.TaskUnblocked{Task: t.ID, Met: met})
		}
	}
	return nil
}

// skipChildren skips the Waiting children of a task that failed or was skipped. The snapshot has all of its children.
func (d *decision) skipChildren(position int) {
	parent := d.tasks[position]
	message := fmt.Sprintf("parent %s failed", d.Graph.Task(position).Name)
	if parent.Phase == TaskSkipped {
		message = fmt.Sprintf("parent %s was skipped", d.Graph.Task(position).Name)
	}
	for _, child := range d.Graph.Children(position) {
		t := d.tasks[int(child)]
		if t.Phase != TaskWaiting {
			continue
		}
		isPending := !d.hasAllChildren(t.Position)
		d.add(transition.TaskSkipped{Task: t.ID, Message: message, ChildrenPending: isPending, At: d.now})
		d.moveTask(t, TaskSkipped)
		if isPending {
			d.Requeue = true
			continue
		}
		if len(d.Graph.Children(t.Position)) > 0 {
			d.failed = append(d.failed, t.Position)
		}
	}
	if parent.ChildrenPending {
		d.add(transition.TaskChildrenSkipped{Task: parent.ID})
		d.Requeue = true // the snapshot is limited, so more tasks may have ChildrenPending
	}
}
