package engine_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"kontroler/apis/dag"
	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/engine"
)

// shapes returns the parents of a task in a graph of n tasks. Parents come before their children.
var shapes = map[string]func(rng *rand.Rand, n, i int) []int{
	"chain": func(_ *rand.Rand, _, i int) []int {
		if i == 0 {
			return nil
		}
		return []int{i - 1}
	},
	"diamonds": func(_ *rand.Rand, _, i int) []int {
		switch i % 3 {
		case 0:
			if i == 0 {
				return nil
			}
			return []int{i - 2, i - 1}
		case 1:
			return []int{i - 1}
		}
		return []int{i - 2}
	},
	"wide": func(_ *rand.Rand, n, i int) []int {
		switch {
		case i == 0:
			return nil
		case i < n-1 || n < 3:
			return []int{0}
		}
		all := make([]int, 0, n)
		for p := 1; p < n-1; p++ {
			all = append(all, p)
		}
		return all
	},
	"flat": func(*rand.Rand, int, int) []int { return nil },
	"layers": func(rng *rand.Rand, _, i int) []int {
		const width = 10
		from := (i/width - 1) * width
		if from < 0 {
			return nil
		}
		return pick(rng, from, from+width, 1+rng.IntN(3))
	},
	"random": func(rng *rand.Rand, _, i int) []int { return pick(rng, 0, i, rng.IntN(4)) },
	"near":   func(rng *rand.Rand, _, i int) []int { return pick(rng, max(0, i-5), i, rng.IntN(3)) },
}

// pick returns up to k different numbers in [from, to).
func pick(rng *rand.Rand, from, to, k int) []int {
	picked := map[int]bool{}
	var all []int
	for range k {
		if to <= from {
			break
		}
		if p := from + rng.IntN(to-from); !picked[p] {
			picked[p] = true
			all = append(all, p)
		}
	}
	return all
}

func randomGraph(t testing.TB, rng *rand.Rand, shape string, n int) *dag.Graph {
	t.Helper()
	spec := &v1alpha1.DAGSpec{}
	for i := range n {
		task := v1alpha1.Task{Name: fmt.Sprintf("t%d", i)}
		task.Image = "busybox"
		for _, parent := range shapes[shape](rng, n, i) {
			task.RunAfter = append(task.RunAfter, fmt.Sprintf("t%d", parent))
		}
		if rng.IntN(2) == 0 {
			task.Backoff = &v1alpha1.Backoff{Limit: new(int64(rng.IntN(4)))}
		}
		if rng.IntN(5) == 0 {
			task.Conditional = &v1alpha1.Conditional{Enabled: new(rng.IntN(3) > 0), RetryCodes: []int64{1, 137}}
		}
		if rng.IntN(4) == 0 {
			task.TimeoutSeconds = ptr(int64(5 + rng.IntN(60)))
		}
		spec.Task = append(spec.Task, task)
	}
	if rng.IntN(3) == 0 {
		spec.MaxParallel = ptr(int32(1 + rng.IntN(n)))
	}
	g, faults := dag.Compile(spec)
	if len(faults) > 0 {
		t.Fatalf("the graph: %v", faults.ToAggregate())
	}
	return g
}

// randomWorld makes a world from a seed. Graph, limits and chaos are random.
func randomWorld(t testing.TB, seed uint64) (*world, string) {
	rng := rand.New(rand.NewPCG(seed, 2))
	names := []string{"chain", "diamonds", "wide", "flat", "layers", "random", "near"}
	shape, n := names[rng.IntN(len(names))], 1+rng.IntN(30)
	switch seed % 40 {
	case 0, 1, 2:
		n = 100 + rng.IntN(200)
	case 3:
		n = 300 + rng.IntN(300)
	}
	if seed%200 == 7 {
		n = 2000
	}
	w := newWorld(seed, randomGraph(t, rng, shape, n))
	w.level = []int{0, 30, 100, 100, 200, 400}[rng.IntN(6)]
	w.calm = t0.Add(time.Duration(rng.IntN(7200)) * time.Second)
	w.plan = containerPlan{failPercent: []int{0, 2, 15, 60}[rng.IntN(4)], longest: []int{1, 30, 1500}[rng.IntN(3)]}
	if rng.IntN(2) == 0 {
		small := func(most int) int { return 1 + rng.IntN(most) }
		// With larger limits a fresh list usually ends before the next crash.
		w.limits = limits{n/8 + small(20), n/20 + small(10), small(10), small(5), rng.IntN(20)}
	}
	w.scheduleEvents(rng)
	return w, fmt.Sprintf("%s of %d tasks, chaos %d%%, limits %+v, %+v", shape, n, w.level, w.limits, w.plan)
}

