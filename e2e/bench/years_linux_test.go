package bench_test

import (
	"fmt"
	"testing"
)

// BenchmarkYears runs diamonds on the first day, then with -runs finished runs in the same database, and then after a
// restart of the controller, which plans its statements anew. Raw writes of the same shape run in turn: they show how
// fast the machine is meanwhile. The history is kept: removing it would count as work of the runs.
func BenchmarkYears(b *testing.B) {
	r := newRig(b)
	w := r.watchObjects()
	r.startCompleter(32)
	r.startController("--history-retention=0")
	shapes := 0
	diamonds := func(what string, run func(*objects, shape)) result {
		shapes++
		s := shape{name: fmt.Sprintf("diamonds-%d", shapes), runs: *smallRuns, levels: []int{1, 2, 1}}
		r.createDAG(s)
		return r.measure(w, s, what, run)
	}
	rounds := func(when string) {
		diamonds("kontroler", r.runByController) // warms up everything
		for range 3 {
			kontroler, raw := diamonds("kontroler", r.runByController), diamonds("raw", r.runRaw)
			b.Logf("%s: %.2f of raw\n%s\n%s", when, kontroler.TasksPerSecond/raw.TasksPerSecond, kontroler, raw)
		}
	}
	rounds("on the first day")
	n := *storedRuns
	h := &history{database: newDatabase(b, r.database.URL()), server: r.database, runs: n, detailed: n}
	h.fill()
	rounds(fmt.Sprintf("with %d runs", n))
	r.stopController()
	r.startController("--history-retention=0")
	rounds("after a restart")
	b.ReportMetric(0, "ns/op")
}
