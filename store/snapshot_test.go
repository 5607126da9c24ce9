package store_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kontroler/store"
	"kontroler/store/storetest"
	"kontroler/store/transition"
)

// busy admits a run with tasks of every kind that Gather distinguishes. Task i is at position i. An Active task has an
// attempt with Pod p<i>.
func (f *fixture) busy() int64 {
	f.Helper()
	run := f.admit(0, 0, 0, 0, 0, 0, 0, 0, 1, 1).ID
	tasks := f.tasks(run, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
	starts := []transition.Transition{transition.RunStarted{At: at(2)}}
	for i := range 7 {
		starts = append(starts, transition.TaskActive{Task: tasks[i].ID, At: at(2)},
			transition.AttemptDecided{Task: tasks[i].ID, Number: 1, PodName: fmt.Sprintf("p%d", i), At: at(2)})
	}
	f.mustCommit(run, starts...)
	attempts, err := f.leader.AttemptsByPods(f.Context(), run, []string{"p0", "p1", "p2", "p3", "p4", "p5", "p6"})
	if err != nil {
		f.Fatal(err)
	}
	var runs []transition.Transition
	for i, due := range []time.Time{{}, at(30), at(20), at(40), {}} { // p5 and p6 stay Decided
		runs = append(runs, transition.AttemptRunning{
			Attempt: attempts[i].ID, PodUID: uid(i), Node: "n", StartedAt: at(3), Due: due,
		})
	}
	f.mustCommit(run, append(runs,
		transition.AttemptEnded{Attempt: attempts[4].ID, Phase: "Failed", Reason: "ExitCode", FinishedAt: at(4)},
		transition.TaskFailed{Task: tasks[4].ID, Reason: "RetriesSpent", ChildrenPending: true, At: at(4)},
		transition.TaskSkipped{Task: tasks[9].ID, Message: "needs t4", ChildrenPending: true, At: at(4)},
	)...)
	// Position 7 is Ready since admission, at(1). Position 0 backs off until at(50).
	f.mustCommit(run,
		transition.AttemptEnded{Attempt: attempts[0].ID, Phase: "Lost", Reason: "Evicted", FinishedAt: at(5)},
		transition.TaskBackedOff{Task: tasks[0].ID, Reason: "BackingOff", Due: at(50), Retries: 0, Restarts: 1},
	)
	return run
}

func TestGather(t *testing.T) {
	f := newFixture(t)
	f.busy() // another run, of which nothing may be seen
	run := f.busy()
	type result struct {
		Pods    []string
		Tasks   []int
		NextDue time.Time
		Decided int
	}
	all := store.GatherRequest{Now: at(10), MaxAttempts: 100, MaxReady: 100, MaxChildrenPending: 100}
	with := func(change func(w *store.GatherRequest)) store.GatherRequest {
		w := all
		change(&w)
		return w
	}
	tests := map[string]struct {
		want   store.GatherRequest
		result result
	}{
		"without changed Pods, due and Decided attempts are returned": {all,
			result{[]string{"p5", "p6"}, []int{4, 5, 6, 7, 9}, at(20), 2}},
		"of the requested Pods, only live attempts are returned": {
			with(func(w *store.GatherRequest) { w.Pods = []string{"p3", "p0", "nobody", "p5", "p3"} }),
			result{[]string{"p3", "p5", "p6"}, []int{3, 4, 5, 6, 7, 9}, at(20), 2},
		},
		"All returns every live attempt": {
			with(func(w *store.GatherRequest) { w.All = true }),
			result{[]string{"p1", "p2", "p3", "p5", "p6"}, []int{1, 2, 3, 4, 5, 6, 7, 9}, at(50), 2},
		},
		"an attempt that is due now is returned": {
			with(func(w *store.GatherRequest) { w.Now = at(30) }),
			result{[]string{"p1", "p2", "p5", "p6"}, []int{1, 2, 4, 5, 6, 7, 9}, at(40), 2},
		},
		"MaxAttempts keeps the attempts that are due for longest": {
			with(func(w *store.GatherRequest) { w.Now, w.MaxAttempts = at(30), 1 }),
			result{[]string{"p2", "p5", "p6"}, []int{2, 4, 5, 6, 7, 9}, at(40), 2},
		},
		"MaxReady keeps the Ready tasks that are due for longest": {
			with(func(w *store.GatherRequest) {
				w.Now, w.MaxReady, w.MaxChildrenPending, w.MaxAttempts = at(60), 1, 1, 0
			}),
			result{[]string{"p5", "p6"}, []int{4, 5, 6, 7}, time.Time{}, 2},
		},
		"all Ready tasks that are due are returned": {
			with(func(w *store.GatherRequest) { w.Now = at(60) }),
			result{[]string{"p1", "p2", "p3", "p5", "p6"}, []int{0, 1, 2, 3, 4, 5, 6, 7, 9}, time.Time{}, 2},
		},
		"an empty request returns the Decided attempts": {store.GatherRequest{Now: at(10)},
			result{[]string{"p5", "p6"}, []int{5, 6}, at(20), 2}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			slice := f.gather(run, tt.want)
			got := result{NextDue: slice.NextDue, Decided: slice.Decided}
			for _, a := range slice.Attempts {
				got.Pods = append(got.Pods, a.PodName)
			}
			for _, task := range slice.Tasks {
				got.Tasks = append(got.Tasks, task.Position)
			}
			if diff := cmp.Diff(tt.result, got); diff != "" {
				t.Errorf("slice (-want +got):\n%s", diff)
			}
			if !slices.IsSortedFunc(slice.Attempts, func(a, b store.Attempt) int { return int(a.ID - b.ID) }) {
				t.Errorf("attempts are not by ID")
			}
		})
	}
}

