package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kontroler/store"
)

// schedule stores a schedule of the fixture's DAG that began at t0.
func (f *fixture) schedule() store.Schedule {
	f.Helper()
	before, found, err := f.leader.Schedules.Read(f.Context(), "default", "d")
	if err != nil || !found || before.DAGUID != "" {
		f.Fatalf("%+v, %t, %v", before, found, err)
	}
	after := before
	after.DAGUID, after.Expression, after.Cursor = uid(1), "@every 1s", t0
	return f.advance(before, after, nil, nil)
}

func (f *fixture) advance(before, after store.Schedule, ticks []store.Tick, ended []time.Time) store.Schedule {
	f.Helper()
	saved, err := f.leader.Schedules.Advance(f.Context(),
		store.ScheduleUpdate{Before: before, After: after, Ticks: ticks, Ended: ended, Now: at(100)})
	if err != nil {
		f.Fatal(err)
	}
	read, _, err := f.leader.Schedules.Read(f.Context(), "default", "d")
	if err != nil {
		f.Fatal(err)
	}
	if diff := cmp.Diff(read, saved); diff != "" {
		f.Fatalf("what was saved (-read +returned):\n%s", diff)
	}
	return saved
}

func (f *fixture) ledger() string {
	f.Helper()
	return f.text(`SELECT string_agg(concat_ws(' ', extract(epoch FROM due_from - $1)::int, extract(epoch
FROM due_to - $1)::int, count, outcome, run_name), ', ' ORDER BY due_from) FROM kontroler_v1.ticks`, t0)
}

func TestAdvance(t *testing.T) {
	f := newFixture(t)
	first := f.schedule()
	next := first
	next.Cursor = at(3)
	ticks := []store.Tick{{From: at(1), To: at(2), Count: 2, Outcome: "Missed"},
		{From: at(3), To: at(3), Count: 1, Outcome: "Ran", RunName: "d-3"}}
	second := f.advance(first, next, ticks, nil)
	if second.LastDue != at(3) || second.StretchOutcome != "" {
		t.Errorf("%+v", second)
	}
	// After the same update again nothing is written, because the cursor has moved.
	if _, err := f.leader.Schedules.Advance(t.Context(), store.ScheduleUpdate{
		Before: first, After: next, Ticks: ticks, Now: at(100),
	}); !errors.Is(err, store.ErrConflict) {
		t.Errorf("the same update again: %v", err)
	}
	// Later ticks extend the row of a stretch.
	for n := 4; n < 8; n += 2 {
		next = second
		next.Cursor = at(n + 1)
		second = f.advance(second, next,
			[]store.Tick{{From: at(n), To: at(n + 1), Count: 2, Outcome: "Suspended"}}, nil)
	}
	if want := "1 2 2 Missed, 3 3 1 Ran d-3, 4 7 4 Suspended"; f.ledger() != want {
		t.Errorf("the ledger is %s, want %s", f.ledger(), want)
	}
	back := second
	back.Cursor = at(5)
	if _, err := f.leader.Schedules.Advance(t.Context(),
		store.ScheduleUpdate{Before: second, After: back, Now: at(100)}); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a cursor that goes back: %v", err)
	}
}

func TestScheduledRuns(t *testing.T) {
	f := newFixture(t)
	first := f.schedule()
	next := first
	next.Cursor = at(2)
	second := f.advance(first, next, []store.Tick{
		{From: at(1), To: at(1), Count: 1, Outcome: "Ran", RunName: "r1"},
		{From: at(2), To: at(2), Count: 1, Outcome: "Ran", RunName: "never"},
	}, nil)
	run := f.admit(0) // r1, before the UID of its DagRun is recorded
	list := func(want ...store.ScheduledRun) {
		t.Helper()
		got, err := f.leader.Schedules.Runs(t.Context(), first.DAGID, uid(1))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("runs (-want +got):\n%s", diff)
		}
	}
	list(store.ScheduledRun{DueAt: at(1), Name: "r1", RowUID: run.UID, Phase: "Pending"},
		store.ScheduledRun{DueAt: at(2), Name: "never"})
	for range 2 {
		if err := f.leader.Schedules.RecordRun(t.Context(), first.DAGID, at(1), run.UID); err != nil {
			t.Fatal(err)
		}
		if err := f.leader.Schedules.DropRun(t.Context(), first.DAGID, at(2)); err != nil {
			t.Fatal(err)
		}
	}
	list(store.ScheduledRun{DueAt: at(1), Name: "r1", UID: run.UID, RowUID: run.UID, Phase: "Pending"})
	if want := "1 1 1 Ran r1, 2 2 1 Missed"; f.ledger() != want {
		t.Errorf("the ledger is %s, want %s", f.ledger(), want)
	}
	if n := f.text(`SELECT count(*) FROM kontroler_v1.ticks WHERE run_id = $1`, run.ID); n != "1" {
		t.Errorf("%s ticks name the run", n)
	}
	f.advance(second, second, nil, []time.Time{at(1)})
	if n := f.text(`SELECT count(*) FROM kontroler.scheduled_runs`); n != "0" {
		t.Errorf("%s runs are left", n)
	}
}

// TestRewindAfterRetention checks that a due time can be decided again even if retention has removed its tick.
func TestRewindAfterRetention(t *testing.T) {
	f := newFixture(t)
	first := f.schedule()
	next := first
	next.Cursor = at(1)
	second := f.advance(first, next, []store.Tick{
		{From: at(1), To: at(1), Count: 1, Outcome: "Ran", RunName: "r1"},
	}, nil)
	f.exec(`DELETE FROM kontroler.ticks`)
	if err := f.leader.Schedules.Rewind(t.Context(), store.Rewind{
		Schedule: second, Uncreated: []time.Time{at(1)}, CursorBefore: func(time.Time) time.Time { return t0 },
	}); err != nil {
		t.Fatal(err)
	}
	rewound, _, err := f.leader.Schedules.Read(t.Context(), "default", "d")
	if err != nil || !rewound.Cursor.Equal(t0) {
		t.Errorf("the cursor is at %s: %v", rewound.Cursor, err)
	}
}
