package control_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"kontroler/apis/kontroler/v1alpha1"
)

func TestSeveralRootsNotConnected(t *testing.T) {
	w := newWorld(t)
	w.Controller()
	w.ApplyDAG(
		"forest",
		play("alone", ""),
		play("a", ""),
		play("b", ""),
		play("ab", "", after("a", "b")),
		play("c", ""),
		play("c-child", "", after("c")),
	)
	w.Start("run", "forest")
	w.WaitRun("run", v1alpha1.RunSucceeded, patience)
	w.CheckFinal("run", "Succeeded", all("Succeeded", "alone", "a", "b", "ab", "c", "c-child"))
	w.CheckOnce("alone", "a", "b", "ab", "c", "c-child")
}

func TestTwoHundredParallelTasks(t *testing.T) {
	w := newAloneWorld(t)
	w.Controller(longLease) // two hundred Pods together starve the API server of a small machine
	var names []string
	var tasks []v1alpha1.Task
	for i := range 200 {
		names = append(names, fmt.Sprintf("t%03d", i))
		tasks = append(tasks, play(names[i], "", after("first")))
	}
	tasks = append(tasks, play("first", ""), play("last", "", after(names...)))
	w.ApplyDAG("wide", tasks...)
	w.Start("run", "wide")
	w.WaitRun("run", v1alpha1.RunSucceeded, 8*time.Minute)
	names = append(names, "first", "last")
	w.CheckFinal("run", "Succeeded", all("Succeeded", names...))
	w.CheckOnce(names...)
}

func TestMaxParallel(t *testing.T) {
	w := newWorld(t)
	w.Controller()
	three := int32(3)
	spec := v1alpha1.DAGSpec{MaxParallel: &three}
	var names []string
	for i := range 9 {
		names = append(names, fmt.Sprintf("t%d", i))
		spec.Task = append(spec.Task, play(names[i], until("go")))
	}
	w.ApplySpec("narrow", spec)
	w.Start("run", "narrow")
	for _, name := range names[:3] {
		w.WaitAttempt("run", name, 1, "Running")
	}
	waiting := w.WaitTask("run", names[3], "Ready", "MaxParallel")
	if !strings.Contains(waiting.Message, "maxParallel") {
		t.Errorf("a task that waits for maxParallel says %q", waiting.Message)
	}
	if n := len(w.Pods("run")); n != 3 {
		t.Errorf("%d Pods at the same time, want 3", n)
	}
	w.Open("go")
	w.WaitRun("run", v1alpha1.RunSucceeded, patience)
	w.CheckFinal("run", "Succeeded", all("Succeeded", names...))
	w.CheckOnce(names...)
	if most := w.MaxConcurrent("run"); most != 3 {
		t.Errorf("%d attempts were live at the same time, want 3", most)
	}
}

// nth returns a script that exits with code, except when it runs for the nth time.
func nth(task string, n, code int) string {
	var steps []string
	for i := 1; i < n; i++ {
		steps = append(steps, once(fmt.Sprintf("%s.%d", task, i), fmt.Sprintf("exit %d", code)))
	}
	return strings.Join(steps, "; ")
}

func TestRetryByExitCode(t *testing.T) {
	w := newWorld(t)
	w.Controller()
	w.ApplyDAG("retry",
		play("flaky", nth("flaky", 3, 3), retries(5), onCodes(3)),
		play("after-flaky", "", after("flaky")),
		play("other-code", "exit 4", retries(5), onCodes(3)),
		play("child", "", after("other-code", "flaky")),
		play("grandchild", "", after("child")),
		play("hopeless", "exit 7", retries(2)),
		play("no-retries", "exit 1"))
	w.Start("run", "retry")
	w.WaitRun("run", v1alpha1.RunFailed, patience)
	row := w.CheckFinal(
		"run",
		"Failed",
		map[string]string{"flaky": "Succeeded 3", "after-flaky": "Succeeded", "other-code": "Failed",
			"child": "Skipped", "grandchild": "Skipped", "hopeless": "Failed 3", "no-retries": "Failed"},
	)
	w.CheckOnce("flaky", "after-flaky")
	if row.Reason != "TaskFailed" {
		t.Errorf("the run failed with reason %q", row.Reason)
	}
	for task, want := range map[string]string{
		"other-code": "NotRetryable", "hopeless": "RetriesSpent", "no-retries": "RetriesSpent", "child": "ParentFailed",
	} {
		if is := w.Task("run", task); is.Reason != want {
			t.Errorf("task %s has reason %q, want %q", task, is.Reason, want)
		}
	}
	if is := w.Task("run", "child").Message; is != "parent other-code failed" {
		t.Errorf("the skipped child says %q", is)
	}
	for task, want := range map[string][]int{
		"flaky": {3, 3, 0}, "other-code": {4}, "hopeless": {7, 7, 7}, "no-retries": {1},
	} {
		for i, a := range w.AttemptsOf("run", task) {
			if a.ExitCode == nil || *a.ExitCode != want[i] {
				t.Errorf("attempt %d of %s has exit code %v, want %d", a.Number, task, a.ExitCode, want[i])
			}
		}
	}
}

func TestRunUsesTheDAGAppliedWithIt(t *testing.T) {
	w := newWorld(t)
	w.Controller()
	for i := 1; i <= 6; i++ {
		run, change := fmt.Sprintf("run-%d", i), fmt.Sprintf("change-%d", i)
		w.Apply(
			w.Manifest("DAG", "changing", v1alpha1.DAGSpec{
				Task: []v1alpha1.Task{play("a", ""), play(change, "", after("a"))},
			}) +
				w.Manifest("DagRun", run, v1alpha1.DagRunSpec{DagName: "changing"}),
		)
		// A run that is admitted late has the DAG of that moment, which must not be the next one here.
		w.Eventually("the admission of "+run, patience, func(context.Context) (bool, string) {
			return w.DagRun(run).Status.RunID != 0, "not admitted"
		})
	}
	for i := 1; i <= 6; i++ {
		run, change := fmt.Sprintf("run-%d", i), fmt.Sprintf("change-%d", i)
		w.WaitRun(run, v1alpha1.RunSucceeded, patience)
		w.CheckFinal(run, "Succeeded", all("Succeeded", "a", change))
	}
	// Each run has the version that was applied with it.
	want := map[string]int{"a": 6}
	for i := 1; i <= 6; i++ {
		want[fmt.Sprintf("change-%d", i)] = 1
	}
	if is := w.Effects(); !maps.Equal(is, want) {
		t.Errorf("side effects are %v, want %v", is, want)
	}
}
