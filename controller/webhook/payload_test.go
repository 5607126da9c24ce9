package webhook

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kontroler/store"
)

func TestPayload(t *testing.T) {
	at := func(second int) time.Time { return time.Date(2026, 1, 2, 3, 4, second, 0, time.UTC) }
	exitCode := int32(3)
	ofRun := store.Run{
		RunKey:  store.RunKey{ID: 7, UID: "run-uid", Namespace: "team", Name: "nightly-1"},
		DAGName: "nightly", VersionNumber: 4,
		Phase: "Failed", Reason: "TaskFailed", Message: "task load failed", StartedAt: at(1), FinishedAt: at(9),
		Counts: store.Counts{Total: 5, Succeeded: 1, Failed: 1, Skipped: 2, Cancelled: 1},
	}
	const common = `"time":"2026-01-02T03:04:09Z","controller":"c1","namespace":"team","dag":"nightly","version":4`
	tests := map[string]struct {
		event string
		run   store.Run
		task  *store.NotifiedTask
		want  string
	}{
		"the end of a run has its phase and its counts": {
			event: "RunFailed", run: ofRun,
			want: `{"type":"dagrun","status":"failed","dagRunId":7,"taskName":"",` +
				`"id":"` + notificationID("c1", "run-uid", "RunFailed", "", 0) + `","event":"RunFailed",` + common +
				`,"run":{"name":"nightly-1","uid":"run-uid","phase":"Failed","reason":"TaskFailed",` +
				`"message":"task load failed",` +
				`"startedAt":"2026-01-02T03:04:01Z","finishedAt":"2026-01-02T03:04:09Z",` +
				`"tasks":{"total":5,"succeeded":1,"failed":1,"skipped":2,"cancelled":1}}}`,
		},
		"the end of a task says of its run only which it is": {
			event: "TaskFailed", run: ofRun,
			task: &store.NotifiedTask{
				ID: 70, Index: 1, Attempts: 2, Name: "load", Phase: "Failed", Reason: "ExitCode",
				Message: "exit code 3", ExitCode: &exitCode, StartedAt: at(2), FinishedAt: at(8),
			},
			want: `{"type":"taskrun","status":"failed","dagRunId":7,"taskName":"load","taskId":70,` +
				`"id":"` + notificationID("c1", "run-uid", "TaskFailed", "load", 1) + `",` +
				`"event":"TaskFailed",` + common +
				`,"run":{"name":"nightly-1","uid":"run-uid"},` +
				`"task":{"name":"load","phase":"Failed","reason":"ExitCode","message":"exit code 3",` +
				`"attempts":2,"exitCode":3,` +
				`"startedAt":"2026-01-02T03:04:02Z","finishedAt":"2026-01-02T03:04:08Z"}}`,
		},
		"a task that never ran has no exit code and no times": {
			event: "TaskSucceeded", run: ofRun, task: &store.NotifiedTask{ID: 71, Name: "save", Phase: "Succeeded"},
			want: `{"type":"taskrun","status":"success","dagRunId":7,"taskName":"save","taskId":71,` +
				`"id":"` + notificationID("c1", "run-uid", "TaskSucceeded", "save", 0) + `",` +
				`"event":"TaskSucceeded",` + common +
				`,"run":{"name":"nightly-1","uid":"run-uid"},"task":{"name":"save","phase":"Succeeded","attempts":0}}`,
		},
		"a cancelled run has the status cancelled": {
			event: "RunCancelled",
			run:   store.Run{RunKey: ofRun.RunKey, DAGName: "nightly", VersionNumber: 4, Phase: "Cancelled"},
			want: `{"type":"dagrun","status":"cancelled","dagRunId":7,"taskName":"",` +
				`"id":"` + notificationID("c1", "run-uid", "RunCancelled", "", 0) + `",` +
				`"event":"RunCancelled",` + common +
				`,"run":{"name":"nightly-1","uid":"run-uid","phase":"Cancelled",` +
				`"tasks":{"total":0,"succeeded":0,"failed":0,"skipped":0,"cancelled":0}}}`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			n := store.Notification{ID: 1, Event: test.event, Try: 1, CreatedAt: at(9), Run: test.run, Task: test.task}
			got, err := json.Marshal(newPayload("c1", n))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestPayloadBoundsMessages(t *testing.T) {
	long := strings.Repeat("x", 2*maxMessage)
	n := store.Notification{Run: store.Run{Message: long}}
	if got := len(newPayload("c1", n).Run.Message); got != maxMessage {
		t.Errorf("the message of a run has %d bytes, want %d", got, maxMessage)
	}
	n.Task = &store.NotifiedTask{Message: long}
	if got := len(newPayload("c1", n).Task.Message); got != maxMessage {
		t.Errorf("the message of a task has %d bytes, want %d", got, maxMessage)
	}
}

// The value is what `printf '%s.%s' 1700000000 '{"a":1}' | openssl dgst -sha256 -hmac key` prints.
func TestSign(t *testing.T) {
	const want = "sha256=a438e398bfafc57e4396bb7fc2304422f0f768e965d073ca313cb52e22e6ad03"
	if got := sign([]byte("key"), 1700000000, []byte(`{"a":1}`)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestNotificationID(t *testing.T) {
	seen := map[string]string{}
	for name, id := range map[string]string{
		"a task":             notificationID("c", "u", "TaskFailed", "a", 0),
		"of another index":   notificationID("c", "u", "TaskFailed", "a", 1),
		"of another name":    notificationID("c", "u", "TaskFailed", "b", 0),
		"of another event":   notificationID("c", "u", "TaskSucceeded", "a", 0),
		"another run":        notificationID("c", "v", "TaskFailed", "a", 0),
		"another controller": notificationID("d", "u", "TaskFailed", "a", 0),
	} {
		if other, isTaken := seen[id]; isTaken || len(id) != 32 {
			t.Errorf("%s has the id %s, as %s has", name, id, other)
		}
		seen[id] = name
	}
}
