package e2e_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
)

// scene is a run during which a controller dies, and what it must come to all the same.
type scene struct {
	tasks      []v1alpha1.Task
	parameters []v1alpha1.ParameterValue
	// during does what the scene needs while the controller that will die works.
	during func(w *world)
	// phase and event are the run's end, the reason of its one Event; "" none: its DagRun is gone.
	phase, event string
	outcomes     map[string]string
	effects      []string
}

const theRun = "run"

// atOnce is for a controller that takes the Lease of one that is dead; its own does not run out when the machine is busy.
var atOnce = flags("--leader-elect=false", "--lease-duration=120s")

// marked is sh with a line of the file "started" for each time that it starts: the name of its Pod.
func marked(name, script string, options ...taskOption) v1alpha1.Task {
	return sh(name, "echo $HOSTNAME >> /dir/started\n"+script, options...)
}

// once fails or hangs the first time it runs and is nothing the second time.
func once(task, instead string) string {
	return fmt.Sprintf("if [ ! -e /dir/first.%[1]s ]; then > /dir/first.%[1]s; %[2]s; fi", task, instead)
}

const forever = "sleep 1000"

// A diamond with a retry: its Pods are created in the order a; b and c; b again; d.
func diamondScene() scene {
	return scene{
		tasks: []v1alpha1.Task{marked("a", ""), marked("b", once("b", "exit 3"), after("a"), retries(1)), marked("c", "", after("a")),
			marked("d", "", after("b", "c"))},
		phase: "Succeeded", event: "Succeeded", effects: []string{"a", "b", "c", "d"},
		outcomes: map[string]string{"a": "Succeeded", "b": "Succeeded 2", "c": "Succeeded", "d": "Succeeded"},
	}
}

// A timeout, then a retry.
func timeoutScene() scene {
	return scene{
		tasks: []v1alpha1.Task{marked("slow", once("slow", forever), timeout(5), retries(1)), marked("child", "", after("slow"))},
		phase: "Succeeded", event: "Succeeded", effects: []string{"slow", "child"},
		outcomes: map[string]string{"slow": "Succeeded 2", "child": "Succeeded"},
	}
}

func stoppedScene(event string, stop func(*world)) scene {
	return scene{
		tasks: []v1alpha1.Task{marked("done", ""), marked("live", forever, after("done")), marked("never", "", after("live"))},
		during: func(w *world) {
			w.waitStarted(2)
			stop(w)
		},
		phase: "Cancelled", event: event, effects: []string{"done"},
		outcomes: map[string]string{"done": "Succeeded", "live": "Cancelled 1", "never": "Cancelled"},
	}
}

func cancelScene() scene { return stoppedScene("UserCancelled", func(w *world) { w.cancel(theRun) }) }
func deleteScene() scene {
	return stoppedScene("", func(w *world) { w.kubectl("delete", "dagrun", theRun) })
}

// A task fails for good: its descendants are skipped.
func failureScene() scene {
	return scene{
		tasks: []v1alpha1.Task{marked("bad", "exit 1"), marked("good", ""), marked("child", "", after("bad", "good")), marked("grandchild", "", after("child"))},
		phase: "Failed", event: "TaskFailed", effects: []string{"good"},
		outcomes: map[string]string{"bad": "Failed", "good": "Succeeded", "child": "Skipped", "grandchild": "Skipped"},
	}
}

func refusedScene() scene {
	value := "x"
	return scene{
		tasks: []v1alpha1.Task{marked("never", "")}, parameters: []v1alpha1.ParameterValue{{Name: "unknown", Value: &value}},
		phase: "Failed", event: "InvalidParameters", outcomes: map[string]string{},
	}
}

// A live Pod loses its labels.
func strippedScene() scene {
	return scene{
		tasks: []v1alpha1.Task{marked("live", until("go")), marked("child", "", after("live"))},
		during: func(w *world) {
			w.waitStarted(1)
			pod := w.waitPod(theRun, "live", running)
			w.kubectl("label", "pod", pod.Name, v1alpha1.LabelController+"-", v1alpha1.LabelRun+"-")
			w.open("go")
		},
		phase: "Succeeded", event: "Succeeded", effects: []string{"live", "child"},
		outcomes: map[string]string{"live": "Succeeded", "child": "Succeeded"},
	}
}

