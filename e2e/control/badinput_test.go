package control_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
)

func TestMissingDAG(t *testing.T) {
	w := newWorld(t)
	w.Controller()
	w.Start("run", "late")
	w.Eventually("the run to say that its DAG is missing", patience, func(context.Context) (bool, string) {
		s := w.DagRun("run").Status
		admitted := meta.FindStatusCondition(s.Conditions, v1alpha1.RunConditionAdmitted)
		return s.Phase == v1alpha1.RunPending && s.Reason == "DagNotFound" && strings.Contains(s.Message, `"late"`) &&
				admitted != nil && admitted.Status == metav1.ConditionFalse && admitted.Reason == "DagNotFound",
			fmt.Sprintf("%+v", s)
	})
	w.ApplyDAG("late", play("a", ""))
	w.WaitRun("run", v1alpha1.RunSucceeded, patience)
	w.CheckFinal("run", "Succeeded", all("Succeeded", "a"))
	w.CheckOnce("a")
	if c := meta.FindStatusCondition(w.DagRun("run").Status.Conditions, v1alpha1.RunConditionAdmitted); c == nil ||
		c.Status != metav1.ConditionTrue {
		t.Errorf("condition Admitted is %+v", c)
	}
}

func TestInvalidDAG(t *testing.T) {
	w := newWorld(t)
	w.Controller()
	broken := v1alpha1.DAGSpec{
		Task: []v1alpha1.Task{play("a", "", after("c")), play("b", "", after("a")), play("c", "", after("b")),
			play("orphan", "", after("nobody")), play("asks", "")},
	}
	broken.Task[4].Parameters = []string{"UNKNOWN"}
	w.ApplySpec("broken", broken)
	w.Start("run", "broken")
	w.Eventually("the DAG to be invalid, with every fault named", patience, func(context.Context) (bool, string) {
		c := meta.FindStatusCondition(w.DAG("broken").Status.Conditions, v1alpha1.DAGValid)
		if c == nil || c.Status != metav1.ConditionFalse {
			return false, fmt.Sprintf("%+v", c)
		}
		for _, fault := range []string{
			"a → b → c → a", "nobody", "UNKNOWN", "spec.task[3].runAfter[0]", "spec.task[4].parameters[0]",
		} {
			if !strings.Contains(c.Message, fault) {
				return false, fault + " is not in: " + c.Message
			}
		}
		return true, ""
	})
	run := w.WaitRun("run", v1alpha1.RunFailed, patience)
	if run.Status.Reason != "InvalidDag" || !strings.Contains(run.Status.Message, "a → b → c → a") {
		t.Errorf("the run failed with %s: %s", run.Status.Reason, run.Status.Message)
	}
	w.CheckFinal("run", "Failed", noTasks)
	if is := w.Kubectl("get", "dag", "broken"); !strings.Contains(is, "False") {
		t.Errorf("kubectl get dag prints:\n%s", is)
	}

	w.ApplyDAG("broken", play("a", ""))
	w.Start("repaired", "broken")
	w.WaitRun("repaired", v1alpha1.RunSucceeded, patience)
	w.CheckFinal("repaired", "Succeeded", all("Succeeded", "a"))
	w.CheckOnce("a")
	w.Eventually("the DAG to be valid", patience, func(context.Context) (bool, string) {
		s := w.DAG("broken").Status
		return meta.IsStatusConditionTrue(s.Conditions, v1alpha1.DAGValid) && s.Version == 1, fmt.Sprintf("%+v", s)
	})
}

func TestRefusedOverrides(t *testing.T) {
	w := newWorld(t)
	w.Controller()
	x := "x"
	w.ApplySpec("dag", v1alpha1.DAGSpec{
		Parameters: []v1alpha1.Parameter{{Name: "PLAIN", DefaultValue: &x}, {Name: "SECRET", DefaultFromSecret: "s"}},
		Task:       []v1alpha1.Task{play("a", "")},
	})
	for run, c := range map[string]struct {
		override v1alpha1.ParameterValue
		says     string
	}{
		"unknown": {
			v1alpha1.ParameterValue{Name: "TYPO", Value: &x}, `spec.parameters[0].name: Not found: "TYPO"`,
		},
		"secret-to-plain": {
			v1alpha1.ParameterValue{Name: "SECRET", Value: &x}, `parameter "SECRET" is a secret parameter`,
		},
		"plain-to-secret": {
			v1alpha1.ParameterValue{Name: "PLAIN", FromSecret: "s"}, `parameter "PLAIN" is a plain parameter`,
		},
	} {
		w.Start(run, "dag", c.override)
		s := w.WaitRun(run, v1alpha1.RunFailed, patience).Status
		if s.Reason != "InvalidParameters" || !strings.Contains(s.Message, c.says) {
			t.Errorf("%s: failed with %s: %s, want %s", run, s.Reason, s.Message, c.says)
		}
		if c := meta.FindStatusCondition(s.Conditions, v1alpha1.RunConditionAdmitted); c == nil ||
			c.Status != metav1.ConditionFalse ||
			c.Reason != "InvalidParameters" {
			t.Errorf("%s: condition Admitted is %+v", run, c)
		}
		w.CheckFinal(run, "Failed", noTasks)
	}
	w.CheckOnce()
}

func TestFiveThousandTasks(t *testing.T) {
	w := newAloneWorld(t)
	w.Controller(flags("--max-pods=5"))
	three := int32(3)
	spec := v1alpha1.DAGSpec{MaxParallel: &three}
	want := map[string]string{}
	for i := range 5000 {
		task := play(fmt.Sprintf("task-%04d", i), forever)
		task.PodTemplate.TerminationGracePeriodSeconds = new(int64)
		if i >= 10 {
			task.RunAfter = []string{fmt.Sprintf("task-%04d", i-10), fmt.Sprintf("task-%04d", i/2)}
		}
		spec.Task = append(spec.Task, task)
		want[task.Name] = "Cancelled"
	}
	manifest := w.Manifest("DAG", "large", spec)
	if out, err := w.RunKubectl(manifest, "apply", "--server-side", "--namespace", w.Namespace, "-f", "-"); err != nil {
		t.Fatalf("applying 5,000 tasks (%d bytes): %v\n%s", len(manifest), err, out)
	}
	w.Start("run", "large")
	for i := range 3 {
		name := fmt.Sprintf("task-%04d", i)
		w.WaitAttempt("run", name, 1, "Running")
		want[name] = "Cancelled 1"
	}
	w.Eventually("the DAG to be valid", patience, func(context.Context) (bool, string) {
		s := w.DAG("large").Status
		return meta.IsStatusConditionTrue(s.Conditions, v1alpha1.DAGValid) && s.Tasks == 5000, fmt.Sprintf("%+v", s)
	})
	w.Cancel("run")
	w.WaitRun("run", v1alpha1.RunCancelled, patience)
	w.CheckFinal("run", "Cancelled", want)
}
