package e2e_test

import (
	"context"
	"strings"
	"testing"

	"kontroler/e2e/harness"
)

// This release takes over from the one before while containers run. Their outcomes and logs are stored once, whoever
// started them. e2e/control does the same to ten runs at once, and goes back.
func TestUpgrade(t *testing.T) {
	w := newWorld(t)
	scene := harness.Scenes(marked)["diamond"]
	scene.Tasks[0] = marked("a", "echo before\n"+until("go"))
	old := w.Controller(harness.PreviousRelease(t).Controller(t))
	w.Prepare(scene)
	w.WaitStarted(1)
	next := w.Controller()
	if !old.Leads() {
		t.Error("the old controller has stopped leading when the new one started")
	}
	w.Open("go")
	old.Stop()
	next.WaitLeads()
	w.CheckScene(scene)
	w.CheckEpochs("2")
	w.Eventually("the logs of all five containers", patience, func(context.Context) (bool, string) {
		logs := w.Strings(`SELECT t.name || ' ' || l.state || ' ' || (l.bytes > 0) FROM kontroler_v1.logs l
			JOIN kontroler_v1.attempts a ON a.id = l.attempt_id
			JOIN kontroler_v1.tasks t ON t.id = a.task_id ORDER BY a.id`)
		return len(logs) == 5 && logs[0] == "a Captured true", strings.Join(logs, ", ")
	})
}