func TestGatherReadsTheRun(t *testing.T) {
	f := newFixture(t)
	id := f.busy()
	runUID := f.text(`SELECT uid FROM kontroler.runs WHERE id = $1`, id)
	for _, all := range []bool{false, true} {
		want, got := f.run(runUID), f.gather(id, store.GatherRequest{All: all, Now: at(10)}).Run
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the run, with All %t (-want +got):\n%s", all, diff)
		}
	}
	if _, found, err := f.leader.Gather(t.Context(), uid(99), store.GatherRequest{}); found || err != nil {
		t.Errorf("a run that does not exist: found %t, %v", found, err)
	}
}

func TestGatherBoundsDecided(t *testing.T) {
	f := newFixture(t)
	run := f.admit(make([]int, store.DecidedLimit+20)...).ID
	f.exec(`UPDATE kontroler.runs SET ready = 0, active = total WHERE id = $1`, run)
	f.exec(`UPDATE kontroler.tasks SET phase = 'Active', due_at = NULL, attempts = 1 WHERE run_id = $1`, run)
	f.exec(`INSERT INTO kontroler.attempts (run_id, task_id, number, phase, pod_name, decided_at)
SELECT run_id, id, 1, 'Decided', name, now() FROM kontroler.tasks WHERE run_id = $1`, run)
	slice := f.gather(run, store.GatherRequest{Now: at(10), MaxAttempts: 10, MaxReady: 10, MaxChildrenPending: 10})
	if len(slice.Attempts) != store.DecidedLimit || len(slice.Tasks) != store.DecidedLimit ||
		slice.Decided != store.DecidedLimit+1 {
		t.Errorf("%d attempts, %d tasks, %d Decided", len(slice.Attempts), len(slice.Tasks), slice.Decided)
	}
}

func TestAttemptsByPod(t *testing.T) {
	f := newFixture(t)
	first := f.busy()
	run := f.busy()
	runUID := f.text(`SELECT uid FROM kontroler.runs WHERE id = $1`, run)
	want, err := f.leader.AttemptsByPods(t.Context(), run, []string{"p4", "p1", "nobody"})
	if err != nil {
		t.Fatal(err)
	}
	if len(want) != 2 || want[0].PodName != "p1" || want[1].Phase != "Failed" {
		t.Errorf("AttemptsByPods: %+v", want)
	}
	got, found, err := f.leader.AttemptByPod(t.Context(), runUID, "p4")
	if err != nil || !found {
		t.Fatalf("AttemptByPod: %t, %v", found, err)
	}
	if diff := cmp.Diff(want[1], got); diff != "" {
		t.Errorf("AttemptByPod (-want +got):\n%s", diff)
	}
	for range 2 {
		if err := f.leader.MarkStray(t.Context(), run, want[1].ID, uid(77)); err != nil {
			t.Error(err)
		}
	}
	for name, err := range map[string]error{
		"a live attempt": f.leader.MarkStray(t.Context(), run, want[0].ID, uid(77)),
		"another run's":  f.leader.MarkStray(t.Context(), first, want[1].ID, uid(77)),
	} {
		if !errors.Is(err, store.ErrConflict) {
			t.Errorf("MarkStray of %s: %v, want ErrConflict", name, err)
		}
	}
	if got, _, _ := f.leader.AttemptByPod(t.Context(), runUID, "p4"); got.StrayUID != uid(77) {
		t.Errorf("stray %q", got.StrayUID)
	}
}

