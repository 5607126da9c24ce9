package bench_test

import (
	"fmt"
	"testing"
)

// BenchmarkYears runs diamonds on the first day, then with -runs finished runs in the same database, and then after a
// restart of the controller, which plans its statements anew.
func BenchmarkYears(b *testing.B) {
	r := newRig(b)
	w := r.watchObjects()
	r.startCompleter(32)
	r.startController()
	n := 0
	diamonds := func() result {
		n++
		s := shape{name: fmt.Sprintf("diamonds-%d", n), runs: *smallRuns, levels: []int{1, 2, 1}}
		r.createDAG(s)
		return r.measure(w, s, "kontroler", r.runByController)
	}
	rounds := func(when string) {
		for range 3 {
			b.Logf("%-32s %s", when, diamonds())
		}
	}
	diamonds() // warms up everything
	rounds("on the first day")
	h := &history{database: newDatabase(b, r.database.URL()), server: r.database, runs: *storedRuns}
	h.fill()
	rounds(fmt.Sprintf("with %d runs", *storedRuns))
	r.stopController()
	r.startController()
	diamonds()
	rounds("after a restart")
	b.ReportMetric(0, "ns/op")
}