// TestKilledAt kills a controller with SIGKILL at each of the points between a commit and its effect, and between two
// effects. The next one finishes the run as if nothing had been.
func TestKilledAt(t *testing.T) {
	for fault, scene := range map[string]scene{
		// Before there is a run.
		"epoch-taken:1":       diamondScene(),
		"term-resumed:1":      diamondScene(),
		"dag-claimed:1":       diamondScene(),
		"version-committed:1": diamondScene(),
		"dag-reported:1":      diamondScene(),
		// Admission.
		"run-admitted:1": diamondScene(),
		"run-claimed:1":  diamondScene(),
		// The start; a Pod that was seen; an outcome; a retry; the join. Six commits at least make this run.
		"run-committed:1": diamondScene(),
		"run-committed:2": diamondScene(),
		"run-committed:3": diamondScene(),
		"run-committed:4": diamondScene(),
		"run-committed:6": diamondScene(),
		// Inside a transaction: the version's, the admission's, the first one of the run.
		"transaction-commit:1@dag-claimed": diamondScene(),
		"transaction-open:2@dag-claimed":   diamondScene(),
		"transaction-commit:1@run-claimed": diamondScene(),
		// The Pods of the first task, of two at once, of the retry, of the join.
		"pod-create:1":  diamondScene(),
		"pod-create:4":  diamondScene(),
		"pod-created:1": diamondScene(),
		"pod-created:2": diamondScene(),
		"pod-created:5": diamondScene(),
		"relabelled:1":  strippedScene(),
		// Pods whose outcome is counted.
		"reap:1":         diamondScene(),
		"pod-released:2": diamondScene(),
		"pod-deleted:3":  diamondScene(),
		// A Pod that is stopped: by a timeout, by a cancel.
		"pod-stop:1":         timeoutScene(),
		"pod-stopped:1":      timeoutScene(),
		"cancel pod-stop:1":  cancelScene(),
		"cancel pod-stopped": cancelScene(),
		// The end.
		"run-end-committed:1":         diamondScene(),
		"failure run-end-committed:1": failureScene(),
		"cancel run-end-committed:1":  cancelScene(),
		"delete run-end-committed:1":  deleteScene(),
		"end-report:1":                diamondScene(),
		"end-recorded:1":              diamondScene(),
		"end-reported:1":              diamondScene(),
		"refused run-admitted:1":      refusedScene(),
		"refused end-recorded:1":      refusedScene(),
		"cancel end-reported:1":       cancelScene(),
	} {
		t.Run(fault, func(t *testing.T) {
			w := newWorld(t)
			w.prepare(scene)
			w.dieAt(fault, scene.during)
			w.controller(atOnce)
			w.checkScene(scene)
		})
	}
}

// A diamond with a retry, and after it a chain: each of many controllers still finds Pods to create and to reap, however
// much the one before it got done until it was killed.
func longScene() scene {
	s := diamondScene()
	for parent, name := range map[string]string{"d": "e1", "e1": "e2", "e2": "e3", "e3": "e4", "e4": "e5", "e5": "e6", "e6": "e7", "e7": "e8"} {
		s.tasks = append(s.tasks, marked(name, "", after(parent)))
		s.effects = append(s.effects, name)
		s.outcomes[name] = "Succeeded"
	}
	return s
}

// TestKilledAgainAndAgain kills one controller after the other in one run.
func TestKilledAgainAndAgain(t *testing.T) {
	w := newWorld(t)
	scene := longScene()
	w.prepare(scene)
	for _, fault := range []string{
		"version-committed:1", "run-admitted:1", "run-claimed:1", "run-committed:1", "pod-create:1", "term-resumed:1", "pod-created:1", "run-committed:2",
		"reap:1", "pod-created:1", "pod-released:1", "pod-deleted:1", "pod-created:1", "run-end-committed:1",
	} {
		w.dieAt(fault, nil)
	}
	// The rows say that it has ended, the DagRun does not yet; there may still be Pods.
	w.dieAt("end-report:1", nil)
	w.dieAt("end-recorded:1", nil)
	w.controller(atOnce)
	w.checkScene(scene)
}

// prepare applies the scene's DAG and its run: whatever controller comes finds them.
func (w *world) prepare(s scene) {
	w.t.Helper()
	w.apply(w.manifest("DAG", "dag", v1alpha1.DAGSpec{Task: s.tasks}) +
		w.manifest("DagRun", theRun, v1alpha1.DagRunSpec{DagName: "dag", Parameters: s.parameters}))
}

// dieAt starts a controller that is killed at a point, "[scene ]point[:time]", and waits until it was.
func (w *world) dieAt(fault string, during func(*world)) {
	w.t.Helper()
	point, times, _ := strings.Cut(fault[strings.LastIndex(fault, " ")+1:], ":")
	if times == "" {
		times = "1"
	}
	c, hit := w.launchFaulty("kill:" + point + ":" + times)
	if during != nil {
		during(w)
	}
	c.waitExit()
	if is := c.cmd.ProcessState.Sys().(syscall.WaitStatus); !is.Signaled() || is.Signal() != syscall.SIGKILL {
		w.t.Fatalf("%s ended by itself, it was to be killed at %s: %s", c.name, point, c.cmd.ProcessState)
	}
	if is := hit(); is != point {
		w.t.Fatalf("%s was killed at %q, want %q", c.name, is, point)
	}
}

