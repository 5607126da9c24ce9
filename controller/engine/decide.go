package engine

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"time"

	"kontroler/store/transition"
)

// decision is one call of Decide.
type decision struct {
	Snapshot
	now time.Time
	Decision

	tasks map[int]*Task // by position
	// delta of the run's counters, by task phase
	delta map[string]int
	// met counts, for tasks still waiting, the parents that succeeded in this decision.
	met map[int]int
	// failed are the positions of tasks whose children must be skipped.
	failed []int
	// ready are the positions of Ready tasks that may start: those of the slice and those that became so.
	ready []int
}

// Decide returns what follows from a snapshot at the time now. Its one error is a snapshot that contradicts itself: it
// lacks a row that it must have, or has one that cannot be.
func Decide(s Snapshot, now time.Time) (Decision, error) {
	s.findEnds(now)
	s.Tasks, s.Attempts = slices.Clone(s.Tasks), slices.Clone(s.Attempts)
	d := &decision{Snapshot: s, now: now, tasks: make(map[int]*Task, len(s.Tasks)), delta: map[string]int{}, met: map[int]int{}}
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
		// One that is here as a child of another has not brought its own children: its turn comes.
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

func (d *decision) add(t transition.Transition) { d.Transitions = append(d.Transitions, t) }

// stopRun begins the stop of the run, once, for the first reason there is. Attempts that end in this same decision end as
// their facts say.
func (d *decision) stopRun() {
	if d.Run.Stop != "" {
		return
	}
	reason := ""
	switch {
	case d.DagRunDeleted:
		reason = ReasonDeleted
	case d.DagRunEnded:
		reason = ReasonHistoryLost
	case d.CancelRequested:
		reason = ReasonUserCancelled
	case !d.Run.Deadline.IsZero() && !d.now.Before(d.Run.Deadline):
		reason = ReasonDeadlineExceeded
	case d.Unreadable != "":
		reason = ReasonVersionUnreadable
	default:
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

// attempt brings one live attempt up to date with its Pod.
func (d *decision) updateAttempt(a *Attempt) error {
	task := d.tasks[a.Task]
	if task == nil {
		return fmt.Errorf("slice has attempt %d and lacks its task at position %d", a.ID, a.Task)
	}
	if task.Phase != TaskActive {
		return fmt.Errorf("slice has live attempt %d of the task at position %d, which is %s", a.ID, a.Task, task.Phase)
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

// endAttempt counts an outcome: the one place where an attempt ends.
func (d *decision) endAttempt(a *Attempt, task *Task, p *Pod, end End) {
	uid, node := "", ""
	if p != nil {
		uid, node = p.UID, p.Node
	}
	if end.Started.IsZero() {
		end.Started = a.Started
	}
	d.add(transition.AttemptEnded{Attempt: a.ID, Phase: end.Phase, Reason: end.Reason, Message: end.Message, ExitCode: end.ExitCode, PodUID: uid, Node: node, StartedAt: end.Started, FinishedAt: end.Finished})
	d.Ended = append(d.Ended, a.PodName)
	if p != nil && !p.Gone {
		d.Reap = append(d.Reap, a.PodName)
	}
	d.applyOutcome(task, end, runDuration(a, p, end))
}

// ran is how long an attempt ran, by one clock: that of its node where it told start and end, else the controller's, from
// when the Pod was first seen.
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

// unborn treats an attempt without a Pod: it is created, again under the same name after a crash, as far as there are
// slots. One that a policy has refused for the start grace fails.
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

// create requests the Pod of an attempt that was decided earlier, unless the attempt is blocked or no slot is free.
// reason is the attempt's current reason for waiting.
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

// refused: what can never be right fails at once, what a policy refuses after the start grace; all else is waited out. The
// create is asked for again: whoever sends it knows when its turn is.
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

// refuseStart ends an attempt whose Pod was never created.
func (d *decision) endWithoutPod(a *Attempt, task *Task, reason, message string) {
	d.endAttempt(a, task, nil, End{Phase: AttemptFailed, Reason: reason, Message: message, Finished: d.now})
}

// waits stores a reason from outside when its kind changes, its text at most every ten seconds: a text that changes sooner
// is looked at again then.
func (d *decision) setWaiting(a *Attempt, reason, message string, due time.Time) {
	if textDue := a.MessageAt.Add(messageInterval); reason == a.Reason && message != a.Message && d.now.Before(textDue) {
		d.updateDue(a, earlier(due, textDue))
		return
	}
	if reason != a.Reason || message != a.Message || !due.Equal(a.Due) {
		d.add(transition.AttemptWaits{Attempt: a.ID, Reason: reason, Message: message, At: d.now, Due: due})
	}
	d.requeueAt(due)
}

func (d *decision) updateStopping(a *Attempt, p *Pod) {
	switch {
	case p.Deletion.IsZero():
		d.Delete = append(d.Delete, Delete{PodName: a.PodName, PodUID: p.UID})
		d.setDue(a, d.now.Add(stopRetry))
	case d.now.Before(p.Deletion.Add(NodeLostAfter)):
		d.updateDue(a, p.Deletion.Add(NodeLostAfter))
	default:
		d.setDue(a, d.now.Add(NodeLostAfter))
	}
}

func (d *decision) setDue(a *Attempt, due time.Time) {
	d.add(transition.AttemptDue{Attempt: a.ID, Due: due})
	d.requeueAt(due)
}

// dueAt is due, written only if it says something new.
func (d *decision) updateDue(a *Attempt, due time.Time) {
	if !due.Equal(a.Due) {
		d.add(transition.AttemptDue{Attempt: a.ID, Due: due})
	}
	d.requeueAt(due)
}

// running watches the timeout. An attempt that runs is not pending again, whatever its Pod says later. When its container
// started is told by the clock of its node, which may be another time than this one: the timeout counts from when the
// container was first seen running, and what is due then is the memory of that. The Pod's own deadline counts on its node.
func (d *decision) updateRunning(a *Attempt, p *Pod) {
	due, over := time.Time{}, false
	timeout := d.Graph.Task(a.Task).TimeoutSeconds
	if timeout != nil {
		due = d.now.Add(time.Duration(*timeout) * time.Second)
		if a.Phase == AttemptRunning && !a.Due.IsZero() {
			due = a.Due
		}
		over = !d.now.Before(due) && p.Deletion.IsZero()
	}
	due = d.watchDeletion(p, due)
	if a.Phase != AttemptRunning {
		d.add(transition.AttemptRunning{Attempt: a.ID, PodUID: p.UID, Node: p.Node, StartedAt: p.Started, Due: due})
		a.Due = due
	}
	if over {
		d.stopAttempt(a, p, ReasonTimeout, fmt.Sprintf("it ran longer than timeoutSeconds: %d", *timeout))
		return
	}
	d.updateDue(a, due)
}

// watchDeletion says when to look whether the node of a Pod that is being deleted is lost.
func (d *decision) watchDeletion(p *Pod, due time.Time) time.Time {
	if p.Deletion.IsZero() {
		return due
	}
	if look := p.Deletion.Add(NodeLostAfter); d.now.Before(look) {
		return look
	}
	return d.now.Add(NodeLostAfter)
}

// pending watches an attempt whose container has not started. What every start goes through is worth a word only once it
// takes long.
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
		reason, message, due = w.Reason, w.Message, d.now.Add(messageInterval) // what it is at by then is no event of its own
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
	d.setWaiting(a, reason, message, d.watchDeletion(p, due))
}

// stopAttempt commits the stop before the Pod is deleted.
func (d *decision) stopAttempt(a *Attempt, p *Pod, stop, message string) {
	due := d.now.Add(stopRetry)
	d.add(transition.AttemptStopping{Attempt: a.ID, Reason: stop, Message: message, Due: due})
	d.requeueAt(due)
	if p.Deletion.IsZero() {
		d.Delete = append(d.Delete, Delete{PodName: a.PodName, PodUID: p.UID})
	}
}

// start decides attempts for Ready tasks, oldest first, as far as maxParallel, --max-pods and the size of a sync allow.
func (d *decision) startTasks() {
	held := ""
	if d.Throttled {
		held = HoldThrottled
	}
	hold := held
	if d.Run.Stop == "" {
		sort.Slice(d.ready, func(i, j int) bool {
			a, b := d.tasks[d.ready[i]], d.tasks[d.ready[j]]
			if !a.Due.Equal(b.Due) {
				return a.Due.Before(b.Due)
			}
			return a.Position < b.Position
		})
		room := len(d.ready)
		if max := d.Graph.MaxParallel(); max > 0 {
			if left := max - d.Run.Active - d.delta[TaskActive]; left < room {
				room, hold = left, HoldMaxParallel
			}
		}
		if d.MaxStarts < room {
			room, hold = d.MaxStarts, cmp.Or(d.StartHold, held)
		}
		if d.Slots < room {
			room, hold, d.Throttled = d.Slots, HoldThrottled, true
		}
		for i := 0; i < room; i++ {
			d.startTask(d.tasks[d.ready[i]])
		}
		// All that this sync may start: there can be Ready tasks that the slice has not.
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

func (d *decision) moveTask(t *Task, phase string) {
	d.delta[t.Phase]--
	d.delta[phase]++
	t.Phase = phase
}

func (d *decision) requeueAt(at time.Time) { d.RequeueAt = earlier(d.RequeueAt, at) }

// wakeLater is wake for what is due while nothing is known of it: asking again at once would tell nothing.
func (d *decision) requeueUnknown(at time.Time) {
	if soon := d.now.Add(unknownRequeueDelay); !at.IsZero() && at.Before(soon) {
		at = soon
	}
	d.requeueAt(at)
}

// sooner is the earlier of two times, of which zero is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// end ends the run once nothing of it can run any more.
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
		return "its DagRun was deleted"
	case ReasonHistoryLost:
		return "its DagRun has ended already: the database is behind"
	case ReasonDeadlineExceeded:
		return "the run took longer than activeDeadlineSeconds"
	case ReasonVersionUnreadable:
		message := "the version of its DAG cannot be read from the database"
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
