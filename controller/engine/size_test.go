package engine_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/engine"
)

// halfwayRun returns a run of n tasks in two chains. Half of it is done, and one of its two active tasks has just
// ended.
func halfwayRun(t testing.TB, n int, exitCode, retries int32) (*world, change) {
	spec := &v1alpha1.DAGSpec{}
	for i := range n {
		task := v1alpha1.Task{Name: fmt.Sprintf("t%d", i)}
		task.Image, task.Backoff = "busybox", &v1alpha1.Backoff{Limit: new(int64(retries))}
		if i >= 2 {
			task.RunAfter = []string{fmt.Sprintf("t%d", i-2)}
		}
		spec.Task = append(spec.Task, task)
	}
	w := newWorld(1, compile(t, "", func(s *v1alpha1.DAGSpec) { *s = *spec }))
	r, middle := w.rows, n/2
	r.run = engine.Run{Phase: engine.RunRunning, Total: n, Succeeded: middle, Active: 2, Waiting: n - middle - 2}
	for i, task := range r.tasks {
		switch {
		case i < middle:
			task.Phase, task.Unmet, task.Due = engine.TaskSucceeded, 0, time.Time{}
		case i < middle+2:
			task.Phase, task.Unmet, task.Due, task.Attempts = engine.TaskActive, 0, time.Time{}, 1
			a := &attemptRow{
				Attempt: engine.Attempt{
					ID:      int64(i),
					Task:    i,
					Number:  1,
					Phase:   engine.AttemptRunning,
					PodName: podName(fmt.Sprintf("t%d", i), 0, 1),
					PodUID:  fmt.Sprintf("u%d", i),
					Started: at(-60),
				},
			}
			r.live[a.ID], r.attempts[a.ID], r.byName[a.PodName] = a, a, a
			task.attempts = append(task.attempts, a)
			p := &simPod{name: a.PodName, task: i, facts: *pod(), cause: "own"}
			p.facts.UID = a.PodUID
			w.pods[p.name], w.all[p.facts.UID] = p, p
		}
	}
	p := w.pods[podName(fmt.Sprintf("t%d", middle), 0, 1)]
	ended(exit(exitCode))(&p.facts)
	w.cache[p.name] = seenPod{facts: p.facts}
	return w, change{pods: map[string]bool{p.name: true}}
}

// cost counts what a sync reads and writes.
type cost struct{ Attempts, Tasks, Transitions, Syncs int }

func syncOnce(t *testing.T, w *world, c change) (cost, engine.Decision) {
	t.Helper()
	g, err := w.gather(c)
	if err != nil {
		t.Fatal(err)
	}
	ledger := &changes{rows: w.rows}
	next, err := engine.Decide(g.snapshot, w.now)
	ledger.add(next.Transitions)
	if err == nil {
		err = w.commit(ledger, g)
	}
	if err != nil {
		t.Fatal(err)
	}
	return cost{len(g.snapshot.Attempts), len(g.snapshot.Tasks), ledger.calls, 1}, next
}

// TestCostOfOutcome: an outcome costs the same in a run of 10, of 1,000 and of 10,000 tasks.
func TestCostOfOutcome(t *testing.T) {
	cases := map[string]struct {
		exitCode, retries int32
		want              cost
	}{
		// Ended, succeeded, child ready, active and decided.
		"success": {0, 0, cost{Attempts: 1, Tasks: 2, Transitions: 5, Syncs: 1}},
		// Ended, backed off. The snapshot also has descendants, which this outcome does not need.
		"retry": {1, 1, cost{Attempts: 1, Transitions: 2, Syncs: 1}},
	}
	for name, c := range cases {
		for _, n := range []int{10, 1000, 10000} {
			t.Run(fmt.Sprintf("%s of %d", name, n), func(t *testing.T) {
				w, change := halfwayRun(t, n, c.exitCode, c.retries)
				got, _ := syncOnce(t, w, change)
				if c.want.Tasks == 0 && got.Tasks <= 2+w.limits.descendants {
					got.Tasks = 0
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("-want +got\n%s", diff)
				}
			})
		}
	}
}

// TestCostOfFailure: a failure skips each descendant once, in syncs of bounded size.
func TestCostOfFailure(t *testing.T) {
	for _, n := range []int{10, 1000, 10000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			w, c := halfwayRun(t, n, 1, 0)
			var total cost
			for again := true; again; {
				got, next := syncOnce(t, w, c)
				if got.Tasks > 1+1+w.limits.descendants {
					t.Fatalf("a snapshot of %d tasks", got.Tasks)
				}
				total.Transitions += got.Transitions
				total.Syncs++
				c, again = change{}, next.Requeue
			}
			after := (n - 1 - n/2) / 2
			if w.rows.run.Skipped != after {
				t.Errorf("%d tasks skipped, not %d", w.rows.run.Skipped, after)
			}
			if most := after + 4*total.Syncs; total.Transitions > most {
				t.Errorf("%d transitions for %d tasks in %d syncs, more than %d",
					total.Transitions, after, total.Syncs, most)
			}
			if most := after/w.limits.descendants + 3; total.Syncs > most {
				t.Errorf("%d syncs for %d tasks, more than %d", total.Syncs, after, most)
			}
		})
	}
}

// TestDecideLeavesTheSnapshot: Decide does not change its snapshot, so deciding twice gives the same result.
func TestDecideLeavesTheSnapshot(t *testing.T) {
	w, c := halfwayRun(t, 10, 0, 0)
	g, err := w.gather(c)
	if err != nil {
		t.Fatal(err)
	}
	first, err := engine.Decide(g.snapshot, w.now)
	if err != nil {
		t.Fatal(err)
	}
	second, err := engine.Decide(g.snapshot, w.now)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("-first +second\n%s", diff)
	}
}

// BenchmarkDecide decides 500 successes in a run of 10,000 tasks. Each of them has a child that may start.
func BenchmarkDecide(b *testing.B) {
	const outcomes = 500
	spec := func(s *v1alpha1.DAGSpec) {
		for i := range 10000 {
			task := v1alpha1.Task{Name: fmt.Sprintf("t%d", i)}
			task.Image = "busybox"
			if i >= outcomes {
				task.RunAfter = []string{fmt.Sprintf("t%d", i-outcomes)}
			}
			s.Task = append(s.Task, task)
		}
	}
	s := newSnapshot(compile(b, "", spec))
	for i := range outcomes {
		addExited(s, i, 0)
	}
	count(s)
	s.Tasks = s.Tasks[:2*outcomes]
	s.PodName = func(task string, _, _ int) string { return task }
	b.ReportAllocs()
	for b.Loop() {
		next, err := engine.Decide(*s, at(0))
		if err != nil || len(next.Ended) != outcomes {
			b.Fatal(len(next.Ended), err)
		}
	}
}
