package controller

import (
	"time"

	"kontroler/store"
)

// recorder is the ledger of one decision: the changes to commit, and what the rest of the sync wants to know of them.
type recorder struct {
	store.Changes
	// hold is the run's new hold, unchanged: it stays.
	hold string
	// counted: the run's counters moved.
	counted bool
	run     string
	ends    []end
}

type end struct{ phase, reason string }

const unchanged = "unchanged"

func newRecorder() *recorder { return &recorder{hold: unchanged} }

// RunHeld notes the hold.
func (r *recorder) RunHeld(hold string) {
	r.hold = hold
	r.Changes.RunHeld(hold)
}

// RunCounts notes that the counters moved.
func (r *recorder) RunCounts(waiting, ready, active, succeeded, failed, skipped, cancelled int) {
	r.counted = true
	r.Changes.RunCounts(waiting, ready, active, succeeded, failed, skipped, cancelled)
}

// AttemptEnded notes the end for the metrics.
func (r *recorder) AttemptEnded(attempt int64, phase, reason, message string, exitCode *int32, podUID, node string, startedAt, finishedAt time.Time) {
	r.ends = append(r.ends, end{phase, reason})
	r.Changes.AttemptEnded(attempt, phase, reason, message, exitCode, podUID, node, startedAt, finishedAt)
}

// RunEnded notes the end for the metrics.
func (r *recorder) RunEnded(phase, reason, message string, at time.Time) {
	r.run = phase
	r.Changes.RunEnded(phase, reason, message, at)
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
