package e2e_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
)

// shared is the manifest of a DagTask made of a task of sh; version 0 states none.
func (w *world) shared(name string, version int32, task v1alpha1.Task) string {
	spec := v1alpha1.DagTaskSpec{TaskTemplate: task.TaskTemplate}
	if version != 0 {
		spec.Version = &version
	}
	return w.manifest("DagTask", name, spec)
}

// by is a task that is a DagTask's.
func by(name, dagTask string, version int32, options ...taskOption) v1alpha1.Task {
	t := v1alpha1.Task{Name: name, TaskRef: &v1alpha1.TaskRef{Name: dagTask, Version: int64(version)}}
	for _, option := range options {
		option(&t)
	}
	return t
}

func env(name, value string) taskOption {
	return func(t *v1alpha1.Task) {
		if t.PodTemplate == nil {
			t.PodTemplate = &v1alpha1.PodTemplate{}
		}
		t.PodTemplate.Env = append(t.PodTemplate.Env, corev1.EnvVar{Name: name, Value: value})
	}
}

// waitValid waits until a DAG or DagTask has condition Valid with a status, and a text in its message.
func (w *world) waitValid(kind, name string, status metav1.ConditionStatus, says string) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("%s %s to be Valid=%s, saying %q", kind, name, status, says), patience, func(context.Context) (bool, string) {
		conditions := w.dagTaskOrDAG(kind, name)
		c := meta.FindStatusCondition(conditions, v1alpha1.DAGValid)
		return c != nil && c.Status == status && strings.Contains(c.Message, says), fmt.Sprintf("%+v", c)
	})
}

func (w *world) dagTaskOrDAG(kind, name string) []metav1.Condition {
	w.t.Helper()
	if kind == "DAG" {
		return w.dag(name).Status.Conditions
	}
	return w.dagTask(name).Status.Conditions
}

