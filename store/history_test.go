package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kontroler/store"
)

const keep = 90 * 24 * time.Hour

// trim makes one pass, and returns what it removed and the number of batches.
func (f *fixture) trim(retained ...string) (removed store.Removed, batches int) {
	f.Helper()
	removed, batches, err := f.tryTrim(f.leader, time.Now(), retained...)
	if err != nil {
		f.Fatal(err)
	}
	return removed, batches
}

func (f *fixture) tryTrim(
	leader *store.Leader, now time.Time, retained ...string,
) (removed store.Removed, batches int, err error) {
	removed = store.Removed{}
	err = leader.History.Trim(f.Context(), store.Retention{
		Now: now, Keep: keep,
		Retain: func(uid string) bool {
			for _, s := range retained {
				if s == uid {
					return true
				}
			}
			return false
		},
		AfterBatch: func(batch store.Removed, _ time.Duration) error {
			batches++
			for kind, n := range batch {
				if n > 0 {
					removed[kind] += n
				}
			}
			return nil
		},
	})
	return removed, batches, err
}

// ended admits a run that has ended, of n tasks with the same number of attempts.
func (f *fixture) ended(ago time.Duration, n, attempts int) store.Run {
	f.Helper()
	run := f.admit(make([]int, n)...)
	at := time.Now().Add(-ago)
	f.exec(`INSERT INTO kontroler.attempts (run_id, task_id, number, phase, pod_name, decided_at, finished_at)
SELECT run_id, id, a, 'Succeeded', 'pod-' || position || '-' || a, $2, $2 FROM kontroler.tasks, generate_series(1,
       $3::int) a WHERE run_id = $1`, run.ID, at, attempts)
	f.exec(`UPDATE kontroler.tasks SET phase = 'Succeeded', due_at = NULL, finished_at = $2, attempts = $3
WHERE run_id = $1`, run.ID, at, attempts)
	f.exec(`UPDATE kontroler.runs SET phase = 'Succeeded', ready = 0, succeeded = total, finished_at = $2
WHERE id = $1`, run.ID, at)
	return run
}

// audit records how many rows each transaction deletes.
func (f *fixture) audit() {
	f.Helper()
	f.exec(`CREATE TABLE deleted (xid xid8, n bigint);
CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO deleted SELECT pg_current_xact_id(),
    count(*) FROM gone; RETURN NULL; END $$`)
	for _, table := range []string{"runs", "tasks", "attempts", "dag_versions", "changes_default", "ticks_default"} {
		f.exec(`CREATE TRIGGER audit AFTER DELETE ON kontroler.` + table + `
REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION audit()`)
	}
}

// checkBatches checks that no transaction deleted more rows than a batch may.
func (f *fixture) checkBatches() {
	f.Helper()
	if most := f.text(`SELECT coalesce(max(n), 0) <= $1 FROM (SELECT sum(n) AS n FROM deleted
GROUP BY xid) d`, store.TrimRows); most != "true" {
		f.Errorf("a transaction deleted more than %d rows", store.TrimRows)
	}
}

func (f *fixture) left() string {
	f.Helper()
	return f.text(`SELECT coalesce(string_agg(name, ' ' ORDER BY id), '') FROM kontroler.runs`)
}

const day = 24 * time.Hour

