package retention

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/queue"
	"kontroler/generated/clientset/versioned"
)

func ttl(seconds int32) func(*v1alpha1.DAGSpec) {
	return func(s *v1alpha1.DAGSpec) { s.TTLSecondsAfterFinished = &seconds }
}

func TestSyncExpiry(t *testing.T) {
	const deleted = "team/r uid-of-r Background"
	tests := map[string]struct {
		dag    *v1alpha1.DAG // nil means that it no longer exists
		run    *v1alpha1.DagRun
		pods   []*corev1.Pod
		change func(*world)

		deleted string
		counts  bool // as deleted
		waits   bool // for the end of its time to live
		err     string
	}{
		"a DagRun whose time to live is over is deleted": {
			dag: newDAG(ttl(60)), run: newRun("r"), deleted: deleted, counts: true,
		},
		"a DagRun whose time to live is not over waits for that": {dag: newDAG(ttl(61)), run: newRun("r"), waits: true},
		"a DagRun of a DAG without a time to live stays":         {dag: newDAG(nil), run: newRun("r")},
		"a DagRun whose DAG no longer exists stays":              {run: newRun("r")},
		"a DagRun whose status is not final stays": {
			dag: newDAG(ttl(0)), run: newRun("r", phase(v1alpha1.RunRunning)),
		},
		"a DagRun without a completion time stays": {
			dag: newDAG(ttl(0)), run: newRun("r", func(run *v1alpha1.DagRun) { run.Status.CompletionTime = nil }),
		},
		"a DagRun of another controller stays": {
			dag: newDAG(ttl(0)), run: newRun("r", func(run *v1alpha1.DagRun) { run.Status.Controller = "c2" }),
		},
		"a DagRun that is being deleted is left alone": {
			dag: newDAG(ttl(0)),
			run: newRun("r", func(run *v1alpha1.DagRun) { run.DeletionTimestamp = &metav1.Time{Time: now} }),
		},
		"a DagRun with a Pod stays": {
			dag: newDAG(ttl(0)), run: newRun("r"), pods: []*corev1.Pod{newPod("r", true)},
		},
		"a Pod that only has the label of the run does not keep the DagRun": {
			dag: newDAG(ttl(0)), run: newRun("r"), pods: []*corev1.Pod{newPod("r", false)},
			deleted: deleted, counts: true,
		},
		"a DagRun that the database needs stays": {
			dag: newDAG(ttl(0)), run: newRun("r"), change: func(w *world) { w.history.isNeeded = true },
		},
		"an error of the database is returned": {
			dag: newDAG(ttl(0)), run: newRun("r"), change: func(w *world) { w.history.err = errors.New("broken") },
			err: "broken",
		},
		"a DagRun that is gone already counts as deleted": {
			dag: newDAG(ttl(0)), run: newRun("r"), change: func(w *world) { w.api.status = http.StatusNotFound },
			deleted: deleted, counts: true,
		},
		"a DagRun whose name another one has counts as deleted": {
			dag: newDAG(ttl(0)), run: newRun("r"), change: func(w *world) { w.api.status = http.StatusConflict },
			deleted: deleted, counts: true,
		},
		"a refusal of the API server is returned": {
			dag: newDAG(ttl(0)), run: newRun("r"), change: func(w *world) { w.api.status = http.StatusForbidden },
			deleted: deleted, err: "deleting DagRun team/r: no",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var dags []*v1alpha1.DAG
			if test.dag != nil {
				dags = append(dags, test.dag)
			}
			w := newWorld(t, dags, []*v1alpha1.DagRun{test.run}, test.pods)
			if test.change != nil {
				test.change(w)
			}
			got := ""
			if err := w.syncExpiry(t.Context(), queue.RunKey(test.run.UID)); err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(test.err, got); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			var requests []string
			if test.deleted != "" {
				requests = []string{test.deleted}
			}
			if diff := cmp.Diff(requests, w.api.deleted); diff != "" {
				t.Errorf("deletions (-want +got):\n%s", diff)
			}
			counted := map[string]int{}
			if test.counts {
				counted["deleted by ttl"] = 1
			}
			if diff := cmp.Diff(counted, w.counted); diff != "" {
				t.Errorf("metrics (-want +got):\n%s", diff)
			}
			if waits := w.expiryTimes.Len() == 1; waits != test.waits {
				t.Errorf("waits for its time: %v, want %v", waits, test.waits)
			}
		})
	}
}

