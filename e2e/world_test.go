package e2e_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"

	"kontroler/apis/kontroler/v1alpha1"
)

const (
	// patience bounds every wait for what should come within seconds.
	patience = 4 * time.Minute
	pollEach = 200 * time.Millisecond
)

// world is what one test has to itself: a namespace, a database, a directory that its Pods share with it, controllers.
type world struct {
	t *testing.T
	*suite
	*database // the first; others by newDatabase
	namespace string
	dir       string // $DIR: tasks leave their side effects there, see effects
	processes []*controller
}

// newWorld makes a world. The test runs beside others from here on.
func newWorld(t *testing.T) *world {
	t.Helper()
	t.Parallel()
	return newLoneWorld(t)
}

// newLoneWorld makes a world for a test that takes the API server or the node for itself: no other runs meanwhile.
func newLoneWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, suite: theSuite(t)}
	w.namespace = w.newNamespace()
	w.database = w.newDatabase()
	w.dir = filepath.Join(w.suite.dir, w.namespace)
	if err := os.Mkdir(w.dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(w.dir, 0o777); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.explain)
	return w
}

var notForNames = regexp.MustCompile(`[^a-z0-9]+`)

// newNamespace makes a namespace named after the test, which goes with it.
func (w *world) newNamespace() string {
	w.t.Helper()
	name := strings.Trim(notForNames.ReplaceAllString(strings.ToLower(strings.TrimPrefix(w.t.Name(), "Test")), "-"), "-")
	name = "e2e-" + name[:min(len(name), 30)] + "-"
	made, err := w.kube.CoreV1().Namespaces().Create(w.t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: name}}, metav1.CreateOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { w.removeNamespace(made.Name) })
	return made.Name
}

// removeNamespace deletes a namespace and does not wait: what controllers would have done is not awaited, as they are
// gone by now.
func (w *world) removeNamespace(name string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	now := metav1.DeleteOptions{GracePeriodSeconds: new(int64)}
	pods := w.kube.CoreV1().Pods(name)
	if err := pods.DeleteCollection(ctx, now, metav1.ListOptions{}); err != nil {
		w.t.Errorf("deleting the Pods of %s: %v", name, err)
	}
	left, err := pods.List(ctx, metav1.ListOptions{})
	if err != nil {
		w.t.Errorf("listing the Pods of %s: %v", name, err)
		return
	}
	for _, pod := range left.Items {
		if len(pod.Finalizers) == 0 {
			continue
		}
		_, err := pods.Patch(ctx, pod.Name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			w.t.Errorf("releasing pod %s/%s: %v", name, pod.Name, err)
		}
	}
	if err := w.kube.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
		w.t.Errorf("deleting namespace %s: %v", name, err)
	}
}

// fill replaces $DIR and $NS.
func (w *world) fill(text string) string {
	return strings.NewReplacer("$DIR", w.dir, "$NS", w.namespace).Replace(text)
}

// apply applies manifests as `kubectl apply` does, with $DIR and $NS filled in.
func (w *world) apply(manifests string) {
	w.t.Helper()
	if out, err := w.tryApply(manifests); err != nil {
		w.t.Fatalf("kubectl apply: %v\n%s", err, out)
	}
}

// tryApply is apply for manifests that may be refused.
func (w *world) tryApply(manifests string) (string, error) {
	return w.runKubectl(w.fill(manifests), "apply", "--namespace", w.namespace, "-f", "-")
}