// TestTrimRuns checks that old runs are removed with all their rows in small batches, large runs too, and nothing else
// is.
func TestTrimRuns(t *testing.T) {
	f := newFixture(t)
	f.audit()
	small := f.ended(100*day, 3, 2)     // r1
	large := f.ended(99*day, 10_000, 1) // r2
	f.exec(`INSERT INTO kontroler.attempts (run_id, task_id, number, phase, pod_name, decided_at, finished_at)
SELECT run_id, id, 2 + n, 'Failed', 'again-' || n || '-' || position, now(), now() FROM kontroler.tasks,
       generate_series(1, 900) n WHERE run_id = $1 AND position < 3`, large.ID)
	for range 300 { // r3 to r302
		f.ended(98*day, 5, 1)
	}
	f.ended(89*day, 1, 1)              // r303: still within the retention
	retained := f.ended(100*day, 1, 1) // r304
	f.admit(0)                         // r305: old, but live
	copied := f.ended(day, 1, 1)       // r306: copies an outcome of the first run
	f.exec(`UPDATE kontroler.attempts SET reused_from = (SELECT min(id) FROM kontroler.attempts WHERE run_id = $1)
WHERE run_id = $2`, small.ID, copied.ID)
	before := f.text(`SELECT max(id) FROM kontroler.changes`)

	// All the time, a writer and a reader work with a short lock timeout.
	ctx, stop := context.WithCancel(t.Context())
	beside := make(chan error, 1)
	go func() { beside <- f.beside(ctx, copied.ID) }()
	removed, batches := f.trim(retained.UID)
	stop()
	if err := <-beside; err != nil {
		t.Errorf("work beside it: %v", err)
	}
	want := store.Removed{"run": 302, "task": 3 + 10_000 + 1500, "attempt": 6 + 12_700 + 1500}
	if diff := cmp.Diff(want, removed); diff != "" {
		t.Errorf("removed (-want +got):\n%s", diff)
	}
	f.checkBatches()
	if least := 24 + 4; batches < least {
		t.Errorf("%d batches, want %d at least", batches, least)
	}
	if got := f.left(); got != "r303 r304 r305 r306" {
		t.Errorf("left: %s", got)
	}
	for _, table := range []string{"tasks", "attempts"} {
		if n := f.text(`SELECT count(*) FROM kontroler.` + table + ` WHERE run_id NOT IN (SELECT id
FROM kontroler.runs)`); n != "0" {
			t.Errorf("%s %s are left of runs that are gone", n, table)
		}
	}
	if told := f.text(`SELECT count(DISTINCT run_id) FROM kontroler.changes WHERE id > $1
AND kind = 'run'`, before); told != "302" {
		t.Errorf("changes record the removal of %s runs", told)
	}
	if removed, _ := f.trim(); removed["run"] != 1 || f.left() != "r303 r305 r306" {
		t.Errorf("the pass after: %v, left %s", removed, f.left())
	}
}

// beside writes to a run and reads from the views until ctx ends.
func (f *fixture) beside(ctx context.Context, run int64) error {
	raw := openRaw(f.T, f.url+"&lock_timeout=1000")
	for ctx.Err() == nil {
		if _, err := raw.Exec(
			`UPDATE kontroler.attempts SET message = message || '.' WHERE run_id = $1`, run); err != nil {
			return err
		}
		var n int
		if err := raw.QueryRow(`SELECT count(*) FROM kontroler_v1.runs r JOIN kontroler_v1.tasks t ON t.run_id = r.id
WHERE r.id = $1`, run).Scan(&n); err != nil {
			return err
		}
	}
	return nil
}

// TestTrimStopped checks that the next pass completes a run whose removal was interrupted, and that a later leader
// fences the trim.
func TestTrimStopped(t *testing.T) {
	f := newFixture(t)
	f.ended(100*day, 1500, 1)
	enough := errors.New("enough")
	err := f.leader.History.Trim(t.Context(), store.Retention{Now: time.Now(), Keep: keep,
		Retain: func(string) bool { return false },
		AfterBatch: func(removed store.Removed, _ time.Duration) error {
			if removed["attempt"] > 0 {
				return enough
			}
			return nil
		}})
	if !errors.Is(err, enough) {
		t.Errorf("the pass ended with %v", err)
	}
	if n := f.text(`SELECT count(*) FROM kontroler.attempts`); n != "500" {
		t.Errorf("%s attempts are left", n)
	}
	f.trim()
	if n := f.text(`SELECT count(*) FROM kontroler.runs`); n != "0" {
		t.Errorf("%s runs are left", n)
	}
	f.ended(100*day, 1, 1)
	if _, err := f.db.TakeEpoch(t.Context(), 0, "another", 0, false); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.tryTrim(f.leader, time.Now()); !errors.Is(err, store.ErrFenced) || f.left() == "" {
		t.Errorf("a leader of the past trimmed: %v", err)
	}
}

// TestTrimClocks checks that only runs are removed that are old by the leader's clock and by the database's.
func TestTrimClocks(t *testing.T) {
	f := newFixture(t)
	f.ended(89*day, 1, 1)
	f.ended(91*day, 1, 1)
	for _, clock := range []struct {
		years int
		left  string
	}{{-3, "r1 r2"}, {3, "r1"}} {
		if _, _, err := f.tryTrim(f.leader, time.Now().AddDate(clock.years, 0, 0)); err != nil {
			t.Fatal(err)
		}
		if f.left() != clock.left {
			t.Errorf("a clock that is %d years ahead leaves %s, want %s", clock.years, f.left(), clock.left)
		}
	}
}

