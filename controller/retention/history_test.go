package retention

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/informer"
	"kontroler/store"
)

// newTrimmer makes a Cleaner with empty caches, for tests in a bubble, in which no informer can run.
func newTrimmer(t *testing.T) *world {
	w := &world{history: &history{}, counted: map[string]int{}}
	w.Cleaner = New(Config{
		History: w.history, DAGs: &informer.Set[*v1alpha1.DAG]{}, DagRuns: &informer.Set[*v1alpha1.DagRun]{},
		Pods: &informer.Set[*corev1.Pod]{}, HistoryRetention: time.Hour, Metrics: w,
		Now:    func() time.Time { return now },
		Failed: func(err error) { w.failed = append(w.failed, err.Error()) },
		Log:    slog.New(slog.NewTextHandler(&w.log, nil)),
	})
	t.Cleanup(w.ShutDown)
	return w
}

func TestTrimOnce(t *testing.T) {
	tests := map[string]struct {
		retention time.Duration
		removed   []store.Removed // by the batches of each call
		err       error
		calls     []string
		counted   map[string]int
		log       string // empty means that nothing is logged
		took      time.Duration
	}{
		"changes and history are removed": {
			retention: time.Hour,
			calls:     []string{"changes older than 1h0m0s", "history older than 1h0m0s"}, counted: map[string]int{},
		},
		"history that is kept for ever stays": {calls: []string{"changes older than 0s"}, counted: map[string]int{}},
		"what was removed is counted and logged, and each batch is followed by a pause": {
			removed: []store.Removed{{"run": 2, "task": 5}, {"run": 1, "partition": 0}},
			calls:   []string{"changes older than 0s"}, counted: map[string]int{"run": 3, "task": 5, "partition": 0},
			log: `msg="history trimmed" runs=3 tasks=5` + "\n", took: 8 * time.Second,
		},
		"an error does not keep the second from being removed": {
			retention: time.Hour, err: errors.New("broken"),
			calls: []string{"changes older than 1h0m0s", "history older than 1h0m0s"}, counted: map[string]int{},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newTrimmer(t)
				w.HistoryRetention, w.history.removed, w.history.err = test.retention, test.removed, test.err
				began := time.Now()
				if err := w.trimOnce(t.Context()); !errors.Is(err, test.err) || (err == nil) != (test.err == nil) {
					t.Errorf("error %v, want %v", err, test.err)
				}
				if took := time.Since(began); took != test.took {
					t.Errorf("it took %s, want %s", took, test.took)
				}
				if diff := cmp.Diff(test.calls, w.history.calls); diff != "" {
					t.Errorf("calls (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(test.counted, w.counted); diff != "" {
					t.Errorf("metrics (-want +got):\n%s", diff)
				}
				if log := w.log.String(); !strings.HasSuffix(log, test.log) || (log == "") != (test.log == "") {
					t.Errorf("log %q, want %q", log, test.log)
				}
			})
		})
	}
}

// History is trimmed at the start and then every ten minutes. An error is reported each time. The database may be
// unavailable for a moment: then the pass is repeated after a minute.
func TestTrim(t *testing.T) {
	for name, test := range map[string]struct {
		err     error
		isOnce  bool // only the first pass fails
		passes  int  // in 25 minutes
		reports int
	}{
		"every ten minutes":                                 {passes: 3},
		"an error is reported":                              {err: errors.New("broken"), passes: 3, reports: 3},
		"an outage is not reported":                         {err: store.ErrUnavailable, isOnce: true, passes: 4},
		"an outage that lasts may be the fault of the pass": {err: store.ErrUnavailable, passes: 4, reports: 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newTrimmer(t)
				w.HistoryRetention, w.history.err, w.history.failsOnce = 0, test.err, test.isOnce
				ctx, cancel := context.WithTimeout(t.Context(), 25*time.Minute)
				defer cancel()
				w.trim(ctx)
				var want []string
				for range test.reports {
					want = append(want, "next try in 10m0s: "+test.err.Error())
				}
				if diff := cmp.Diff(want, w.failed); diff != "" {
					t.Errorf("errors (-want +got):\n%s", diff)
				}
				if got := len(w.history.calls); got != test.passes {
					t.Errorf("%d passes, want %d", got, test.passes)
				}
			})
		})
	}
}

// The database asks whether the rows of a run are needed before it removes them.
func TestTrimSparesRuns(t *testing.T) {
	w := newWorld(t, nil, []*v1alpha1.DagRun{newRun("ended"), newRun("live", phase(v1alpha1.RunRunning))}, nil)
	w.history.spared = []string{string(uidOf("ended")), string(uidOf("live"))}
	if err := w.trimOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{string(uidOf("ended")): false, string(uidOf("live")): true}
	if diff := cmp.Diff(want, w.history.sparing); diff != "" {
		t.Errorf("spared (-want +got):\n%s", diff)
	}
}