// scheduleEvents adds cancels, deadlines, quotas, disruptions and crashes to the agenda.
func (w *world) scheduleEvents(rng *rand.Rand) {
	soon := func(seconds int) time.Time { return t0.Add(time.Duration(rng.IntN(seconds*1000)) * time.Millisecond) }
	stops := []func(){
		func() { w.cancel = true }, func() { w.deleted = true }, func() { w.cancel, w.deleted = true, true },
	}
	if rng.IntN(4) == 0 {
		stop := stops[rng.IntN(len(stops))]
		w.at(soon(600), func() { stop(); w.queued = true })
	}
	if rng.IntN(8) == 0 {
		w.rows.run.Deadline = soon(1200)
	}
	if rng.IntN(4) == 0 {
		w.maxPods = 1 + rng.IntN(w.graph.Len()+5)
	}
	for range w.level / 10 {
		w.at(soon(1800), func() { w.quotaClosed = !w.quotaClosed && w.chaotic() })
		w.at(soon(1800), func() { w.others = w.rng.IntN(w.maxPods/2 + 1); w.throttled() })
	}
	w.at(w.calm, func() { w.quotaClosed = false })
	w.at(w.calm.Add(time.Second), func() { w.quotaClosed, w.others = false, 0; w.throttled() })
	for range w.level * (5 + w.graph.Len()/10) / 20 {
		w.at(soon(7200), func() {
			if w.chaotic() {
				w.disturb()
			}
		})
	}
	for range w.level / 50 {
		w.at(soon(3600), w.restart)
	}
}

// play runs a world until its run has ended. A run that does not end is an error.
func (w *world) play() error {
	steps := 20000 + 3000*w.graph.Len()
	for range steps {
		stuck := w.step()
		if w.err != nil {
			return w.err
		}
		if phase := w.rows.run.Phase; phase != engine.RunPending && phase != engine.RunRunning {
			return w.checkFinal()
		}
		if stuck {
			return fmt.Errorf("the run is stuck after %d syncs: %+v", w.syncs, w.rows.run)
		}
	}
	return fmt.Errorf("no end after %d steps and %d syncs: %+v", steps, w.syncs, w.rows.run)
}

// TestProperties runs random worlds. ENGINE_SEED selects one world, ENGINE_WORLDS sets their number.
func TestProperties(t *testing.T) {
	worlds := 300
	if testing.Short() {
		worlds = 50
	}
	if n, err := strconv.Atoi(os.Getenv("ENGINE_WORLDS")); err == nil {
		worlds = n
	}
	first := uint64(1)
	if seed, err := strconv.ParseUint(os.Getenv("ENGINE_SEED"), 10, 64); err == nil {
		first, worlds = seed, 1
	}
	var mu sync.Mutex
	reached := map[string]bool{}
	t.Run("worlds", func(t *testing.T) {
		for seed := first; seed < first+uint64(worlds); seed++ {
			t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
				t.Parallel()
				w, what := randomWorld(t, seed)
				if err := w.play(); err != nil {
					t.Fatalf("ENGINE_SEED=%d: %s: %v", seed, what, err)
				}
				mu.Lock()
				defer mu.Unlock()
				w.recordEnds(reached)
			})
		}
	})
	if worlds < 300 || t.Failed() {
		return
	}
	for _, end := range expectedEnds {
		if !reached[end] {
			t.Errorf("no world reached the end %q: the worlds are too small", end)
		}
	}
}

// expectedEnds are the phases and reasons that must occur in some world.
var expectedEnds = []string{
	"attempt Succeeded", "attempt Failed ExitCode", "attempt Failed OOMKilled", "attempt Failed StorageLimit",
	"attempt Failed Timeout", "attempt Failed StartFailed",
	"attempt Lost PodDeleted", "attempt Lost Disrupted", "attempt Lost Evicted", "attempt Lost NodeLost",
	"attempt Lost Refused",
	"attempt Cancelled UserCancelled", "attempt Cancelled Deleted", "attempt Cancelled DeadlineExceeded",
	"task Failed RetriesSpent", "task Failed NotRetryable", "task Failed InfrastructureRetriesSpent",
	"run Succeeded", "run Failed TaskFailed", "run Failed DeadlineExceeded",
	"run Cancelled UserCancelled", "run Cancelled Deleted",
}

// recordEnds adds the phases and reasons of a world.
func (w *world) recordEnds(ends map[string]bool) {
	note := func(words ...string) { ends[strings.TrimSpace(strings.Join(words, " "))] = true }
	note("run", w.rows.run.Phase, w.rows.reason)
	for _, t := range w.rows.tasks {
		note("task", t.Phase, t.reason)
		for _, a := range t.attempts {
			note("attempt", a.end.Phase, a.end.Reason)
		}
	}
}
