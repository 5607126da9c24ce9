package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/yaml"

	"kontroler/apis/clustertest"
	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/clock"
	"kontroler/controller/informer/informertest"
	"kontroler/controller/metrics"
	"kontroler/controller/names"
	"kontroler/controller/queue"
	"kontroler/generated/clientset/versioned"
	"kontroler/store"
)

// The tests of the four syncs of the road use a real API server without nodes, and a real PostgreSQL. Each case
// prepares both, runs one sync of a term whose loops do not run, and compares what is there afterwards: a world.

// world is what is there after a sync, in words.
type world struct {
	Err string
	// Rows are those of the run, its tasks and its attempts, as the views show them.
	Rows []string
	// Objects are the DagRuns and Pods in the cluster.
	Objects []string
	// Requests that the sync sent, in order.
	Requests []string
	// Enqueued is what waits in the queues.
	Enqueued []string
	// Pending is what the next sync of a run is going to look at.
	Pending []string
}

// road is what the cases of a test share.
type road struct {
	*database
	kube      kubernetes.Interface // of the test itself
	client    versioned.Interface
	config    *rest.Config
	namespace string
	cases     int
}

// newRoad makes a road. The tests with one run in parallel: they wait for answers most of the time.
func newRoad(t *testing.T) *road {
	t.Helper()
	t.Parallel()
	config := clustertest.Config(t)
	config.ContentType = "application/json"
	clustertest.InstallCRDs(t, config, "../manifests/crd")
	r := &road{
		database: newDatabase(t), config: config,
		kube: kubernetes.NewForConfigOrDie(config), client: versioned.NewForConfigOrDie(config),
	}
	nodes, err := r.kube.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	must(t, err)
	if slices.ContainsFunc(nodes.Items, hasKubelet) {
		t.Skip("the cluster has nodes: its scheduler and its kubelets would change the Pods of this test")
	}
	made, err := r.kube.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "road-"},
	}, metav1.CreateOptions{})
	must(t, err)
	r.namespace = made.Name
	t.Cleanup(func() { r.clean(t) })
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	_, err = r.kube.CoreV1().ServiceAccounts(r.namespace).Create(t.Context(), account, metav1.CreateOptions{})
	if !apierrors.IsAlreadyExists(err) {
		must(t, err)
	}
	return r
}

// hasKubelet tells a node from one that a completer plays, which starts no Pods outside of its own namespace.
func hasKubelet(node corev1.Node) bool { return node.Status.NodeInfo.KubeletVersion != "" }

