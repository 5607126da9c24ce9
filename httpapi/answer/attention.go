package answer

import (
	"time"

	"kontroler/httpapi/cluster"
	"kontroler/httpapi/dags"
	"kontroler/store/view"
)

// Attention lists what needs attention. Each list has at most 200 items.
type Attention struct {
	Failed  Beginning[Run]         `json:"failed"`
	Waiting Beginning[WaitingTask] `json:"waiting"`
	Missed  Beginning[MissedTime]  `json:"missed"`
	// Invalid and Pending come from the cluster. They are missing if the API server does not answer; Unavailable says
	// why.
	Invalid     *Beginning[dags.Invalid] `json:"invalid,omitempty"`
	Pending     *Beginning[dags.Pending] `json:"pending,omitempty"`
	Unavailable string                   `json:"unavailable,omitempty"`
}

// Beginning is the beginning of a list. HasMore says that there are more items. The list lacks the items of the
// namespaces that are Unavailable.
type Beginning[T any] struct {
	Items       []T                   `json:"items"`
	HasMore     bool                  `json:"hasMore"`
	Unavailable []cluster.Unavailable `json:"unavailableNamespaces,omitempty"`
}

// WaitingTask is a task of a live run that has had a reason not to run for five minutes.
type WaitingTask struct {
	RunUID    string    `json:"runUID"`
	RunName   string    `json:"runName"`
	Namespace string    `json:"namespace"`
	DAG       string    `json:"dag"`
	Task      string    `json:"task"`
	Phase     string    `json:"phase"`
	Reason    string    `json:"reason"`
	Message   string    `json:"message,omitempty"`
	Since     time.Time `json:"since"`
}

// FailedTask is a task that failed.
type FailedTask struct {
	Name    string `json:"name"`
	Reason  string `json:"reason"`
	Message string `json:"message,omitempty"`
}

// MissedTime is a due time, or a stretch of them, that did not run.
type MissedTime struct {
	Namespace string `json:"namespace"`
	DAG       string `json:"dag"`
	Tick
}

// Begin returns the first rows of a list, at most limit.
func Begin[R, T any](rows []R, limit int, view func(R) T) Beginning[T] {
	return Beginning[T]{Items: All(rows[:min(len(rows), limit)], view), HasMore: len(rows) > limit}
}

// OfFailedRun returns the view of a row.
func OfFailedRun(f view.FailedRun) Run {
	run := OfRun(f.Run)
	if f.Task != "" {
		run.FailedTask = &FailedTask{f.Task, f.TaskReason, f.TaskMessage}
	}
	return run
}

// OfWaitingTask returns the view of a row.
func OfWaitingTask(t view.WaitingTask) WaitingTask {
	return WaitingTask{t.RunUID, t.RunName, t.Namespace, t.DAG, t.Task, t.Phase, t.Reason, t.Message, t.Since}
}

// OfMissed returns the view of a row.
func OfMissed(m view.MissedTick) MissedTime {
	return MissedTime{m.Namespace, m.DAG, OfTick(m.Tick)}
}