// dagTask reads a DagTask.
func (w *world) dagTask(name string) *v1alpha1.DagTask {
	w.t.Helper()
	task, err := w.client.KontrolerV1alpha1().DagTasks(w.namespace).Get(w.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return task
}

// taskVersions are the versions of a DagTask that a database has, and the one that the DagTask has.
func (d *database) taskVersions(name string) string {
	return strings.Join(d.strings(`SELECT v.version || CASE WHEN v.version = t.version THEN '*' ELSE '' END FROM kontroler_v1.dag_tasks t
JOIN kontroler_v1.dag_task_versions v ON v.dag_task_id = t.id WHERE t.name = $1 ORDER BY v.version`, name), " ")
}

// A DAG takes a task from a DagTask: what it gives itself is in the Pod, over what the DagTask gives; versions are pinned or
// followed.
func TestDagTask(t *testing.T) {
	w := newWorld(t)
	w.controller()
	say := func(text string) v1alpha1.Task {
		return sh("say", until("go")+"\necho "+text+" $WHOM $FROM $WHERE >> /dir/said", retries(3), env("WHOM", "world"), env("FROM", "$(WHOM)"))
	}
	value := "here"
	w.apply(w.shared("say", 0, say("hello")) + w.manifest("DAG", "dag", v1alpha1.DAGSpec{
		Parameters: []v1alpha1.Parameter{{Name: "WHERE", DefaultValue: &value}},
		Task: []v1alpha1.Task{by("a", "say", 0, env("WHOM", "moon"), func(t *v1alpha1.Task) {
			t.Parameters, t.PodTemplate.Labels = []string{"WHERE"}, map[string]string{"team": "data"}
		}), by("b", "say", 1, after("a"))},
	}))
	w.waitValid("DAG", "dag", metav1.ConditionTrue, "2 tasks, version 1")
	w.waitValid("DagTask", "say", metav1.ConditionTrue, "version 1")
	if s := w.dagTask("say").Status; s.Version != 1 || s.Controller != w.controllerID() || s.ObservedGeneration != 1 {
		t.Errorf("the DagTask's status is %+v", s)
	}
	w.start("first", "dag")
	pod := w.waitPod("first", "a", running)
	if got := fmt.Sprint(pod.Labels["team"], pod.Spec.Containers[0].Env); !strings.HasPrefix(got, "data[{WHERE here nil} {WHOM moon nil} {FROM $(WHOM) nil}") {
		t.Errorf("the Pod has %s", got)
	}
	// A new version makes a new version of the DAG that follows; the live run keeps its own.
	w.apply(w.shared("say", 0, say("bye")))
	w.waitValid("DAG", "dag", metav1.ConditionTrue, "2 tasks, version 2")
	w.open("go")
	w.waitRun("first", v1alpha1.RunSucceeded, patience)
	w.start("second", "dag")
	w.waitRun("second", v1alpha1.RunSucceeded, patience)
	if got, want := w.file("said"), "hello moon moon here\nhello world world\nbye moon moon here\nhello world world\n"; got != want {
		t.Errorf("said\n%swant\n%s", got, want)
	}
	pinned := w.strings(`SELECT string_agg((task->'taskRef'->>'version') || ' ' || (task->'backoff'->>'limit'), ', ' ORDER BY task->>'name')
FROM kontroler_v1.versions v JOIN kontroler_v1.dags d ON d.id = v.dag_id, jsonb_array_elements(v.spec->'task') task WHERE d.name = 'dag' GROUP BY v.id ORDER BY v.id`)
	if got := strings.Join(pinned, "; "); got != "1 3, 1 3; 2 3, 1 3" {
		t.Errorf("the versions of the DAG pin %s", got)
	}
	// A run has what was applied before it.
	for i := range 2 {
		w.apply(w.shared("say", 0, say(fmt.Sprint("breath-", i))) + w.manifest("DagRun", fmt.Sprint("breath-", i), v1alpha1.DagRunSpec{DagName: "dag"}))
		w.waitRun(fmt.Sprint("breath-", i), v1alpha1.RunSucceeded, patience)
		if !strings.Contains(w.file("said"), fmt.Sprintf("breath-%d moon", i)) {
			t.Errorf("run %d had an earlier version than was applied before it", i)
		}
	}
	example, err := os.ReadFile("../manifests/examples/dagtask.yaml")
	if err != nil {
		t.Fatal(err)
	}
	w.apply(string(example))
	w.waitRun("greetings-1", v1alpha1.RunSucceeded, patience)
}

// A missing DagTask makes the DAGs that name it invalid, and they are healed when it comes, also their schedules; one made
// again continues its versions.
func TestDagTaskMissing(t *testing.T) {
	w := newWorld(t)
	c := w.controller()
	w.applySpec("dag", v1alpha1.DAGSpec{Schedule: "@every 3s", Suspended: true, ConcurrencyPolicy: v1alpha1.ForbidConcurrent,
		Task: []v1alpha1.Task{by("a", "late", 0)}})
	w.waitValid("DAG", "dag", metav1.ConditionFalse, `spec.task[0].taskRef.name: Not found: "late": there is no DagTask of this name`)
	w.start("mine-refused", "dag")
	if s := w.waitRun("mine-refused", v1alpha1.RunFailed, patience).Status; s.Reason != "InvalidDag" || !strings.Contains(s.Message, `"late"`) {
		t.Errorf("the run failed with %s: %s", s.Reason, s.Message)
	}
	w.apply(w.shared("late", 0, sh("a", "")))
	w.waitValid("DAG", "dag", metav1.ConditionTrue, "version 1")
	w.start("mine", "dag")
	w.waitRun("mine", v1alpha1.RunSucceeded, patience)

	// Gone, with the schedule at work: it rests, and goes on when there is a DagTask again.
	w.suspend("dag", false)
	w.waitTicks("dag", "Ran", "Succeeded", 1)
	w.kubectl("delete", "dagtask", "late")
	w.waitValid("DAG", "dag", metav1.ConditionFalse, `Not found: "late"`)
	w.eventually("kubectl describe to show the Event", patience, func(context.Context) (bool, string) {
		_, events, _ := strings.Cut(w.kubectl("describe", "dag", "dag"), "\nEvents:")
		return strings.Contains(events, "Invalid"), events
	})
	w.eventually("a missed due time to be known", patience, func(context.Context) (bool, string) {
		held := w.strings(`SELECT held FROM kontroler_v1.schedules`)
		return len(held) == 1 && held[0] == "Missed", fmt.Sprint(held)
	})
	ran := w.ticks("dag", "Ran", "")
	w.apply(w.shared("late", 0, sh("a", "echo again > /dir/again")))
	w.waitTicks("dag", "Ran", "Succeeded", ran+1)
	w.rest("dag")
	w.checkLedger("dag", 3*time.Second)
	if got := w.taskVersions("late"); got != "1 2*" || w.file("again") != "again\n" {
		t.Errorf("made again it has the versions %s", got)
	}

	// Changed and deleted while nobody leads.
	w.apply(w.shared("other", 0, sh("a", "")) + w.manifest("DAG", "pinning", v1alpha1.DAGSpec{Task: []v1alpha1.Task{by("a", "other", 3)}}))
	w.waitValid("DAG", "pinning", metav1.ConditionFalse, `spec.task[0].taskRef.version: Not found: "3": DagTask "other" has no such version, its newest is 1`)
	c.stop()
	w.kubectl("delete", "dagtask", "late")
	w.apply(w.shared("other", 3, sh("a", "")))
	w.controller()
	w.waitValid("DAG", "dag", metav1.ConditionFalse, `Not found: "late"`)
	w.waitValid("DAG", "pinning", metav1.ConditionTrue, "version 1")
	w.eventually("the deletion to be known", patience, func(context.Context) (bool, string) {
		there := w.strings(`SELECT name FROM kontroler_v1.dag_tasks WHERE deleted_at IS NULL`)
		return fmt.Sprint(there) == "[other]", fmt.Sprint(there)
	})
}

// A version is immutable: the API server says so, and the controller where that cannot.
func TestDagTaskVersions(t *testing.T) {
	w := newWorld(t)
	w.controller()
	w.apply(w.shared("task", 3, sh("a", "echo 3 >> /dir/ran")) + w.manifest("DAG", "dag", v1alpha1.DAGSpec{Task: []v1alpha1.Task{by("a", "task", 0)}}))
	w.waitValid("DagTask", "task", metav1.ConditionTrue, "version 3")
	changed := w.shared("task", 3, sh("a", "echo changed >> /dir/ran"))
	if out, err := w.tryApply(changed); err == nil || !strings.Contains(out, "a version is immutable: raise spec.version to change the task") {
		t.Errorf("another task as version 3: %v\n%s", err, out)
	}
	w.kubectl("delete", "dagtask", "task")
	w.waitValid("DAG", "dag", metav1.ConditionFalse, "")
	w.apply(changed)
	w.waitValid("DagTask", "task", metav1.ConditionFalse, "spec.version: version 3 is stored with another task, and a version is immutable: raise spec.version to 4")
	w.waitValid("DAG", "dag", metav1.ConditionTrue, "version 1")
	w.start("stored", "dag")
	w.waitRun("stored", v1alpha1.RunSucceeded, patience)
	w.apply(w.shared("task", 4, sh("a", "echo 4 >> /dir/ran")))
	w.waitValid("DagTask", "task", metav1.ConditionTrue, "version 4")
	w.start("raised", "dag")
	w.waitRun("raised", v1alpha1.RunSucceeded, patience)
	w.apply(w.shared("task", 3, sh("a", "echo 3 >> /dir/ran"))) // what was version 3, as it was
	w.waitValid("DagTask", "task", metav1.ConditionTrue, "version 3")
	w.start("back", "dag")
	w.waitRun("back", v1alpha1.RunSucceeded, patience)
	if got := w.file("ran"); got != "3\n4\n3\n" {
		t.Errorf("the tasks that ran were %q", got)
	}
	if got := w.taskVersions("task"); got != "3* 4" {
		t.Errorf("the versions are %s", got)
	}
	// A DagTask that the schema lets pass, and no Pod could be made of.
	w.apply(w.shared("broken", 0, sh("a", "", func(t *v1alpha1.Task) { t.PodTemplate.VolumeMounts[0].Name = "nowhere" })) +
		w.manifest("DAG", "breaking", v1alpha1.DAGSpec{Task: []v1alpha1.Task{by("a", "broken", 0)}}))
	w.waitValid("DagTask", "broken", metav1.ConditionFalse, `spec.podTemplate.volumeMounts[0].name: Not found: "nowhere"`)
	w.waitValid("DAG", "breaking", metav1.ConditionFalse, `spec.task[0].taskRef.name: Invalid value: "broken": the DagTask cannot be used: spec.podTemplate.volumeMounts[0].name`)
}

// kill -9 between a DagTask's version and what is told of it: the next controller tells it, and the version is one.
func TestDagTaskKilledAt(t *testing.T) {
	for _, fault := range []string{"task-version-committed:1", "task-reported:1", "version-committed:1"} {
		t.Run(fault, func(t *testing.T) {
			w := newWorld(t)
			w.apply(w.shared("task", 0, marked("a", "")) + w.manifest("DAG", "dag", v1alpha1.DAGSpec{Task: []v1alpha1.Task{by("a", "task", 0)}}) +
				w.manifest("DagRun", theRun, v1alpha1.DagRunSpec{DagName: "dag"}))
			w.dieAt(fault, nil)
			w.controller(atOnce)
			w.checkFinal(theRun, "Succeeded", all("Succeeded", "a"))
			w.checkOnce("a")
			w.waitValid("DagTask", "task", metav1.ConditionTrue, "version 1")
			w.waitValid("DAG", "dag", metav1.ConditionTrue, "version 1")
			if got := w.taskVersions("task"); got != "1*" {
				t.Errorf("the versions are %s", got)
			}
		})
	}
}

// Of two controllers each stores the versions, and one writes the status, until its Lease is gone.
func TestDagTaskOfTwoControllers(t *testing.T) {
	w := newWorld(t)
	one, two := w.database, w.newDatabase()
	first := w.controller(on(one), patientLease)
	w.apply(w.shared("task", 0, sh("a", "")))
	w.waitValid("DagTask", "task", metav1.ConditionTrue, "version 1")
	w.controller(on(two), patientLease)
	stored := func(want string) {
		t.Helper()
		w.eventually("both databases to have the versions "+want, patience, func(context.Context) (bool, string) {
			is := one.taskVersions("task") + "; " + two.taskVersions("task")
			return is == want, is
		})
	}
	stored("1*; 1*")
	w.apply(w.shared("task", 0, sh("b", "")))
	stored("1 2*; 1 2*")
	w.waitValid("DagTask", "task", metav1.ConditionTrue, "version 2")
	if is := w.dagTask("task").Status.Controller; is != one.controllerID() {
		t.Errorf("the status is %s's, want the first's", is)
	}
	first.kill9()
	w.kubectl("delete", "lease", "kontroler-"+one.controllerID())
	w.eventually("the other controller to take the status over", patience, func(context.Context) (bool, string) {
		is := w.dagTask("task").Status
		return is.Controller == two.controllerID() && is.Version == 2, fmt.Sprintf("%+v", is)
	})
}