// A deletion is requested once, until the cache has shown it. A deletion that failed is requested again.
func TestSyncExpiryAgain(t *testing.T) {
	w := newWorld(t, []*v1alpha1.DAG{newDAG(ttl(0))}, []*v1alpha1.DagRun{newRun("r")}, nil)
	sync := func() error { return w.syncExpiry(t.Context(), queue.RunKey(uidOf("r"))) }
	w.api.status = http.StatusForbidden
	if err := sync(); err == nil {
		t.Error("no error of a deletion that the API server refuses")
	}
	w.api.status = 0
	for range 2 {
		if err := sync(); err != nil {
			t.Error(err)
		}
	}
	if got := len(w.api.deleted); got != 2 {
		t.Errorf("%d requests, want 2", got)
	}
	w.RunDeleted(newRun("r"))
	if w.deleting.Has(uidOf("r")) {
		t.Error("a DagRun that is gone is still remembered")
	}
}

func TestSyncLimits(t *testing.T) {
	limits := func(succeeded, failed int32) *v1alpha1.DAG {
		return newDAG(func(s *v1alpha1.DAGSpec) {
			s.SuccessfulRunsHistoryLimit, s.FailedRunsHistoryLimit = &succeeded, &failed
		})
	}
	// runs makes scheduled DagRuns of a phase: PREFIX1, due at minute 1, and so on.
	runs := func(prefix string, n int, p v1alpha1.RunPhase) (all []*v1alpha1.DagRun) {
		for i := 1; i <= n; i++ {
			all = append(all, newRun(fmt.Sprint(prefix, i), scheduled(i), phase(p)))
		}
		return all
	}
	join := func(lists ...[]*v1alpha1.DagRun) (all []*v1alpha1.DagRun) {
		for _, list := range lists {
			all = append(all, list...)
		}
		return all
	}
	tests := map[string]struct {
		dag  *v1alpha1.DAG
		runs []*v1alpha1.DagRun
		pods []*corev1.Pod
		want []string // DagRuns that are deleted, in this order
	}{
		"without limits ten DagRuns of each kind are kept": {
			dag:  newDAG(nil),
			runs: join(runs("s", 12, v1alpha1.RunSucceeded), runs("f", 11, v1alpha1.RunFailed)),
			want: []string{"s2", "s1", "f1"},
		},
		"the newest by due time are kept": {
			dag: limits(2, 1), runs: join(runs("s", 4, v1alpha1.RunSucceeded), runs("f", 3, v1alpha1.RunFailed)),
			want: []string{"s2", "s1", "f2", "f1"},
		},
		"cancelled DagRuns count as failed": {
			dag: limits(10, 2), runs: join(runs("f", 2, v1alpha1.RunFailed), runs("x", 2, v1alpha1.RunCancelled)),
			want: []string{"f1", "x1"},
		},
		"a limit of 0 keeps none": {
			dag: limits(0, 0), runs: runs("s", 2, v1alpha1.RunSucceeded), want: []string{"s2", "s1"},
		},
		"DagRuns that have not ended do not count": {
			dag: limits(1, 1), runs: join(runs("s", 1, v1alpha1.RunSucceeded), runs("r", 3, v1alpha1.RunRunning)),
		},
		"DagRuns that no schedule created do not count": {
			dag: limits(0, 0), runs: []*v1alpha1.DagRun{newRun("manual")},
		},
		"a DagRun with Pods stays, and none goes in its place": {
			dag: limits(1, 0), runs: runs("s", 3, v1alpha1.RunSucceeded), pods: []*corev1.Pod{newPod("s1", true)},
			want: []string{"s2"},
		},
		"the DagRuns of a DAG that is being deleted go with it": {
			dag: func() *v1alpha1.DAG {
				d := limits(0, 0)
				d.DeletionTimestamp = &metav1.Time{Time: now}
				return d
			}(),
			runs: runs("s", 2, v1alpha1.RunSucceeded),
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, []*v1alpha1.DAG{test.dag}, test.runs, test.pods)
			if err := w.syncLimits(t.Context(), nightly); err != nil {
				t.Fatal(err)
			}
			var want []string
			counted := map[string]int{}
			for _, run := range test.want {
				want = append(want, fmt.Sprintf("team/%s %s Background", run, uidOf(run)))
				counted["deleted by limit"]++
			}
			if diff := cmp.Diff(want, w.api.deleted); diff != "" {
				t.Errorf("deletions (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(counted, w.counted); diff != "" {
				t.Errorf("metrics (-want +got):\n%s", diff)
			}
		})
	}
}

