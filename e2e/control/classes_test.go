package e2e_test

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
)

// controllerID is whose database it is.
func (d *database) controllerID() string {
	d.t.Helper()
	ids := d.strings(`SELECT controller_id FROM kontroler.identity`)
	if len(ids) != 1 {
		d.t.Fatalf("the database has the controller ids %v", ids)
	}
	return ids[0]
}

// waitClaimed waits until a DAG is a database's controller's.
func (w *world) waitClaimed(dag string, d *database) {
	w.t.Helper()
	id := d.controllerID()
	w.eventually("DAG "+dag+" to be claimed by "+id, patience, func(context.Context) (bool, string) {
		is := w.dag(dag).Status.Controller
		return is == id, is
	})
}

// ownerOf waits until exactly one of some databases has a run, and returns that.
func (w *world) ownerOf(run string, databases ...*database) *database {
	w.t.Helper()
	var owner *database
	w.eventually("run "+run+" to be in one database", patience, func(context.Context) (bool, string) {
		n := 0
		for _, d := range databases {
			if _, ok := d.tryRun(run); ok {
				owner, n = d, n+1
			}
		}
		return n == 1, fmt.Sprintf("in %d", n)
	})
	return owner
}

// Two controllers of one class share the DAGs of a namespace: each run is one's, and is run once.
func TestTwoControllersOfOneClass(t *testing.T) {
	const dags, runsEach = 8, 3
	w := newWorld(t)
	one, two := w.database, w.newDatabase()
	w.controller(on(one), patientLease)
	w.controller(on(two), patientLease)
	var manifests strings.Builder
	var tasks []string
	for i := range dags {
		a, b := fmt.Sprintf("a%d", i), fmt.Sprintf("b%d", i)
		tasks = append(tasks, a, b)
		manifests.WriteString(w.manifest("DAG", fmt.Sprintf("dag-%d", i), v1alpha1.DAGSpec{Task: []v1alpha1.Task{marked(a, ""), marked(b, "", after(a))}}))
	}
	for i := range dags * runsEach {
		manifests.WriteString(w.manifest("DagRun", fmt.Sprintf("run-%d", i), v1alpha1.DagRunSpec{DagName: fmt.Sprintf("dag-%d", i%dags)}))
	}
	w.apply(manifests.String())
	counts := map[*database]int{}
	for i := range dags * runsEach {
		run := fmt.Sprintf("run-%d", i)
		w.waitRun(run, v1alpha1.RunSucceeded, 5*time.Minute)
		owner := w.ownerOf(run, one, two)
		counts[owner]++
		row := owner.checkFinal(run, "Succeeded", all("Succeeded", tasks[2*(i%dags)], tasks[2*(i%dags)+1]))
		w.checkEvent(row.UID, "Succeeded")
		if is, want := w.dagRun(run).Status.Controller, owner.controllerID(); is != want {
			t.Errorf("DagRun %s says controller %s, its row is %s's", run, is, want)
		}
	}
	t.Logf("one ran %d of the runs, the other %d", counts[one], counts[two])
	for task, n := range w.effects() {
		if n != runsEach {
			t.Errorf("task %s had its side effect %d times, want once in each of %d runs", task, n, runsEach)
		}
	}
	pods := map[string]bool{}
	for _, pod := range w.started() {
		if pods[pod] {
			t.Errorf("Pod %s started twice", pod)
		}
		pods[pod] = true
	}
}

