package e2e_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
)

// volume mounts a volume into a task.
func volume(source corev1.VolumeSource) taskOption {
	return func(t *v1alpha1.Task) {
		t.PodTemplate.Volumes = append(t.PodTemplate.Volumes, corev1.Volume{Name: "v", VolumeSource: source})
		t.PodTemplate.VolumeMounts = append(t.PodTemplate.VolumeMounts, corev1.VolumeMount{Name: "v", MountPath: "/v"})
	}
}

func configMap(name string) taskOption {
	return volume(
		corev1.VolumeSource{
			ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: name}},
		},
	)
}

// runtimeClass makes a RuntimeClass whose handler no node has.
func (w *world) runtimeClass() string {
	w.T.Helper()
	class := &nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: w.Namespace}, Handler: "kata"}
	classes := w.Kube.NodeV1().RuntimeClasses()
	if _, err := classes.Create(w.T.Context(), class, metav1.CreateOptions{}); err != nil {
		w.T.Fatal(err)
	}
	w.T.Cleanup(func() {
		if err := classes.Delete(context.Background(), class.Name, metav1.DeleteOptions{}); err != nil &&
			!apierrors.IsNotFound(err) {
			w.T.Error(err)
		}
	})
	return class.Name
}

// A task whose container cannot be created says what it waits for, and so does its DagRun. It continues on the same
// attempt when the cause disappears.
func TestPodThatDoesNotStartSaysWhy(t *testing.T) {
	w := newWorld(t)
	w.Controller()
	class := w.runtimeClass()
	secret := volume(corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "tls-of-nobody"}})
	w.ApplyDAG("dag",
		sh("settings", "cat /v/key", configMap("settings-of-nobody")),
		sh("certificate", "cat /v/key", secret),
		sh("sandbox", "", func(t *v1alpha1.Task) { t.PodTemplate.RuntimeClassName = &class }),
		sh("init", "", func(t *v1alpha1.Task) {
			t.PodTemplate.InitContainers = []corev1.Container{{Name: "wait-for-gate", Image: "busybox:1.36",
				Command:      []string{"sh", "-c", "while [ ! -e /dir/gate ]; do sleep 0.2; done"},
				VolumeMounts: []corev1.VolumeMount{{Name: "dir", MountPath: "/dir"}}}}
		}))
	w.Start("run", "dag")
	for task, want := range map[string]string{
		"settings":    `FailedMount: .*configmap "settings-of-nobody" not found`,
		"certificate": `FailedMount: .*secret "tls-of-nobody" not found`,
		"sandbox":     `FailedCreatePodSandBox: .*kata`,
		"init":        `PodInitializing: init container wait-for-gate is running`,
	} {
		w.waitSays("run", task, want)
	}
	w.Eventually("the DagRun to say what it waits for", patience, func(context.Context) (bool, string) {
		s := w.DagRun("run").Status
		named := strings.Contains(s.Message, "settings waits: FailedMount: ") && strings.Contains(s.Message, "1 more")
		return s.Reason == "FailedMount" && named && s.Tasks.Pending == 4 &&
				s.Tasks.Running == 0, fmt.Sprintf(
				"%+v %+v",
				s,
				s.Tasks,
			)
	})
	w.Eventually("kubectl to show it", patience, func(context.Context) (bool, string) {
		out := w.Kubectl("get", "dagrun", "run", "--no-headers")
		return strings.Contains(out, "FailedMount"), out
	})
	if events := w.EventsOf(string(w.DagRun("run").UID)); !slices.Contains(events, "FailedMount ×1") {
		t.Errorf("the Events of the DagRun are %v", events)
	}

	w.Kubectl("create", "configmap", "settings-of-nobody", "--from-literal=key=value")
	w.Kubectl("create", "secret", "generic", "tls-of-nobody", "--from-literal=key=value")
	w.Open("gate")
	for _, task := range []string{"settings", "certificate", "init"} {
		w.WaitTask("run", task, "Succeeded", "*")
		if attempts := w.AttemptsOf("run", task); len(attempts) != 1 {
			t.Errorf("task %s took %d attempts, want one", task, len(attempts))
		}
	}
	w.Cancel("run")
	w.WaitReason("run", v1alpha1.RunCancelled, "UserCancelled")
}

// waitSays waits until "reason: message" of an active task contains the parts of want, which are separated by ".*", in
// order.
func (w *world) waitSays(run, task, want string) {
	w.T.Helper()
	w.Eventually("task "+task+" to say "+want, patience, func(context.Context) (bool, string) {
		row, _ := w.TryTask(run, task)
		is := row.Reason + ": " + row.Message
		rest := is
		for part := range strings.SplitSeq(want, ".*") {
			_, after, found := strings.Cut(rest, part)
			if !found {
				return false, row.Phase + " " + is
			}
			rest = after
		}
		return row.Phase == "Active", row.Phase + " " + is
	})
}

// A Pod that cannot start fails after the start grace, with its reason. A running init container counts neither against
// the grace nor against the timeout. A run that continues after a failure says what has failed.
func TestPodThatCannotStartFailsAfterTheGrace(t *testing.T) {
	w := newWorld(t)
	w.Controller(flags("--start-grace=5s"))
	w.ApplyDAG("dag",
		sh("settings", "", configMap("settings-of-nobody")),
		sh("slow", "", func(t *v1alpha1.Task) {
			t.PodTemplate.InitContainers = []corev1.Container{{Name: "wait-for-gate", Image: "busybox:1.36",
				Command:      []string{"sh", "-c", "while [ ! -e /dir/gate ]; do sleep 0.2; done"},
				VolumeMounts: []corev1.VolumeMount{{Name: "dir", MountPath: "/dir"}}}}
		}, timeout(10)))
	w.Start("run", "dag")
	w.WaitTask("run", "settings", "Failed", "RetriesSpent")
	if row := w.Task("run", "settings"); !strings.Contains(row.Message, "StartFailed: FailedMount: ") ||
		!strings.Contains(row.Message, "settings-of-nobody") {
		t.Errorf("the task says %q", row.Message)
	}
	w.waitSays("run", "slow", "PodInitializing: init container wait-for-gate is running")
	w.Eventually("the DagRun to say what has failed", patience, func(context.Context) (bool, string) {
		s := w.DagRun("run").Status
		return strings.Contains(s.Message, "slow waits: PodInitializing") &&
			strings.Contains(s.Message, "settings failed: "), s.Reason + ": " + s.Message
	})
	created := w.WaitPod("run", "slow", nil).CreationTimestamp.Time
	w.Eventually("the Pod to be older than timeout and start grace", patience, func(context.Context) (bool, string) {
		age := time.Since(created)
		return age > 20*time.Second, age.String()
	})
	w.Open("gate")
	w.WaitRun("run", v1alpha1.RunFailed, patience)
	w.CheckFinal("run", "Failed", map[string]string{"settings": "Failed", "slow": "Succeeded"})
}
