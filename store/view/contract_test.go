package view_test

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kontroler/store"
	"kontroler/store/storetest"
	"kontroler/store/view"
)

// TestIdentity checks the identity that a reader gets, and what its error says if it cannot read the views.
func TestIdentity(t *testing.T) {
	f := newFixture(t)
	owner, err := f.owner.Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := f.owner.BindCluster(t.Context(), uid(1), false); err != nil {
		t.Fatal(err)
	}
	identity, err := f.db.Identity(t.Context())
	want := view.Identity{Version: identity.Version, ControllerID: owner.ControllerID, ClusterUID: uid(1)}
	if diff := cmp.Diff(want, identity); err != nil || diff != "" || identity.Version < view.MinVersion {
		t.Errorf("identity: %v (-want +got):\n%s", err, diff)
	}
	url := storetest.URL(t)
	role, withoutGrant := storetest.NewRole(t, url)
	_, emptyDatabase := storetest.NewRole(t, storetest.EmptyURL(t))
	for name, tt := range map[string]struct {
		url    string
		before string // a statement of the owner of the first database
		help   []string
	}{
		"a role without a grant": {url: withoutGrant, help: []string{role, "--reader-roles="}},
		"a database without a schema": {
			url: emptyDatabase, help: []string{"kontroler_v1", "controller of this version"},
		},
	} {
		_, err := open(t, tt.url).Identity(t.Context())
		contract, ok := errors.AsType[*view.ContractError](err)
		if !ok {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, text := range tt.help {
			if !strings.Contains(contract.Error(), text) {
				t.Errorf("%s: %q does not say %q", name, contract, text)
			}
		}
	}
	f.exec(`REVOKE SELECT ON kontroler_v1.ticks FROM PUBLIC, "` + strings.ReplaceAll(f.role, `"`, `""`) + `"`)
	if _, err := f.db.Identity(t.Context()); !isContract(err, "--reader-roles=") {
		t.Errorf("a view that is not granted: %v", err)
	}
	f.exec(`DELETE FROM kontroler.schema_migrations WHERE version > 9`)
	if _, err := f.db.Identity(t.Context()); !isContract(err, "at version 9") {
		t.Errorf("an old schema: %v", err)
	}
}

func isContract(err error, text string) bool {
	contract, ok := errors.AsType[*view.ContractError](err)
	return ok && strings.Contains(contract.Error(), text)
}

// TestUnavailable checks that an unavailable database has another error than one that lacks views.
func TestUnavailable(t *testing.T) {
	db := open(t, "postgres://u@127.0.0.1:1/d?sslmode=disable")
	_, _, err := db.Run(t.Context(), uid(1))
	if !errors.Is(err, view.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
}

func TestCursorsThatNoPageReturned(t *testing.T) {
	f := newFixture(t)
	for name, cursor := range map[string]view.Cursor{
		"text":                                  "abc",
		"white space":                           " ",
		"another format":                        "AgAAAAAAAAAAAAAAAAAAAAAA",
		"an unknown direction":                  "AQIAAAAAAAAAAAAAAAAAAAAA",
		"a time that PostgreSQL does not store": "AQB_________wAAAAAAAAAA",
		"too long":                              "AQAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"another encoding":                      "AQAAAAAAAAAAAAAAAAAAAAA+",
	} {
		request := view.PageRequest{Cursor: cursor, Limit: 1}
		_, err := f.db.Runs(t.Context(), view.RunFilter{Scope: view.AllNamespaces()}, request)
		if !errors.Is(err, view.ErrCursor) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzCursor checks that no text makes a query fail.
func FuzzCursor(f *testing.F) {
	for _, seed := range []string{"", "AQAAAAAAAAAAAAAAAAAAAAAA", "AQEABjfgqFjAAAAAAAAAAAAB"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		query, err := view.RunsQuery(
			view.RunFilter{Scope: view.AllNamespaces()}, view.PageRequest{Cursor: view.Cursor(text)})
		if err != nil && !errors.Is(err, view.ErrCursor) || err == nil && query.SQL == "" {
			t.Errorf("%q: %v", text, err)
		}
		for _, arg := range query.Args {
			if at, ok := arg.(time.Time); ok && (at.Year() < 1 || at.Year() > 9999) {
				t.Errorf("%q is the time %s", text, at)
			}
		}
	})
}

// TestChanges checks that a reader gets each change once, that it starts again when there are too many, and when its
// snapshot is of another server. Package store tests the query with open transactions.
func TestChanges(t *testing.T) {
	f := newFixture(t)
	snapshot, err := f.db.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	read := func(limit int) ([]view.Change, bool) {
		t.Helper()
		changes, next, isReset, err := f.db.Changes(t.Context(), snapshot, limit)
		if err != nil {
			t.Fatal(err)
		}
		snapshot = next
		return changes, isReset
	}
	f.exec(`INSERT INTO kontroler.changes (kind, namespace, dag_id, run_id) VALUES ('run', 'n', 3, 4)`)
	f.exec(`INSERT INTO kontroler.changes (kind, namespace) VALUES ('dag', 'n')`)
	f.exec(`INSERT INTO kontroler.changes (kind) VALUES ('dag')`)
	got, isReset := read(10)
	want := []view.Change{
		{ID: 1, Kind: "run", Namespace: "n", DAGID: 3, RunID: 4}, {ID: 2, Kind: "dag", Namespace: "n"},
		{ID: 3, Kind: "dag"},
	}
	if diff := cmp.Diff(want, got); diff != "" || isReset {
		t.Errorf("changes, reset %t (-want +got):\n%s", isReset, diff)
	}
	if got, isReset := read(10); len(got) != 0 || isReset {
		t.Errorf("without changes: %v, reset %t", got, isReset)
	}
	f.exec(`INSERT INTO kontroler.changes (kind) SELECT 'dag' FROM generate_series(1, 11)`)
	if got, isReset := read(10); len(got) != 0 || !isReset {
		t.Errorf("11 changes with a limit of 10: %d, reset %t", len(got), isReset)
	}
	if got, isReset := read(10); len(got) != 0 || isReset {
		t.Errorf("after the reset: %d, reset %t", len(got), isReset)
	}
	snapshot = "99999999999:99999999999:"
	if _, isReset := read(10); !isReset {
		t.Error("a snapshot that is ahead of the server is no reset")
	}
}

// TestChangesBetween checks that two snapshots have exactly those changes between them that were committed between
// them, in any order in which transactions begin and end.
func TestChangesBetween(t *testing.T) {
	f := newFixture(t)
	type moment struct {
		snapshot  view.Snapshot
		committed int
	}
	type writer struct {
		tx *sql.Tx
		id int64
	}
	random := rand.New(rand.NewPCG(3, 4))
	var moments []moment
	var committed []int64 // the ids of changes, in the order of their commits
	var open []writer
	for range 1000 {
		switch n := random.IntN(10); {
		case n < 4 && len(open) < 20:
			tx, err := f.raw.Begin()
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback()
			w := writer{tx: tx}
			err = tx.QueryRow(
				`INSERT INTO kontroler.changes (kind, namespace) VALUES ('dag', 'n') RETURNING id`).Scan(&w.id)
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, w)
		case n < 8 && len(open) > 0:
			i := random.IntN(len(open))
			if err := open[i].tx.Commit(); err != nil {
				t.Fatal(err)
			}
			committed = append(committed, open[i].id)
			open = slices.Delete(open, i, i+1)
		default:
			snapshot, err := f.db.Snapshot(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			moments = append(moments, moment{snapshot, len(committed)})
		}
	}
	for range 100 {
		i := random.IntN(len(moments))
		from, to := moments[i], moments[i+random.IntN(len(moments)-i)]
		changes, isReset, err := f.db.ChangesBetween(t.Context(), from.snapshot, to.snapshot, 2000)
		if err != nil || isReset {
			t.Fatalf("reset %t, %v", isReset, err)
		}
		got := make([]int64, 0, len(changes))
		for _, c := range changes {
			got = append(got, c.ID)
		}
		want := slices.Clone(committed[from.committed:to.committed])
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("changes from %s to %s (-committed +read):\n%s", from.snapshot, to.snapshot, diff)
		}
	}
	first, last := moments[0].snapshot, moments[len(moments)-1].snapshot
	if changes, isReset, err := f.db.ChangesBetween(
		t.Context(), first, last, 10); len(changes) > 0 || !isReset || err != nil {
		t.Errorf("more changes than the limit: %d, reset %t, %v", len(changes), isReset, err)
	}
	if _, isReset, err := f.db.ChangesBetween(
		t.Context(), "99999999999:99999999999:", last, 10); !isReset || err != nil {
		t.Errorf("a snapshot that is ahead: reset %t, %v", isReset, err)
	}
	if _, _, err := f.db.ChangesBetween(t.Context(), "3:2:1", last, 10); !errors.Is(err, store.ErrRejected) {
		t.Errorf("a text that is no snapshot: %v", err)
	}
}

// TestNamesOfChanges checks what changes are resolved with.
func TestNamesOfChanges(t *testing.T) {
	f := newFixture(t)
	leader, version := f.lead()
	run, err := leader.Admit(t.Context(), store.NewRun{
		UID: uid(2), Namespace: "team", Name: "etl-1", DAGName: "etl", DAGID: version.DAGID, VersionID: version.ID,
		CreatedAt: t0, AdmittedAt: t0,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	runs, err := f.db.ChangedRuns(t.Context(), []int64{run.ID, run.ID + 1})
	want := []view.ChangedRun{{ID: run.ID, UID: uid(2), Namespace: "team", DAG: "etl", Phase: "Pending"}}
	if diff := cmp.Diff(want, runs); diff != "" || err != nil {
		t.Errorf("runs, %v (-want +got):\n%s", err, diff)
	}
	names, err := f.db.Names(t.Context(), []int64{version.DAGID, 999})
	if diff := cmp.Diff(map[int64]string{version.DAGID: "etl"}, names); diff != "" || err != nil {
		t.Errorf("names, %v (-want +got):\n%s", err, diff)
	}
}

// TestListen checks that a listener is notified, and also after its session was ended.
func TestListen(t *testing.T) {
	f := newFixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	notified, done := make(chan struct{}, 100), make(chan struct{})
	go func() {
		defer close(done)
		f.db.Listen(ctx, func() {
			select {
			case notified <- struct{}{}:
			default:
			}
		})
	}()
	<-notified // It listens.
	f.exec(`NOTIFY kontroler_changes, '1'`)
	<-notified
	f.exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1 AND query LIKE 'LISTEN%'`, f.role)
	<-notified // It listens again.
	f.exec(`NOTIFY kontroler_changes, '2'`)
	<-notified
	cancel()
	<-done
}
