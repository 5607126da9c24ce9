package e2e_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
)

func TestMissingDAG(t *testing.T) {
	w := newWorld(t)
	w.controller()
	w.start("run", "late")
	w.eventually("the run to say that its DAG is missing", patience, func(context.Context) (bool, string) {
		s := w.dagRun("run").Status
		admitted := meta.FindStatusCondition(s.Conditions, v1alpha1.RunConditionAdmitted)
		return s.Phase == v1alpha1.RunPending && s.Reason == "DagNotFound" && strings.Contains(s.Message, `"late"`) &&
			admitted != nil && admitted.Status == metav1.ConditionFalse && admitted.Reason == "DagNotFound", fmt.Sprintf("%+v", s)
	})
	w.applyDAG("late", sh("a", ""))
	w.waitRun("run", v1alpha1.RunSucceeded, patience)
	w.checkFinal("run", "Succeeded", all("Succeeded", "a"))
	w.checkOnce("a")
	if c := meta.FindStatusCondition(w.dagRun("run").Status.Conditions, v1alpha1.RunConditionAdmitted); c == nil || c.Status != metav1.ConditionTrue {
		t.Errorf("condition Admitted is %+v", c)
	}
}

func TestInvalidDAG(t *testing.T) {
	w := newWorld(t)
	w.controller()
	broken := v1alpha1.DAGSpec{Task: []v1alpha1.Task{sh("a", "", after("c")), sh("b", "", after("a")), sh("c", "", after("b")),
		sh("orphan", "", after("nobody")), sh("asks", "")}}
	broken.Task[4].Parameters = []string{"UNKNOWN"}
	w.applySpec("broken", broken)
	w.start("run", "broken")
	w.eventually("the DAG to be invalid, with every fault named", patience, func(context.Context) (bool, string) {
		c := meta.FindStatusCondition(w.dag("broken").Status.Conditions, v1alpha1.DAGValid)
		if c == nil || c.Status != metav1.ConditionFalse {
			return false, fmt.Sprintf("%+v", c)
		}
		for _, fault := range []string{"a → b → c → a", "nobody", "UNKNOWN", "spec.task[3].runAfter[0]", "spec.task[4].parameters[0]"} {
			if !strings.Contains(c.Message, fault) {
				return false, fault + " is not in: " + c.Message
			}
		}
		return true, ""
	})
	run := w.waitRun("run", v1alpha1.RunFailed, patience)
	if run.Status.Reason != "InvalidDag" || !strings.Contains(run.Status.Message, "a → b → c → a") {
		t.Errorf("the run failed with %s: %s", run.Status.Reason, run.Status.Message)
	}
	w.checkFinal("run", "Failed", none)
	if is := w.kubectl("get", "dag", "broken"); !strings.Contains(is, "False") {
		t.Errorf("kubectl get dag prints:\n%s", is)
	}

	w.applyDAG("broken", sh("a", ""))
	w.start("repaired", "broken")
	w.waitRun("repaired", v1alpha1.RunSucceeded, patience)
	w.checkFinal("repaired", "Succeeded", all("Succeeded", "a"))
	w.checkOnce("a")
	w.eventually("the DAG to be valid", patience, func(context.Context) (bool, string) {
		s := w.dag("broken").Status
		return meta.IsStatusConditionTrue(s.Conditions, v1alpha1.DAGValid) && s.Version == 1, fmt.Sprintf("%+v", s)
	})
}

func TestRefusedOverrides(t *testing.T) {
	w := newWorld(t)
	w.controller()
	x := "x"
	w.applySpec("dag", v1alpha1.DAGSpec{
		Parameters: []v1alpha1.Parameter{{Name: "PLAIN", DefaultValue: &x}, {Name: "SECRET", DefaultFromSecret: "s"}},
		Task:       []v1alpha1.Task{sh("a", "")},
	})
	for run, c := range map[string]struct {
		override v1alpha1.ParameterValue
		says     string
	}{
		"unknown":         {v1alpha1.ParameterValue{Name: "TYPO", Value: &x}, `spec.parameters[0].name: Not found: "TYPO"`},
		"secret-to-plain": {v1alpha1.ParameterValue{Name: "SECRET", Value: &x}, `parameter "SECRET" is a secret one`},
		"plain-to-secret": {v1alpha1.ParameterValue{Name: "PLAIN", FromSecret: "s"}, `parameter "PLAIN" is a plain one`},
	} {
		w.start(run, "dag", c.override)
		s := w.waitRun(run, v1alpha1.RunFailed, patience).Status
		if s.Reason != "InvalidParameters" || !strings.Contains(s.Message, c.says) {
			t.Errorf("%s: failed with %s: %s, want %s", run, s.Reason, s.Message, c.says)
		}
		if c := meta.FindStatusCondition(s.Conditions, v1alpha1.RunConditionAdmitted); c == nil || c.Status != metav1.ConditionFalse || c.Reason != "InvalidParameters" {
			t.Errorf("%s: condition Admitted is %+v", run, c)
		}
		w.checkFinal(run, "Failed", none)
	}
	w.checkOnce()
}

