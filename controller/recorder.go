package controller

import (
	"time"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/store"
)

// recorder is the ledger of one decision: the changes to commit, and what the rest of the sync wants to know of them.
type recorder struct {
	store.Changes
	// hold is the run's new hold, unchanged: it stays.
	hold string
	// shows: the run's status has something else to show: its counters moved, or what it waits for changed.
	shows bool
	run   string
	ends  []end
	// webhook is to be told of endings; nil: nobody is. notified: there is something to tell.
	webhook  *v1alpha1.Webhook
	notified bool
}

type end struct{ phase, reason string }

const unchanged = "unchanged"

func newRecorder(webhook *v1alpha1.Webhook) *recorder {
	return &recorder{hold: unchanged, webhook: webhook}
}

// RunHeld notes the hold.
func (r *recorder) RunHeld(hold string) {
	r.hold = hold
	r.Changes.RunHeld(hold)
}

// RunCounts notes that the counters moved.
func (r *recorder) RunCounts(waiting, ready, active, succeeded, failed, skipped, cancelled int) {
	r.shows = true
	r.Changes.RunCounts(waiting, ready, active, succeeded, failed, skipped, cancelled)
}

// AttemptRunning notes that a task does not wait any more.
func (r *recorder) AttemptRunning(attempt int64, podUID, node string, startedAt, due time.Time) {
	r.shows = true
	r.Changes.AttemptRunning(attempt, podUID, node, startedAt, due)
}

// AttemptWaits notes that what a task waits for may have changed.
func (r *recorder) AttemptWaits(attempt int64, reason, message string, at, due time.Time) {
	r.shows = true
	r.Changes.AttemptWaits(attempt, reason, message, at, due)
}

// AttemptEnded notes the end for the metrics.
func (r *recorder) AttemptEnded(attempt int64, phase, reason, message string, exitCode *int32, podUID, node string, startedAt, finishedAt time.Time) {
	r.ends = append(r.ends, end{phase, reason})
	r.Changes.AttemptEnded(attempt, phase, reason, message, exitCode, podUID, node, startedAt, finishedAt)
}

// TaskSucceeded adds its notification.
func (r *recorder) TaskSucceeded(task int64, at time.Time) {
	r.Changes.TaskSucceeded(task, at)
	r.notify(task, v1alpha1.EventTaskSucceeded, at)
}

// TaskFailed adds its notification.
func (r *recorder) TaskFailed(task int64, reason, message string, cascade bool, at time.Time) {
	r.Changes.TaskFailed(task, reason, message, cascade, at)
	r.notify(task, v1alpha1.EventTaskFailed, at)
}

// RunEnded notes the end for the metrics, and adds its notification.
func (r *recorder) RunEnded(phase, reason, message string, at time.Time) {
	r.run = phase
	r.Changes.RunEnded(phase, reason, message, at)
	r.notify(0, v1alpha1.WebhookEvent("Run"+phase), at)
}

func (r *recorder) notify(task int64, event v1alpha1.WebhookEvent, at time.Time) {
	if wants(r.webhook, event) {
		r.notified = true
		r.Notify(task, string(event), at)
	}
}

// count tells the metrics what was committed.
func (r *recorder) count(m *Metrics) {
	for _, e := range r.ends {
		m.AttemptEnded(e.phase, e.reason)
	}
	if r.run != "" {
		m.RunEnded(r.run)
	}
}
