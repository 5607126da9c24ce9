package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/e2e/harness"
)

// A DAG uses a DagTask. The fields beside taskRef override those of the DagTask. taskRef pins a version or follows it.
func TestDagTask(t *testing.T) {
	w := newWorld(t)
	w.Controller()
	say := func(text string) v1alpha1.Task {
		return sh(
			"say",
			until("go")+"\necho "+text+" $WHOM $FROM $WHERE >> /dir/said",
			retries(3),
			env("WHOM", "world"),
			env("FROM", "$(WHOM)"),
		)
	}
	value := "here"
	w.Apply(w.Shared("say", 0, say("hello")) + w.Manifest("DAG", "dag", v1alpha1.DAGSpec{
		Parameters: []v1alpha1.Parameter{{Name: "WHERE", DefaultValue: &value}},
		Task: []v1alpha1.Task{fromDagTask("a", "say", 0, env("WHOM", "moon"), func(t *v1alpha1.Task) {
			t.Parameters, t.PodTemplate.Labels = []string{"WHERE"}, map[string]string{"team": "data"}
		}), fromDagTask("b", "say", 1, after("a"))},
	}))
	w.WaitValid("DAG", "dag", metav1.ConditionTrue, "2 tasks, version 1")
	w.WaitValid("DagTask", "say", metav1.ConditionTrue, "version 1")
	if s := w.DagTask("say").Status; s.Version != 1 || s.Controller != w.ControllerID() || s.ObservedGeneration != 1 {
		t.Errorf("the DagTask's status is %+v", s)
	}
	w.Start("first", "dag")
	pod := w.WaitPod("first", "a", running)
	if got := fmt.Sprint(pod.Labels["team"], pod.Spec.Containers[0].Env); !strings.HasPrefix(
		got,
		"data[{WHERE here nil} {WHOM moon nil} {FROM $(WHOM) nil}",
	) {
		t.Errorf("the Pod has %s", got)
	}
	// A new version of the DagTask creates a new version of the DAG. The live run keeps its version.
	w.Apply(w.Shared("say", 0, say("bye")))
	w.WaitValid("DAG", "dag", metav1.ConditionTrue, "2 tasks, version 2")
	w.Open("go")
	w.WaitRun("first", v1alpha1.RunSucceeded, patience)
	w.Start("second", "dag")
	w.WaitRun("second", v1alpha1.RunSucceeded, patience)
	if got, want := w.File("said"),
		"hello moon moon here\nhello world world\nbye moon moon here\nhello world world\n"; got != want {
		t.Errorf("said\n%swant\n%s", got, want)
	}
	pinned := w.Strings(`
SELECT string_agg((task->'taskRef'->>'version') || ' ' || (task->'backoff'->>'limit'), ', ' ORDER BY task->>'name')
FROM kontroler_v1.versions v JOIN kontroler_v1.dags d ON d.id = v.dag_id, jsonb_array_elements(v.spec->'task') task
WHERE d.name = 'dag' GROUP BY v.id ORDER BY v.id`)
	if got := strings.Join(pinned, "; "); got != "1 3, 1 3; 2 3, 1 3" {
		t.Errorf("the versions of the DAG pin %s", got)
	}
	// A run uses what was applied before it.
	for i := range 2 {
		w.Apply(
			w.Shared(
				"say",
				0,
				say(fmt.Sprint("breath-", i)),
			) + w.Manifest(
				"DagRun",
				fmt.Sprint("breath-", i),
				v1alpha1.DagRunSpec{DagName: "dag"},
			),
		)
		w.WaitRun(fmt.Sprint("breath-", i), v1alpha1.RunSucceeded, patience)
		if !strings.Contains(w.File("said"), fmt.Sprintf("breath-%d moon", i)) {
			t.Errorf("run %d used a version that is older than the one applied before it", i)
		}
	}
	w.Apply(harness.Example(t, "dagtask.yaml"))
	w.WaitRun("greetings-1", v1alpha1.RunSucceeded, patience)
}
