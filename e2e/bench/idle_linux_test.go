package bench_test

import (
	"flag"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lib/pq"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
)

var (
	idleDAGs = flag.Int("idle-dags", 10_000, "how many DAGs BenchmarkIdle has")
	idleRuns = flag.Int("idle-runs", 20_000,
		"how many DagRuns BenchmarkIdle has, all ended; the API server takes 170 KiB for each")
	idleTime = flag.Duration("idle-time", time.Minute,
		"how long BenchmarkIdle watches a controller that has nothing to do")
)

// settleTime is what the controller gets to end its work before it counts as idle.
const settleTime = 30 * time.Second

// BenchmarkIdle measures a controller that has nothing to do: with many DAGs, which it has recorded itself, and after a
// restart with many DagRuns that have ended too. The DAGs have schedules, and none is due. The DagRuns look as if these
// schedules had created them; their status and rows are copies of one that the controller has run.
func BenchmarkIdle(b *testing.B) {
	r := newRig(b)
	w := r.watchObjects()
	r.startCompleter(4)
	r.startController()
	d := newDatabase(b, r.database.URL())
	one := shape{name: "original", runs: 1, levels: []int{1, 2, 1}}
	r.createDAG(one)
	r.runByController(w, one)
	r.await("the run to copy", time.Minute, func() bool { return r.isDone(w, one) })
	r.makeDAGs(*idleDAGs, time.Now().UTC().Add(-time.Hour)) // due again in 23 hours
	r.await("the DAGs to be recorded", time.Hour, func() bool {
		return d.strings(`SELECT count(*) FROM kontroler.dags`)[0] == fmt.Sprint(*idleDAGs+1)
	})
	r.logIdle(fmt.Sprintf("%d DAGs", *idleDAGs))

	r.stopController()
	r.copyRun(d, "original-0", *idleRuns)
	began := time.Now()
	r.startController()
	b.Logf("restarted: ready after %s", time.Since(began).Round(10*time.Millisecond))
	time.Sleep(10 * time.Second) // the first delivery of the caches
	b.Logf("restarted: %.0f MiB at peak, %s of CPU", r.peak()/1024, processUsage(b, r.process.Process.Pid))
	r.logIdle(fmt.Sprintf("and %d DagRuns", *idleRuns))
	b.ReportMetric(0, "ns/op")
}

// copyRun creates copies of a DagRun that has ended, and of its row. Each belongs to one of the DAGs of makeDAGs, in
// turn. The controller is stopped: it would run them.
func (r *rig) copyRun(d *database, name string, n int) {
	r.b.Helper()
	kontroler := r.client.KontrolerV1alpha1()
	dagRuns := kontroler.DagRuns(r.namespace)
	original, err := dagRuns.Get(r.b.Context(), name, metav1.GetOptions{})
	if err != nil {
		r.b.Fatal(err)
	}
	dags, err := kontroler.DAGs(r.namespace).List(r.b.Context(), metav1.ListOptions{})
	if err != nil {
		r.b.Fatal(err)
	}
	scheduled := slices.DeleteFunc(dags.Items, func(d v1alpha1.DAG) bool { return d.Spec.Schedule == "" })
	var (
		mu          sync.Mutex
		uids, names []string
	)
	r.each(n, 16, func(i int) error {
		dag, daysAgo := &scheduled[i%len(scheduled)], 1+i/len(scheduled)
		dueAt := time.Now().UTC().Truncate(time.Hour).AddDate(0, 0, -daysAgo)
		copied := &v1alpha1.DagRun{
			ObjectMeta: metav1.ObjectMeta{
				Name:   fmt.Sprintf("%s-%010d", dag.Name, daysAgo),
				Labels: map[string]string{v1alpha1.LabelDAG: dag.Name, v1alpha1.LabelScheduled: "true"},
				Annotations: map[string]string{
					v1alpha1.AnnotationDAG: dag.Name, v1alpha1.AnnotationScheduledAt: dueAt.Format(time.RFC3339),
				},
				OwnerReferences: []metav1.OwnerReference{
					*metav1.NewControllerRef(dag, v1alpha1.SchemeGroupVersion.WithKind("DAG")),
				},
			},
			Spec: v1alpha1.DagRunSpec{DagName: dag.Name},
		}
		made, err := dagRuns.Create(r.b.Context(), copied, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		mu.Lock()
		uids, names = append(uids, string(made.UID)), append(names, made.Name)
		mu.Unlock()
		made.Status = original.Status
		_, err = dagRuns.UpdateStatus(r.b.Context(), made, metav1.UpdateOptions{})
		return err
	})
	d.exec(`INSERT INTO kontroler.runs OVERRIDING SYSTEM VALUE
SELECT (jsonb_populate_record(r, jsonb_build_object('id', nextval(pg_get_serial_sequence('kontroler.runs', 'id')),
        'uid', copies.uid, 'name', copies.name))).*
FROM kontroler.runs r, unnest($1::text[], $2::text[]) copies (uid, name) WHERE r.uid = $3`,
		pq.Array(uids), pq.Array(names), string(original.UID))
}

// logIdle reports what the controller uses while it has nothing to do.
func (r *rig) logIdle(state string) {
	r.b.Helper()
	time.Sleep(settleTime)
	before, began := r.count(), time.Now()
	time.Sleep(*idleTime)
	after, took := r.count(), time.Since(began)
	usage := after.usage.since(before.usage)
	percent := func(part string) float64 { return 100 * usage[part].Seconds() / took.Seconds() }
	r.b.Logf("%-20s %.0f MiB resident, %.2f %% of a core, PostgreSQL %.2f %%, "+
		"%.1f requests and %.0f transactions a minute",
		state, r.metric("process_resident_memory_bytes")/1024/1024, percent("controller"), percent("postgres"),
		(after.requests-before.requests)/took.Minutes(), (after.transactions-before.transactions)/took.Minutes())
}