// launchFaulty starts a controller with a fault, ready or not. hit returns the point once it was reached.
func (w *world) launchFaulty(fault string, options ...processOption) (c *controller, hit func() string) {
	w.t.Helper()
	file := filepath.Join(w.t.TempDir(), "hit")
	c = w.launch(append([]processOption{atOnce, environment("KONTROLER_FAULT="+fault, "KONTROLER_FAULT_FILE="+file)}, options...)...)
	return c, func() string {
		point, err := os.ReadFile(file)
		if err != nil && !os.IsNotExist(err) {
			w.t.Fatal(err)
		}
		return string(point)
	}
}

// checkScene waits for the end of the scene's run and checks all that is left of it.
func (w *world) checkScene(s scene) {
	w.t.Helper()
	row := w.checkFinal(theRun, s.phase, s.outcomes)
	w.checkOnce(s.effects...)
	w.checkStarts(theRun)
	for _, task := range w.tasks(theRun) {
		// Only where the DagRun was deleted somebody else deletes Pods too: the garbage collector.
		if task.Restarts != 0 && s.event != "" {
			w.t.Errorf("task %s was restarted %d times: a crash of the controller is no failure", task.Name, task.Restarts)
		}
	}
	w.checkEvent(row.UID, s.event)
}

// checkStarts checks that each attempt of all of the world's runs, made by marked, that started did so once, and nothing
// else did.
func (w *world) checkStarts(runs ...string) {
	w.t.Helper()
	want := map[string]int{}
	for _, run := range runs {
		for _, a := range w.attempts(run) {
			if a.StartedAt.Unix() != 0 {
				want[a.PodName] = 1
			}
		}
	}
	is := map[string]int{}
	for _, pod := range w.started() {
		is[pod]++
	}
	if diff := gocmp.Diff(want, is); diff != "" {
		w.t.Errorf("starts, by Pod (-want +got):\n%s", diff)
	}
}

// started are the Pods of tasks made by marked, in the order in which they started.
func (w *world) started() []string {
	w.t.Helper()
	lines, err := os.ReadFile(filepath.Join(w.dir, "started"))
	if err != nil && !os.IsNotExist(err) {
		w.t.Fatal(err)
	}
	return strings.Fields(string(lines))
}

// waitStarted waits until n Pods of tasks made by marked have started.
func (w *world) waitStarted(n int) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("%d starts", n), patience, func(context.Context) (bool, string) {
		is := w.started()
		return len(is) >= n, strings.Join(is, ", ")
	})
}

// checkEvent checks that a DagRun has one Event, of its end, and that it was told once; none for "".
func (w *world) checkEvent(uid, reason string) {
	w.t.Helper()
	want := []string{}
	if reason != "" {
		want = append(want, reason+" ×1")
	}
	if diff := gocmp.Diff(want, w.eventsOf(uid)); diff != "" {
		w.t.Errorf("Events of the DagRun (-want +got):\n%s", diff)
	}
}

// eventsOf are the Events of an object, with how often each was told.
func (w *world) eventsOf(uid string) []string {
	w.t.Helper()
	list, err := w.kube.CoreV1().Events(w.namespace).List(w.t.Context(), metav1.ListOptions{FieldSelector: "involvedObject.uid=" + uid})
	if err != nil {
		w.t.Fatal(err)
	}
	is := []string{}
	for _, event := range list.Items {
		is = append(is, fmt.Sprintf("%s ×%d", event.Reason, event.Count))
	}
	return is
}

// exec changes rows behind the controller's back.
func (d *database) exec(statement string, args ...any) int64 {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	result, err := d.db.ExecContext(ctx, statement, args...)
	if err != nil {
		d.t.Fatal(err)
	}
	n, err := result.RowsAffected()
	if err != nil {
		d.t.Fatal(err)
	}
	return n
}

// strings are the texts that a query returns.
func (d *database) strings(query string, args ...any) []string {
	d.t.Helper()
	var all []string
	err := d.query(func(rows *sql.Rows) error {
		var one string
		defer func() { all = append(all, one) }()
		return rows.Scan(&one)
	}, query, args...)
	if err != nil {
		d.t.Fatal(err)
	}
	return all
}