// clean deletes the namespace. Finalizers would keep it.
func (r *road) clean(t *testing.T) {
	ctx, none := context.Background(), []byte(`{"metadata":{"finalizers":null}}`)
	pods, err := r.kube.CoreV1().Pods(r.namespace).List(ctx, metav1.ListOptions{})
	must(t, err)
	for _, p := range pods.Items {
		_, err := r.kube.CoreV1().Pods(r.namespace).
			Patch(ctx, p.Name, types.MergePatchType, none, metav1.PatchOptions{})
		if !apierrors.IsNotFound(err) {
			must(t, err)
		}
	}
	runs := r.client.KontrolerV1alpha1().DagRuns(r.namespace)
	list, err := runs.List(ctx, metav1.ListOptions{})
	must(t, err)
	for i := range list.Items {
		_, err := runs.Patch(ctx, list.Items[i].Name, types.MergePatchType, none, metav1.PatchOptions{})
		if !apierrors.IsNotFound(err) {
			must(t, err)
		}
	}
	must(t, r.kube.CoreV1().Namespaces().Delete(ctx, r.namespace, metav1.DeleteOptions{}))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fixture is one case: a term whose loops do not run.
type fixture struct {
	*testing.T
	*term
	road   *road
	api    *requests
	config Config
	// time is what the clock shows.
	time time.Time
	// suffix makes the names of this case's objects unique. Words about them lack it.
	suffix string
	// known are the names by which the test knows Pods and UIDs.
	known map[string]string
	// runNames and podWords are the names of objects that the cluster has or had, in words.
	runNames, podWords []string
	tasks              []string
	// hidden are the names of DagRuns and Pods that the caches lack.
	hidden map[string]bool
	// foreign are the names of Pods that the test itself created.
	foreign  map[string]bool
	delays   []string
	recorder *record.FakeRecorder
}

// newFixture makes a term. change changes its configuration; it may be nil.
func (r *road) newFixture(t *testing.T, change func(*Config)) *fixture {
	t.Helper()
	r.cases++
	f := &fixture{
		// The clock is ahead of the database's: the views show what is not due yet by the latter.
		T: t, road: r, time: time.Now().UTC().Truncate(time.Second).Add(time.Minute),
		suffix: fmt.Sprintf("-c%d", r.cases), recorder: record.NewFakeRecorder(100),
		known: map[string]string{}, hidden: map[string]bool{}, foreign: map[string]bool{},
	}
	f.api = &requests{known: map[string]bool{}, answers: map[string]answer{}, nameOf: f.word}
	config := rest.CopyConfig(r.config)
	config.Wrap(func(server http.RoundTripper) http.RoundTripper { f.api.server = server; return f.api })
	f.config = Config{
		Kube: kubernetes.NewForConfigOrDie(config), Client: versioned.NewForConfigOrDie(config),
		ID: r.id, Namespaces: []string{r.namespace}, Class: r.namespace, LeaseNamespace: r.namespace,
		MaxPods: 2000, StartGrace: 5 * time.Minute, Writes: func() uint64 { return 0 },
		DatabaseAway: func() (since time.Time, away bool) { return time.Time{}, false },
		Metrics:      metrics.New(), Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	if change != nil {
		change(&f.config)
	}
	t.Cleanup(func() { r.beforeCommit = nil })
	f.restart()
	return f
}

// restart begins another term: what the controller had in memory is lost.
func (f *fixture) restart() {
	if f.term != nil {
		f.shutDown()
	}
	controller, err := New(f.config)
	must(f.T, err)
	f.Cleanup(controller.broadcast.Shutdown)
	controller.events = f.recorder
	f.term = newTerm(controller, f.road.leader, func(err error) { f.Errorf("the term ended: %v", err) })
	f.Cleanup(f.shutDown)
	f.term.core.clock = clock.Following(func() time.Time { return f.time })
	f.backlog.queue.TypedRateLimitingInterface = &delayed[queue.RunKey]{
		f.backlog.queue.TypedRateLimitingInterface, f,
		func(key queue.RunKey) string { return "run " + f.word(string(key)) },
	}
	f.pods.queue.TypedRateLimitingInterface = &delayed[cache.ObjectName]{
		f.pods.queue.TypedRateLimitingInterface, f,
		func(name cache.ObjectName) string { return "finished pod " + f.word(name.Name) },
	}
	f.status.projections.TypedRateLimitingInterface = prompt{f.status.projections.TypedRateLimitingInterface}
	f.showCluster()
}

// delayed is a queue that records the delays after which keys are to be added, and adds none of them.
type delayed[K comparable] struct {
	workqueue.TypedRateLimitingInterface[K]
	f    *fixture
	word func(K) string
}

func (q *delayed[K]) AddAfter(key K, delay time.Duration) {
	q.f.delays = append(q.f.delays, fmt.Sprintf("%s in %v", q.word(key), delay))
}

// prompt is the queue of projections. It adds keys without their delays.
type prompt struct {
	workqueue.TypedRateLimitingInterface[projection]
}

func (q prompt) AddAfter(key projection, _ time.Duration) { q.Add(key) }

// word returns the name by which the test knows an object: a Pod by task and attempt, such as "a.1".
func (f *fixture) word(name string) string {
	if known := f.known[name]; known != "" {
		return known
	}
	return strings.ReplaceAll(name, f.suffix, "")
}

// words replaces the names in a text.
func (f *fixture) words(text string) string {
	for name, known := range f.known {
		text = strings.ReplaceAll(text, name, known)
	}
	text = strings.ReplaceAll(text, f.road.namespace, "ns")
	return strings.ReplaceAll(text, f.suffix, "")
}

// newDAG creates the DAG "d" from the YAML of its spec. This controller has claimed it and stored its version.
func (f *fixture) newDAG(spec string) {
	f.Helper()
	f.createDAG(spec)
	must(f.T, f.dags.syncDAG(f.Context(), cache.NewObjectName(f.road.namespace, "d"+f.suffix)))
}

// createDAG creates the DAG "d", which no controller has seen.
func (f *fixture) createDAG(spec string) {
	f.Helper()
	d := &v1alpha1.DAG{ObjectMeta: metav1.ObjectMeta{Name: "d" + f.suffix}}
	must(f.T, yaml.UnmarshalStrict([]byte(spec), &d.Spec))
	d.Spec.ControllerClass = f.road.namespace
	for _, task := range d.Spec.Task {
		f.tasks = append(f.tasks, task.Name)
	}
	_, err := f.road.client.KontrolerV1alpha1().DAGs(f.road.namespace).Create(f.Context(), d, metav1.CreateOptions{})
	must(f.T, err)
}

// newDagRun creates a DagRun of the DAG "d", with its status. change may be nil.
func (f *fixture) newDagRun(name string, change func(*v1alpha1.DagRun)) {
	f.Helper()
	run := &v1alpha1.DagRun{
		ObjectMeta: metav1.ObjectMeta{Name: name + f.suffix}, Spec: v1alpha1.DagRunSpec{DagName: "d" + f.suffix},
	}
	if change != nil {
		change(run)
	}
	runs := f.road.client.KontrolerV1alpha1().DagRuns(f.road.namespace)
	made, err := runs.Create(f.Context(), run, metav1.CreateOptions{})
	must(f.T, err)
	if run.Status.Phase != "" || run.Status.RunID != 0 || run.Status.Controller != "" || run.Status.DagRunID != 0 {
		made.Status = run.Status
		_, err = runs.UpdateStatus(f.Context(), made, metav1.UpdateOptions{})
		must(f.T, err)
	}
	f.runNames = append(f.runNames, name)
	f.known[string(made.UID)] = name
	f.known[names.Workspace(f.cfg.ID, string(made.UID), run.Name)] = "of " + name
	for _, task := range f.tasks {
		for number := 1; number <= 3; number++ {
			podName := names.Pod(f.cfg.ID, string(made.UID), run.Name, task, 0, number)
			word := fmt.Sprintf("%s%s.%d", prefixOf(name), task, number)
			f.known[podName] = word
			f.podWords = append(f.podWords, word)
		}
	}
	f.showCluster()
}

// key is the key of a DagRun that was created.
func (f *fixture) key(run string) queue.RunKey {
	return queue.RunKey(f.nameOf(run))
}

// nameOf is the name or UID for a word.
func (f *fixture) nameOf(word string) string {
	for name, known := range f.known {
		if known == word {
			return name
		}
	}
	f.Fatalf("nothing is known as %q", word)
	return ""
}

func (f *fixture) podKey(word string) cache.ObjectName {
	return cache.NewObjectName(f.road.namespace, f.nameOf(word))
}

// dagRun reads a DagRun. nil: there is none.
func (f *fixture) dagRun(name string) *v1alpha1.DagRun {
	f.Helper()
	run, err := f.road.client.KontrolerV1alpha1().DagRuns(f.road.namespace).Get(context.Background(), name+f.suffix,
		metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	must(f.T, err)
	return run
}

// pod reads a Pod. nil: there is none.
func (f *fixture) pod(word string) *corev1.Pod {
	f.Helper()
	if !f.api.wasSent("create pod "+word) && !f.foreign[word] {
		return nil
	}
	p, err := f.road.kube.CoreV1().Pods(f.road.namespace).Get(context.Background(), f.nameOf(word), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	must(f.T, err)
	return p
}

// patchDagRun changes a DagRun as kubectl patch --type merge does. The caches do not show it yet.
func (f *fixture) patchDagRun(name, patch string, subresource ...string) {
	f.Helper()
	_, err := f.road.client.KontrolerV1alpha1().DagRuns(f.road.namespace).Patch(context.Background(), name+f.suffix,
		types.MergePatchType, []byte(patch), metav1.PatchOptions{}, subresource...)
	must(f.T, err)
}

// patchPod changes a Pod as kubectl patch --type merge does.
func (f *fixture) patchPod(word, patch string) {
	f.Helper()
	_, err := f.road.kube.CoreV1().Pods(f.road.namespace).Patch(context.Background(), f.nameOf(word),
		types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	must(f.T, err)
}

// deleteDagRun deletes a DagRun. Its Pods stay until the sync has run.
func (f *fixture) deleteDagRun(name string) {
	f.Helper()
	err := f.road.client.KontrolerV1alpha1().DagRuns(f.road.namespace).Delete(f.Context(), name+f.suffix,
		metav1.DeleteOptions{})
	must(f.T, err)
}

// exit ends the container of a Pod that ran for a minute.
func (f *fixture) exit(word string, code int32) {
	f.Helper()
	phase := corev1.PodSucceeded
	if code != 0 {
		phase = corev1.PodFailed
	}
	f.setStatus(word, phase, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: code, StartedAt: metav1.NewTime(f.time.Add(-time.Minute)), FinishedAt: metav1.NewTime(f.time),
	}})
}

// start lets the container of a Pod run.
func (f *fixture) start(word string) {
	f.Helper()
	f.setStatus(word, corev1.PodRunning, corev1.ContainerState{Running: &corev1.ContainerStateRunning{
		StartedAt: metav1.NewTime(f.time),
	}})
}

func (f *fixture) setStatus(word string, phase corev1.PodPhase, state corev1.ContainerState) {
	f.Helper()
	p := f.pod(word)
	if p.Spec.NodeName == "" {
		f.bind(word)
	}
	accepted := metav1.NewTime(f.time.Add(-time.Minute))
	p.ResourceVersion, p.Spec.NodeName, p.Status.Phase, p.Status.StartTime = "", f.node(), phase, &accepted
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: v1alpha1.TaskContainer, State: state}}
	_, err := f.road.kube.CoreV1().Pods(f.road.namespace).UpdateStatus(f.Context(), p, metav1.UpdateOptions{})
	must(f.T, err)
	f.showCluster()
	f.backlog.touched(p.Labels[v1alpha1.LabelRun], p.Name)
}

// hide makes the caches lack a DagRun or a Pod from now on.
func (f *fixture) hide(name string) {
	f.Helper()
	f.hidden[name] = true
	f.showCluster()
}

// removePod removes a Pod and its finalizer.
func (f *fixture) removePod(word string) {
	f.Helper()
	f.patchPod(word, `{"metadata":{"finalizers":null}}`)
	err := f.road.kube.CoreV1().Pods(f.road.namespace).Delete(f.Context(), f.nameOf(word),
		metav1.DeleteOptions{GracePeriodSeconds: new(int64)})
	must(f.T, err)
}

// foreignPod creates a Pod that does not belong to the run, under the name of a Pod that would.
func (f *fixture) foreignPod(word string) {
	f.Helper()
	f.foreign[word] = true
	_, err := f.road.kube.CoreV1().Pods(f.road.namespace).Create(f.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: f.nameOf(word)},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "task", Image: "busybox"}}},
	}, metav1.CreateOptions{})
	must(f.T, err)
}

