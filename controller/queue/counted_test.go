package queue

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/tools/cache"

	"kontroler/controller/engine"
	"kontroler/store"
	"kontroler/store/transition"
)

func TestCounted(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	counted := NewCounted()
	counted.Put("ns", []engine.Attempt{{ID: 1, PodName: "a"}, {ID: 2, PodName: "b"}, {ID: 3, PodName: "c"}},
		engine.Decision{
			Transitions: []transition.Transition{
				transition.TaskSucceeded{Task: 7, At: at},
				transition.AttemptEnded{
					Attempt: 1, Phase: "Failed", Reason: "ExitCode", PodUID: "u1", StartedAt: at, FinishedAt: at,
				},
				transition.AttemptEnded{Attempt: 2, Phase: "Lost"}, // its Pod is gone
			},
			Reap: []string{"a"},
		})
	take := func(pod string) store.Attempt { return counted.Take(cache.NewObjectName("ns", pod)) }
	want := store.Attempt{
		ID: 1, Phase: "Failed", Reason: "ExitCode", PodName: "a", PodUID: "u1", StartedAt: at, FinishedAt: at,
	}
	if diff := cmp.Diff(want, take("a")); diff != "" {
		t.Errorf("the attempt of a Pod to finish (-want +got):\n%s", diff)
	}
	for _, pod := range []string{"a", "b", "c"} {
		if got := take(pod); got.ID != 0 {
			t.Errorf("attempt of pod %s: %+v", pod, got)
		}
	}
	if len(counted.attempts) > 0 {
		t.Errorf("attempts are left: %v", counted.attempts)
	}
}