// TestTrimUnrecorded checks that a run and its DagRun stay while its schedule may look the run up by name.
func TestTrimUnrecorded(t *testing.T) {
	f := newFixture(t)
	first := f.schedule()
	next := first
	next.Cursor = at(1)
	f.advance(first, next, []store.Tick{{From: at(1), To: at(1), Count: 1, Outcome: "Ran", RunName: "r1"}}, nil)
	run := f.ended(100*day, 1, 1)
	check := func(over bool, left string) {
		t.Helper()
		is, err := f.leader.History.IsRunOver(t.Context(), run.UID, "default", run.Name)
		if err != nil || is != over {
			t.Errorf("its DagRun may go: %t, %v", is, err)
		}
		if f.trim(); f.left() != left {
			t.Errorf("left: %q, want %q", f.left(), left)
		}
	}
	check(false, "r1")
	if err := f.leader.Schedules.RecordRun(t.Context(), first.DAGID, at(1), run.UID); err != nil {
		t.Fatal(err)
	}
	check(true, "")
	check(true, "") // the run has no row any more
	live := f.admit(0)
	if is, err := f.leader.History.IsRunOver(t.Context(), live.UID, "default", live.Name); is || err != nil {
		t.Errorf("a live run is over: %t, %v", is, err)
	}
}

// TestTrimVersions checks that versions are removed if they were replaced long ago and no run pins them.
func TestTrimVersions(t *testing.T) {
	f := newFixture(t)
	f.audit()
	for n := range byte(6) {
		f.version = f.save(n+2, `{"task": []}`)
		if n == 1 {
			f.admit(0) // pins version 3
		}
	}
	// Versions 1 to 5 are old. Version 6 replaced 5 recently, and 7 is the newest.
	f.exec(`UPDATE kontroler.dag_versions
SET created_at = CASE WHEN version < 6 THEN now() - interval '100 days' ELSE now() END`)
	f.exec(`INSERT INTO kontroler.dags (namespace, name, uid, created_at, deleted_at) VALUES ('default', 'gone',
gen_random_uuid(), $1, $1)`, t0)
	f.exec(`INSERT INTO kontroler.dag_versions (dag_id, version, hash, spec, tasks, created_at)
SELECT d.id, v, sha256('x'), '{}', 1, $1 FROM kontroler.dags d, generate_series(1, 1200) v WHERE d.name = 'gone'`, t0)
	removed, _ := f.trim()
	if diff := cmp.Diff(store.Removed{"version": 3 + 1199}, removed); diff != "" {
		t.Errorf("removed (-want +got):\n%s", diff)
	}
	f.checkBatches()
	left := f.text(`SELECT string_agg(d.name || v.version, ' ' ORDER BY d.name, v.version) FROM kontroler.dag_versions v
JOIN kontroler.dags d ON d.id = v.dag_id`)
	if want := "d3 d5 d6 d7 gone1200"; left != want {
		t.Errorf("left: %s, want %s", left, want)
	}
}

// TestTrimSchedules checks that the rows of a schedule are removed when its DAG was deleted long ago. The runs of an
// earlier DAG object are removed by the first update of the next one.
func TestTrimSchedules(t *testing.T) {
	f := newFixture(t)
	was := f.schedule()
	is := was
	is.Cursor = at(1)
	was = f.advance(was, is, []store.Tick{{From: at(1), To: at(1), Count: 1, Outcome: "Ran", RunName: "r1"}}, nil)
	is = was
	is.DAGUID, is.Cursor = uid(2), at(2)
	f.advance(was, is, []store.Tick{{From: at(2), To: at(2), Count: 1, Outcome: "Ran", RunName: "r2"}}, nil)
	if left := f.text(`SELECT string_agg(run_name, ' ') FROM kontroler.scheduled_runs`); left != "r2" {
		t.Errorf("scheduled runs of the new object: %s", left)
	}
	for _, deleted := range []struct {
		ago  time.Duration
		left string
	}{{day, "1"}, {100 * day, "0"}} {
		f.exec(`UPDATE kontroler.dags SET deleted_at = $1`, time.Now().Add(-deleted.ago))
		f.trim()
		for _, table := range []string{"schedules", "scheduled_runs"} {
			if n := f.text(`SELECT count(*) FROM kontroler.` + table); n != deleted.left {
				t.Errorf("%s rows of %s are left %s after the DAG's deletion", n, table, deleted.ago)
			}
		}
	}
}

// months creates the partitions of a year ago and of now, each with a row, and old rows in the default partitions.
func (f *fixture) months() {
	f.Helper()
	year := time.Now().AddDate(-1, 0, 0)
	for _, now := range []time.Time{year, time.Now()} {
		if err := f.leader.History.Maintain(f.Context(), now); err != nil {
			f.Fatal(err)
		}
	}
	for _, at := range []time.Time{year, year.AddDate(0, 3, 0), time.Now()} {
		f.exec(`INSERT INTO kontroler.ticks (dag_id, due_from, due_to, count, outcome, decided_at) VALUES (1, $1, $1, 1,
'Ran', $1)`, at)
	}
	f.exec(`INSERT INTO kontroler.pod_events (attempt_id, at, key, container, type, reason, message, source, count,
first_at, last_at)
SELECT n, $1, gen_random_uuid(), '', 'Normal', 'Started', '', '', 1, $1, $1 FROM generate_series(1,
       1500) n`, year.AddDate(0, 3, 0))
}

