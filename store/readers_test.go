package store_test

import (
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kontroler/store"
	"kontroler/store/storetest"
	"kontroler/store/transition"
)

// newChanges is the query of doc.go with which a reader follows changes. $1 is the snapshot that the query returned
// last. Its rows have the new snapshot, and a change unless there is none.
const newChanges = `
SELECT pg_current_snapshot(), c.id, c.kind, c.namespace, c.dag_id, c.run_id FROM (SELECT) one LEFT JOIN LATERAL (
    SELECT n.* FROM kontroler_v1.changes n WHERE n.xid >= pg_snapshot_xmax($1::pg_snapshot)
    UNION ALL
    SELECT o.* FROM kontroler_v1.changes o WHERE o.xid = ANY (ARRAY(SELECT pg_snapshot_xip($1::pg_snapshot)))
) c ON true ORDER BY c.xid, c.id`

// reader follows changes.
type reader struct {
	db       *sql.DB
	snapshot string
}

// read returns the ids of the changes that have become visible since the last call.
func (r *reader) read(t *testing.T) []int {
	t.Helper()
	rows, err := r.db.Query(newChanges, r.snapshot)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var ids []int
	for rows.Next() {
		var id, dag, run sql.NullInt64
		var kind, namespace sql.NullString
		if err := rows.Scan(&r.snapshot, &id, &kind, &namespace, &dag, &run); err != nil {
			t.Fatal(err)
		}
		if id.Valid {
			ids = append(ids, int(id.Int64))
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return ids
}

// writer is an open transaction that has written a change.
type writer struct {
	tx *sql.Tx
	id int
}

func (f *fixture) beginChange() writer {
	f.Helper()
	tx, err := f.raw.Begin()
	if err != nil {
		f.Fatal(err)
	}
	w := writer{tx: tx}
	if err := tx.QueryRow(`INSERT INTO kontroler.changes (kind) VALUES ('dag') RETURNING id`).Scan(&w.id); err != nil {
		f.Fatal(err)
	}
	return w
}

// TestFollowChanges checks that a reader gets each change once, at its first read after the commit, in any order in
// which transactions begin and end, and while a transaction of another database stays open.
func TestFollowChanges(t *testing.T) {
	f := newFixture(t)
	batch, err := openRaw(t, storetest.EmptyURL(t)).Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer batch.Rollback()
	if _, err := batch.Exec(`CREATE TABLE job (a int)`); err != nil {
		t.Fatal(err)
	}
	r := &reader{db: f.raw, snapshot: f.text(`SELECT pg_current_snapshot()`)}
	random := rand.New(rand.NewPCG(1, 2))
	var open []writer
	var committed []int
	for range 2000 {
		switch n := random.IntN(10); {
		case n < 4 && len(open) < 20:
			open = append(open, f.beginChange())
		case n < 8 && len(open) > 0:
			i := random.IntN(len(open))
			w := open[i]
			open = slices.Delete(open, i, i+1)
			if n == 4 {
				w.tx.Rollback()
				continue
			}
			if err := w.tx.Commit(); err != nil {
				t.Fatal(err)
			}
			committed = append(committed, w.id)
		default:
			got := r.read(t)
			slices.Sort(got)
			slices.Sort(committed)
			if diff := cmp.Diff(committed, got); diff != "" {
				t.Fatalf("changes since the last read (-committed +read), snapshot %s:\n%s", r.snapshot, diff)
			}
			committed = nil
		}
	}
	for _, w := range open {
		w.tx.Rollback()
	}
}

// concerned returns what the changes above an id concern: kind, namespace, DAG and run, each once.
func (f *fixture) concerned(above string) string {
	f.Helper()
	return f.text(`SELECT coalesce(string_agg(DISTINCT concat_ws(' ', kind, coalesce(namespace, '?'),
coalesce('DAG ' || dag_id, 'no DAG'), 'run ' || run_id), ', '), 'none') FROM kontroler_v1.changes WHERE id > $1`, above)
}

// TestChangesNameTheirObjects checks that each kind of write records its namespace, DAG and run, also those of removed
// rows.
func TestChangesNameTheirObjects(t *testing.T) {
	f := newFixture(t)
	dag := f.version.DAGID
	ofRun := func(id int64) string { return fmt.Sprintf("run default DAG %d run %d", dag, id) }
	ofDAG := fmt.Sprintf("dag default DAG %d", dag)
	ctx := t.Context()
	var ofRefused, ofInvalid string
	run, task, attempt := f.attempt("Running")
	pending := f.admit(0)
	old := f.ended(100*day, 1, 1)
	schedule := f.schedule()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	steps := []struct {
		name  string
		write func() string // what the changes concern, if it is not known before
		want  string
	}{
		{"a new version of a DAG", func() string { f.save(2, `{"task": [1]}`); return "" }, ofDAG},
		{"an admission", func() string { return ofRun(f.admit(0).ID) }, ""},
		{"a refusal of a run whose DAG has no row", func() string {
			refused := f.newRun()
			refused.DAGName, refused.DAGID, refused.VersionID = "invalid", 0, 0
			row, err := f.leader.Refuse(ctx, refused, "InvalidDag", "m")
			must(err)
			ofRefused = fmt.Sprintf("run default no DAG run %d", row.ID)
			return ofRefused
		}, ""},
		{"a refusal of a run whose DAG was valid once", func() string {
			refused := f.newRun()
			refused.DAGID, refused.VersionID = 0, 0
			row, err := f.leader.Refuse(ctx, refused, "InvalidDag", "m")
			must(err)
			ofInvalid = ofRun(row.ID)
			return ofInvalid
		}, ""},
		{"a commit that changes the run", func() string {
			f.mustCommit(run, transition.RunHeld{Reason: "Throttled"})
			return ""
		}, ofRun(run)},
		{"a commit that does not", func() string {
			f.mustCommit(run, transition.AttemptDue{Attempt: attempt, Due: at(99)})
			return ""
		}, ofRun(run)},
		{"a workspace", func() string { must(f.leader.RecordWorkspace(ctx, run, uid(5))); return "" }, ofRun(run)},
		{"an Event of a Pod", func() string {
			f.keep(1, podEvent(f.runUID(run), "Started", 1, 1))
			return ""
		}, ofRun(run)},
		{"an outcome with a notification", func() string {
			must(f.endTask(run, task, attempt, "TaskSucceeded"))
			return ""
		}, ofRun(run)},
		{"a log", func() string {
			must(f.leader.Logs.Save(ctx, run, store.Log{AttemptID: attempt, At: at(9), State: store.LogLost,
				Message: "m", CapturedAt: at(9)}, nil))
			return ""
		}, ofRun(run)},
		{"a stray Pod", func() string { must(f.leader.MarkStray(ctx, run, attempt, uid(8))); return "" }, ofRun(run)},
		{"a delivery", func() string {
			claimed, _ := f.claim(at(20))
			f.note(claimed[0], store.Delivery{At: at(20), Status: 200}, time.Time{})
			return ""
		}, ofRun(run)},
		{"a run that is discarded", func() string {
			must(f.leader.Discard(ctx, pending.ID))
			return ""
		}, ofRun(pending.ID)},
		{"a schedule that advances", func() string {
			next := schedule
			next.Cursor = at(2)
			schedule = f.advance(schedule, next, []store.Tick{
				{From: at(1), To: at(1), Count: 1, Outcome: "Ran", RunName: "d-1"},
				{From: at(2), To: at(2), Count: 1, Outcome: "Ran", RunName: "d-2"},
			}, nil)
			return ""
		}, ofDAG},
		{"a run that its schedule has created", func() string {
			must(f.leader.Schedules.RecordRun(ctx, dag, at(1), uid(7)))
			return ""
		}, ofDAG},
		{"a run that its schedule drops", func() string {
			must(f.leader.Schedules.DropRun(ctx, dag, at(1)))
			return ""
		}, ofDAG},
		{"a schedule that is rewound", func() string {
			must(f.leader.Schedules.Rewind(ctx, store.Rewind{Schedule: schedule, Uncreated: []time.Time{at(2)},
				CursorBefore: func(time.Time) time.Time { return at(1) }}))
			return ""
		}, ofDAG},
		{"a schedule that ends without due times", func() string {
			must(f.leader.Schedules.End(ctx, "default", "d"))
			return ""
		}, "none"},
		{"a DAG that is deleted", func() string {
			must(f.leader.DAGs.MarkDeleted(ctx, "default", "d", at(1)))
			return ""
		}, ofDAG},
		{"a DAG that is deleted again", func() string {
			must(f.leader.DAGs.MarkDeleted(ctx, "default", "d", at(1)))
			return ""
		}, "none"},
		{"a DagTask", func() string {
			_, _, err := f.leader.DagTasks.SaveVersion(ctx, store.DagTask{Namespace: "team", Name: "t", UID: uid(3),
				Generation: 1, CreatedAt: t0}, []byte(`{}`), hash(1), t0)
			must(err)
			return ""
		}, "dag team no DAG"},
		{"a DagTask that is deleted", func() string {
			must(f.leader.DagTasks.MarkDeleted(ctx, "team", "t", t0))
			return ""
		}, "dag team no DAG"},
		{"history that is removed", func() string {
			f.trim()
			return ofDAG + ", " + ofRun(old.ID) + ", " + ofInvalid + ", " + ofRefused
		}, ""},
	}
	for _, step := range steps {
		newest := f.text(`SELECT max(id) FROM kontroler.changes`)
		want := step.want
		if told := step.write(); told != "" {
			want = told
		}
		if diff := cmp.Diff(want, f.concerned(newest)); diff != "" {
			t.Errorf("%s: changes (-want +got):\n%s", step.name, diff)
		}
	}
}

// TestUnknownSchedulesAreAChange checks that an epoch after a restore, which marks all schedules, records each of them.
func TestUnknownSchedulesAreAChange(t *testing.T) {
	f := newFixture(t)
	f.schedule()
	newest := f.text(`SELECT max(id) FROM kontroler.changes`)
	if _, err := f.db.TakeEpoch(t.Context(), 0, "next", 1000, true); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fmt.Sprintf("dag default DAG %d", f.version.DAGID), f.concerned(newest)); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

// TestOrigins checks that the row of a run says where the run comes from, whether it was admitted or refused.
func TestOrigins(t *testing.T) {
	tests := map[string]struct {
		origin store.Origin
		want   string
	}{
		"a run of a schedule": {
			origin: store.Origin{Trigger: "Schedule", DueAt: at(5)}, want: "Schedule - 2025-03-01 12:00:05",
		},
		"a run of a schedule whose due time is not known": {
			origin: store.Origin{Trigger: "Schedule"}, want: "Schedule - -",
		},
		"a run that a user of the API requested": {
			origin: store.Origin{Trigger: "API", RequestedBy: "Zoë"}, want: "API Zoë -",
		},
		"a name that PostgreSQL cannot store": {
			origin: store.Origin{Trigger: "API", RequestedBy: "a\x00b\xff"}, want: "API a\uFFFDb\uFFFD -",
		},
		"a run that was created by hand": {origin: store.Origin{Trigger: "Manual"}, want: "Manual - -"},
		"a run of unknown origin":        {want: "- - -"},
	}
	f := newFixture(t)
	for name, tt := range tests {
		for _, isRefused := range []bool{false, true} {
			run := f.newRun()
			run.Origin = tt.origin
			write := func() (store.Run, error) { return f.leader.Admit(t.Context(), run, nil) }
			if isRefused {
				write = func() (store.Run, error) { return f.leader.Refuse(t.Context(), run, "InvalidDag", "m") }
			}
			row, err := write()
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			got := f.text(`SELECT concat_ws(' ', coalesce(trigger, '-'), coalesce(requested_by, '-'),
coalesce(to_char(due_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), '-'))
FROM kontroler_v1.runs WHERE id = $1`, row.ID)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%s, refused %t: row (-want +got):\n%s", name, isRefused, diff)
			}
		}
	}
}

// TestIdentityViews checks that a reader sees the version of the schema, the controller and the cluster.
func TestIdentityViews(t *testing.T) {
	f := newFixture(t)
	identity, err := f.db.Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := f.db.BindCluster(t.Context(), uid(9), false); err != nil {
		t.Fatal(err)
	}
	got := f.text(`SELECT controller_id || ' ' || cluster_uid FROM kontroler_v1.identity`)
	if want := identity.ControllerID + " " + uid(9); got != want {
		t.Errorf("identity %q, want %q", got, want)
	}
	got = f.text(`SELECT version FROM kontroler_v1.schema`)
	if want := f.text(`SELECT count(*) FROM kontroler.schema_migrations`); got != want {
		t.Errorf("version %s of the schema, want %s", got, want)
	}
}

// lead leads in the next epoch.
func (f *fixture) lead() error {
	identity, err := f.db.Identity(f.Context())
	if err != nil {
		return err
	}
	leader, err := f.db.Lead(f.Context(), store.Term{ControllerID: identity.ControllerID, Epoch: f.takeEpoch()})
	if err != nil {
		return err
	}
	f.Cleanup(func() { leader.Close() })
	f.leader = leader
	return nil
}

// TestForeignChanges checks that a leader empties changes exactly if there are rows of transactions to come.
func TestForeignChanges(t *testing.T) {
	f := newFixture(t)
	f.admit(0)
	count := func() string { return f.text(`SELECT count(*) FROM kontroler.changes`) }
	before := count()
	if err := f.lead(); err != nil || count() != before {
		t.Errorf("the changes of this server: %s of %s are left, %v", count(), before, err)
	}
	f.exec(`INSERT INTO kontroler.changes (xid, kind)
SELECT ((pg_current_xact_id()::text)::bigint + 1000000)::text::xid8, 'dag'`)
	reading, err := f.raw.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reading.Exec(`LOCK TABLE kontroler.changes IN ACCESS SHARE MODE`); err != nil {
		t.Fatal(err)
	}
	if err := f.lead(); !errors.Is(err, store.ErrConflict) {
		t.Errorf("changes of another server that a reader locks: %v", err)
	}
	reading.Rollback()
	if err := f.lead(); err != nil || count() != "0" {
		t.Errorf("changes of another server: %s are left, %v", count(), err)
	}
}

// TestChangesAfterARestore moves a database to a server that has counted fewer transactions. A reader that begins there
// sees each change once.
func TestChangesAfterARestore(t *testing.T) {
	old, server := storetest.NewServer(t), storetest.NewServer(t)
	db := storetest.Open(t, old.URL())
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	f := &fixture{T: t, url: old.URL(), db: db, raw: openRaw(t, old.URL())}
	f.exec(`DO $$ BEGIN FOR i IN 1..20000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$`)
	if err := f.lead(); err != nil {
		t.Fatal(err)
	}
	f.version = f.save(1, `{"task": []}`)
	run := f.admit(0)
	if err := server.Restore(old); err != nil {
		t.Fatal(err)
	}
	f.url, f.db, f.raw = server.URL(), storetest.Open(t, server.URL()), openRaw(t, server.URL())
	f.exec(`VACUUM ANALYZE`) // as after any restore
	if n := f.text(`SELECT count(*) FROM kontroler.changes
WHERE xid > pg_snapshot_xmax(pg_current_snapshot())`); n != "2" {
		t.Fatalf("%s changes are ahead of the server, want 2", n)
	}
	if err := f.lead(); err != nil {
		t.Fatal(err)
	}
	r := &reader{db: f.raw, snapshot: f.text(`SELECT pg_current_snapshot()`)}
	f.mustCommit(run.ID, transition.RunHeld{Reason: "Throttled"})
	want := f.text(`SELECT max(id) FROM kontroler.changes`)
	if first, second := r.read(t), r.read(t); len(first) != 1 || fmt.Sprint(first[0]) != want || len(second) != 0 {
		t.Errorf("the reader got changes %v, then %v, want %s once", first, second, want)
	}
}
