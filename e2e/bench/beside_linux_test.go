package bench_test

import (
	"fmt"
	"testing"
)

// besideRounds is how often BenchmarkBesideServer measures alone and beside.
const besideRounds = 3

// BenchmarkBesideServer measures what a server with 1,000 listeners of events costs the controller. The controller runs
// the diamonds in turn alone and beside them.
func BenchmarkBesideServer(b *testing.B) {
	r := newRig(b)
	w := r.watchObjects()
	r.startCompleter(32)
	r.startController()
	d := newDatabase(b, r.database.URL())
	var tokens []string
	for round := range besideRounds {
		alone := shape{name: fmt.Sprint("alone-", round), runs: *smallRuns, levels: []int{1, 2, 1}}
		r.createDAG(alone)
		b.Logf("%-9s %s", alone.name, r.measure(w, alone, "kontroler", r.runByController))

		s := startServer(b, d, r.kubeconfig(), "--namespaces="+r.namespace)
		if tokens == nil {
			tokens = s.tokensOfListeners()
		}
		l := s.listen(tokens)
		beside := shape{name: fmt.Sprint("beside-", round), runs: *smallRuns, levels: []int{1, 2, 1}}
		r.createDAG(beside)
		b.Logf("%-9s %s", beside.name, r.measure(w, beside, "kontroler", r.runByController))
		b.Logf("%-9s %d events heard, %.2f ms of the server's CPU per task", "", l.heard.Load(),
			float64(processUsage(b, s.process.Process.Pid).Microseconds())/1000/float64(beside.tasks()))
		l.close()
		s.stop()
	}
	b.ReportMetric(0, "ns/op")
}
