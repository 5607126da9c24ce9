package control_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
)

// A missing DagTask makes the DAGs that refer to it invalid, and their DagRuns wait. They and their schedules recover
// when it is created. A recreated DagTask continues its versions.
func TestDagTaskMissing(t *testing.T) {
	w := newWorld(t)
	c := w.Controller()
	w.ApplySpec(
		"dag",
		v1alpha1.DAGSpec{Schedule: "@every 3s", Suspended: true, ConcurrencyPolicy: v1alpha1.ForbidConcurrent,
			Task: []v1alpha1.Task{fromDagTask("a", "late", 0)}},
	)
	w.WaitValid(
		"DAG",
		"dag",
		metav1.ConditionFalse,
		`spec.task[0].taskRef.name: Not found: "late": there is no DagTask of this name`,
	)
	w.Start("mine-early", "dag")
	w.WaitReason("mine-early", v1alpha1.RunPending, "DagTaskNotFound")
	w.Apply(w.Shared("late", 0, play("a", "")))
	w.WaitValid("DAG", "dag", metav1.ConditionTrue, "version 1")
	w.WaitRun("mine-early", v1alpha1.RunSucceeded, patience)
	w.Start("mine", "dag")
	w.WaitRun("mine", v1alpha1.RunSucceeded, patience)

	// When the DagTask is deleted, the schedule pauses. It continues when the DagTask exists again.
	w.suspend("dag", false)
	w.waitTicks("dag", "Ran", "Succeeded", 1)
	w.Kubectl("delete", "dagtask", "late")
	w.WaitValid("DAG", "dag", metav1.ConditionFalse, `Not found: "late"`)
	w.Eventually("kubectl describe to show the Event", patience, func(context.Context) (bool, string) {
		_, events, _ := strings.Cut(w.Kubectl("describe", "dag", "dag"), "\nEvents:")
		return strings.Contains(events, "Invalid"), events
	})
	w.Eventually("a missed due time to be known", patience, func(context.Context) (bool, string) {
		held := w.Strings(`SELECT held FROM kontroler_v1.schedules`)
		return len(held) == 1 && held[0] == "Missed", fmt.Sprint(held)
	})
	ran := w.Ticks("dag", "Ran", "")
	w.Apply(w.Shared("late", 0, play("a", "say again")))
	w.waitTicks("dag", "Ran", "Succeeded", ran+1)
	w.rest("dag")
	w.checkLedger("dag", 3*time.Second)
	if got := w.TaskVersions("late"); got != "1 2*" || !slices.Contains(w.Said(), "again") {
		t.Errorf("the recreated DagTask has versions %s", got)
	}

	// DagTasks change and are deleted while no controller runs.
	w.Apply(
		w.Shared(
			"other",
			0,
			play("a", ""),
		) + w.Manifest(
			"DAG",
			"pinning",
			v1alpha1.DAGSpec{Task: []v1alpha1.Task{fromDagTask("a", "other", 3)}},
		),
	)
	w.WaitValid(
		"DAG",
		"pinning",
		metav1.ConditionFalse,
		`spec.task[0].taskRef.version: Not found: "3": DagTask "other" has no such version, its newest is 1`,
	)
	c.Stop()
	w.Kubectl("delete", "dagtask", "late")
	w.Apply(w.Shared("other", 3, play("a", "")))
	w.Controller()
	w.WaitValid("DAG", "dag", metav1.ConditionFalse, `Not found: "late"`)
	w.WaitValid("DAG", "pinning", metav1.ConditionTrue, "version 1")
	w.Eventually("the deletion to be known", patience, func(context.Context) (bool, string) {
		there := w.Strings(`SELECT name FROM kontroler_v1.dag_tasks WHERE deleted_at IS NULL`)
		return fmt.Sprint(there) == "[other]", fmt.Sprint(there)
	})
}