// A DagRun that a webhook keeps from being deleted does not keep the others.
func TestSyncLimitsGoesOnAfterARefusal(t *testing.T) {
	runs := []*v1alpha1.DagRun{newRun("s1", scheduled(1)), newRun("s2", scheduled(2)),
		newRun("f1", scheduled(1), phase(v1alpha1.RunFailed))}
	none := int32(0)
	d := newDAG(func(s *v1alpha1.DAGSpec) { s.SuccessfulRunsHistoryLimit, s.FailedRunsHistoryLimit = &none, &none })
	w := newWorld(t, []*v1alpha1.DAG{d}, runs, nil)
	w.api.denied = "s2"
	if err := w.syncLimits(t.Context(), nightly); err == nil {
		t.Error("no error of a deletion that the API server refuses")
	}
	if got := len(w.api.deleted); got != 3 {
		t.Errorf("%d deletions are requested, want 3", got)
	}
}

// A webhook that hangs costs a sync one deletion, not one for each DagRun.
func TestSyncLimitsStopsAfterAHang(t *testing.T) {
	none := int32(0)
	d := newDAG(func(s *v1alpha1.DAGSpec) { s.SuccessfulRunsHistoryLimit = &none })
	runs := []*v1alpha1.DagRun{newRun("s1", scheduled(1)), newRun("s2", scheduled(2)), newRun("s3", scheduled(3))}
	w := newWorld(t, []*v1alpha1.DAG{d}, runs, nil)
	sent := 0
	w.Client = versioned.NewForConfigOrDie(&rest.Config{
		Host: "http://server.example", QPS: -1,
		Transport: roundTripper(func(*http.Request) (*http.Response, error) {
			sent++
			time.Sleep(10 * time.Second) // of the bubble's clock
			return nil, errors.New("the webhook has not answered")
		}),
	})
	synctest.Test(t, func(t *testing.T) {
		if err := w.syncLimits(t.Context(), nightly); err == nil || sent != 1 {
			t.Errorf("%d deletions, want 1; %v", sent, err)
		}
	})
}

// roundTripper is an API server.
type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestSyncLimitsIsBounded(t *testing.T) {
	var runs []*v1alpha1.DagRun
	for i := range 150 {
		runs = append(runs, newRun(fmt.Sprint("s", i), scheduled(i)))
	}
	none := int32(0)
	d := newDAG(func(s *v1alpha1.DAGSpec) { s.SuccessfulRunsHistoryLimit = &none })
	w := newWorld(t, []*v1alpha1.DAG{d}, runs, nil)
	for _, want := range []int{100, 150} { // the cache still has the first hundred
		if err := w.syncLimits(t.Context(), nightly); err != nil {
			t.Fatal(err)
		}
		if got := len(w.api.deleted); got != want {
			t.Errorf("%d DagRuns are deleted, want %d", got, want)
		}
	}
}

func TestIsRetained(t *testing.T) {
	w := newWorld(t, nil,
		[]*v1alpha1.DagRun{newRun("ended"), newRun("live", phase(v1alpha1.RunRunning)), newRun("held")},
		[]*corev1.Pod{newPod("held", true), newPod("orphan", true)})
	want := map[string]bool{
		"ended":  false,
		"live":   true, // its status is not final
		"held":   true, // it has a Pod
		"orphan": true, // its DagRun is gone, a Pod is not
		"gone":   false,
	}
	got := map[string]bool{}
	for run := range maps.Keys(want) {
		got[run] = w.isRetained(string(uidOf(run)))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestExpiryComesFromTheCurrentSpec(t *testing.T) {
	w := newWorld(t, []*v1alpha1.DAG{newDAG(ttl(90))}, nil, nil)
	due, expires := w.expiry(newRun("r"))
	if want := now.Add(30 * time.Second); !expires || !due.Equal(want) {
		t.Errorf("expires at %s, %v; want %s", due, expires, want)
	}
}
