package bench_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/generated/informers/externalversions"
)

var (
	chainTasks = flag.Int("chain", 200, "tasks of the chain")
	smallRuns  = flag.Int("small", 200, "runs of the diamond")
	wideTasks  = flag.Int("wide", 500, "tasks of the wide run, between the first and the last")
	jsonFile   = flag.String("json", "", "append each result to this file, as a JSON object")
	svgFile    = flag.String("svg", "", "write a chart of the results to this file")
)

// shape is a load: runs of a DAG whose tasks are in levels. A task follows all tasks of the previous level.
type shape struct {
	name   string
	runs   int
	levels []int
}

func shapes() []shape {
	return []shape{
		{name: "chain", runs: 1, levels: slices.Repeat([]int{1}, *chainTasks)},
		{name: "small", runs: *smallRuns, levels: []int{1, 2, 1}},
		{name: "wide", runs: 1, levels: []int{1, *wideTasks, 1}},
	}
}

func (s shape) tasks() int {
	n := 0
	for _, level := range s.levels {
		n += level
	}
	return n * s.runs
}

func taskName(level, i int) string { return fmt.Sprintf("t%d-%d", level, i) }

// dag returns the spec of the DAG.
func (s shape) dag() v1alpha1.DAGSpec {
	var spec v1alpha1.DAGSpec
	for level, n := range s.levels {
		for i := range n {
			task := v1alpha1.Task{Name: taskName(level, i)}
			task.Image, task.Command = "busybox:1.36", []string{"true"}
			if level > 0 {
				for parent := range s.levels[level-1] {
					task.RunAfter = append(task.RunAfter, taskName(level-1, parent))
				}
			}
			spec.Task = append(spec.Task, task)
		}
	}
	return spec
}

// result is the result of a measurement, which ends when the last DagRun has its final status and the last Pod is
// deleted.
type result struct {
	Shape, What    string
	Tasks          int
	Seconds        float64
	TasksPerSecond float64
	MsPerLevel     float64            // elapsed time, for a single run
	CPU            map[string]float64 // ms per task, by process
	Requests       float64            // of the controller, per task
	Transactions   float64            // in PostgreSQL, per task
	RoundTrips     float64            // to PostgreSQL, of the controller, per task
	AllocatedKiB   float64            // by the controller, per task
	PeakMiB        float64            // resident memory of the controller
	At             time.Time
}

// BenchmarkShapes runs each shape twice on the same cluster: by the controller, and by raw writes. Raw writes are only
// those that every controller of these resources needs: for a run its DagRun, two patches of its status and an Event;
// for a task the create of its Pod with a finalizer, the removal of the finalizer and the deletion. They use no
// database.
func BenchmarkShapes(b *testing.B) {
	r := newRig(b)
	w := r.watchObjects()
	r.startCompleter(32)
	r.startController()
	var results []result
	for _, s := range shapes() {
		r.createDAG(s)
		results = append(results, r.measure(w, s, "kontroler", r.runByController), r.measure(w, s, "raw", r.runRaw))
	}
	for i := 0; i < len(results); i += 2 {
		kontroler, raw := results[i], results[i+1]
		b.Logf("%-6s %s", kontroler.Shape, kontroler)
		b.Logf("%-6s %s", raw.Shape, raw)
		b.ReportMetric(kontroler.TasksPerSecond/raw.TasksPerSecond, "x-raw-"+kontroler.Shape)
	}
	b.ReportMetric(0, "ns/op")
	writeResults(b, results)
	if *svgFile != "" {
		if err := os.WriteFile(*svgFile, []byte(chart(results)), 0o644); err != nil {
			b.Fatal(err)
		}
	}
}