// touch enqueues the run of a Pod, as a change of the Pod does.
func (f *fixture) touch(run, word string) {
	f.Helper()
	f.backlog.touched(string(f.key(run)), f.nameOf(word))
}

// node names the node of the case, which does not exist. Kubernetes deletes the Pods of a node 40 s after it has found
// it missing: a name that all cases share would be missing for longer.
func (f *fixture) node() string { return f.road.namespace + f.suffix }

// bind puts a Pod on the node of the case.
func (f *fixture) bind(word string) {
	f.Helper()
	must(f.T, f.road.kube.CoreV1().Pods(f.road.namespace).Bind(f.Context(), &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Name: f.nameOf(word)},
		Target:     corev1.ObjectReference{Kind: "Node", Name: f.node()},
	}, metav1.CreateOptions{}))
}

// showCluster makes the caches show the objects of the case as they are now, until the next call.
func (f *fixture) showCluster() {
	f.Helper()
	dags, runs, pods := &v1alpha1.DAGList{}, &v1alpha1.DagRunList{}, &corev1.PodList{}
	if len(f.tasks) > 0 {
		d, err := f.road.client.KontrolerV1alpha1().DAGs(f.road.namespace).Get(f.Context(), "d"+f.suffix,
			metav1.GetOptions{})
		must(f.T, err)
		dags.Items = append(dags.Items, *d)
	}
	for _, name := range f.runNames {
		if run := f.dagRun(name); run != nil && !f.hidden[name] {
			runs.Items = append(runs.Items, *run)
		}
	}
	for _, word := range f.podWords {
		if p := f.pod(word); p != nil && !f.hidden[word] {
			pods.Items = append(pods.Items, *p)
		}
	}
	fresh := &caches{}
	fresh.add(watched{
		dags: informertest.Client(dags), dagTasks: informertest.Client(&v1alpha1.DagTaskList{}),
		dagRuns: informertest.Client(runs), pods: informertest.Client(pods),
	}, f.cfg.ID)
	informertest.Run(f.T, &fresh.dags, &fresh.dagTasks, &fresh.dagRuns, &fresh.pods)
	*f.cached = *fresh
}

