package e2e_test

import (
	"context"
	"fmt"
	"testing"

	"kontroler/apis/kontroler/v1alpha1"
)

// One path with real containers through what e2e/control tests in detail: a schedule, a DagTask, parameters,
// notifications, a time to live, kubectl wait.
func TestEverythingOnce(t *testing.T) {
	w := newWorld(t)
	v := w.NewReceiver(false)
	w.Controller()
	limit, ttl, value := int32(5), int32(3600), "hello"
	spec := v1alpha1.DAGSpec{
		Schedule: "@every 5s", ConcurrencyPolicy: v1alpha1.ForbidConcurrent,
		SuccessfulRunsHistoryLimit: &limit, FailedRunsHistoryLimit: &limit, TTLSecondsAfterFinished: &ttl,
		Parameters: []v1alpha1.Parameter{{Name: "SAY", DefaultValue: &value}},
		Webhook:    &v1alpha1.Webhook{URL: v.URL, Events: []v1alpha1.WebhookEvent{v1alpha1.EventRunSucceeded}},
		Task: []v1alpha1.Task{
			fromDagTask(
				"first",
				"shared",
				0,
				func(t *v1alpha1.Task) { t.Parameters = []string{"SAY"} },
			), marked("second", "", after("first")),
		},
	}
	w.Apply(
		w.Shared(
			"shared",
			0,
			sh("first", "echo $HOSTNAME >> /dir/started; echo $SAY >> /dir/said"),
		) + w.Manifest(
			"DAG",
			"dag",
			spec,
		),
	)
	w.Eventually("a scheduled run to succeed", patience, func(context.Context) (bool, string) {
		n := w.Ticks("dag", "Ran", "Succeeded")
		return n > 0, fmt.Sprint(n)
	})
	spec.Suspended = true
	w.ApplySpec("dag", spec)
	w.Eventually("the schedule to rest", patience, func(context.Context) (bool, string) {
		next := w.DAG("dag").Status.NextScheduleTime
		return next == nil, fmt.Sprint(next)
	})
	ran := w.Strings(`SELECT run_name FROM kontroler_v1.ticks WHERE outcome = 'Ran'`)
	for _, run := range ran {
		w.Kubectl("wait", "--for=condition=Succeeded", "--timeout=180s", "dagrun/"+run)
		w.CheckFinal(run, "Succeeded", all("Succeeded", "first", "second"))
		if all := texts(v.Wait(run, 1)); fmt.Sprint(all) != "[RunSucceeded]" {
			t.Errorf("the receiver of %s has heard %v", run, all)
		}
	}
	w.CheckStarts(ran...)
	for task, n := range w.Effects() {
		if n != len(ran) {
			t.Errorf("task %s had its side effect %d times in %d runs", task, n, len(ran))
		}
	}
	spec.TTLSecondsAfterFinished = new(int32)
	w.ApplySpec("dag", spec)
	w.Eventually("the DagRuns to be deleted", patience, func(context.Context) (bool, string) {
		left := w.Kubectl("get", "dagruns", "-o", "name")
		return left == "" || left == "No resources found in "+w.Namespace+" namespace.\n", left
	})
}
