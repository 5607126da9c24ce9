package control_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/e2e/harness"
)

// A controller is killed at each crash point in each scene, whether the scene reaches the point or not.
func TestKilledEverywhere(t *testing.T) {
	harness.Long(t)
	for _, point := range harness.Points(t) {
		for name, scene := range harness.Scenes(play) {
			t.Run(name+" "+point, func(t *testing.T) { newWorld(t).KilledOnTheWay(scene, point) })
		}
	}
}

// Schedules run for 15 minutes while controllers are killed, stopped and frozen. Each due time runs once, and each of
// its tasks succeeds once.
func TestSoak(t *testing.T) {
	harness.Long(t)
	const (
		dags = 6
		soak = 15 * time.Minute
	)
	w := newWorld(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	few := int32(3)
	for i := range dags {
		w.ApplySpec(fmt.Sprintf("dag-%d", i), v1alpha1.DAGSpec{
			Schedule: "@every 5s", CatchUp: v1alpha1.CatchUpAll,
			SuccessfulRunsHistoryLimit: &few, FailedRunsHistoryLimit: &few,
			Task: []v1alpha1.Task{
				play(fmt.Sprintf("a%d", i), ""),
				play(fmt.Sprintf("b%d", i), "sleep 1", after(fmt.Sprintf("a%d", i))),
			},
		})
	}
	for ends := time.Now().Add(soak); time.Now().Before(ends); {
		c := w.Controller(takeOver)
		time.Sleep(time.Duration(1+random.IntN(15_000)) * time.Millisecond)
		switch random.IntN(3) {
		case 0:
			c.Stop()
		case 1:
			c.Freeze()
			time.Sleep(time.Duration(random.IntN(8_000)) * time.Millisecond)
			c.Kill9()
		default:
			c.Kill9()
		}
	}
	w.Controller(takeOver)
	want := map[string]int{}
	for i := range dags {
		dag, a, b := fmt.Sprintf("dag-%d", i), fmt.Sprintf("a%d", i), fmt.Sprintf("b%d", i)
		w.rest(dag)
		ran := w.checkRows(dag, 5*time.Second)
		slices.Sort(ran)
		for _, run := range slices.Compact(ran) {
			w.CheckFinal(run, "Succeeded", all("Succeeded", a, b))
		}
		want[a], want[b] = len(ran), len(ran)
		t.Logf("%s ran %d times", dag, len(ran))
	}
	for task, n := range w.Effects() {
		if n != want[task] {
			t.Errorf("task %s succeeded %d times, want %d", task, n, want[task])
		}
	}
}