// kubectl runs kubectl in the world's namespace and returns what it prints.
func (w *world) kubectl(args ...string) string {
	w.t.Helper()
	out, err := w.runKubectl("", append([]string{"--namespace", w.namespace}, args...)...)
	if err != nil {
		w.t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// applyDAG applies a DAG made of tasks.
func (w *world) applyDAG(name string, tasks ...v1alpha1.Task) {
	w.t.Helper()
	w.applySpec(name, v1alpha1.DAGSpec{Task: tasks})
}

// applySpec applies a DAG.
func (w *world) applySpec(name string, spec v1alpha1.DAGSpec) {
	w.t.Helper()
	w.apply(w.manifest("DAG", name, spec))
}

// start makes a DagRun of a DAG.
func (w *world) start(run, dag string, parameters ...v1alpha1.ParameterValue) {
	w.t.Helper()
	w.apply(w.manifest("DagRun", run, v1alpha1.DagRunSpec{DagName: dag, Parameters: parameters}))
}

// manifest is a custom resource as JSON, a document of a stream.
func (w *world) manifest(kind, name string, spec any) string {
	w.t.Helper()
	body, err := json.Marshal(map[string]any{
		"apiVersion": v1alpha1.SchemeGroupVersion.String(), "kind": kind,
		"metadata": map[string]any{"name": name, "namespace": w.namespace}, "spec": spec,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return string(body) + "\n---\n"
}

// taskOption changes a task of sh.
type taskOption func(*v1alpha1.Task)

// after names the parents of a task.
func after(parents ...string) taskOption {
	return func(t *v1alpha1.Task) { t.RunAfter = append(t.RunAfter, parents...) }
}

// retries gives a task retries without a delay worth waiting for.
func retries(limit int64) taskOption {
	return func(t *v1alpha1.Task) {
		t.Backoff = &v1alpha1.Backoff{Limit: new(limit), Duration: &metav1.Duration{Duration: 100 * time.Millisecond}}
	}
}

// sh is a task that runs a shell script (set -e; $DIR is at /dir) and, if that succeeds, leaves its side effect: the name
// of its Pod as a line of the file that has the task's name, which effects reads.
func sh(name, script string, options ...taskOption) v1alpha1.Task {
	directory := corev1.HostPathDirectory
	grace := int64(1)
	if script == "" {
		script = ":"
	}
	t := v1alpha1.Task{Name: name, TaskTemplate: v1alpha1.TaskTemplate{
		Image:   "busybox:1.36",
		Command: []string{"/bin/sh", "-c", "set -e\n" + script + "\necho $HOSTNAME >> /dir/effect." + name},
		PodTemplate: &v1alpha1.PodTemplate{
			TerminationGracePeriodSeconds: &grace,
			VolumeMounts:                  []corev1.VolumeMount{{Name: "dir", MountPath: "/dir"}},
			Volumes: []corev1.Volume{{Name: "dir", VolumeSource: corev1.VolumeSource{
				HostPath: &corev1.HostPathVolumeSource{Path: "$DIR", Type: &directory},
			}}},
		},
	}}
	for _, option := range options {
		option(&t)
	}
	return t
}

// until is a script that waits for a file of $DIR: the test opens the gate.
func until(gate string) string {
	return "while [ ! -e /dir/" + gate + " ]; do sleep 0.1; done"
}

// open lets tasks pass that wait for a gate.
func (w *world) open(gate string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, gate), nil, 0o666); err != nil {
		w.t.Fatal(err)
	}
}

// effects are the side effects of tasks made by sh: how often each ran to its end.
func (w *world) effects() map[string]int {
	w.t.Helper()
	files, err := filepath.Glob(filepath.Join(w.dir, "effect.*"))
	if err != nil {
		w.t.Fatal(err)
	}
	count := map[string]int{}
	for _, file := range files {
		lines, err := os.ReadFile(file)
		if err != nil {
			w.t.Fatal(err)
		}
		count[strings.TrimPrefix(filepath.Base(file), "effect.")] = strings.Count(string(lines), "\n")
	}
	return count
}

// file is the content of a file of $DIR.
func (w *world) file(name string) string {
	w.t.Helper()
	content, err := os.ReadFile(filepath.Join(w.dir, name))
	if err != nil {
		w.t.Fatal(err)
	}
	return string(content)
}

// eventually waits until check holds; else the test fails with what check said last.
func (w *world) eventually(what string, timeout time.Duration, check func(ctx context.Context) (ok bool, is string)) {
	w.t.Helper()
	var last string
	err := wait.PollUntilContextTimeout(w.t.Context(), pollEach, timeout, true, func(ctx context.Context) (bool, error) {
		ok, is := check(ctx)
		last = is
		return ok, nil
	})
	if err != nil {
		w.t.Fatalf("waiting for %s: not within %s; it is %s", what, timeout, last)
	}
}

// dagRun reads a DagRun.
func (w *world) dagRun(name string) *v1alpha1.DagRun {
	w.t.Helper()
	run, err := w.client.KontrolerV1alpha1().DagRuns(w.namespace).Get(w.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return run
}

// dag reads a DAG.
func (w *world) dag(name string) *v1alpha1.DAG {
	w.t.Helper()
	dag, err := w.client.KontrolerV1alpha1().DAGs(w.namespace).Get(w.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return dag
}

// waitRun waits until a DagRun has a phase. One that ends otherwise fails the test at once.
func (w *world) waitRun(name string, phase v1alpha1.RunPhase, timeout time.Duration) *v1alpha1.DagRun {
	w.t.Helper()
	var run *v1alpha1.DagRun
	w.eventually("DagRun "+name+" to be "+string(phase), timeout, func(context.Context) (bool, string) {
		run = w.dagRun(name)
		s := run.Status
		if s.Phase.Ended() && s.Phase != phase {
			w.t.Fatalf("DagRun %s is %s, want %s: %s: %s", name, s.Phase, phase, s.Reason, s.Message)
		}
		return s.Phase == phase, string(s.Phase) + " " + s.Reason + " " + s.Message + " " + s.Progress
	})
	return run
}

// waitTask waits until a task of a run has a phase, as the read contract tells it, and a reason unless that is "*".
func (w *world) waitTask(run, task, phase, reason string) taskRow {
	w.t.Helper()
	var row taskRow
	w.eventually("task "+task+" of "+run+" to be "+phase+" "+reason, patience, func(context.Context) (bool, string) {
		var ok bool
		if row, ok = w.tryTask(run, task); !ok {
			return false, "not there"
		}
		return row.Phase == phase && (reason == "*" || row.Reason == reason), row.Phase + " " + row.Reason + " " + row.Message
	})
	return row
}

// waitAttempt waits until an attempt of a task has a phase.
func (w *world) waitAttempt(run, task string, number int, phase string) attemptRow {
	w.t.Helper()
	var row attemptRow
	w.eventually("an attempt of "+task+" of "+run+" to be "+phase, patience, func(context.Context) (bool, string) {
		for _, a := range w.attempts(run) {
			if a.Task == task && a.Number == number {
				row = a
				return a.Phase == phase, a.Phase + " " + a.Reason + " " + a.Message
			}
		}
		return false, "not there"
	})
	return row
}

// pods are the Pods of a run, of any phase: those that its DagRun controls.
func (w *world) pods(run string) []corev1.Pod {
	w.t.Helper()
	return w.podsOf(string(w.dagRun(run).UID))
}

func (w *world) podsOf(uid string) []corev1.Pod {
	w.t.Helper()
	list, err := w.kube.CoreV1().Pods(w.namespace).List(w.t.Context(), metav1.ListOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return slices.DeleteFunc(list.Items, func(pod corev1.Pod) bool {
		owner := metav1.GetControllerOf(&pod)
		return owner == nil || string(owner.UID) != uid
	})
}

// waitPod waits for a Pod of a task that check accepts; nil accepts any.
func (w *world) waitPod(run, task string, check func(*corev1.Pod) bool) *corev1.Pod {
	w.t.Helper()
	var found *corev1.Pod
	w.eventually("a Pod of "+task+" of "+run, patience, func(context.Context) (bool, string) {
		is := "not there"
		for _, pod := range w.pods(run) {
			if pod.Labels[v1alpha1.LabelTask] != task {
				continue
			}
			if check == nil || check(&pod) {
				found = &pod
				return true, ""
			}
			is = string(pod.Status.Phase) + " " + pod.Status.Reason
		}
		return false, is
	})
	return found
}

// running accepts a Pod whose task container runs.
func running(pod *corev1.Pod) bool {
	for _, c := range pod.Status.ContainerStatuses {
		if c.Name == v1alpha1.TaskContainer {
			return c.State.Running != nil
		}
	}
	return false
}

// terminated accepts a Pod whose task container has ended.
func terminated(pod *corev1.Pod) bool {
	for _, c := range pod.Status.ContainerStatuses {
		if c.Name == v1alpha1.TaskContainer {
			return c.State.Terminated != nil
		}
	}
	return false
}

// settled accepts a Pod that is over and with which its kubelet has finished. While the kubelet still cleans up it reports
// once more, and a deletion in the same second as the end can then not be told from the cause of the end: such an attempt
// is Lost, not Failed.
func settled(pod *corev1.Pod) bool {
	if pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed {
		return false
	}
	for _, c := range pod.Status.ContainerStatuses {
		if c.Name == v1alpha1.TaskContainer && c.State.Terminated != nil {
			return time.Since(c.State.Terminated.FinishedAt.Time) > 8*time.Second
		}
	}
	return false
}