// admittedRun makes the DAG "d" from the YAML of its spec, and its DagRun "r", which is admitted.
func (f *fixture) admittedRun(spec string) {
	f.Helper()
	f.newDAG(spec)
	f.newDagRun("r", nil)
	f.admitted("r")
}

// admitted brings a DagRun to a row and a claim, which the caches show.
func (f *fixture) admitted(name string) {
	f.Helper()
	must(f.T, f.admissions.syncAdmission(f.Context(), f.key(name)))
	f.showCluster()
}

// synced syncs a run, and lets the caches show what it did.
func (f *fixture) synced(name string) {
	f.Helper()
	must(f.T, f.runs.syncRun(f.Context(), f.key(name)))
	f.showCluster()
}

// roadCase is one sync: what is there before it, and after.
type roadCase struct {
	config func(*Config) // changes the configuration; nil does not
	before func(*fixture)
	// of is the DagRun or Pod to sync. It is the DagRun "r" if it is empty.
	of   string
	want world
}

// try runs one sync for each case.
func (r *road) try(
	t *testing.T, cases map[string]roadCase, sync func(ctx context.Context, f *fixture, of string) error,
) {
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f := r.newFixture(t, c.config)
			c.before(f)
			of := "r"
			if c.of != "" {
				of = c.of
			}
			f.compare(c.want, func(ctx context.Context) error { return sync(ctx, f, of) })
		})
	}
}