// A version is immutable. The API server enforces that where it can, else the controller does.
func TestDagTaskVersions(t *testing.T) {
	w := newWorld(t)
	w.Controller()
	w.Apply(
		w.Shared(
			"task",
			3,
			play("a", "say 3"),
		) + w.Manifest(
			"DAG",
			"dag",
			v1alpha1.DAGSpec{Task: []v1alpha1.Task{fromDagTask("a", "task", 0)}},
		),
	)
	w.WaitValid("DagTask", "task", metav1.ConditionTrue, "version 3")
	changed := w.Shared("task", 3, play("a", "say changed"))
	if out, err := w.TryApply(changed); err == nil ||
		!strings.Contains(out, "a version is immutable: raise spec.version to change the task") {
		t.Errorf("another task as version 3: %v\n%s", err, out)
	}
	w.Kubectl("delete", "dagtask", "task")
	w.WaitValid("DAG", "dag", metav1.ConditionFalse, "")
	w.Apply(changed)
	w.WaitValid(
		"DagTask",
		"task",
		metav1.ConditionFalse,
		"spec.version: version 3 already exists with another task, and versions are immutable: raise spec.version to 4",
	)
	w.WaitValid("DAG", "dag", metav1.ConditionTrue, "version 1")
	w.Start("stored", "dag")
	w.WaitRun("stored", v1alpha1.RunSucceeded, patience)
	w.Apply(w.Shared("task", 4, play("a", "say 4")))
	w.WaitValid("DagTask", "task", metav1.ConditionTrue, "version 4")
	w.Start("raised", "dag")
	w.WaitRun("raised", v1alpha1.RunSucceeded, patience)
	w.Apply(w.Shared("task", 3, play("a", "say 3"))) // version 3, unchanged
	w.WaitValid("DagTask", "task", metav1.ConditionTrue, "version 3")
	w.Start("back", "dag")
	w.WaitRun("back", v1alpha1.RunSucceeded, patience)
	if got := strings.Join(w.Said(), " "); got != "3 4 3" {
		t.Errorf("the tasks that ran were %q", got)
	}
	if got := w.TaskVersions("task"); got != "3* 4" {
		t.Errorf("the versions are %s", got)
	}
	// The schema accepts a DagTask of which no Pod could be made.
	w.Apply(w.Shared("broken", 0, play("a", "", func(t *v1alpha1.Task) {
		t.PodTemplate.VolumeMounts = []corev1.VolumeMount{{Name: "nowhere", MountPath: "/dir"}}
	})) +
		w.Manifest("DAG", "breaking", v1alpha1.DAGSpec{Task: []v1alpha1.Task{fromDagTask("a", "broken", 0)}}))
	w.WaitValid("DagTask", "broken", metav1.ConditionFalse,
		`spec.podTemplate.volumeMounts[0].name: Not found: "nowhere"`)
	w.WaitValid(
		"DAG",
		"breaking",
		metav1.ConditionFalse,
		`spec.task[0].taskRef.name: Invalid value: "broken": the DagTask cannot be used: `+
			`spec.podTemplate.volumeMounts[0].name`,
	)
}

// A controller is killed between storing a version and reporting it. The next one reports it and stores no second
// version.
func TestDagTaskKilledAt(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{"task-version-committed:1", "task-reported:1", "version-committed:1"} {
		t.Run(fault, func(t *testing.T) {
			w := newWorld(t)
			w.Apply(
				w.Shared(
					"task",
					0,
					play("a", ""),
				) + w.Manifest(
					"DAG",
					"dag",
					v1alpha1.DAGSpec{Task: []v1alpha1.Task{fromDagTask("a", "task", 0)}},
				) +
					w.Manifest(
						"DagRun",
						theRun,
						v1alpha1.DagRunSpec{DagName: "dag"},
					),
			)
			w.DieAt(fault, nil)
			w.Controller(takeOver)
			w.CheckFinal(theRun, "Succeeded", all("Succeeded", "a"))
			w.CheckOnce("a")
			w.WaitValid("DagTask", "task", metav1.ConditionTrue, "version 1")
			w.WaitValid("DAG", "dag", metav1.ConditionTrue, "version 1")
			if got := w.TaskVersions("task"); got != "1*" {
				t.Errorf("the versions are %s", got)
			}
		})
	}
}

// Two controllers both store the versions of a DagTask. One writes its status, until its Lease is deleted.
func TestDagTaskOfTwoControllers(t *testing.T) {
	w := newWorld(t)
	one, two := w.Database, w.NewDatabase()
	first := w.Controller(on(one), longLease)
	w.Apply(w.Shared("task", 0, play("a", "")))
	w.WaitValid("DagTask", "task", metav1.ConditionTrue, "version 1")
	w.Controller(on(two), longLease)
	stored := func(want string) {
		t.Helper()
		w.Eventually("both databases to have the versions "+want, patience, func(context.Context) (bool, string) {
			is := one.TaskVersions("task") + "; " + two.TaskVersions("task")
			return is == want, is
		})
	}
	stored("1*; 1*")
	w.Apply(w.Shared("task", 0, play("a", "sleep 0")))
	stored("1 2*; 1 2*")
	w.WaitValid("DagTask", "task", metav1.ConditionTrue, "version 2")
	if is := w.DagTask("task").Status.Controller; is != one.ControllerID() {
		t.Errorf("controller %s has written the status, want the first one", is)
	}
	first.Kill9()
	w.Kubectl("delete", "lease", "kontroler-"+one.ControllerID())
	w.Eventually("the other controller to take the status over", patience, func(context.Context) (bool, string) {
		is := w.DagTask("task").Status
		return is.Controller == two.ControllerID() && is.Version == 2, fmt.Sprintf("%+v", is)
	})
}
