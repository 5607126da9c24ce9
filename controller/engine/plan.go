package engine

import (
	"time"

	"kontroler/store/transition"
)

// plan is a Decision under construction. It also tracks how the counters of the run change.
type plan struct {
	Decision
	now time.Time
	// delta is the change of the run's counters, by task phase.
	delta map[string]int
}

func (p *plan) add(t transition.Transition) { p.Transitions = append(p.Transitions, t) }

// moveTask updates a task and the counters. The caller adds the transition.
func (p *plan) moveTask(t *Task, phase string) {
	p.delta[t.Phase]--
	p.delta[phase]++
	t.Phase = phase
}

// setDue sets when an attempt is due. It adds no transition if the row already has that time.
func (p *plan) setDue(a *Attempt, due time.Time) {
	if !due.Equal(a.Due) {
		p.add(transition.AttemptDue{Attempt: a.ID, Due: due})
	}
	p.requeueAt(due)
}

// setWaiting records why an attempt does not run. A new reason is written immediately, a new message for the same
// reason after messageInterval.
func (p *plan) setWaiting(a *Attempt, reason, message string, due time.Time) {
	messageDue := a.MessageAt.Add(messageInterval)
	if reason == a.Reason && message != a.Message && p.now.Before(messageDue) {
		p.setDue(a, Earlier(due, messageDue))
		return
	}
	if reason != a.Reason || message != a.Message || !due.Equal(a.Due) {
		p.add(transition.AttemptWaits{Attempt: a.ID, Reason: reason, Message: message, At: p.now, Due: due})
	}
	p.requeueAt(due)
}

// stopAttempt commits the stop of an attempt. Its Pod is deleted after the commit.
func (p *plan) stopAttempt(a *Attempt, pod *Pod, reason, message string) {
	due := p.now.Add(stopRetry)
	p.add(transition.AttemptStopping{Attempt: a.ID, Reason: reason, Message: message, Due: due})
	p.requeueAt(due)
	if pod.Deletion.IsZero() {
		p.deletePod(a, pod)
	}
}

func (p *plan) deletePod(a *Attempt, pod *Pod) {
	p.Delete = append(p.Delete, Delete{PodName: a.PodName, PodUID: pod.UID})
}

// requeueAt requests a decision at a time. Zero requests none.
func (p *plan) requeueAt(at time.Time) { p.RequeueAt = Earlier(p.RequeueAt, at) }

// requeueUnknown requests a decision when an attempt without facts is due, but no earlier than in unknownRequeueDelay,
// because facts take time to arrive.
func (p *plan) requeueUnknown(due time.Time) {
	if soon := p.now.Add(unknownRequeueDelay); !due.IsZero() && due.Before(soon) {
		due = soon
	}
	p.requeueAt(due)
}

// Earlier returns the earlier of two times. Zero means never.
func Earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
