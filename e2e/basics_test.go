package e2e_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"kontroler/apis/kontroler/v1alpha1"
)

func TestDiamondWithThreeParents(t *testing.T) {
	w := newWorld(t)
	w.controller()
	w.applyDAG("diamond", sh("a", ""), sh("b", "", after("a")), sh("c", "sleep 1", after("a")), sh("d", "", after("a")),
		sh("e", "", after("b", "c", "d")))
	w.start("run", "diamond")
	w.waitRun("run", v1alpha1.RunSucceeded, patience)
	w.checkFinal("run", "Succeeded", all("Succeeded", "a", "b", "c", "d", "e"))
	w.checkOnce("a", "b", "c", "d", "e")
}

func TestSeveralRootsNotConnected(t *testing.T) {
	w := newWorld(t)
	w.controller()
	w.applyDAG("forest", sh("alone", ""), sh("a", ""), sh("b", ""), sh("ab", "", after("a", "b")), sh("c", ""), sh("c-child", "", after("c")))
	w.start("run", "forest")
	w.waitRun("run", v1alpha1.RunSucceeded, patience)
	w.checkFinal("run", "Succeeded", all("Succeeded", "alone", "a", "b", "ab", "c", "c-child"))
	w.checkOnce("alone", "a", "b", "ab", "c", "c-child")
}

func TestTwoHundredParallelTasks(t *testing.T) {
	w := newLoneWorld(t)
	w.controller(patientLease) // two hundred Pods at once starve the API server of a small machine
	var names []string
	var tasks []v1alpha1.Task
	for i := range 200 {
		names = append(names, fmt.Sprintf("t%03d", i))
		tasks = append(tasks, sh(names[i], "", after("first")))
	}
	tasks = append(tasks, sh("first", ""), sh("last", "", after(names...)))
	w.applyDAG("wide", tasks...)
	w.start("run", "wide")
	w.waitRun("run", v1alpha1.RunSucceeded, 8*time.Minute)
	names = append(names, "first", "last")
	w.checkFinal("run", "Succeeded", all("Succeeded", names...))
	w.checkOnce(names...)
}

func TestMaxParallel(t *testing.T) {
	w := newWorld(t)
	w.controller()
	three := int32(3)
	spec := v1alpha1.DAGSpec{MaxParallel: &three}
	var names []string
	for i := range 9 {
		names = append(names, fmt.Sprintf("t%d", i))
		spec.Task = append(spec.Task, sh(names[i], until("go")))
	}
	w.applySpec("narrow", spec)
	w.start("run", "narrow")
	for _, name := range names[:3] {
		w.waitAttempt("run", name, 1, "Running")
	}
	held := w.waitTask("run", names[3], "Ready", "MaxParallel")
	if !strings.Contains(held.Message, "maxParallel") {
		t.Errorf("a task that is held back says %q", held.Message)
	}
	if n := len(w.pods("run")); n != 3 {
		t.Errorf("%d Pods at once, want 3", n)
	}
	w.open("go")
	w.waitRun("run", v1alpha1.RunSucceeded, patience)
	w.checkFinal("run", "Succeeded", all("Succeeded", names...))
	w.checkOnce(names...)
	if most := w.mostAtOnce("run"); most != 3 {
		t.Errorf("%d attempts were live at once, want 3", most)
	}
}

// nth is a script that counts its runs in $DIR and exits with code before the nth.
func nth(task string, n, code int) string {
	return fmt.Sprintf(`echo x >> /dir/runs.%[1]s; [ $(wc -l < /dir/runs.%[1]s) -ge %[2]d ] || exit %[3]d`, task, n, code)
}

func onCodes(codes ...int64) taskOption {
	return func(t *v1alpha1.Task) { t.Conditional = &v1alpha1.Conditional{Enabled: new(true), RetryCodes: codes} }
}

