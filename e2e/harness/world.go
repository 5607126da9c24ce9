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
	// Patience limits each wait for something that should happen within seconds.
	Patience = 4 * time.Minute
	pollEach = 200 * time.Millisecond

	documentEnd = "\n---\n"
)

// World is what one test has to itself: a namespace, a database, controllers, and a directory that it shares with its
// Pods.
type World struct {
	T *testing.T
	*Suite
	*Database // the first one; NewDatabase makes others
	Namespace string
	Dir       string // $DIR, in which tasks leave their side effects
	processes []*Controller
	made      []string // all namespaces
}

// New makes a world. The test runs in parallel with others.
func New(t *testing.T) *World {
	t.Helper()
	t.Parallel()
	return NewAlone(t)
}

// NewAlone makes a world for a test that needs all of the API server or the node. The test runs alone.
func NewAlone(t *testing.T) *World {
	t.Helper()
	return newWorld(t, suiteFor(t))
}

// NewOnOwnCluster makes a world on a cluster of its own, without nodes, CRDs and completer.
func NewOnOwnCluster(t *testing.T) *World {
	t.Helper()
	t.Parallel()
	apart, err := suiteFor(t).onOwnCluster(t.Cleanup)
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
	t.Cleanup(w.logPods)
	w.Namespace = w.newNamespace()
	if err := w.Accounts.GrantLease(t.Context(), w.Namespace); err != nil {
		t.Fatal(err)
	}
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

// InSecondNamespace returns this world in another namespace, with the same database and controllers.
func (w *World) InSecondNamespace() *World {
	w.T.Helper()
	beside := *w
	beside.Namespace = w.newNamespace()
	return &beside
}

var notForNames = regexp.MustCompile(`[^a-z0-9]+`)

// newNamespace makes a namespace whose name contains that of the test. It is deleted after the test.
func (w *World) newNamespace() string {
	w.T.Helper()
	name := strings.Trim(
		notForNames.ReplaceAllString(strings.ToLower(strings.TrimPrefix(w.T.Name(), "Test")), "-"), "-")
	name = "e2e-" + name[:min(len(name), 30)] + "-"
	made, err := w.Kube.CoreV1().Namespaces().Create(w.T.Context(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: name}}, metav1.CreateOptions{})
	if err != nil {
		w.T.Fatal(err)
	}
	w.T.Cleanup(func() { w.removeNamespace(made.Name) })
	w.made = append(w.made, made.Name)
	return made.Name
}

// logPods logs how many Pods were created. scripts/testreport reads it.
func (w *World) logPods() {
	n := 0
	for _, namespace := range w.made {
		n += len(w.watch.created(namespace))
	}
	w.T.Logf("Pods: %d", n)
}