func (r result) String() string {
	text := fmt.Sprintf("%-9s %5d tasks in %6.2f s: %6.1f tasks/s, %6.2f ms per level", r.What, r.Tasks, r.Seconds,
		r.TasksPerSecond, r.MsPerLevel)
	if r.What == "kontroler" {
		text += fmt.Sprintf(
			", %.2f requests, %.2f transactions, %.2f round trips, %.0f KiB allocated per task, %.0f MiB at peak",
			r.Requests, r.Transactions, r.RoundTrips, r.AllocatedKiB, r.PeakMiB)
	}
	text += ", CPU ms per task:"
	for _, part := range slices.Sorted(maps.Keys(r.CPU)) {
		text += fmt.Sprintf(" %s %.2f", part, r.CPU[part])
	}
	return text
}

func writeResults(b *testing.B, results []result) {
	b.Helper()
	if *jsonFile == "" {
		return
	}
	file, err := os.OpenFile(*jsonFile, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	encoder := json.NewEncoder(file)
	for _, one := range results {
		if err := encoder.Encode(one); err != nil {
			b.Fatal(err)
		}
	}
}

// measure runs a shape and waits until everything is done.
func (r *rig) measure(w *objects, s shape, what string, run func(w *objects, s shape)) result {
	r.b.Helper()
	r.resetPeak()
	before, start := r.count(), time.Now()
	w.reset()
	run(w, s)
	r.await("the end of "+s.name, 20*time.Minute, func() bool { return r.isDone(w, s) })
	took, after, tasks := w.last().Sub(start), r.count(), float64(s.tasks())
	found := result{
		Shape: s.name, What: what, Tasks: s.tasks(), Seconds: took.Seconds(), TasksPerSecond: tasks / took.Seconds(),
		CPU: map[string]float64{}, At: start.UTC(),
		Requests:     (after.requests - before.requests) / tasks,
		Transactions: (after.transactions - before.transactions) / tasks,
		RoundTrips:   (after.roundTrips - before.roundTrips) / tasks,
		AllocatedKiB: (after.allocated - before.allocated) / tasks / 1024,
		PeakMiB:      r.peak() / 1024,
	}
	if s.runs == 1 {
		found.MsPerLevel = took.Seconds() * 1000 / float64(len(s.levels))
	}
	for part, time := range after.usage.since(before.usage) {
		found.CPU[part] = float64(time.Microseconds()) / 1000 / tasks
	}
	return found
}

// counts are what was done since the start.
type counts struct {
	usage                             processorTime
	requests, transactions, allocated float64 // requests and bytes of the controller
	roundTrips                        float64 // of the controller, to PostgreSQL
}

func (r *rig) count() counts {
	r.b.Helper()
	return counts{
		usage: r.usage(), requests: sum(r.requests()), transactions: r.transactions(),
		allocated:  r.metric("go_memstats_alloc_bytes_total"),
		roundTrips: r.metric("kontroler_database_round_trips_total"),
	}
}

func sum(counts map[string]float64) (n float64) {
	for _, count := range counts {
		n += count
	}
	return n
}

// createDAG creates the DAG of a shape and waits until the controller has compiled it.
func (r *rig) createDAG(s shape) {
	r.b.Helper()
	dags := r.client.KontrolerV1alpha1().DAGs(r.namespace)
	_, err := dags.Create(r.b.Context(), &v1alpha1.DAG{ObjectMeta: metav1.ObjectMeta{Name: s.name}, Spec: s.dag()},
		metav1.CreateOptions{})
	if err != nil {
		r.b.Fatal(err)
	}
	r.await("DAG "+s.name, time.Minute, func() bool {
		d, err := dags.Get(r.b.Context(), s.name, metav1.GetOptions{})
		return err == nil && meta.IsStatusConditionTrue(d.Status.Conditions, v1alpha1.DAGValid)
	})
}

// runByController creates the DagRuns of a DAG that exists.
func (r *rig) runByController(_ *objects, s shape) {
	r.each(s.runs, 16, func(i int) error {
		_, err := r.client.KontrolerV1alpha1().DagRuns(r.namespace).Create(r.b.Context(), &v1alpha1.DagRun{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", s.name, i)},
			Spec:       v1alpha1.DagRunSpec{DagName: s.name}}, metav1.CreateOptions{})
		return err
	})
}

// isDone reports whether all runs of a shape have ended and all of their Pods are gone. The API server is asked too,
// because a watch may lag, or may have been cut off and have missed Pods.
func (r *rig) isDone(w *objects, s shape) bool {
	if !w.areDone(s) {
		return false
	}
	pods, err := r.kube.CoreV1().Pods(r.namespace).List(r.b.Context(), metav1.ListOptions{Limit: 1})
	if err != nil {
		r.b.Fatal(err)
	}
	return len(pods.Items) == 0
}

// objects are the DagRuns that have ended and the Pods that exist, as watches show them.
type objects struct {
	mu      sync.Mutex
	ended   map[string]bool
	pods    map[types.UID]bool
	over    map[string]chan struct{} // closed when the Pod with this name has succeeded
	changed time.Time
}

func (w *objects) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended, w.pods, w.over = map[string]bool{}, map[types.UID]bool{}, map[string]chan struct{}{}
}

