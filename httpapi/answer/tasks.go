package answer

import (
	"time"

	"kontroler/store/view"
)

// Task is a task. Reason and Message say why it is not running.
type Task struct {
	Name    string `json:"name"`
	Phase   string `json:"phase"`
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	// Needs are the parents that have not succeeded. It is missing unless the task is Waiting.
	Needs      []string   `json:"needs,omitempty"`
	Attempts   int        `json:"attempts"`
	Retries    int        `json:"retries"`
	Restarts   int        `json:"restarts"`
	DueAt      *time.Time `json:"dueAt,omitempty"` // a Ready task may start from then on
	ReadyAt    *time.Time `json:"readyAt,omitempty"`
	StartedAt  *time.Time `json:"startedAt,omitempty"`
	FinishedAt *time.Time `json:"finishedAt,omitempty"`
}

// Attempt is an attempt of a task: a Pod.
type Attempt struct {
	Number     int        `json:"number"`
	Phase      string     `json:"phase"`
	Reason     string     `json:"reason,omitempty"`
	Message    string     `json:"message,omitempty"`
	Stop       string     `json:"stop,omitempty"`
	PodName    string     `json:"podName"`
	PodUID     string     `json:"podUID,omitempty"`
	Node       string     `json:"node,omitempty"`
	ExitCode   *int32     `json:"exitCode,omitempty"`
	StrayUID   string     `json:"strayUID,omitempty"` // a Pod that appeared after the attempt had ended
	DecidedAt  time.Time  `json:"decidedAt"`
	CreatedAt  *time.Time `json:"createdAt,omitempty"`
	StartedAt  *time.Time `json:"startedAt,omitempty"`
	FinishedAt *time.Time `json:"finishedAt,omitempty"`
}

// PodEvent is an Event of a Pod. Container is missing if it concerns the whole Pod.
type PodEvent struct {
	Container string    `json:"container,omitempty"`
	Type      string    `json:"type"`
	Reason    string    `json:"reason"`
	Message   string    `json:"message"`
	Source    string    `json:"source"`
	Count     int       `json:"count"`
	FirstAt   time.Time `json:"firstAt"`
	LastAt    time.Time `json:"lastAt"`
}

// OfTask returns the view of a row.
func OfTask(t view.Task) Task {
	return Task{
		Name: t.Name, Phase: t.Phase, Reason: t.Reason, Message: t.Message, Attempts: t.Attempts, Retries: t.Retries,
		Restarts: t.Restarts, DueAt: optional(t.DueAt), ReadyAt: optional(t.ReadyAt), StartedAt: optional(t.StartedAt),
		FinishedAt: optional(t.FinishedAt),
	}
}

// OfAttempt returns the view of a row.
func OfAttempt(a view.Attempt) Attempt {
	return Attempt{
		Number: a.Number, Phase: a.Phase, Reason: a.Reason, Message: a.Message, Stop: a.Stop, PodName: a.PodName,
		PodUID: a.PodUID, Node: a.Node, ExitCode: a.ExitCode, StrayUID: a.StrayUID, DecidedAt: a.DecidedAt,
		CreatedAt: optional(a.CreatedAt), StartedAt: optional(a.StartedAt), FinishedAt: optional(a.FinishedAt),
	}
}

// OfPodEvent returns the view of a row.
func OfPodEvent(e view.PodEvent) PodEvent {
	return PodEvent{e.Container, e.Type, e.Reason, e.Message, e.Source, e.Count, e.FirstAt, e.LastAt}
}