func TestTimesComeBack(t *testing.T) {
	f := newFixture(t)
	f.leader = storetest.Lead(t, storetest.Open(t, f.url+"&TimeZone=Asia/Kolkata"))
	run, _, attempt := f.attempt("Decided")
	now := time.Date(2025, 3, 1, 12, 0, 0, 123456789, time.FixedZone("x", 3600))
	f.mustCommit(run, transition.AttemptWaits{Attempt: attempt, Reason: "r", At: now, Due: now.Add(time.Hour)})
	got := f.pods(run)[0]
	want := []time.Time{now.UTC().Truncate(time.Microsecond), now.UTC().Add(time.Hour).Truncate(time.Microsecond)}
	if diff := cmp.Diff(want, []time.Time{got.ReasonAt, got.DueAt}); diff != "" {
		t.Errorf("times (-want +got):\n%s", diff)
	}
	if got.ReasonAt.Location() != time.UTC {
		t.Errorf("location %v", got.ReasonAt.Location())
	}
}

func TestProgress(t *testing.T) {
	f := newFixture(t)
	id := f.busy()
	decided := f.gather(id, store.GatherRequest{Pods: []string{"p5"}, Now: at(10)}).Attempts[0]
	f.mustCommit(id,
		transition.AttemptWaits{Attempt: decided.ID, Reason: "QuotaExceeded", Message: "1 of 1", At: at(6)})
	runUID := f.text(`SELECT uid FROM kontroler.runs WHERE id = $1`, id)
	quota := store.TaskReason{Task: "t5", Reason: "QuotaExceeded", Message: "1 of 1"}
	backingOff := store.TaskReason{Task: "t0", Reason: "BackingOff"}
	failed := []store.TaskReason{{Task: "t4", Reason: "RetriesSpent"}}
	for name, tt := range map[string]struct {
		now   int
		limit int
		want  store.RunProgress
	}{
		"attempts that wait come before tasks that back off": {10, 3,
			store.RunProgress{
				Pending: 2, Waiting: []store.TaskReason{quota, backingOff}, WaitingTotal: 2, Failed: failed,
			}},
		"a limit bounds what is named, not what is counted": {10, 1,
			store.RunProgress{Pending: 2, Waiting: []store.TaskReason{quota}, WaitingTotal: 2, Failed: failed}},
		"a task whose backoff is over does not wait": {60, 3,
			store.RunProgress{Pending: 2, Waiting: []store.TaskReason{quota}, WaitingTotal: 1, Failed: failed}},
	} {
		t.Run(name, func(t *testing.T) {
			run, got, found, err := f.leader.Progress(t.Context(), runUID, at(tt.now), tt.limit)
			if err != nil || !found {
				t.Fatalf("found %t, %v", found, err)
			}
			if diff := cmp.Diff(tt.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("progress (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(f.run(runUID), run); diff != "" {
				t.Errorf("run (-want +got):\n%s", diff)
			}
		})
	}
	f.mustCommit(id, transition.LiveStopped{Reason: "UserCancelled", Due: at(7)})
	_, got, _, err := f.leader.Progress(t.Context(), runUID, at(60), 1)
	if err != nil {
		t.Fatal(err)
	}
	want := store.RunProgress{Failed: failed, StoppingTotal: 5, Stopping: []store.StoppingPod{
		{Task: "t1", Reason: "UserCancelled", Pod: "p1", Node: "n"},
	}}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("progress while the run is being stopped (-want +got):\n%s", diff)
	}
	if _, _, found, err := f.leader.Progress(t.Context(), uid(99), at(10), 3); found || err != nil {
		t.Errorf("a run that does not exist: found %t, %v", found, err)
	}
}
