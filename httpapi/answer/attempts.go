package answer

import (
	"time"

	"kontroler/store/view"
)

// RunAttempts are the attempts of a run, as arrays of one length: by task in the order of the DAG, newest first. Zero
// times are null.
type RunAttempts struct {
	UID        string       `json:"uid"`
	Tasks      []string     `json:"tasks"`
	Numbers    []int        `json:"numbers"`
	Phases     []string     `json:"phases"`
	Reasons    []string     `json:"reasons"`
	StartedAt  []*time.Time `json:"startedAt"`
	FinishedAt []*time.Time `json:"finishedAt"`
	// HasMore says that the run has more attempts than these.
	HasMore bool `json:"hasMore"`
}

// OfRunAttempts returns the view of the attempts of the run uid.
func OfRunAttempts(uid string, attempts []view.RunAttempt, hasMore bool) RunAttempts {
	return RunAttempts{
		UID:        uid,
		Tasks:      All(attempts, func(a view.RunAttempt) string { return a.Task }),
		Numbers:    All(attempts, func(a view.RunAttempt) int { return a.Number }),
		Phases:     All(attempts, func(a view.RunAttempt) string { return a.Phase }),
		Reasons:    All(attempts, func(a view.RunAttempt) string { return a.Reason }),
		StartedAt:  All(attempts, func(a view.RunAttempt) *time.Time { return optional(a.StartedAt) }),
		FinishedAt: All(attempts, func(a view.RunAttempt) *time.Time { return optional(a.FinishedAt) }),
		HasMore:    hasMore,
	}
}