// compare runs a sync and compares what is there afterwards.
func (f *fixture) compare(want world, sync func(context.Context) error) {
	f.Helper()
	f.api.take()
	f.enqueued()
	err := sync(f.Context())
	got := world{Err: f.fault(err), Requests: f.api.take(), Enqueued: f.enqueued()}
	f.road.beforeCommit = nil
	got.Rows, got.Objects, got.Pending = f.rows(), f.objects(), f.pending()
	if diff := cmp.Diff(want, got); diff != "" {
		f.Errorf("-want +got\n%s", diff)
	}
}

// fault puts an error into words.
func (f *fixture) fault(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, store.ErrUnknownCommit):
		return "the answer to the commit was lost"
	case errors.Is(err, store.ErrConflict):
		return "the rows have changed"
	case apierrors.IsConflict(err):
		return "the object has changed"
	}
	return f.words(err.Error())
}

// sqlWords puts the rows of the run with UID $1 into words. $2 is its name, $3 precedes the names of its tasks.
const sqlWords = `
WITH r AS (SELECT * FROM kontroler_v1.runs WHERE uid = $1),
t AS (SELECT t.*, $3 || t.name AS word FROM kontroler_v1.tasks t JOIN r ON t.run_id = r.id),
a AS (SELECT a.*, t.position, t.word || '.' || a.number AS word FROM kontroler_v1.attempts a JOIN t ON a.task_id = t.id)
SELECT words FROM (
    SELECT 1 AS kind, 0 AS position, 0 AS number, 'run ' || $2 || ' is ' || phase
           || CASE WHEN hold <> '' THEN ', held: ' || hold ELSE '' END
           || CASE WHEN phase IN ('Pending', 'Running') AND stop <> '' THEN ', stopping: ' || stop ELSE '' END
           || CASE WHEN reason <> '' THEN ', ' || reason || ': ' || message ELSE '' END AS words FROM r
    UNION ALL
    SELECT 2, position, 0, 'task ' || word || ' is ' || phase
           || CASE WHEN message <> '' THEN ', ' || reason || ': ' || message ELSE '' END FROM t
    UNION ALL
    SELECT 3, position, number, 'attempt ' || word || ' is ' || phase
           || CASE WHEN reason <> '' THEN ', ' || reason || ': ' || message ELSE '' END
           || CASE WHEN stray_uid IS NOT NULL THEN ', with a stray Pod' ELSE '' END FROM a
    UNION ALL
    SELECT 4, a.position, a.number, 'log of ' || a.word || ' is ' || l.state
    FROM kontroler_v1.logs l JOIN a ON l.attempt_id = a.id) all_rows
ORDER BY kind, position, number`