// partitions lists all partitions.
func (f *fixture) partitions() string {
	f.Helper()
	return f.text(`SELECT string_agg(inhrelid::regclass::text, ' ' ORDER BY inhrelid::regclass::text) FROM pg_inherits
WHERE inhparent IN ('kontroler.ticks'::regclass, 'kontroler.pod_events'::regclass)`)
}

// TestTrimPartitions checks that partitions of past months are dropped, and that rows of months without a partition are
// removed in batches.
func TestTrimPartitions(t *testing.T) {
	f := newFixture(t)
	f.audit()
	f.months()
	removed, _ := f.trim()
	if diff := cmp.Diff(store.Removed{"partition": 2 * len(store.Partitioned()), "row": 1501}, removed); diff != "" {
		t.Errorf("removed (-want +got):\n%s", diff)
	}
	f.checkBatches()
	month := time.Date(time.Now().UTC().Year(), time.Now().UTC().Month(), 1, 0, 0, 0, 0, time.UTC)
	this, next := month.Format("2006_01"), month.AddDate(0, 1, 0).Format("2006_01")
	want := fmt.Sprintf("kontroler.pod_events_%[1]s kontroler.pod_events_%[2]s kontroler.pod_events_default "+
		"kontroler.ticks_%[1]s kontroler.ticks_%[2]s kontroler.ticks_default", this, next)
	if got := f.partitions(); got != want {
		t.Errorf("partitions: %s, want %s", got, want)
	}
	if n := f.text(`SELECT count(*) FROM kontroler.ticks`); n != "1" {
		t.Errorf("%s ticks are left, want that of now", n)
	}
}

// TestTrimGivesWay checks that a long reader keeps its partition, and that no other session waits for it.
func TestTrimGivesWay(t *testing.T) {
	f := newFixture(t)
	f.months()
	reader, err := f.raw.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Rollback()
	if _, err := reader.Exec(`SELECT count(*) FROM kontroler.pod_events`); err != nil {
		t.Fatal(err)
	}
	old := f.ended(100*day, 1, 1)
	ctx, stop := context.WithCancel(t.Context())
	beside := make(chan error, 1)
	go func() { beside <- f.beside(ctx, old.ID) }()
	removed, _, err := f.tryTrim(f.leader, time.Now())
	stop()
	if err := <-beside; err != nil {
		t.Errorf("work beside it: %v", err)
	}
	if !errors.Is(err, store.ErrConflict) || removed["partition"] != 2*len(store.Partitioned())-2 ||
		removed["run"] != 1 || removed["row"] != 1501 {
		t.Errorf("beside a reader of Events: removed %v, %v", removed, err)
	}
	if err := reader.Rollback(); err != nil {
		t.Fatal(err)
	}
	if removed, _ := f.trim(); removed["partition"] != 2 {
		t.Errorf("after the reader: removed %v", removed)
	}
}

// TestDefaultPartitions checks that each default partition has an index that finds the rows of a month.
func TestDefaultPartitions(t *testing.T) {
	f := newFixture(t)
	for table, key := range store.Partitioned() {
		n := f.text(`SELECT count(*)
FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
WHERE i.indrelid = ('kontroler.' || $1 || '_default')::regclass AND a.attname = $2`, table, key)
		if n == "0" {
			t.Errorf("%s_default has no index on %s: retention would read all of it", table, key)
		}
	}
}

// TestStretches checks that a stretch stays within a month, and that a stretch whose row was removed continues in a new
// row.
func TestStretches(t *testing.T) {
	f := newFixture(t)
	s := f.schedule()
	suspended := func(from, to int) {
		t.Helper()
		next := s
		next.Cursor = at(to)
		s = f.advance(s, next,
			[]store.Tick{{From: at(from), To: at(to), Count: to - from + 1, Outcome: "Suspended"}}, nil)
	}
	suspended(1, 2)
	f.exec(`DELETE FROM kontroler.ticks`)
	suspended(3, 4)
	suspended(5, 6)
	const april = 31 * 24 * 3600
	suspended(april, april+1)
	suspended(april+2, april+3)
	want := fmt.Sprintf("3 6 4 Suspended, %d %d 4 Suspended", april, april+3)
	if f.ledger() != want {
		t.Errorf("the ledger is %s, want %s", f.ledger(), want)
	}
}
