package control_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
)

// waitClaimed waits until the controller of a database has claimed a DAG.
func (w *world) waitClaimed(dag string, d *database) {
	w.T.Helper()
	id := d.ControllerID()
	w.Eventually("DAG "+dag+" to be claimed by "+id, patience, func(context.Context) (bool, string) {
		is := w.DAG(dag).Status.Controller
		return is == id, is
	})
}

// ownerOf waits until exactly one of the databases has a run, and returns it.
func (w *world) ownerOf(run string, databases ...*database) *database {
	w.T.Helper()
	var owner *database
	w.Eventually("run "+run+" to be in one database", patience, func(context.Context) (bool, string) {
		n := 0
		for _, d := range databases {
			if _, ok := d.TryRun(run); ok {
				owner, n = d, n+1
			}
		}
		return n == 1, fmt.Sprintf("in %d", n)
	})
	return owner
}

// Two controllers of one class share the DAGs of a namespace. Each run belongs to one of them and runs once.
func TestTwoControllersOfOneClass(t *testing.T) {
	const dags, runsEach = 8, 3
	w := newWorld(t)
	one, two := w.Database, w.NewDatabase()
	w.Controller(on(one), longLease)
	w.Controller(on(two), longLease)
	var manifests strings.Builder
	var tasks []string
	for i := range dags {
		a, b := fmt.Sprintf("a%d", i), fmt.Sprintf("b%d", i)
		tasks = append(tasks, a, b)
		manifests.WriteString(
			w.Manifest(
				"DAG",
				fmt.Sprintf("dag-%d", i),
				v1alpha1.DAGSpec{Task: []v1alpha1.Task{play(a, ""), play(b, "", after(a))}},
			),
		)
	}
	for i := range dags * runsEach {
		manifests.WriteString(
			w.Manifest("DagRun", fmt.Sprintf("run-%d", i), v1alpha1.DagRunSpec{DagName: fmt.Sprintf("dag-%d", i%dags)}),
		)
	}
	w.Apply(manifests.String())
	counts := map[*database]int{}
	for i := range dags * runsEach {
		run := fmt.Sprintf("run-%d", i)
		w.WaitRun(run, v1alpha1.RunSucceeded, 5*time.Minute)
		owner := w.ownerOf(run, one, two)
		counts[owner]++
		row := owner.CheckFinal(run, "Succeeded", all("Succeeded", tasks[2*(i%dags)], tasks[2*(i%dags)+1]))
		w.CheckEvent(row.UID, "Succeeded")
		if is, want := w.DagRun(run).Status.Controller, owner.ControllerID(); is != want {
			t.Errorf("DagRun %s says controller %s, its row is %s's", run, is, want)
		}
	}
	t.Logf("one ran %d of the runs, the other %d", counts[one], counts[two])
	for task, n := range w.Effects() {
		if n != runsEach {
			t.Errorf("task %s had its side effect %d times, want once in each of %d runs", task, n, runsEach)
		}
	}
	pods := map[string]bool{}
	for _, pod := range w.Started() {
		if pods[pod] {
			t.Errorf("Pod %s started twice", pod)
		}
		pods[pod] = true
	}
}

