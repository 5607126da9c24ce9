package control_test

import (
	"testing"
	"time"

	"kontroler/apis/kontroler/v1alpha1"
)

// A controller with another clock takes over: timeouts, deadlines and schedules continue as if both clocks agreed.
func TestTakeoverByAnotherClock(t *testing.T) {
	t.Parallel()
	for name, ahead := range map[string]string{"ahead": "10m", "behind": "-10m"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			first := w.Controller()
			long := play("long", "await end")
			long.TimeoutSeconds = new(int64(300))
			failing := play("failing", "await fail; exit 1")
			failing.Backoff = &v1alpha1.Backoff{Limit: new(int64(1))}
			w.ApplySpec("dag", v1alpha1.DAGSpec{
				ActiveDeadlineSeconds: new(int64(300)), Task: []v1alpha1.Task{long, failing},
			})
			w.Start("run", "dag")
			w.WaitAttempt("run", "long", 1, "Running")
			w.WaitAttempt("run", "failing", 1, "Running")
			w.scheduled("tick", "@every 2s", "", nil)
			w.waitTicks("tick", "Ran", "Succeeded", 1)
			first.Kill9()

			second := w.Controller(takeOver, environment("KONTROLER_FAULT_CLOCK="+ahead))
			second.WaitLog("the clock of this machine differs from the database's clock")
			ran := w.Ticks("tick", "Ran", "")
			w.waitTicks("tick", "Ran", "Succeeded", ran+2)
			w.rest("tick")
			w.checkLedger("tick", 2*time.Second)
			w.Open("fail")
			w.WaitAttempt("run", "failing", 1, "Failed")
			w.Open("end")
			w.WaitRun("run", v1alpha1.RunFailed, patience)
			w.CheckFinal("run", "Failed", map[string]string{"long": "Succeeded", "failing": "Failed 2"})
			for _, a := range w.Attempts("run") {
				if a.FinishedAt.Sub(a.StartedAt).Abs() > 5*time.Minute {
					t.Errorf("attempt %d of %s ran from %s to %s", a.Number, a.Task, a.StartedAt, a.FinishedAt)
				}
			}
		})
	}
}
