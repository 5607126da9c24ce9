package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"
)

// Payload is the body of a notification. The first fields are those of the webhooks of the existing Kontroler, with their
// names and values.
type Payload struct {
	// Type is taskrun or dagrun: whose end it is.
	Type string `json:"type"`
	// Status is success, failed or cancelled.
	Status string `json:"status"`
	// DagRunID is the run's id in the database.
	DagRunID int64 `json:"dagRunId"`
	// TaskName is empty for the end of a run.
	TaskName string `json:"taskName"`
	TaskID   int64  `json:"taskId,omitempty"`

	// ID is the same for every try: a receiver that has seen it has seen this ending.
	ID    string `json:"id"`
	Event string `json:"event"`
	// Time is when the ending was committed.
	Time       time.Time `json:"time"`
	Controller string    `json:"controller"`
	Namespace  string    `json:"namespace"`
	DAG        string    `json:"dag"`
	Version    int64     `json:"version"`
	Run        Run       `json:"run"`
	// Task is left out for the end of a run.
	Task *Task `json:"task,omitempty"`
}

// Run is the run of a notification. While it goes on, as when one of its tasks ends, it is only named.
type Run struct {
	Name       string     `json:"name"`
	UID        string     `json:"uid"`
	Phase      string     `json:"phase,omitempty"`
	Reason     string     `json:"reason,omitempty"`
	Message    string     `json:"message,omitempty"`
	StartedAt  *time.Time `json:"startedAt,omitempty"`
	FinishedAt *time.Time `json:"finishedAt,omitempty"`
	Tasks      *Counts    `json:"tasks,omitempty"`
}

// Counts are how many tasks of a run ended how.
type Counts struct {
	Total     int `json:"total"`
	Succeeded int `json:"succeeded"`
	Failed    int `json:"failed"`
	Skipped   int `json:"skipped"`
	Cancelled int `json:"cancelled"`
}

// Task is a task that has ended. ExitCode is that of its last attempt, left out where its container never exited.
type Task struct {
	Name       string     `json:"name"`
	Phase      string     `json:"phase"`
	Reason     string     `json:"reason,omitempty"`
	Message    string     `json:"message,omitempty"`
	Attempts   int        `json:"attempts"`
	ExitCode   *int32     `json:"exitCode,omitempty"`
	StartedAt  *time.Time `json:"startedAt,omitempty"`
	FinishedAt *time.Time `json:"finishedAt,omitempty"`
}

// ID names an ending: derived from what ended, so that a restored database gives it the same one.
func ID(controller, runUID, event, task string, index int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s\x00%s\x00%d", controller, runUID, event, task, index))
	return hex.EncodeToString(sum[:16])
}

// Sign is the value of the header Kontroler-Signature: HMAC-SHA256 over timestamp (Unix seconds), a dot, and the body.
func Sign(key []byte, timestamp int64, body []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write(strconv.AppendInt(nil, timestamp, 10))
	mac.Write([]byte{'.'})
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

const (
	// Patience is for how long after its ending a notification is tried.
	Patience = 24 * time.Hour
	// firstDelay is the time between the first try and the second; it doubles from try to try.
	firstDelay = 2 * time.Second
	// leastTries are made also of one whose turn comes when its day is over.
	leastTries = 5
)

// Retry is when the notification of an ending at ended is sent again after its try-th try failed at now; zero: no more.
func Retry(ended, now time.Time, try int) time.Time {
	over := ended.Add(Patience)
	if !now.Before(over) && try >= leastTries {
		return time.Time{}
	}
	next := now.Add(Patience)
	if try < 17 { // 2 s doubled 16 times is more than a day
		next = now.Add(firstDelay << (try - 1))
	}
	if next.After(over) && try >= leastTries {
		return over
	}
	return next
}