// removeNamespace requests the deletion of a namespace. It removes the finalizers of its Pods, because the controllers
// have ended.
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
		_, err := pods.Patch(ctx, pod.Name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`),
			metav1.PatchOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			w.T.Errorf("removing the finalizers of Pod %s/%s: %v", name, pod.Name, err)
		}
	}
	if err := w.Kube.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
		w.T.Errorf("deleting namespace %s: %v", name, err)
	}
}

// fill replaces $DIR and $NS in a text.
func (w *World) fill(text string) string {
	return strings.NewReplacer("$DIR", w.Dir, "$NS", w.Namespace).Replace(text)
}

// Apply applies manifests with kubectl, after replacing $DIR and $NS.
func (w *World) Apply(manifests string) {
	w.T.Helper()
	if out, err := w.TryApply(manifests); err != nil {
		w.T.Fatalf("kubectl apply: %v\n%s", err, out)
	}
}

// TryApply is Apply for manifests that may be refused.
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

// ApplyDAG applies a DAG with tasks.
func (w *World) ApplyDAG(name string, tasks ...v1alpha1.Task) {
	w.T.Helper()
	w.ApplySpec(name, v1alpha1.DAGSpec{Task: tasks})
}

// ApplySpec creates a DAG or replaces its spec, after replacing $DIR and $NS. It does not run kubectl, which takes a
// large part of the time of a short test.
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

// decode decodes a manifest, after replacing $DIR and $NS.
func (w *World) decode(manifest string, into any) {
	w.T.Helper()
	if err := json.Unmarshal([]byte(strings.TrimSuffix(w.fill(manifest), documentEnd)), into); err != nil {
		w.T.Fatal(err)
	}
}

// Manifest returns a custom resource as JSON, as one document of a YAML stream.
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

// Eventually waits until check returns true. Otherwise the test fails with the state that check returned last.
func (w *World) Eventually(what string, timeout time.Duration, check func(ctx context.Context) (ok bool, is string)) {
	w.T.Helper()
	var last string
	err := wait.PollUntilContextTimeout(w.T.Context(), pollEach, timeout, true,
		func(ctx context.Context) (bool, error) {
			ok, is := check(ctx)
			last = is
			return ok, nil
		})
	if err != nil {
		w.T.Fatalf("waiting for %s: not within %s; it is %s", what, timeout, last)
	}
}

// DagRun reads a DagRun.
func (w *World) DagRun(name string) *v1alpha1.DagRun {
	w.T.Helper()
	run, err := w.Client.KontrolerV1alpha1().DagRuns(w.Namespace).Get(w.T.Context(), name, metav1.GetOptions{})
	if err != nil {
		w.T.Fatal(err)
	}
	return run
}

// DAG reads a DAG.
func (w *World) DAG(name string) *v1alpha1.DAG {
	w.T.Helper()
	dag, err := w.Client.KontrolerV1alpha1().DAGs(w.Namespace).Get(w.T.Context(), name, metav1.GetOptions{})
	if err != nil {
		w.T.Fatal(err)
	}
	return dag
}

// WaitRun waits until a DagRun has a phase. The test fails immediately if it ends in another one.
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

// WaitTask waits until the row of a task has a phase and a reason. The reason "*" stands for any.
func (w *World) WaitTask(run, task, phase, reason string) TaskRow {
	w.T.Helper()
	var row TaskRow
	w.Eventually("task "+task+" of "+run+" to be "+phase+" "+reason, Patience, func(context.Context) (bool, string) {
		var ok bool
		if row, ok = w.TryTask(run, task); !ok {
			return false, "missing"
		}
		return row.Phase == phase && (reason == "*" || row.Reason == reason),
			row.Phase + " " + row.Reason + " " + row.Message
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
		return false, "missing"
	})
	return row
}

// CheckEvent checks that a DagRun has one Event for its end, with count 1. With an empty reason it must have none.
// Events about waiting do not count.
func (w *World) CheckEvent(uid, reason string) {
	w.T.Helper()
	want := []string{}
	if reason != "" {
		want = append(want, reason+" ×1")
	}
	if diff := gocmp.Diff(want, w.eventsOf(uid, func(e *corev1.Event) bool { return !isWaiting(e) })); diff != "" {
		w.T.Errorf("Events of the DagRun (-want +got):\n%s", diff)
	}
}

// EventsOf returns the reasons and counts of the Events of an object.
func (w *World) EventsOf(uid string) []string {
	w.T.Helper()
	return w.eventsOf(uid, func(*corev1.Event) bool { return true })
}

func (w *World) eventsOf(uid string, counts func(*corev1.Event) bool) []string {
	w.T.Helper()
	list, err := w.Kube.CoreV1().Events(w.Namespace).List(w.T.Context(),
		metav1.ListOptions{FieldSelector: "involvedObject.uid=" + uid})
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

// isWaiting reports whether an Event says that a run waits.
func isWaiting(e *corev1.Event) bool {
	holds := []string{"Throttled", "QuotaExceeded", "CreateFailed", "NamespaceTerminating"}
	return strings.Contains(e.Message, " waits: ") || slices.Contains(holds, e.Reason)
}

// explain logs objects, Events, rows and logs, if the test has failed.
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

// Tail returns the last n lines of a text.
func Tail(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(lines) <= n {
		return strings.Join(lines, "\n")
	}
	return fmt.Sprintf("… %d earlier lines\n", len(lines)-n) + strings.Join(lines[len(lines)-n:], "\n")
}

// Cancel cancels a run.
func (w *World) Cancel(run string) {
	w.T.Helper()
	w.Kubectl("patch", "dagrun", run, "--type=merge", "-p", `{"spec":{"cancel":true}}`)
}

// WaitReason waits until a DagRun has a phase and a reason.
func (w *World) WaitReason(run string, phase v1alpha1.RunPhase, reason string) {
	w.T.Helper()
	w.Eventually(fmt.Sprintf("DagRun %s to be %s %q", run, phase, reason), Patience,
		func(context.Context) (bool, string) {
			s := w.DagRun(run).Status
			return s.Phase == phase && s.Reason == reason, fmt.Sprintf("%s %q: %s", s.Phase, s.Reason, s.Message)
		})
}
