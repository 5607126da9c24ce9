package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/retry"

	"kontroler/apis/kontroler/v1alpha1"
)

const (
	// Patience bounds every wait for what should come within seconds.
	Patience = 4 * time.Minute
	pollEach = 200 * time.Millisecond

	documentEnd = "\n---\n"
)

// World is what one test has to itself: a namespace, a database, a directory that its Pods share with it, controllers.
type World struct {
	T *testing.T
	*Suite
	*Database // the first; others by newDatabase
	Namespace string
	Dir       string // $DIR: tasks leave their side effects there, see effects
	processes []*Controller
	made      []string // namespaces
}

// New makes a world. The test runs beside others from here on.
func New(t *testing.T) *World {
	t.Helper()
	t.Parallel()
	return NewLone(t)
}

// NewLone makes a world for a test that takes the API server or the node for itself: no other runs meanwhile.
func NewLone(t *testing.T) *World {
	t.Helper()
	return newWorld(t, theSuite(t))
}

// NewApart makes a world on a cluster of its own, which has neither nodes nor CRDs, and where nobody plays the Pods.
func NewApart(t *testing.T) *World {
	t.Helper()
	t.Parallel()
	apart, err := theSuite(t).apart(t.Cleanup)
	if errors.Is(err, errNoCluster) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return newWorld(t, apart)
}

func newWorld(t *testing.T, s *Suite) *World {
	t.Helper()
	w := &World{T: t, Suite: s}
	t.Cleanup(w.tellPods)
	w.Namespace = w.newNamespace()
	w.Database = w.NewDatabase()
	w.Dir = filepath.Join(w.Suite.Dir, w.Namespace)
	if err := os.Mkdir(w.Dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(w.Dir, 0o777); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.explain)
	return w
}

// Beside is this world in a second namespace: the same database and the same controllers.
func (w *World) Beside() *World {
	w.T.Helper()
	beside := *w
	beside.Namespace = w.newNamespace()
	return &beside
}

var notForNames = regexp.MustCompile(`[^a-z0-9]+`)

// newNamespace makes a namespace named after the test, which goes with it.
func (w *World) newNamespace() string {
	w.T.Helper()
	name := strings.Trim(notForNames.ReplaceAllString(strings.ToLower(strings.TrimPrefix(w.T.Name(), "Test")), "-"), "-")
	name = "e2e-" + name[:min(len(name), 30)] + "-"
	made, err := w.Kube.CoreV1().Namespaces().Create(w.T.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: name}}, metav1.CreateOptions{})
	if err != nil {
		w.T.Fatal(err)
	}
	w.T.Cleanup(func() { w.removeNamespace(made.Name) })
	w.made = append(w.made, made.Name)
	return made.Name
}

// tellPods logs how many Pods were created, for scripts/testreport.
func (w *World) tellPods() {
	n := 0
	for _, namespace := range w.made {
		n += len(w.watch.created(namespace))
	}
	w.T.Logf("Pods: %d", n)
}

// removeNamespace deletes a namespace and does not wait: what controllers would have done is not awaited, as they are
// gone by now.
func (w *World) removeNamespace(name string) {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	now := metav1.DeleteOptions{GracePeriodSeconds: new(int64)}
	pods := w.Kube.CoreV1().Pods(name)
	if err := pods.DeleteCollection(ctx, now, metav1.ListOptions{}); err != nil {
		w.T.Errorf("deleting the Pods of %s: %v", name, err)
	}
	left, err := pods.List(ctx, metav1.ListOptions{})
	if err != nil {
		w.T.Errorf("listing the Pods of %s: %v", name, err)
		return
	}
	for _, pod := range left.Items {
		if len(pod.Finalizers) == 0 {
			continue
		}
		_, err := pods.Patch(ctx, pod.Name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			w.T.Errorf("releasing pod %s/%s: %v", name, pod.Name, err)
		}
	}
	if err := w.Kube.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
		w.T.Errorf("deleting namespace %s: %v", name, err)
	}
}

// fill replaces $DIR and $NS.
func (w *World) fill(text string) string {
	return strings.NewReplacer("$DIR", w.Dir, "$NS", w.Namespace).Replace(text)
}

// Apply applies manifests as `kubectl apply` does, with $DIR and $NS filled in.
func (w *World) Apply(manifests string) {
	w.T.Helper()
	if out, err := w.TryApply(manifests); err != nil {
		w.T.Fatalf("kubectl apply: %v\n%s", err, out)
	}
}

// TryApply is apply for manifests that may be refused.
func (w *World) TryApply(manifests string) (string, error) {
	return w.RunKubectl(w.fill(manifests), "apply", "--namespace", w.Namespace, "-f", "-")
}

