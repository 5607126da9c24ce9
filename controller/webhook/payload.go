package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/text"
	"kontroler/store"
)

// maxMessage bounds the message of a task or run in a notification, in bytes.
const maxMessage = 4096

// payload is the body of a notification. The first fields are those of the existing Kontroler's webhooks, with the same
// names and values. README.md documents all of them.
type payload struct {
	Type     string `json:"type"`     // taskrun or dagrun
	Status   string `json:"status"`   // success, failed or cancelled
	DagRunID int64  `json:"dagRunId"` // of the run, in the database
	TaskName string `json:"taskName"` // empty for the end of a run
	TaskID   int64  `json:"taskId,omitempty"`

	ID         string    `json:"id"` // the same in every delivery
	Event      string    `json:"event"`
	Time       time.Time `json:"time"` // when the end was committed
	Controller string    `json:"controller"`
	Namespace  string    `json:"namespace"`
	DAG        string    `json:"dag"`
	Version    int64     `json:"version"`
	Run        run       `json:"run"`
	Task       *task     `json:"task,omitempty"` // nil for the end of a run
}

// run is the run of a notification. At the end of one of its tasks only its name and UID are set.
type run struct {
	Name       string     `json:"name"`
	UID        string     `json:"uid"`
	Phase      string     `json:"phase,omitempty"`
	Reason     string     `json:"reason,omitempty"`
	Message    string     `json:"message,omitempty"`
	StartedAt  *time.Time `json:"startedAt,omitempty"`
	FinishedAt *time.Time `json:"finishedAt,omitempty"`
	Tasks      *counts    `json:"tasks,omitempty"`
}

// counts says how the tasks of a run ended.
type counts struct {
	Total     int `json:"total"`
	Succeeded int `json:"succeeded"`
	Failed    int `json:"failed"`
	Skipped   int `json:"skipped"`
	Cancelled int `json:"cancelled"`
}

// task is a task that has ended. ExitCode is that of its last attempt, or nil if the container did not exit.
type task struct {
	Name       string     `json:"name"`
	Phase      string     `json:"phase"`
	Reason     string     `json:"reason,omitempty"`
	Message    string     `json:"message,omitempty"`
	Attempts   int        `json:"attempts"`
	ExitCode   *int32     `json:"exitCode,omitempty"`
	StartedAt  *time.Time `json:"startedAt,omitempty"`
	FinishedAt *time.Time `json:"finishedAt,omitempty"`
}

// newPayload makes the body of a notification. It depends only on rows that no longer change, so every delivery has the
// same body.
func newPayload(controllerID string, n store.Notification) payload {
	r := n.Run
	p := payload{
		Type: "dagrun", Status: "success", DagRunID: r.ID, Event: n.Event, Time: n.CreatedAt, Controller: controllerID,
		Namespace: r.Namespace, DAG: r.DAGName, Version: r.VersionNumber, Run: run{Name: r.Name, UID: r.UID},
	}
	switch v1alpha1.WebhookEvent(n.Event) {
	case v1alpha1.EventTaskFailed, v1alpha1.EventRunFailed:
		p.Status = "failed"
	case v1alpha1.EventRunCancelled:
		p.Status = "cancelled"
	}
	if t := n.Task; t != nil {
		p.Type, p.TaskName, p.TaskID = "taskrun", t.Name, t.ID
		p.ID = notificationID(controllerID, r.UID, n.Event, t.Name, t.Index)
		p.Task = &task{
			Name: t.Name, Phase: t.Phase, Reason: t.Reason, Message: text.Shorten(t.Message, maxMessage),
			Attempts: t.Attempts, ExitCode: t.ExitCode,
			StartedAt: timeOrNil(t.StartedAt), FinishedAt: timeOrNil(t.FinishedAt),
		}
		return p
	}
	p.ID = notificationID(controllerID, r.UID, n.Event, "", 0)
	p.Run.Phase, p.Run.Reason, p.Run.Message = r.Phase, r.Reason, text.Shorten(r.Message, maxMessage)
	p.Run.StartedAt, p.Run.FinishedAt = timeOrNil(r.StartedAt), timeOrNil(r.FinishedAt)
	p.Run.Tasks = &counts{
		Total: r.Counts.Total, Succeeded: r.Counts.Succeeded, Failed: r.Counts.Failed, Skipped: r.Counts.Skipped,
		Cancelled: r.Counts.Cancelled,
	}
	return p
}

func timeOrNil(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	return &at
}

// notificationID derives the id of a notification from what ended. A notification that is written again in a restored
// database has the same id.
func notificationID(controllerID, runUID, event, task string, index int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s\x00%s\x00%d", controllerID, runUID, event, task, index))
	return hex.EncodeToString(sum[:16])
}

// sign returns the value of the header Kontroler-Signature: "sha256=" and the hex HMAC-SHA256 of timestamp (Unix
// seconds), a dot, and the body.
func sign(key []byte, timestamp int64, body []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write(strconv.AppendInt(nil, timestamp, 10))
	mac.Write([]byte{'.'})
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}