// A Pod that appears when its attempt has ended, as of a create whose answer came too late, is deleted and recorded: while
// the run lives, and after its end.
func TestStray(t *testing.T) {
	w := newWorld(t)
	c := w.controller(patientLease)
	w.applyDAG("dag", marked("a", ""), marked("b", until("go")))
	w.start(theRun, "dag")
	pod := w.waitPod(theRun, "a", nil)
	w.waitTask(theRun, "a", "Succeeded", "*")
	w.waitPodGone(pod.Name)
	first := w.stray(pod)
	w.open("go")
	w.waitRun(theRun, v1alpha1.RunSucceeded, patience)
	if is := w.attemptsOf(theRun, "a")[0].Stray; is != first {
		t.Errorf("the attempt's stray Pod is %q, want %q", is, first)
	}
	second := w.stray(pod)
	w.checkStray(second)
	// The controller is away when the third appears, and dies between the record and the deletion.
	c.stop()
	third := w.makeStray(pod)
	w.dieAt("stray-recorded:1", nil)
	w.controller(atOnce)
	w.waitPodGone(pod.Name)
	w.checkStray(third)
	if starts := w.started(); len(starts) != 2 {
		t.Errorf("the Pods %v started: a stray one ran", starts)
	}
}

// checkStray checks the final rows of a run whose one fault is a stray Pod.
func (w *world) checkStray(uid string) {
	w.t.Helper()
	row := w.run(theRun)
	if diff := gocmp.Diff([]string{"attempt 1 of a has a stray Pod"}, w.faults(row)); diff != "" || row.Phase != "Succeeded" {
		w.t.Errorf("the run is %s, its faults are (-want +got):\n%s", row.Phase, diff)
	}
	if is := w.attemptsOf(theRun, "a")[0].Stray; is != uid {
		w.t.Errorf("the attempt's stray Pod is %q, want %q", is, uid)
	}
	w.checkStatus(row)
	w.checkPodsGone(row.UID)
	w.checkOnce("a", "b")
}

// stray makes a Pod like one that is gone and waits until it is gone too.
func (w *world) stray(like *corev1.Pod) (uid string) {
	w.t.Helper()
	uid = w.makeStray(like)
	w.waitPodGone(like.Name)
	return uid
}

// makeStray makes a Pod that differs from one that is gone in nothing but its UID. No node takes it.
func (w *world) makeStray(like *corev1.Pod) (uid string) {
	w.t.Helper()
	pod := like.DeepCopy()
	pod.ObjectMeta = metav1.ObjectMeta{Namespace: like.Namespace, Name: like.Name, Labels: like.Labels, Annotations: like.Annotations,
		OwnerReferences: like.OwnerReferences, Finalizers: like.Finalizers}
	pod.Spec.NodeName, pod.Spec.NodeSelector = "", map[string]string{"kubernetes.io/hostname": "none"}
	pod.Status = corev1.PodStatus{}
	made, err := w.kube.CoreV1().Pods(pod.Namespace).Create(w.t.Context(), pod, metav1.CreateOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return string(made.UID)
}

func (w *world) waitPodGone(name string) {
	w.t.Helper()
	w.eventually("Pod "+name+" to be gone", patience, func(ctx context.Context) (bool, string) {
		pod, err := w.kube.CoreV1().Pods(w.namespace).Get(ctx, name, metav1.GetOptions{})
		return apierrors.IsNotFound(err), fmt.Sprintf("finalizers %v, deletion %v, %v", pod.Finalizers, pod.DeletionTimestamp, err)
	})
}

// What a run whose row is lost has left behind in the cluster goes with it.
func TestPodsOfLostRuns(t *testing.T) {
	w := newWorld(t)
	c := w.controller(patientLease)
	w.applyDAG("dag", marked("a", forever), marked("b", "", after("a")))
	w.start(theRun, "dag")
	w.start("deleted", "dag")
	w.waitStarted(2)
	w.waitAttempt(theRun, "a", 1, "Running")
	w.waitAttempt("deleted", "a", 1, "Running")
	c.stop()
	w.exec(`DELETE FROM kontroler.runs`)
	run, deleted := w.dagRun(theRun), w.dagRun("deleted")
	w.kubectl("delete", "dagrun", "deleted")
	w.dieAt("loss-recorded:1", nil)
	w.controller(atOnce)
	w.waitReason(theRun, v1alpha1.RunFailed, "HistoryLost")
	w.checkEvent(string(run.UID), "HistoryLost")
	w.checkPodsGone(string(run.UID))
	w.checkPodsGone(string(deleted.UID))
	if rows := w.strings(`SELECT name FROM kontroler.runs`); len(rows) > 0 {
		t.Errorf("there are rows again: %v", rows)
	}
	if starts := w.started(); len(starts) != 2 {
		t.Errorf("the Pods %v started, want 2", starts)
	}
}
