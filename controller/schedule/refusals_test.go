package schedule

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/tools/cache"
)

// Each refusal doubles the delay, up to maxRetry. An accepted DagRun resets it.
func TestRefusalsBackOff(t *testing.T) {
	r, now := newRefusals(), time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	a, b := cache.NewObjectName("default", "a"), cache.NewObjectName("default", "b")
	var seconds []int
	for range 7 {
		delay := r.add(a, now)
		if wait := r.wait(a, now); wait != delay {
			t.Errorf("it waits %s after a delay of %s", wait, delay)
		}
		now = now.Add(delay)
		if wait := r.wait(a, now); wait > 0 {
			t.Errorf("it waits %s more after its delay", wait)
		}
		seconds = append(seconds, int(delay/time.Second))
	}
	if diff := cmp.Diff([]int{1, 2, 4, 8, 16, 30, 30}, seconds); diff != "" {
		t.Errorf("delays in seconds (-want +got):\n%s", diff)
	}
	if wait := r.wait(a, now.Add(-time.Hour)); wait != maxRetry {
		t.Errorf("it waits %s after the clock went back an hour, want %s", wait, maxRetry)
	}
	if r.has(b) || r.wait(b, now) > 0 {
		t.Error("the refusals of one DAG delay another")
	}
	r.drop(a)
	if r.has(a) || r.wait(a, now) > 0 {
		t.Error("a refusal is left after the drop")
	}
	if delay := r.add(a, now); delay != minRetry {
		t.Errorf("the delay begins again with %s, want %s", delay, minRetry)
	}
}
