package store_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kontroler/store"
	"kontroler/store/transition"
)

func TestAdmit(t *testing.T) {
	f := newFixture(t)
	run := f.newRun()
	run.Parameters, run.DeadlineSeconds = []byte(`[{"name": "a"}]`), 60
	got, err := f.leader.Admit(t.Context(), run, []store.NewTask{{Position: 0, Name: "a"},
		{Position: 1, Name: "b", Parents: []int32{0}}})
	if err != nil {
		t.Fatal(err)
	}
	want := store.Run{
		RunKey: store.RunKey{ID: got.ID, UID: run.UID, Namespace: "default", Name: run.Name}, DAGName: "d",
		DAGID: f.version.DAGID, VersionID: f.version.ID, VersionNumber: 1, Phase: "Pending", Parameters: run.Parameters,
		Counts: store.Counts{Total: 2, Waiting: 1, Ready: 1}, CreatedAt: t0, AdmittedAt: at(1), DeadlineAt: at(61),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("run (-want +got):\n%s", diff)
	}
	tasks := f.tasks(got.ID, 0, 1, 2)
	wantTasks := []store.Task{
		{ID: tasks[0].ID, Name: "a", Phase: "Ready", DueAt: at(1), ReadyAt: at(1)},
		{ID: tasks[1].ID, Position: 1, Name: "b", Phase: "Waiting", Unmet: 1},
	}
	if diff := cmp.Diff(wantTasks, tasks); diff != "" {
		t.Errorf("tasks (-want +got):\n%s", diff)
	}
	f.mustCommit(got.ID, transition.RunStarted{At: at(2)})
	changes := f.text(`SELECT count(*) FROM kontroler.changes`)
	again, err := f.leader.Admit(t.Context(), run, []store.NewTask{{Name: "x"}})
	if err != nil {
		t.Fatal(err)
	}
	want.Phase, want.StartedAt = "Running", at(2)
	if diff := cmp.Diff(want, again); diff != "" {
		t.Errorf("run admitted again (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(wantTasks, f.tasks(got.ID, 0, 1, 2)); diff != "" {
		t.Errorf("tasks admitted again (-want +got):\n%s", diff)
	}
	if now := f.text(`SELECT count(*) FROM kontroler.changes`); now != changes {
		t.Error("admitting again wrote a change row")
	}
}

func TestAdmitLarge(t *testing.T) {
	f := newFixture(t)
	tasks := make([]store.NewTask, 10_000)
	for i := range tasks {
		tasks[i] = store.NewTask{Position: i, Name: fmt.Sprintf("task-%d", i), Parents: make([]int32, i%3)}
	}
	start := time.Now()
	run, err := f.leader.Admit(t.Context(), f.newRun(), tasks)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("10,000 tasks admitted in %v", time.Since(start))
	if diff := cmp.Diff(store.Counts{Total: 10_000, Waiting: 6666, Ready: 3334}, run.Counts); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	if n := f.text(`SELECT count(*) FROM kontroler.tasks WHERE run_id = $1`, run.ID); n != "10000" {
		t.Errorf("%s tasks", n)
	}
	if err := f.leader.Discard(t.Context(), run.ID); err != nil {
		t.Fatal(err)
	}
	if n := f.text(`SELECT count(*) FROM kontroler.tasks WHERE run_id = $1`, run.ID); n != "0" {
		t.Errorf("%s tasks after Discard", n)
	}
}

// TestRefuse checks that a run that is refused without a version belongs to its DAG, if that has a row.
func TestRefuse(t *testing.T) {
	f := newFixture(t)
	for dag, dagID := range map[string]int64{"d": f.version.DAGID, "never-valid": 0} {
		run := f.newRun()
		run.DAGName, run.DAGID, run.VersionID = dag, 0, 0
		for range 2 {
			got, err := f.leader.Refuse(t.Context(), run, "InvalidDag", "a cycle")
			if err != nil {
				t.Fatal(err)
			}
			want := store.Run{
				RunKey:  store.RunKey{ID: got.ID, UID: run.UID, Namespace: "default", Name: run.Name},
				DAGName: dag, DAGID: dagID, Phase: "Failed", Reason: "InvalidDag", Message: "a cycle",
				Parameters: []byte("[]"), CreatedAt: t0, AdmittedAt: at(1), FinishedAt: at(1),
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("run (-want +got):\n%s", diff)
			}
		}
	}
}

func TestDiscard(t *testing.T) {
	f := newFixture(t)
	pending, begun := f.admit(0), f.admit(0)
	f.mustCommit(begun.ID, transition.RunStarted{At: at(2)})
	for range 2 {
		if err := f.leader.Discard(t.Context(), pending.ID); err != nil {
			t.Errorf("discarding a Pending run: %v", err)
		}
	}
	if err := f.leader.Discard(t.Context(), begun.ID); !errors.Is(err, store.ErrConflict) {
		t.Errorf("discarding one that has begun: %v, want ErrConflict", err)
	}
	if _, found, err := f.leader.RunByUID(t.Context(), pending.UID); found || err != nil {
		t.Errorf("the discarded run: found %t, %v", found, err)
	}
	f.run(begun.UID)
}

// TestRecordWorkspace checks that a live run has one workspace, and that an ended run gets none.
func TestRecordWorkspace(t *testing.T) {
	f := newFixture(t)
	pending, ended := f.admit(0), f.admit(0)
	f.exec(`UPDATE kontroler.runs SET phase = 'Cancelled', ready = 0, cancelled = 1, finished_at = now()
WHERE id = $1`, ended.ID)
	for _, step := range []struct {
		run      store.Run
		uid, row string
		want     error
	}{
		{run: pending, uid: uid(71), row: uid(71)},
		{run: pending, uid: uid(71), row: uid(71)},
		{run: pending, uid: uid(72), row: uid(71), want: store.ErrConflict},
		{run: ended, uid: uid(73), want: store.ErrConflict},
	} {
		if err := f.leader.RecordWorkspace(t.Context(), step.run.ID, step.uid); !errors.Is(err, step.want) {
			t.Errorf("recording %s: %v, want %v", step.uid, err, step.want)
		}
		if got := f.run(step.run.UID).WorkspaceUID; got != step.row {
			t.Errorf("the row names %q, want %q", got, step.row)
		}
	}
}

func TestRunByUID(t *testing.T) {
	f := newFixture(t)
	if _, found, err := f.leader.RunByUID(t.Context(), uid(99)); found || err != nil {
		t.Errorf("RunByUID: %t, %v", found, err)
	}
	if _, found, err := f.leader.AttemptByPod(t.Context(), uid(99), "p"); found || err != nil {
		t.Errorf("AttemptByPod: %t, %v", found, err)
	}
	if _, _, err := f.leader.RunByUID(t.Context(), "no UUID"); !errors.Is(err, store.ErrRejected) {
		t.Errorf("a text that is no UUID: %v", err)
	}
}

func TestLiveRuns(t *testing.T) {
	f := newFixture(t)
	var keys []store.RunKey
	for i := range 5 {
		run := f.admit(0)
		if i == 2 {
			f.exec(`UPDATE kontroler.runs SET phase = 'Cancelled', ready = 0, cancelled = 1, finished_at = now()
WHERE id = $1`, run.ID)
			continue
		}
		keys = append(keys, run.RunKey)
	}
	var got []store.RunKey
	for after := int64(0); ; {
		page, err := f.leader.LiveRuns(t.Context(), 0, after, 3)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		got = append(got, page...)
		after = page[len(page)-1].ID
	}
	if diff := cmp.Diff(keys, got); diff != "" {
		t.Errorf("live runs (-want +got):\n%s", diff)
	}
	if other, err := f.leader.LiveRuns(t.Context(), 1, 0, 3); len(other) != 0 || err != nil {
		t.Errorf("another shard's: %v, %v", other, err)
	}
}
