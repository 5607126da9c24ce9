package bench_test

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/generated/informers/externalversions"
)

var (
	dags = flag.Int("dags", 1000, "how many DAGs are due in one minute")
	lead = flag.Duration("lead", 0,
		"how long before that minute the DAGs are created (default: a minute, and 12 s for each thousand)")
)

// moments are the times at which steps of runs were seen.
type moments struct {
	mu sync.Mutex
	// The keys of ready are names of DAGs, those of pods UIDs of runs, the others names of runs.
	ready, made, admitted, pods, ended map[string]time.Time
	succeeded                          int
}

func newMoments() *moments {
	return &moments{
		ready: map[string]time.Time{}, made: map[string]time.Time{}, admitted: map[string]time.Time{},
		pods: map[string]time.Time{}, ended: map[string]time.Time{},
	}
}

func (m *moments) note(in map[string]time.Time, name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, known := in[name]; !known {
		in[name] = time.Now()
	}
}

func (m *moments) count(in map[string]time.Time) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(in)
}

// within returns how many steps came at most d after a time, and how long the last one took.
func (m *moments) within(in map[string]time.Time, after time.Time, d time.Duration) (n int, last time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for at := range maps.Values(in) {
		if at.Sub(after) <= d {
			n++
		}
		last = max(last, at.Sub(after))
	}
	return n, last
}

// BenchmarkSchedulesDueTogether creates many DAGs of one task that are due in the same minute. It reports how long the
// last one took to its DagRun, its admission, its Pod and its end, and the processor time of each part per run, until
// the last Pod and until the last end.
func BenchmarkSchedulesDueTogether(b *testing.B) {
	r, m := newRig(b), newMoments()
	n, wait := *dags, *lead
	if wait == 0 {
		wait = time.Minute + time.Duration(n)*12*time.Millisecond
	}
	r.podSeen = func(pod *corev1.Pod) { m.note(m.pods, pod.Labels[v1alpha1.LabelRun]) }
	r.startCompleter(16)
	r.startController()
	due := time.Now().UTC().Add(wait).Truncate(time.Minute).Add(time.Minute)
	r.watchRuns(m, due)
	r.makeDAGs(n, due)
	r.await("all schedules to be set", time.Until(due), func() bool { return m.count(m.ready) == n })
	b.Logf("%d schedules were set %s before they were due", n, time.Until(due).Round(time.Second))
	r.await("the due time", time.Until(due)+time.Second, func() bool { return !time.Now().Before(due) })

	began, sent := r.usage(), r.requests()
	r.await("the last Pod", 30*time.Minute, func() bool { return m.count(m.pods) >= n })
	started, sentToPods := r.usage().since(began), r.requests()
	r.await("the last end", 30*time.Minute, func() bool { return m.count(m.ended) >= n })
	all := r.usage().since(began)
	r.logRequests(sent, sentToPods, n)
	b.Log("until the last end:")
	r.logRequests(sent, r.requests(), n)

	if made := m.count(m.made); made != n || m.succeeded != n {
		b.Errorf("%d DagRuns of %d due times, %d succeeded", made, n, m.succeeded)
	}
	for name, in := range map[string]map[string]time.Time{
		"dagruns": m.made, "admitted": m.admitted, "pods": m.pods, "ended": m.ended,
	} {
		inTime, last := m.within(in, due, time.Minute)
		b.ReportMetric(last.Seconds(), "s-last-"+name)
		b.ReportMetric(100*float64(inTime)/float64(n), "%-in-a-minute-"+name)
	}
	for _, part := range slices.Sorted(maps.Keys(all)) {
		b.ReportMetric(float64(started[part].Microseconds())/1000/float64(n), "ms-to-pod-"+part)
		b.ReportMetric(float64(all[part].Microseconds())/1000/float64(n), "ms-to-end-"+part)
	}
	b.ReportMetric(0, "ns/op")
}

// watchRuns records the steps of schedules and their runs.
func (r *rig) watchRuns(m *moments, due time.Time) {
	r.b.Helper()
	factory := externalversions.NewSharedInformerFactoryWithOptions(r.client, 0,
		externalversions.WithNamespace(r.namespace))
	schedules, runs := factory.Kontroler().
		V1alpha1().
		DAGs().
		Informer(),
		factory.Kontroler().
			V1alpha1().
			DagRuns().
			Informer()
	sawDAG := func(obj any) {
		if d := obj.(*v1alpha1.DAG); d.Status.NextScheduleTime != nil &&
			d.Status.NextScheduleTime.Equal(new(metav1.NewTime(due))) {
			m.note(m.ready, d.Name)
		}
	}
	sawRun := func(obj any) {
		run := obj.(*v1alpha1.DagRun)
		m.note(m.made, run.Name)
		if run.Status.RunID != 0 {
			m.note(m.admitted, run.Name)
		}
		if run.Status.Phase.Ended() {
			if _, known := m.ended[run.Name]; !known && run.Status.Phase == v1alpha1.RunSucceeded {
				m.succeeded++
			}
			m.note(m.ended, run.Name)
		}
	}
	for informer, saw := range map[cache.SharedIndexInformer]func(any){schedules: sawDAG, runs: sawRun} {
		_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: saw, UpdateFunc: func(_, is any) { saw(is) },
		})
		if err != nil {
			r.b.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(r.b.Context())
	factory.Start(ctx.Done())
	cache.WaitForCacheSync(ctx.Done(), schedules.HasSynced, runs.HasSynced)
	r.b.Cleanup(func() {
		cancel()
		factory.Shutdown()
	})
}

// makeDAGs creates n DAGs that are due once a day.
func (r *rig) makeDAGs(n int, due time.Time) {
	r.b.Helper()
	r.each(n, 16, func(i int) error {
		_, err := r.client.KontrolerV1alpha1().DAGs(r.namespace).Create(r.b.Context(), &v1alpha1.DAG{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("dag-%05d", i)},
			Spec: v1alpha1.DAGSpec{
				Schedule: fmt.Sprintf("%d %d * * *", due.Minute(), due.Hour()),
				Task: []v1alpha1.Task{{
					Name:         "task",
					TaskTemplate: v1alpha1.TaskTemplate{Image: "busybox:1.36", Command: []string{"true"}},
				}},
			},
		}, metav1.CreateOptions{})
		if err != nil {
			return fmt.Errorf("creating a DAG: %w", err)
		}
		return nil
	})
}
