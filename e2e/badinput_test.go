package e2e_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"kontroler/apis/kontroler/v1alpha1"
)

// A task says what it waits for while it waits, and again when it has failed because of it.
func TestMissingSecretConfigMapKeyAndImage(t *testing.T) {
	w := newWorld(t)
	c := w.Controller()
	w.Apply(`{apiVersion: v1, kind: ConfigMap, metadata: {name: there}, data: {key: value}}`)
	secret, key, image, name := sh("secret", ""), sh("key", ""), sh("image", ""), sh("image-name", "")
	secret.Parameters = []string{"TOKEN"}
	key.PodTemplate.Env = []corev1.EnvVar{
		{Name: "X", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: "there"}, Key: "no-such-key"}}},
	}
	image.Image = "example.com/no/such:image"
	name.Image = "not//an::image"
	w.ApplySpec("dag", v1alpha1.DAGSpec{
		Parameters: []v1alpha1.Parameter{{Name: "TOKEN", DefaultFromSecret: "no-such-secret"}},
		Task:       []v1alpha1.Task{secret, key, image, name, sh("good", ""), sh("child", "", after("good", "image"))},
	})
	w.Start("run", "dag")
	for task, want := range map[string][2]string{
		"secret": {"CreateContainerConfigError", "no-such-secret"},
		"key":    {"CreateContainerConfigError", "no-such-key"},
		"image":  {"ImagePullBackOff", "example.com/no/such:image"},
	} {
		row := w.WaitTask("run", task, "Active", want[0])
		if !strings.Contains(row.Message, want[1]) {
			t.Errorf("task %s waits and says %q, want %q in it", task, row.Message, want[1])
		}
	}
	// The grace begins with the first report, also across restarts of the controller.
	c.Stop()
	w.Controller(flags("--start-grace=5s"))
	w.WaitRun("run", v1alpha1.RunFailed, patience)
	w.CheckFinal(
		"run",
		"Failed",
		map[string]string{"secret": "Failed", "key": "Failed", "image": "Failed", "image-name": "Failed",
			"good": "Succeeded", "child": "Skipped"},
	)
	w.CheckOnce("good")
	for task, want := range map[string]string{
		"secret": "no-such-secret", "key": "no-such-key", "image": "example.com/no/such:image",
		"image-name": "InvalidImageName",
	} {
		a := w.AttemptsOf("run", task)[0]
		if row := w.Task("run", task); a.Reason != "StartFailed" || !strings.Contains(a.Message, want) ||
			!strings.Contains(row.Message, want) {
			t.Errorf(
				"task %s failed, its attempt with %s: %q, the task with %s: %q; want %q in both",
				task,
				a.Reason,
				a.Message,
				row.Reason,
				row.Message,
				want,
			)
		}
	}
}

// A task runs if its Secret is created within the start grace.
func TestSecretThatComesLate(t *testing.T) {
	w := newWorld(t)
	w.Controller()
	task := sh("a", `echo "$TOKEN" > /dir/seen`)
	task.Parameters = []string{"TOKEN"}
	w.ApplySpec(
		"dag",
		v1alpha1.DAGSpec{
			Parameters: []v1alpha1.Parameter{{Name: "TOKEN", DefaultFromSecret: "late"}},
			Task:       []v1alpha1.Task{task},
		},
	)
	w.Start("run", "dag")
	w.WaitTask("run", "a", "Active", "CreateContainerConfigError")
	w.Apply(`{apiVersion: v1, kind: Secret, metadata: {name: late}, stringData: {secret: here}}`)
	w.WaitRun("run", v1alpha1.RunSucceeded, patience)
	w.CheckFinal("run", "Succeeded", all("Succeeded", "a"))
	if is := w.File("seen"); is != "here\n" {
		t.Errorf("the task saw %q", is)
	}
}
