package engine

import (
	"fmt"
	"math"
	"time"

	"kontroler/store/transition"
)

// updateAttempt makes a live attempt follow its Pod.
func (d *decision) updateAttempt(a *Attempt) error {
	task := d.tasks[a.Task]
	if task == nil {
		return fmt.Errorf("snapshot has attempt %d and lacks its task at position %d", a.ID, a.Task)
	}
	if task.Phase != TaskActive {
		return fmt.Errorf("snapshot has live attempt %d of the task at position %d, which is %s",
			a.ID, a.Task, task.Phase)
	}
	p := attemptPod(*a, d.Pods[a.PodName])
	if end, ended := d.ends[a.PodName]; ended {
		d.endAttempt(a, task, p, end)
		return nil
	}
	if a.Phase == AttemptDecided && a.PodUID == "" && p == nil || p != nil && p.Gone {
		d.updateWithoutPod(a, task)
		return nil
	}
	if p == nil {
		d.requeueUnknown(a.Due)
		return nil
	}
	d.leaveDecided(a)
	switch {
	case a.Phase == AttemptStopping || d.Run.Stop != "":
		d.updateStopping(a, p)
	case !p.Started.IsZero(), a.Phase == AttemptRunning:
		d.updateRunning(a, p)
	default:
		d.updatePending(a, p)
	}
	return nil
}

// leaveDecided allows one more start if an attempt was Decided. It now has a Pod or has ended. Without this, a run
// whose Decided attempts all end in one sync would not be synced again.
func (d *decision) leaveDecided(a *Attempt) {
	if a.Phase == AttemptDecided {
		d.MaxStarts++
	}
}

// endAttempt ends an attempt and counts its outcome. No other code does.
func (d *decision) endAttempt(a *Attempt, task *Task, p *Pod, end End) {
	d.leaveDecided(a)
	uid, node := "", ""
	if p != nil {
		uid, node = p.UID, p.Node
	}
	if end.Started.IsZero() {
		end.Started = a.Started
	}
	d.add(transition.AttemptEnded{
		Attempt: a.ID, Phase: end.Phase, Reason: end.Reason, Message: end.Message, ExitCode: end.ExitCode,
		PodUID: uid, Node: node, StartedAt: end.Started, FinishedAt: end.Finished,
	})
	d.Ended = append(d.Ended, a.PodName)
	if p != nil && !p.Gone {
		d.Reap = append(d.Reap, a.PodName)
	}
	d.applyOutcome(task, end, runDuration(a, p, end))
}

// runDuration returns how long an attempt ran. Both times come from one clock: the clock of the node if it reported
// start and end, otherwise the clock of the controller, from the time when it first saw the Pod.
func runDuration(a *Attempt, p *Pod, end End) time.Duration {
	switch {
	case end.Started.IsZero():
		return 0
	case p != nil && p.Terminated != nil && !p.Terminated.Finished.IsZero():
		return end.Finished.Sub(end.Started)
	case a.FirstSeen.IsZero():
		return 0
	}
	return end.Finished.Sub(a.FirstSeen)
}

// updateWithoutPod requests the Pod of an attempt that has none. After a crash this repeats a create under the same
// name. An attempt that a policy has refused for the start grace fails.
func (d *decision) updateWithoutPod(a *Attempt, task *Task) {
	if d.Run.Stop != "" || a.Phase == AttemptStopping {
		d.requeueUnknown(a.Due)
		return
	}
	r, refused := d.Refusals[a.PodName]
	if blocked, isBlocked := d.Blocked[a.Task]; isBlocked && !refused {
		r, refused = blocked, true
	}
	if refused {
		d.applyRefusal(a, task, r)
		return
	}
	if a.Reason == ReasonCreateRefused {
		if due := a.ReasonAt.Add(d.StartGrace); !d.now.Before(due) {
			d.endWithoutPod(a, task, ReasonStartFailed, a.Message)
			return
		}
		d.requeueAt(a.Due)
	}
	d.requestPod(a, a.Reason)
}

// requestPod creates the Pod of an attempt that was decided earlier, unless the attempt is blocked or no slot is free.
// reason is why the attempt has been waiting.
func (d *decision) requestPod(a *Attempt, reason string) {
	if _, isBlocked := d.Blocked[a.Task]; isBlocked {
		return
	}
	if d.Slots <= 0 {
		d.Throttled = true
		return
	}
	d.Slots--
	d.Create = append(d.Create, Create{Task: a.Task, Number: a.Number, PodName: a.PodName, Reason: reason})
}

// applyRefusal handles a rejected create. A permanent refusal fails the attempt immediately, a refusal by a policy
// after the start grace. After any other refusal the attempt waits: the create is requested again, and the caller
// decides when to send it.
func (d *decision) applyRefusal(a *Attempt, task *Task, r Refusal) {
	var due time.Time
	if r.Reason == ReasonCreateRefused {
		due = d.now.Add(d.StartGrace)
		if a.Reason == r.Reason {
			due = a.ReasonAt.Add(d.StartGrace)
		}
	}
	switch {
	case r.IsPermanent && r.Reason == ReasonNameTaken:
		d.endWithoutPod(a, task, ReasonNameTaken, r.Message)
	case r.IsPermanent, !due.IsZero() && !d.now.Before(due):
		d.endWithoutPod(a, task, ReasonStartFailed, r.Message)
	default:
		d.setWaiting(a, r.Reason, r.Message, due)
		d.requestPod(a, r.Reason)
	}
}