// If a controller does not return, another one of its class takes over its DAGs, but not its runs.
func TestTakeoverOfDAGs(t *testing.T) {
	t.Parallel()
	for name, void := range map[string]func(w *world, lease string){
		"lease long past": func(w *world, lease string) {
			past := time.Now().Add(-10 * time.Minute).UTC().Format(metav1.RFC3339Micro)
			w.Kubectl("patch", "lease", lease, "--type=merge", "-p", fmt.Sprintf(`{"spec":{"renewTime":%q}}`, past))
		},
		"lease gone": func(w *world, lease string) { w.Kubectl("delete", "lease", lease) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			one, two := w.Database, w.NewDatabase()
			dead := w.Controller(on(one), longLease)
			w.ApplyDAG("dag", play("a", until("go")), play("b", "", after("a")))
			w.Start("live", "dag")
			w.WaitAttempt("live", "a", 1, "Running")
			w.Controller(on(two), longLease)
			dead.Kill9()
			before, pod := w.DagRun("live"), w.WaitPod("live", "a", running)
			w.Start("next", "dag")
			if is := w.DAG("dag").Status.Controller; is != one.ControllerID() {
				t.Errorf("controller %s has claimed the DAG before the other's Lease was void", is)
			}
			void(w, "kontroler-"+one.ControllerID())
			w.waitClaimed("dag", two)
			w.Open("go")
			two.CheckFinal("next", "Succeeded", all("Succeeded", "a", "b"))

			after := w.WaitPod("live", "a", terminated)
			if after.UID != pod.UID || after.DeletionTimestamp != nil || len(after.Finalizers) != len(pod.Finalizers) {
				t.Errorf(
					"the Pod of the dead controller's run was touched: deletion %v, finalizers %v",
					after.DeletionTimestamp,
					after.Finalizers,
				)
			}
			if is := w.DagRun("live"); is.ResourceVersion != before.ResourceVersion {
				t.Errorf("the dead controller's DagRun was written to: %+v", is.Status)
			}
			if _, ok := two.TryRun("live"); ok {
				t.Error("the dead controller's run is in the other's database")
			}
			w.Controller(on(one), takeOver)
			one.CheckFinal("live", "Succeeded", all("Succeeded", "a", "b"))
			w.Start("last", "dag")
			two.CheckFinal("last", "Succeeded", all("Succeeded", "a", "b"))
			if is := w.DAG("dag").Status.Controller; is != two.ControllerID() {
				t.Errorf("controller %s has claimed the DAG, want the one that took it over", is)
			}
			if _, ok := one.TryRun("last"); ok {
				t.Error("the run of a DAG that was taken over is in the database of the one that lost it")
			}
			for task, n := range w.Effects() {
				if n != 3 {
					t.Errorf("task %s had its side effect %d times, want once in each of 3 runs", task, n)
				}
			}
		})
	}
}

// The Lease of another controller may be in a namespace where this one has no permissions. Then its DAGs are not taken
// over, and the log says why.
func TestLeaseOutOfReach(t *testing.T) {
	w := newWorld(t)
	elsewhere := w.InSecondNamespace().Namespace
	w.ApplyDAG("dag", play("a", ""))
	w.Kubectl("patch", "dag", "dag", "--subresource=status", "--type=merge", "-p",
		fmt.Sprintf(`{"status":{"controller":"other","controllerNamespace":%q}}`, elsewhere))
	c := w.Controller()
	c.WaitLog("cannot check whether another controller is alive: missing permission to get its Lease")
	w.ApplyDAG("mine", play("a", ""))
	w.waitClaimed("mine", w.Database)
	if is := w.DAG("dag").Status.Controller; is != "other" {
		t.Errorf("controller %s has claimed the DAG of a controller that may be alive", is)
	}
}