func (w *objects) areDone(s shape) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.ended) == s.runs && len(w.pods) == 0
}

// count returns how many Pods exist.
func (w *objects) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.pods)
}

func (w *objects) last() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.changed
}

// isOver returns a channel that is closed when the Pod with this name has succeeded.
func (w *objects) isOver(pod string) chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over[pod] == nil {
		w.over[pod] = make(chan struct{})
	}
	return w.over[pod]
}

func (w *objects) sawRun(obj any) {
	run := obj.(*v1alpha1.DagRun)
	w.mu.Lock()
	defer w.mu.Unlock()
	if run.Status.Phase.Ended() && !w.ended[run.Name] {
		w.ended[run.Name], w.changed = true, time.Now()
	}
}

func (w *objects) sawPod(obj any) {
	pod := obj.(*corev1.Pod)
	if pod.Status.Phase == corev1.PodSucceeded {
		over := w.isOver(pod.Name)
		w.mu.Lock()
		defer w.mu.Unlock()
		select {
		case <-over:
		default:
			close(over)
		}
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pods[pod.UID] = true
}

func (w *objects) podGone(obj any) {
	object, err := meta.Accessor(obj)
	if unknown, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		object, err = meta.Accessor(unknown.Obj)
	}
	if err != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.pods, object.GetUID())
	w.changed = time.Now()
}

// watchObjects watches the DagRuns and Pods of the namespace.
func (r *rig) watchObjects() *objects {
	r.b.Helper()
	w := &objects{}
	w.reset()
	runs := externalversions.NewSharedInformerFactoryWithOptions(r.client, 0,
		externalversions.WithNamespace(r.namespace))
	pods := informers.NewSharedInformerFactoryWithOptions(r.kube, 0, informers.WithNamespace(r.namespace))
	ctx, cancel := context.WithCancel(r.b.Context())
	for _, watched := range []struct {
		informer cache.SharedIndexInformer
		handler  cache.ResourceEventHandlerFuncs
	}{
		{
			runs.Kontroler().V1alpha1().DagRuns().Informer(),
			cache.ResourceEventHandlerFuncs{AddFunc: w.sawRun, UpdateFunc: func(_, is any) { w.sawRun(is) }},
		},
		{pods.Core().V1().Pods().Informer(), cache.ResourceEventHandlerFuncs{
			AddFunc: w.sawPod, UpdateFunc: func(_, is any) { w.sawPod(is) }, DeleteFunc: w.podGone}},
	} {
		if _, err := watched.informer.AddEventHandler(watched.handler); err != nil {
			r.b.Fatal(err)
		}
	}
	runs.Start(ctx.Done())
	pods.Start(ctx.Done())
	runs.WaitForCacheSync(ctx.Done())
	pods.WaitForCacheSync(ctx.Done())
	r.b.Cleanup(func() {
		cancel()
		runs.Shutdown()
		pods.Shutdown()
	})
	return w
}