// What a task waits for is told while it waits, and again when it has failed of it.
func TestMissingSecretConfigMapKeyAndImage(t *testing.T) {
	w := newWorld(t)
	c := w.controller()
	w.apply(`{apiVersion: v1, kind: ConfigMap, metadata: {name: there}, data: {key: value}}`)
	secret, key, image, name := sh("secret", ""), sh("key", ""), sh("image", ""), sh("image-name", "")
	secret.Parameters = []string{"TOKEN"}
	key.PodTemplate.Env = []corev1.EnvVar{{Name: "X", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{
		LocalObjectReference: corev1.LocalObjectReference{Name: "there"}, Key: "no-such-key"}}}}
	image.Image = "example.com/no/such:image"
	name.Image = "not//an::image"
	w.applySpec("dag", v1alpha1.DAGSpec{
		Parameters: []v1alpha1.Parameter{{Name: "TOKEN", DefaultFromSecret: "no-such-secret"}},
		Task:       []v1alpha1.Task{secret, key, image, name, sh("good", ""), sh("child", "", after("good", "image"))},
	})
	w.start("run", "dag")
	for task, want := range map[string][2]string{
		"secret": {"CreateContainerConfigError", "no-such-secret"},
		"key":    {"CreateContainerConfigError", "no-such-key"},
		"image":  {"ImagePullBackOff", "example.com/no/such:image"},
	} {
		row := w.waitTask("run", task, "Active", want[0])
		if !strings.Contains(row.Message, want[1]) {
			t.Errorf("task %s waits and says %q, want %q in it", task, row.Message, want[1])
		}
	}
	// The grace is counted from the first telling, over restarts.
	c.stop()
	w.controller(flags("--start-grace=5s"))
	w.waitRun("run", v1alpha1.RunFailed, patience)
	w.checkFinal("run", "Failed", map[string]string{"secret": "Failed", "key": "Failed", "image": "Failed", "image-name": "Failed",
		"good": "Succeeded", "child": "Skipped"})
	w.checkOnce("good")
	for task, want := range map[string]string{"secret": "no-such-secret", "key": "no-such-key", "image": "example.com/no/such:image", "image-name": "InvalidImageName"} {
		a := w.attemptsOf("run", task)[0]
		if row := w.task("run", task); a.Reason != "StartFailed" || !strings.Contains(a.Message, want) || !strings.Contains(row.Message, want) {
			t.Errorf("task %s failed, its attempt with %s: %q, the task with %s: %q; want %q in both", task, a.Reason, a.Message, row.Reason, row.Message, want)
		}
	}
}

// A Secret that comes within the grace is as good as one that was there.
func TestSecretThatComesLate(t *testing.T) {
	w := newWorld(t)
	w.controller()
	task := sh("a", `echo "$TOKEN" > /dir/seen`)
	task.Parameters = []string{"TOKEN"}
	w.applySpec("dag", v1alpha1.DAGSpec{Parameters: []v1alpha1.Parameter{{Name: "TOKEN", DefaultFromSecret: "late"}}, Task: []v1alpha1.Task{task}})
	w.start("run", "dag")
	w.waitTask("run", "a", "Active", "CreateContainerConfigError")
	w.apply(`{apiVersion: v1, kind: Secret, metadata: {name: late}, stringData: {secret: here}}`)
	w.waitRun("run", v1alpha1.RunSucceeded, patience)
	w.checkFinal("run", "Succeeded", all("Succeeded", "a"))
	if is := w.file("seen"); is != "here\n" {
		t.Errorf("the task saw %q", is)
	}
}

func TestFiveThousandTasks(t *testing.T) {
	w := newLoneWorld(t)
	w.controller(flags("--max-pods=5"))
	three := int32(3)
	spec := v1alpha1.DAGSpec{MaxParallel: &three}
	want := map[string]string{}
	for i := range 5000 {
		task := v1alpha1.Task{Name: fmt.Sprintf("task-%04d", i), TaskTemplate: v1alpha1.TaskTemplate{
			Image: "busybox:1.36", Command: []string{"sleep", "3600"}, PodTemplate: &v1alpha1.PodTemplate{TerminationGracePeriodSeconds: new(int64)},
		}}
		if i >= 10 {
			task.RunAfter = []string{fmt.Sprintf("task-%04d", i-10), fmt.Sprintf("task-%04d", i/2)}
		}
		spec.Task = append(spec.Task, task)
		want[task.Name] = "Cancelled"
	}
	manifest := w.manifest("DAG", "large", spec)
	if out, err := w.runKubectl(manifest, "apply", "--server-side", "--namespace", w.namespace, "-f", "-"); err != nil {
		t.Fatalf("applying 5,000 tasks (%d bytes): %v\n%s", len(manifest), err, out)
	}
	w.start("run", "large")
	for i := range 3 {
		name := fmt.Sprintf("task-%04d", i)
		w.waitAttempt("run", name, 1, "Running")
		want[name] = "Cancelled 1"
	}
	w.eventually("the DAG to be valid", patience, func(context.Context) (bool, string) {
		s := w.dag("large").Status
		return meta.IsStatusConditionTrue(s.Conditions, v1alpha1.DAGValid) && s.Tasks == 5000, fmt.Sprintf("%+v", s)
	})
	w.cancel("run")
	w.waitRun("run", v1alpha1.RunCancelled, patience)
	w.checkFinal("run", "Cancelled", want)
}