// Kubectl runs kubectl in the world's namespace and returns what it prints.
func (w *World) Kubectl(args ...string) string {
	w.T.Helper()
	out, err := w.RunKubectl("", append([]string{"--namespace", w.Namespace}, args...)...)
	if err != nil {
		w.T.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// ApplyDAG applies a DAG made of tasks.
func (w *World) ApplyDAG(name string, tasks ...v1alpha1.Task) {
	w.T.Helper()
	w.ApplySpec(name, v1alpha1.DAGSpec{Task: tasks})
}

// ApplySpec creates a DAG, or replaces its spec, with $DIR and $NS filled in. It saves the processor time of kubectl,
// which is a large part of a short test.
func (w *World) ApplySpec(name string, spec v1alpha1.DAGSpec) {
	w.T.Helper()
	var d v1alpha1.DAG
	w.decode(w.Manifest("DAG", name, spec), &d)
	dags := w.Client.KontrolerV1alpha1().DAGs(w.Namespace)
	_, err := dags.Create(w.T.Context(), &d, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		err = retry.RetryOnConflict(retry.DefaultRetry, func() error {
			current := w.DAG(name)
			current.Spec = d.Spec
			_, err := dags.Update(w.T.Context(), current, metav1.UpdateOptions{})
			return err
		})
	}
	if err != nil {
		w.T.Fatal(err)
	}
}

// Start creates a DagRun of a DAG.
func (w *World) Start(run, dag string, parameters ...v1alpha1.ParameterValue) {
	w.T.Helper()
	var r v1alpha1.DagRun
	w.decode(w.Manifest("DagRun", run, v1alpha1.DagRunSpec{DagName: dag, Parameters: parameters}), &r)
	dagRuns := w.Client.KontrolerV1alpha1().DagRuns(w.Namespace)
	if _, err := dagRuns.Create(w.T.Context(), &r, metav1.CreateOptions{}); err != nil {
		w.T.Fatal(err)
	}
}

// decode reads a manifest into an object, with $DIR and $NS filled in.
func (w *World) decode(manifest string, into any) {
	w.T.Helper()
	if err := json.Unmarshal([]byte(strings.TrimSuffix(w.fill(manifest), documentEnd)), into); err != nil {
		w.T.Fatal(err)
	}
}

// Manifest is a custom resource as JSON, a document of a stream.
func (w *World) Manifest(kind, name string, spec any) string {
	w.T.Helper()
	body, err := json.Marshal(map[string]any{
		"apiVersion": v1alpha1.SchemeGroupVersion.String(), "kind": kind,
		"metadata": map[string]any{"name": name, "namespace": w.Namespace}, "spec": spec,
	})
	if err != nil {
		w.T.Fatal(err)
	}
	return string(body) + documentEnd
}

// Eventually waits until check holds; else the test fails with what check said last.
func (w *World) Eventually(what string, timeout time.Duration, check func(ctx context.Context) (ok bool, is string)) {
	w.T.Helper()
	var last string
	err := wait.PollUntilContextTimeout(w.T.Context(), pollEach, timeout, true, func(ctx context.Context) (bool, error) {
		ok, is := check(ctx)
		last = is
		return ok, nil
	})
	if err != nil {
		w.T.Fatalf("waiting for %s: not within %s; it is %s", what, timeout, last)
	}
}

// DagRun reads a dagRun.
func (w *World) DagRun(name string) *v1alpha1.DagRun {
	w.T.Helper()
	run, err := w.Client.KontrolerV1alpha1().DagRuns(w.Namespace).Get(w.T.Context(), name, metav1.GetOptions{})
	if err != nil {
		w.T.Fatal(err)
	}
	return run
}

// DAG reads a dAG.
func (w *World) DAG(name string) *v1alpha1.DAG {
	w.T.Helper()
	dag, err := w.Client.KontrolerV1alpha1().DAGs(w.Namespace).Get(w.T.Context(), name, metav1.GetOptions{})
	if err != nil {
		w.T.Fatal(err)
	}
	return dag
}

// WaitRun waits until a DagRun has a phase. One that ends otherwise fails the test at once.
func (w *World) WaitRun(name string, phase v1alpha1.RunPhase, timeout time.Duration) *v1alpha1.DagRun {
	w.T.Helper()
	var run *v1alpha1.DagRun
	w.Eventually("DagRun "+name+" to be "+string(phase), timeout, func(context.Context) (bool, string) {
		run = w.DagRun(name)
		s := run.Status
		if s.Phase.Ended() && s.Phase != phase {
			w.T.Fatalf("DagRun %s is %s, want %s: %s: %s", name, s.Phase, phase, s.Reason, s.Message)
		}
		return s.Phase == phase, string(s.Phase) + " " + s.Reason + " " + s.Message + " " + s.Progress
	})
	return run
}

// WaitTask waits until a task of a run has a phase, as the read contract tells it, and a reason unless that is "*".
func (w *World) WaitTask(run, task, phase, reason string) TaskRow {
	w.T.Helper()
	var row TaskRow
	w.Eventually("task "+task+" of "+run+" to be "+phase+" "+reason, Patience, func(context.Context) (bool, string) {
		var ok bool
		if row, ok = w.TryTask(run, task); !ok {
			return false, "not there"
		}
		return row.Phase == phase && (reason == "*" || row.Reason == reason), row.Phase + " " + row.Reason + " " + row.Message
	})
	return row
}

// WaitAttempt waits until an attempt of a task has a phase.
func (w *World) WaitAttempt(run, task string, number int, phase string) AttemptRow {
	w.T.Helper()
	var row AttemptRow
	w.Eventually("an attempt of "+task+" of "+run+" to be "+phase, Patience, func(context.Context) (bool, string) {
		for _, a := range w.Attempts(run) {
			if a.Task == task && a.Number == number {
				row = a
				return a.Phase == phase, a.Phase + " " + a.Reason + " " + a.Message
			}
		}
		return false, "not there"
	})
	return row
}

// CheckEvent checks that a DagRun has one Event of its end, and that it was told once; none for "". Events of a standstill
// do not count.
func (w *World) CheckEvent(uid, reason string) {
	w.T.Helper()
	want := []string{}
	if reason != "" {
		want = append(want, reason+" ×1")
	}
	if diff := gocmp.Diff(want, w.eventsOf(uid, func(e *corev1.Event) bool { return !isStandstill(e) })); diff != "" {
		w.T.Errorf("Events of the DagRun (-want +got):\n%s", diff)
	}
}

// EventsOf are the Events of an object, with how often each was told.
func (w *World) EventsOf(uid string) []string {
	w.T.Helper()
	return w.eventsOf(uid, func(*corev1.Event) bool { return true })
}

func (w *World) eventsOf(uid string, counts func(*corev1.Event) bool) []string {
	w.T.Helper()
	list, err := w.Kube.CoreV1().Events(w.Namespace).List(w.T.Context(), metav1.ListOptions{FieldSelector: "involvedObject.uid=" + uid})
	if err != nil {
		w.T.Fatal(err)
	}
	is := []string{}
	for i := range list.Items {
		if event := &list.Items[i]; counts(event) {
			is = append(is, fmt.Sprintf("%s ×%d", event.Reason, event.Count))
		}
	}
	return is
}

// isStandstill reports an Event of a run that does not get on.
func isStandstill(e *corev1.Event) bool {
	holds := []string{"Throttled", "QuotaExceeded", "CreateFailed", "NamespaceTerminating"}
	return strings.Contains(e.Message, " waits: ") || slices.Contains(holds, e.Reason)
}

// explain prints, for a test that failed, what was there: logs, rows, Pods, Events.
func (w *World) explain() {
	if !w.T.Failed() {
		return
	}
	for _, args := range [][]string{
		{"get", "dags,dagruns,pods", "-o", "wide"},
		{"get", "dagruns", "-o", "yaml"},
		{"get", "events", "--sort-by=.lastTimestamp"},
	} {
		out, _ := w.RunKubectl("", append([]string{"--namespace", w.Namespace}, args...)...)
		w.T.Logf("kubectl %s\n%s", strings.Join(args, " "), Tail(out, 100))
	}
	w.T.Logf("database\n%s", Tail(w.dump(), 300))
	for _, c := range w.processes {
		w.T.Logf("log of %s\n%s", c.Name, Tail(c.Log(), 300))
	}
}

// Tail is the last lines of a text.
func Tail(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(lines) <= n {
		return strings.Join(lines, "\n")
	}
	return fmt.Sprintf("… %d lines before\n", len(lines)-n) + strings.Join(lines[len(lines)-n:], "\n")
}

// Cancel asks for the end of a run.
func (w *World) Cancel(run string) {
	w.T.Helper()
	w.Kubectl("patch", "dagrun", run, "--type=merge", "-p", `{"spec":{"cancel":true}}`)
}

// WaitReason waits until a DagRun has a phase and a reason.
func (w *World) WaitReason(run string, phase v1alpha1.RunPhase, reason string) {
	w.T.Helper()
	w.Eventually(fmt.Sprintf("DagRun %s to be %s %q", run, phase, reason), Patience, func(context.Context) (bool, string) {
		s := w.DagRun(run).Status
		return s.Phase == phase && s.Reason == reason, fmt.Sprintf("%s %q: %s", s.Phase, s.Reason, s.Message)
	})
}