// endWithoutPod fails an attempt whose Pod was never created.
func (d *decision) endWithoutPod(a *Attempt, task *Task, reason, message string) {
	d.endAttempt(a, task, nil, End{Phase: AttemptFailed, Reason: reason, Message: message, Finished: d.now})
}

// updateStopping deletes the Pod of an attempt that is being stopped, and repeats the delete until it is accepted. It
// records the node of the Pod, which the Pod may have got after it was first seen.
func (d *decision) updateStopping(a *Attempt, p *Pod) {
	if p.Deletion.IsZero() {
		d.deletePod(a, p)
	}
	due := deletionCheck(p, d.now.Add(stopRetry), d.now)
	if !due.Equal(a.Due) {
		d.add(transition.AttemptDue{Attempt: a.ID, Node: p.Node, Due: due})
	}
	d.requeueAt(due)
}

// updateRunning watches the timeout of an attempt whose container has started. The attempt does not return to Pending,
// whatever its Pod reports later.
//
// The start time comes from the clock of the node, which may differ from the controller's. The timeout therefore counts
// from the decision that first saw the container running, and the due time of the row records it. The Pod gets a
// deadline of its own, by the clock of the node, for the time in which no controller can stop it.
func (d *decision) updateRunning(a *Attempt, p *Pod) {
	due, isOver := time.Time{}, false
	timeout := d.Graph.Task(a.Task).TimeoutSeconds
	if timeout != nil {
		due = d.now.Add(time.Duration(*timeout) * time.Second)
		if a.Phase == AttemptRunning && !a.Due.IsZero() {
			due = a.Due
		}
		isOver = !d.now.Before(due) && p.Deletion.IsZero()
	}
	due = deletionCheck(p, due, d.now)
	if a.Phase != AttemptRunning {
		d.add(transition.AttemptRunning{Attempt: a.ID, PodUID: p.UID, Node: p.Node, StartedAt: p.Started, Due: due})
		a.Due = due
	}
	if isOver {
		d.stopAttempt(a, p, ReasonTimeout, fmt.Sprintf("ran longer than timeoutSeconds (%d)", *timeout))
		return
	}
	if timeout != nil {
		d.limitPod(a, p, *timeout)
	}
	d.setDue(a, due)
}

// limitPod lowers the deadline of a running task's Pod to the timeout plus the start grace, counted from the start of
// the container. The time before that does not count, because pulling an image or running an init container may take
// hours.
func (d *decision) limitPod(a *Attempt, p *Pod, timeout int64) {
	if p.Started.IsZero() || p.Accepted.IsZero() || !p.Deletion.IsZero() {
		return
	}
	before := max(0, p.Started.Sub(p.Accepted)) + d.StartGrace
	seconds := min(int64(math.Ceil(before.Seconds()))+timeout, math.MaxInt32)
	if p.Deadline == 0 || p.Deadline > seconds {
		d.Limit = append(d.Limit, Limit{PodName: a.PodName, PodUID: p.UID, Seconds: seconds})
	}
}

// deletionCheck returns when to check whether the node of a Pod with a deletionTimestamp is lost. For any other Pod it
// returns due.
func deletionCheck(p *Pod, due, now time.Time) time.Time {
	if p.Deletion.IsZero() {
		return due
	}
	if at := p.Deletion.Add(NodeLostAfter); now.Before(at) {
		return at
	}
	return now.Add(NodeLostAfter)
}

// updatePending watches an attempt whose container has not started. Routine steps become a reason only if the start is
// slow.
func (d *decision) updatePending(a *Attempt, p *Pod) {
	if a.Phase == AttemptDecided {
		a.FirstSeen, a.Due, a.Reason, a.Message = d.now, d.now.Add(slowStart), "", ""
		d.add(transition.AttemptPending{Attempt: a.ID, PodUID: p.UID, Node: p.Node, At: d.now, Due: a.Due})
	}
	reason, message, due := "", "", time.Time{}
	slow := a.FirstSeen.Add(slowStart)
	switch w := p.Waits; {
	case w == nil, w.IsRoutine && d.now.Before(slow):
		if d.now.Before(slow) {
			due = slow
		}
	case w.IsRoutine:
		// A routine step does not enqueue the run when it changes, so it is polled.
		reason, message, due = w.Reason, w.Message, d.now.Add(messageInterval)
	case !w.IsFailure:
		reason, message = w.Reason, w.Message
	default:
		reason, message = w.Reason, w.Message
		since := d.now
		if w.Reason == a.Reason {
			since = a.ReasonAt
		}
		due = since.Add(d.StartGrace)
		if w.IsPermanent || !d.now.Before(due) {
			d.stopAttempt(a, p, ReasonStartFailed, w.Reason+": "+w.Message)
			return
		}
	}
	d.setWaiting(a, reason, message, deletionCheck(p, due, d.now))
}