func TestClasses(t *testing.T) {
	w := newWorld(t)
	empty, special := w.Database, w.NewDatabase()
	w.Controller(on(special), flags("--controller-class=special"), longLease)
	for _, class := range []string{"", "special", "unknown"} {
		name := "dag-" + class
		w.ApplySpec(
			strings.TrimSuffix(name, "-"),
			v1alpha1.DAGSpec{ControllerClass: class, Task: []v1alpha1.Task{play("task"+class, "")}},
		)
	}
	w.Start("orphan", "missing")
	w.Start("run-empty", "dag")
	w.Start("run-unknown", "dag-unknown")
	w.Start("run-special", "dag-special")
	special.CheckFinal("run-special", "Succeeded", all("Succeeded", "taskspecial"))
	untouched := func(runs, dags []string) {
		t.Helper()
		for _, run := range runs {
			if s := w.DagRun(run).Status; s.Phase != "" || s.Reason != "" || s.Controller != "" {
				t.Errorf("DagRun %s says %s %s %s, although it has another class", run, s.Phase, s.Reason, s.Controller)
			}
		}
		for _, dag := range dags {
			if s := w.DAG(dag).Status; s.Controller != "" || len(s.Conditions) > 0 {
				t.Errorf("DAG %s is claimed: %+v", dag, s)
			}
		}
	}
	untouched([]string{"orphan", "run-empty", "run-unknown"}, []string{"dag", "dag-unknown"})

	w.Controller(on(empty), longLease)
	empty.CheckFinal("run-empty", "Succeeded", all("Succeeded", "task"))
	w.WaitReason("orphan", v1alpha1.RunPending, "DagNotFound")
	untouched([]string{"run-unknown"}, []string{"dag-unknown"})
	w.waitClaimed("dag", empty)
	w.waitClaimed("dag-special", special)
	w.ApplySpec("missing", v1alpha1.DAGSpec{ControllerClass: "special", Task: []v1alpha1.Task{play("found", "")}})
	special.CheckFinal("orphan", "Succeeded", all("Succeeded", "found"))
	if n := len(empty.Strings(`SELECT name FROM kontroler.runs`)); n != 1 {
		t.Errorf("the controller of the empty class has %d runs, want 1", n)
	}
	if n := len(special.Strings(`SELECT name FROM kontroler.runs`)); n != 2 {
		t.Errorf("the controller of the special class has %d runs, want 2", n)
	}
	w.CheckOnce("task", "taskspecial", "found")
}

// Runs share --max-pods round robin.
func TestMaxPodsInTurns(t *testing.T) {
	const most, tasksEach = 2, 4
	w := newWorld(t)
	w.Controller(flags(fmt.Sprintf("--max-pods=%d", most)), longLease)
	var tasks []v1alpha1.Task
	var names []string
	for i := range tasksEach {
		names = append(names, fmt.Sprintf("t%d", i))
		tasks = append(tasks, play(names[i], until("go")))
	}
	w.ApplyDAG("dag", tasks...)
	runs := []string{"one", "two", "three"}
	for _, run := range runs {
		w.Start(run, "dag")
		w.WaitTask(run, names[tasksEach-1], "Ready", "Throttled")
	}
	if is := w.Task("two", "t0"); is.Message != "the controller has --max-pods Pods" {
		t.Errorf("a throttled task says %q", is.Message)
	}
	w.WaitAttempt("one", "t0", 1, "Running")
	w.WaitAttempt("one", "t1", 1, "Running")
	w.Eventually("a run that waits for a slot to say so", patience, func(context.Context) (bool, string) {
		message := w.DagRun("two").Status.Message
		return strings.Contains(message, "--max-pods"), message
	})
	w.Open("go")
	for _, run := range runs {
		w.CheckFinal(run, "Succeeded", all("Succeeded", names...))
	}
	if live := w.MaxLive(); live > most {
		t.Errorf("%d attempts were live at the same time, want at most %d", live, most)
	}
	// The first run had both slots. Afterwards each waiting run gets one before any run gets another.
	order := w.Strings(
		`SELECT r.name FROM kontroler_v1.attempts a JOIN kontroler_v1.runs r ON r.id = a.run_id
ORDER BY a.decided_at, a.id`,
	)
	left := map[string]int{"one": tasksEach - most, "two": tasksEach, "three": tasksEach}
	got := map[string]int{}
	for i, run := range order[most:] {
		got[run]++
		left[run]--
		for _, other := range runs {
			if left[other] > 0 && got[run] > got[other]+2 {
				t.Fatalf("slot %d went to run %s, its %dth, when %s had %d: %v",
					i+1, run, got[run], other, got[other], order)
			}
		}
	}
	t.Logf("slots went to %v", order)
}