// A controller that is gone for long loses its DAGs to another of its class, but not its runs.
func TestTakeoverOfDAGs(t *testing.T) {
	for name, void := range map[string]func(w *world, lease string){
		"lease long past": func(w *world, lease string) {
			past := time.Now().Add(-10 * time.Minute).UTC().Format(metav1.RFC3339Micro)
			w.kubectl("patch", "lease", lease, "--type=merge", "-p", fmt.Sprintf(`{"spec":{"renewTime":%q}}`, past))
		},
		"lease gone": func(w *world, lease string) { w.kubectl("delete", "lease", lease) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			one, two := w.database, w.newDatabase()
			dead := w.controller(on(one), patientLease)
			w.applyDAG("dag", marked("a", until("go")), marked("b", "", after("a")))
			w.start("live", "dag")
			w.waitAttempt("live", "a", 1, "Running")
			w.controller(on(two), patientLease)
			dead.kill9()
			before, pod := w.dagRun("live"), w.waitPod("live", "a", running)
			w.start("next", "dag")
			if is := w.dag("dag").Status.Controller; is != one.controllerID() {
				t.Errorf("the DAG is %s's before the Lease of the other is void", is)
			}
			void(w, "kontroler-"+one.controllerID())
			w.waitClaimed("dag", two)
			w.open("go")
			two.checkFinal("next", "Succeeded", all("Succeeded", "a", "b"))

			after := w.waitPod("live", "a", terminated)
			if after.UID != pod.UID || after.DeletionTimestamp != nil || len(after.Finalizers) != len(pod.Finalizers) {
				t.Errorf("the Pod of the dead controller's run was touched: deletion %v, finalizers %v", after.DeletionTimestamp, after.Finalizers)
			}
			if is := w.dagRun("live"); is.ResourceVersion != before.ResourceVersion {
				t.Errorf("the dead controller's DagRun was written to: %+v", is.Status)
			}
			if _, ok := two.tryRun("live"); ok {
				t.Error("the dead controller's run is in the other's database")
			}
			w.controller(on(one), atOnce)
			one.checkFinal("live", "Succeeded", all("Succeeded", "a", "b"))
			w.start("last", "dag")
			two.checkFinal("last", "Succeeded", all("Succeeded", "a", "b"))
			if is := w.dag("dag").Status.Controller; is != two.controllerID() {
				t.Errorf("the DAG is %s's again", is)
			}
			if _, ok := one.tryRun("last"); ok {
				t.Error("the run of a DAG that was taken over is in the database of the one that lost it")
			}
			for task, n := range w.effects() {
				if n != 3 {
					t.Errorf("task %s had its side effect %d times, want once in each of 3 runs", task, n)
				}
			}
		})
	}
}

func TestClasses(t *testing.T) {
	w := newWorld(t)
	empty, special := w.database, w.newDatabase()
	w.controller(on(special), flags("--controller-class=special"), patientLease)
	for _, class := range []string{"", "special", "unknown"} {
		name := "dag-" + class
		w.applySpec(strings.TrimSuffix(name, "-"), v1alpha1.DAGSpec{ControllerClass: class, Task: []v1alpha1.Task{marked("task"+class, "")}})
	}
	w.start("orphan", "missing")
	w.start("run-empty", "dag")
	w.start("run-unknown", "dag-unknown")
	w.start("run-special", "dag-special")
	special.checkFinal("run-special", "Succeeded", all("Succeeded", "taskspecial"))
	untouched := func(runs, dags []string) {
		t.Helper()
		for _, run := range runs {
			if s := w.dagRun(run).Status; s.Phase != "" || s.Reason != "" || s.Controller != "" {
				t.Errorf("DagRun %s says %s %s %s, which is not this class's to say", run, s.Phase, s.Reason, s.Controller)
			}
		}
		for _, dag := range dags {
			if s := w.dag(dag).Status; s.Controller != "" || len(s.Conditions) > 0 {
				t.Errorf("DAG %s is claimed: %+v", dag, s)
			}
		}
	}
	untouched([]string{"orphan", "run-empty", "run-unknown"}, []string{"dag", "dag-unknown"})

	w.controller(on(empty), patientLease)
	empty.checkFinal("run-empty", "Succeeded", all("Succeeded", "task"))
	w.waitReason("orphan", v1alpha1.RunPending, "DagNotFound")
	untouched([]string{"run-unknown"}, []string{"dag-unknown"})
	w.waitClaimed("dag", empty)
	w.waitClaimed("dag-special", special)
	w.applySpec("missing", v1alpha1.DAGSpec{ControllerClass: "special", Task: []v1alpha1.Task{marked("found", "")}})
	special.checkFinal("orphan", "Succeeded", all("Succeeded", "found"))
	if n := len(empty.strings(`SELECT name FROM kontroler.runs`)); n != 1 {
		t.Errorf("the controller of the empty class has %d runs, want 1", n)
	}
	if n := len(special.strings(`SELECT name FROM kontroler.runs`)); n != 2 {
		t.Errorf("the controller of the special class has %d runs, want 2", n)
	}
	w.checkOnce("task", "taskspecial", "found")
}