// rows are the rows of the runs of this case, in words.
func (f *fixture) rows() (words []string) {
	f.Helper()
	for _, name := range f.runNames {
		rows, err := f.road.rows.QueryContext(f.Context(), sqlWords, string(f.key(name)), name, prefixOf(name))
		must(f.T, err)
		for rows.Next() {
			var row string
			must(f.T, rows.Scan(&row))
			words = append(words, f.words(row))
		}
		must(f.T, rows.Err())
	}
	return words
}

// prefixOf precedes the names of the tasks of a run other than "r".
func prefixOf(run string) string {
	if run == "r" {
		return ""
	}
	return run + " "
}

// objects are the DagRuns and Pods of this case, in words.
func (f *fixture) objects() (objects []string) {
	f.Helper()
	for _, name := range f.runNames {
		run := f.dagRun(name)
		if run == nil {
			continue
		}
		s, text := &run.Status, "dagrun "+name
		switch {
		case s.Phase == "":
			text += " has no status"
		case s.Reason != "":
			text += fmt.Sprintf(" is %s, %s: %s", s.Phase, s.Reason, f.words(s.Message))
		default:
			text += fmt.Sprintf(" is %s", s.Phase)
		}
		switch {
		case s.Controller != f.cfg.ID:
		case s.RunID != 0:
			text += ", claimed"
		default:
			text += ", claimed without a run"
		}
		objects = append(objects, text)
	}
	for _, word := range f.podWords {
		p := f.pod(word)
		if p == nil {
			continue
		}
		text := "pod " + word
		if p.DeletionTimestamp != nil {
			text += " is being deleted"
		}
		if !slices.Contains(p.Finalizers, v1alpha1.Finalizer) {
			text += ", without finalizer"
		}
		if seconds := p.Spec.ActiveDeadlineSeconds; seconds != nil {
			text += fmt.Sprintf(", limited to %d s", *seconds)
		}
		if p.Labels[v1alpha1.LabelController] != f.cfg.ID {
			text += ", without labels"
		}
		objects = append(objects, text)
	}
	return objects
}

// enqueued empties the queues of the road, and returns what was in them.
func (f *fixture) enqueued() (enqueued []string) {
	drain(&enqueued, f.admissions.queue, func(key queue.RunKey) string { return "admission of " + f.word(string(key)) })
	drain(&enqueued, f.backlog.queue, func(key queue.RunKey) string { return "run " + f.word(string(key)) })
	drain(&enqueued, f.pods.queue, func(name cache.ObjectName) string { return "finished pod " + f.word(name.Name) })
	drain(&enqueued, f.status.queue, func(key queue.RunKey) string { return "final status of " + f.word(string(key)) })
	enqueued = append(enqueued, f.delays...)
	f.delays = nil
	drain(&enqueued, f.status.projections, func(what projection) string {
		if what.run != "" {
			return "progress of " + f.word(string(what.run))
		}
		return "last run of " + f.word(what.dag.Name)
	})
	due, wait := f.backlog.alarms.Due(f.time)
	for _, key := range due {
		enqueued = append(enqueued, "run "+f.word(string(key))+" by its alarm")
	}
	if f.backlog.alarms.Len() > 0 {
		enqueued = append(enqueued, fmt.Sprintf("alarm in %v", wait))
	}
	return enqueued
}

// pending empties what the syncs of runs are going to look at, and returns it.
func (f *fixture) pending() (pending []string) {
	for _, name := range f.runNames {
		changes, _ := f.backlog.pending.Take(f.key(name), 1000)
		if changes.IsFull {
			pending = append(pending, "everything of "+name)
		}
		if changes.HasSlot {
			pending = append(pending, "a slot for "+name)
		}
		for _, pod := range slices.Sorted(maps.Keys(changes.Pods)) {
			pending = append(pending, "pod "+f.word(pod))
		}
		for _, pod := range slices.Sorted(maps.Keys(changes.Created)) {
			pending = append(pending, "created pod "+f.word(pod))
		}
		for pod, refusal := range changes.Refusals {
			pending = append(pending, "refused pod "+f.word(pod)+": "+refusal.Reason)
		}
	}
	return pending
}

func drain[K comparable](into *[]string, q workqueue.TypedInterface[K], word func(K) string) {
	var words []string
	for q.Len() > 0 {
		key, _ := q.Get()
		words = append(words, word(key))
		q.Done(key)
	}
	slices.Sort(words)
	*into = append(*into, words...)
}

var errTest = errors.New("as the test wants it")