func TestRetryByExitCode(t *testing.T) {
	w := newWorld(t)
	w.controller()
	w.applyDAG("retry",
		sh("flaky", nth("flaky", 3, 3), retries(5), onCodes(3)),
		sh("after-flaky", "", after("flaky")),
		sh("other-code", "exit 4", retries(5), onCodes(3)),
		sh("child", "", after("other-code", "flaky")),
		sh("grandchild", "", after("child")),
		sh("hopeless", "exit 7", retries(2)),
		sh("no-retries", "exit 1"))
	w.start("run", "retry")
	w.waitRun("run", v1alpha1.RunFailed, patience)
	row := w.checkFinal("run", "Failed", map[string]string{"flaky": "Succeeded 3", "after-flaky": "Succeeded", "other-code": "Failed",
		"child": "Skipped", "grandchild": "Skipped", "hopeless": "Failed 3", "no-retries": "Failed"})
	w.checkOnce("flaky", "after-flaky")
	if row.Reason != "TaskFailed" {
		t.Errorf("the run failed with reason %q", row.Reason)
	}
	for task, want := range map[string]string{"other-code": "NotRetryable", "hopeless": "RetriesSpent", "no-retries": "RetriesSpent", "child": "ParentFailed"} {
		if is := w.task("run", task); is.Reason != want {
			t.Errorf("task %s has reason %q, want %q", task, is.Reason, want)
		}
	}
	if is := w.task("run", "child").Message; is != "needs other-code, failed" {
		t.Errorf("the skipped child says %q", is)
	}
	for task, want := range map[string][]int{"flaky": {3, 3, 0}, "other-code": {4}, "hopeless": {7, 7, 7}, "no-retries": {1}} {
		for i, a := range w.attemptsOf("run", task) {
			if a.ExitCode == nil || *a.ExitCode != want[i] {
				t.Errorf("attempt %d of %s has exit code %v, want %d", a.Number, task, a.ExitCode, want[i])
			}
		}
	}
}

func TestApplyOfAChangeAndARunInOneBreath(t *testing.T) {
	w := newWorld(t)
	w.controller()
	for i := 1; i <= 6; i++ {
		run, change := fmt.Sprintf("run-%d", i), fmt.Sprintf("change-%d", i)
		w.apply(w.manifest("DAG", "changing", v1alpha1.DAGSpec{Task: []v1alpha1.Task{sh("a", ""), sh(change, "", after("a"))}}) +
			w.manifest("DagRun", run, v1alpha1.DagRunSpec{DagName: "changing"}))
	}
	for i := 1; i <= 6; i++ {
		run, change := fmt.Sprintf("run-%d", i), fmt.Sprintf("change-%d", i)
		w.waitRun(run, v1alpha1.RunSucceeded, patience)
		w.checkFinal(run, "Succeeded", all("Succeeded", "a", change))
	}
	// Runs that are admitted a little later have a later version, but none has an earlier one than was applied before it.
	want := map[string]int{"a": 6}
	for i := 1; i <= 6; i++ {
		want[fmt.Sprintf("change-%d", i)] = 1
	}
	if is := w.effects(); !maps.Equal(is, want) {
		t.Errorf("side effects are %v, want %v", is, want)
	}
}

func TestLongNamesAndUnicode(t *testing.T) {
	w := newWorld(t)
	w.controller()
	task, child := strings.Repeat("t", 63), "c"+strings.Repeat("-x", 31)
	dag, run := strings.Repeat("d", 63), strings.Repeat("r", 63)
	longest := strings.Repeat(strings.Repeat("s", 63)+".", 3) + strings.Repeat("s", 61)
	value := "žluťoučký kůň 馬 🐎 \"'`\\ $(HOSTNAME) $$HOSTNAME\ttab\nnewline"
	spec := v1alpha1.DAGSpec{
		Parameters: []v1alpha1.Parameter{{Name: "VALUE", DefaultValue: &value}, {Name: "other.value-1", DefaultValue: &value}},
		Task:       []v1alpha1.Task{sh(task, `printf %s "$VALUE" >> /dir/value`), sh(child, "", after(task))},
	}
	spec.Task[0].Parameters = []string{"VALUE", "other.value-1"}
	w.applySpec(dag, spec)
	w.applySpec(longest, spec)
	for _, names := range [][2]string{{run, dag}, {longest, longest}} {
		w.start(names[0], names[1])
		pod := w.waitPod(names[0], task, nil)
		if pod.Annotations[v1alpha1.AnnotationRun] != names[0] || pod.Annotations[v1alpha1.AnnotationDAG] != names[1] {
			t.Errorf("a Pod's annotations are %v", pod.Annotations)
		}
		w.waitRun(names[0], v1alpha1.RunSucceeded, patience)
		w.checkFinal(names[0], "Succeeded", all("Succeeded", task, child))
	}
	if is := w.file("value"); is != value+value {
		t.Errorf("the tasks saw %q, want twice %q", is, value)
	}
}