// --max-pods is shared between runs in turns.
func TestMaxPodsInTurns(t *testing.T) {
	const most, tasksEach = 2, 4
	w := newWorld(t)
	w.controller(flags(fmt.Sprintf("--max-pods=%d", most)), patientLease)
	var tasks []v1alpha1.Task
	var names []string
	for i := range tasksEach {
		names = append(names, fmt.Sprintf("t%d", i))
		tasks = append(tasks, marked(names[i], until("go")))
	}
	w.applyDAG("dag", tasks...)
	runs := []string{"one", "two", "three"}
	for _, run := range runs {
		w.start(run, "dag")
		w.waitTask(run, names[tasksEach-1], "Ready", "Throttled")
	}
	if is := w.task("two", "t0"); is.Message != "the controller has --max-pods Pods" {
		t.Errorf("a throttled task says %q", is.Message)
	}
	w.waitAttempt("one", "t0", 1, "Running")
	w.waitAttempt("one", "t1", 1, "Running")
	w.eventually("a run that waits for a slot to say so", patience, func(context.Context) (bool, string) {
		message := w.dagRun("two").Status.Message
		return strings.Contains(message, "--max-pods"), message
	})
	w.open("go")
	for _, run := range runs {
		w.checkFinal(run, "Succeeded", all("Succeeded", names...))
	}
	if live := w.mostLive(); live > most {
		t.Errorf("%d attempts were live at once, want %d at most", live, most)
	}
	// The first run had both slots; from then on each run that waits gets one before any gets a second more.
	order := w.strings(`SELECT r.name FROM kontroler_v1.attempts a JOIN kontroler_v1.runs r ON r.id = a.run_id ORDER BY a.decided_at, a.id`)
	left := map[string]int{"one": tasksEach - most, "two": tasksEach, "three": tasksEach}
	got := map[string]int{}
	for i, run := range order[most:] {
		got[run]++
		left[run]--
		for _, other := range runs {
			if left[other] > 0 && got[run] > got[other]+2 {
				t.Fatalf("slot %d went to run %s, its %dth, when %s had %d: %v", i+1, run, got[run], other, got[other], order)
			}
		}
	}
	t.Logf("slots went to %v", order)
}

// mostLive is the highest number of attempts of all runs that were live at one time, by when they were counted.
func (d *database) mostLive() int {
	d.t.Helper()
	most := d.strings(`SELECT max(live)::text FROM (
		SELECT sum(delta) OVER (ORDER BY at, delta) AS live FROM (
			SELECT a.decided_at AS at, 1 AS delta FROM kontroler_v1.attempts a
			UNION ALL SELECT t.finished_at, -1 FROM kontroler_v1.tasks t WHERE t.attempts > 0) edges) counts`)
	var n int
	if _, err := fmt.Sscan(most[0], &n); err != nil {
		d.t.Fatal(err)
	}
	return n
}

// `controller uninstall` lets go of the Pods of a controller that is gone for good.
func TestUninstall(t *testing.T) {
	w := newWorld(t)
	other := w.newDatabase()
	c := w.controller(patientLease)
	w.controller(on(other), flags("--controller-class=other"), patientLease)
	w.applyDAG("dag", marked("a", forever), marked("b", forever))
	w.applySpec("others", v1alpha1.DAGSpec{ControllerClass: "other", Task: []v1alpha1.Task{marked("kept", until("go"))}})
	w.start("run", "dag")
	w.start("others", "others")
	w.waitStarted(3)
	w.waitAttempt("run", "a", 1, "Running")
	w.waitAttempt("run", "b", 1, "Running")
	if out, err := w.uninstall(); err == nil || !strings.Contains(out, "still running") {
		t.Errorf("uninstall beside a running controller: %v %s", err, out)
	}
	if is := w.heldBack("run"); is != 2 {
		t.Errorf("%d Pods of a running controller have its finalizer, want 2", is)
	}
	c.stop()
	for range 2 { // Repeating it is harmless.
		if out, err := w.uninstall(); err != nil {
			t.Errorf("uninstall: %v %s", err, out)
		}
	}
	if is := w.heldBack("run"); is != 0 {
		t.Errorf("%d Pods have the finalizer of a controller that was uninstalled", is)
	}
	if is := w.heldBack("others"); is != 1 {
		t.Errorf("%d Pods of the other controller have its finalizer, want 1", is)
	}
	uid := string(w.dagRun("run").UID)
	w.kubectl("delete", "dagrun", "run")
	w.checkPodsGone(uid)
	w.open("go")
	other.checkFinal("others", "Succeeded", all("Succeeded", "kept"))
}

// uninstall runs `controller uninstall` for the world's first database.
func (w *world) uninstall() (string, error) {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), w.suite.controller, "uninstall", "--namespaces="+w.namespace, "--lease-namespace="+w.namespace, "--log-format=text")
	cmd.Env = append(cmd.Environ(), "KUBECONFIG="+w.kubeconfig, "DATABASE_URL="+w.url)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// heldBack is how many Pods of a run have the finalizer.
func (w *world) heldBack(run string) int {
	w.t.Helper()
	n := 0
	for _, pod := range w.pods(run) {
		n += len(pod.Finalizers)
	}
	return n
}
