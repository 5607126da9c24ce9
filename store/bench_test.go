package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"kontroler/store"
	"kontroler/store/storetest"
	"kontroler/store/transition"
)

// BenchmarkOutcome gathers for one Pod that succeeded, and commits its outcome with the start of the next task.
func BenchmarkOutcome(b *testing.B) {
	for _, size := range []int{10, 1_000, 10_000} {
		b.Run(fmt.Sprintf("tasks=%d", size), func(b *testing.B) {
			leader, runs := chain(b, size)
			done := 0
			b.Run("gather+commit", func(b *testing.B) {
				for b.Loop() {
					step(b, leader, runs, size, done)
					done++
				}
			})
		})
	}
}

// chain admits runs in which all tasks are Ready, and starts the first task of each.
func chain(b *testing.B, size int) (*store.Leader, func(n int) (store.Run, bool)) {
	db := storetest.New(b)
	leader := storetest.Lead(b, db)
	version, err := leader.DAGs.SaveVersion(b.Context(),
		store.DAG{Namespace: "default", Name: "d", UID: uid(1), CreatedAt: t0}, []byte(`{}`), hash(1), size, t0)
	if err != nil {
		b.Fatal(err)
	}
	var current store.Run
	return leader, func(n int) (store.Run, bool) {
		if n%(size-1) != 0 {
			return current, false
		}
		tasks := make([]store.NewTask, size)
		for i := range tasks {
			tasks[i] = store.NewTask{Position: i, Name: fmt.Sprintf("t%d", i)}
		}
		run, err := leader.Admit(b.Context(), store.NewRun{
			UID: uid(10 + n), Namespace: "default", Name: fmt.Sprintf("r%d", n), DAGName: "d", DAGID: version.DAGID,
			VersionID: version.ID,
			CreatedAt: t0, AdmittedAt: t0,
		}, tasks)
		if err != nil {
			b.Fatal(err)
		}
		current = run
		return current, true
	}
}

func step(b *testing.B, leader *store.Leader, runs func(n int) (store.Run, bool), size, n int) {
	run, fresh := runs(n)
	if fresh {
		tasks, err := leader.TasksAt(b.Context(), run.ID, []int32{0})
		if err != nil {
			b.Fatal(err)
		}
		err = leader.Commit(b.Context(), run.ID, []transition.Transition{
			transition.RunStarted{At: t0},
			transition.TaskActive{Task: tasks[0].ID, At: t0},
			transition.AttemptDecided{Task: tasks[0].ID, Number: 1, PodName: "pod-0", At: t0},
		}, nil)
		if err != nil {
			b.Fatal(err)
		}
	}
	pod := fmt.Sprintf("pod-%d", n%(size-1))
	slice, _, err := leader.Gather(b.Context(), run.UID, store.GatherRequest{Pods: []string{pod}, Now: time.Now(),
		MaxAttempts: 500, MaxReady: 1, MaxChildrenPending: 100})
	if err != nil {
		b.Fatal(err)
	}
	if !slices.ContainsFunc(slice.Tasks, func(t store.Task) bool { return t.Phase == "Ready" }) {
		b.Fatalf("step %d: nothing is Ready", n)
	}
	if err := leader.Commit(b.Context(), run.ID, outcome(slice), nil); err != nil {
		b.Fatal(err)
	}
}
