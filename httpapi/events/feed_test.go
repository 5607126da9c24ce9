package events_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kontroler/httpapi/events"
	"kontroler/store"
	"kontroler/store/storetest"
	"kontroler/store/transition"
	"kontroler/store/view"
)

var t0 = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// fixture is a database that a role of --reader-roles reads. raw reaches it as its owner.
type fixture struct {
	*testing.T
	views *view.DB
	owner *store.DB
	raw   *sql.DB
	// passed is how many seconds have passed since t0.
	passed atomic.Int64
}

func (f *fixture) now() time.Time { return t0.Add(time.Duration(f.passed.Load()) * time.Second) }

func newFixture(t *testing.T) *fixture {
	t.Helper()
	url := storetest.URL(t)
	owner := storetest.Open(t, url)
	role, asRole := storetest.NewRole(t, url)
	if err := owner.GrantReaders(t.Context(), []string{role}); err != nil {
		t.Fatal(err)
	}
	f := &fixture{T: t, views: openViews(t, asRole), owner: owner}
	f.raw = openRaw(t, url)
	return f
}

func openViews(t *testing.T, url string) *view.DB {
	t.Helper()
	views, err := view.Open(view.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { views.Close() })
	return views
}

func openRaw(t *testing.T, url string) *sql.DB {
	t.Helper()
	raw, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	return raw
}

func uid(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

func (f *fixture) exec(statement string, args ...any) {
	f.Helper()
	if _, err := f.raw.Exec(statement, args...); err != nil {
		f.Fatalf("%v\n%s", err, statement)
	}
}

// feed returns a feed that runs until the test ends, or until stop.
func (f *fixture) feed() (feed *events.Feed, stop func()) {
	f.Helper()
	feed = events.NewFeed(f.views, f.now, slog.New(slog.DiscardHandler))
	feed.ReadEvery(time.Millisecond)
	return feed, start(f.T, feed)
}

func start(t *testing.T, feed *events.Feed) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := feed.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	for { // until it runs
		s, err := feed.Subscribe(t.Context(), -1, "")
		if err == nil {
			s.Close()
			return stop
		}
	}
}

func (f *fixture) subscribe(feed *events.Feed, since string) *events.Subscription {
	f.Helper()
	s, err := feed.Subscribe(f.Context(), 1, since)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(s.Close)
	return s
}

// first returns the first batch of a subscription.
func (f *fixture) first(s *events.Subscription) events.Batch {
	f.Helper()
	<-s.HasPending()
	batches := s.Take()
	if len(batches) == 0 {
		f.Fatal("no first batch")
	}
	return batches[0]
}

// until takes batches until one satisfies a condition, and returns all events of them.
func (f *fixture) until(s *events.Subscription, isLast func(events.Batch) bool) (all []events.Event) {
	f.Helper()
	for {
		<-s.HasPending()
		for _, batch := range s.Take() {
			all = append(all, batch.Events...)
			if isLast(batch) {
				return all
			}
		}
	}
}

func hasEvents(b events.Batch) bool { return len(b.Events) > 0 }
func isReset(b events.Batch) bool   { return b.Reset != "" }

// fillRuns inserts runs 1 to n of namespace a. They have failed, because such runs need no version.
func (f *fixture) fillRuns(n int) {
	f.Helper()
	f.exec(`
INSERT INTO kontroler.dags (namespace, name, uid, created_at) VALUES ('a', 'etl', gen_random_uuid(), now())`)
	f.exec(`
INSERT INTO kontroler.runs (id, uid, namespace, name, dag_name, dag_id, phase, total, created_at, admitted_at,
    finished_at) OVERRIDING SYSTEM VALUE
SELECT n, ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'a', 'etl-' || n, 'etl', d.id, 'Failed', 0,
       now(), now(), now() FROM kontroler.dags d, generate_series(1, $1) n`, n)
}

const insertChange = `INSERT INTO kontroler.changes (kind, namespace, dag_id, run_id)
SELECT 'run', 'a', r.dag_id, r.id FROM kontroler.runs r WHERE r.id = $1`

// TestNothingIsSkippedAndNothingTwice writes one change to each run, in transactions that begin, commit and roll back
// in any order, with and without notifications. A client follows meanwhile. It loses its connection repeatedly, and
// resumes from its last ID at the other of two replicas.
func TestNothingIsSkippedAndNothingTwice(t *testing.T) {
	f := newFixture(t)
	const runs = 600
	f.fillRuns(runs)
	one, _ := f.feed()
	two, _ := f.feed()
	replicas := []*events.Feed{one, two}

	const marker = runs // Its change is committed after all others.
	got := map[string]int{}
	connections := 0
	followed := make(chan error, 1)
	firstID := f.first(f.subscribe(one, "")).ID
	go func() {
		random := rand.New(rand.NewPCG(5, 6))
		lastID := firstID
		for ; got[uid(marker)] == 0; connections++ {
			s, err := replicas[connections%2].Subscribe(t.Context(), 2, lastID)
			if err != nil {
				followed <- err
				return
			}
			for range 1 + random.IntN(5) {
				<-s.HasPending()
				for _, batch := range s.Take() {
					if batch.Reset != "" {
						followed <- fmt.Errorf("reset: %s", batch.Reset)
						return
					}
					for _, e := range batch.Events {
						got[e.Run]++
					}
					lastID = batch.ID
				}
				if got[uid(marker)] > 0 {
					break
				}
			}
			s.Close()
		}
		followed <- nil
	}()

	committed := f.writeChanges(runs - 1)
	f.exec(insertChange, marker)
	committed[uid(marker)] = 1
	if err := <-followed; err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(committed, got); diff != "" {
		t.Errorf("events by run, over %d connections (-committed +got):\n%s", connections, diff)
	}
	t.Logf("%d of %d changes were committed; the client connected %d times", len(committed), runs, connections)
	if connections < 10 {
		t.Errorf("the client connected %d times only", connections)
	}
}

// writeChanges writes one change to each of the first n runs, and returns those that it commits.
func (f *fixture) writeChanges(n int) map[string]int {
	f.Helper()
	type writer struct {
		tx  *sql.Tx
		run int
	}
	random := rand.New(rand.NewPCG(7, 8))
	committed := map[string]int{}
	var open []writer
	for run := 1; run <= n || len(open) > 0; {
		switch step := random.IntN(10); {
		case step < 5 && run <= n && len(open) < 20:
			tx, err := f.raw.Begin()
			if err != nil {
				f.Fatal(err)
			}
			if _, err := tx.Exec(insertChange, run); err != nil {
				f.Fatal(err)
			}
			open = append(open, writer{tx, run})
			run++
		case step < 9 && len(open) > 0:
			i := random.IntN(len(open))
			w := open[i]
			open = slices.Delete(open, i, i+1)
			if step == 5 {
				w.tx.Rollback()
			} else if err := w.tx.Commit(); err != nil {
				f.Fatal(err)
			} else {
				committed[uid(w.run)] = 1
			}
		default:
			f.exec(`NOTIFY kontroler_changes`)
		}
	}
	return committed
}

// TestResume resumes from valid and from unusable IDs.
func TestResume(t *testing.T) {
	f := newFixture(t)
	f.fillRuns(events.MaxReplayed + 1)
	feed, _ := f.feed()
	id := f.first(f.subscribe(feed, "")).ID
	seconds, snapshot, _ := strings.Cut(id, "/")
	f.exec(insertChange, 1)
	f.exec(insertChange, 2)
	f.exec(insertChange, 1)
	two := []events.Event{
		{Kind: "run", Namespace: "a", DAG: "etl", Run: uid(2), Phase: "Failed"},
		{Kind: "run", Namespace: "a", DAG: "etl", Run: uid(1), Phase: "Failed"},
	}
	old := fmt.Sprint(t0.Add(-time.Hour-time.Second).Unix(), "/", snapshot)
	tests := map[string]struct {
		id    string
		want  []events.Event
		reset events.Reset
	}{
		"the ID before the changes": {id: id, want: two},
		"an ID that is an hour old": {
			id: fmt.Sprint(t0.Add(-time.Hour).Unix(), "/", snapshot), want: two,
		},
		"an ID that is older than an hour":          {id: old, reset: events.TooOld},
		"an ID of a database from before a restore": {id: seconds + "/99999999999:99999999999:", reset: events.Gap},
		"no ID":                                  {id: "7", reset: events.Unknown},
		"another text":                           {id: "yesterday", reset: events.Unknown},
		"a text that only looks like a snapshot": {id: seconds + "/3:2:1", reset: events.Unknown},
		"a number that is too large for PostgreSQL": {
			id: seconds + "/1:" + strings.Repeat("9", 40) + ":", reset: events.Gap,
		},
		"SQL":                     {id: seconds + "/1:2:'; DROP TABLE x", reset: events.Unknown},
		"a text that is too long": {id: id + strings.Repeat("1", 8<<10), reset: events.Unknown},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := &fixture{T: t}
			s := f.subscribe(feed, tt.id)
			batch := f.first(s)
			if diff := cmp.Diff(tt.want, batch.Events); diff != "" || batch.Reset != tt.reset || batch.ID == "" {
				t.Errorf("reset %q, ID %q, events (-want +got):\n%s", batch.Reset, batch.ID, diff)
			}
			s.Close()
			again := f.subscribe(feed, batch.ID)
			if batch := f.first(again); len(batch.Events) > 0 || batch.Reset != "" {
				t.Errorf("again from there: %+v", batch)
			}
			again.Close()
		})
	}
	f.exec(`INSERT INTO kontroler.changes (kind, namespace, run_id) SELECT 'run', 'a', id FROM kontroler.runs`)
	if batch := f.first(f.subscribe(feed, id)); batch.Reset != events.Gap {
		t.Errorf("more changes than are replayed: %+v", batch)
	}
}

// TestEvents checks the events of each kind of change.
func TestEvents(t *testing.T) {
	f := newFixture(t)
	leader := storetest.Lead(t, f.owner)
	notifying, stopNotifying := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); leader.Notify(notifying) }()
	t.Cleanup(func() { stopNotifying(); <-done })
	feed, _ := f.feed()
	s := f.subscribe(feed, "")
	f.first(s)
	var version store.Version
	var run, refused store.Run
	newRun := func(n int) store.NewRun {
		return store.NewRun{
			UID: uid(n), Namespace: "a", Name: fmt.Sprint("etl-", n), DAGName: "etl", DAGID: version.DAGID,
			VersionID: version.ID, CreatedAt: t0, AdmittedAt: t0,
		}
	}
	steps := []struct {
		name string
		do   func() error
		want []events.Event
	}{
		{"a DAG", func() (err error) {
			dag := store.DAG{Namespace: "a", Name: "etl", UID: uid(1), CreatedAt: t0}
			version, err = leader.DAGs.SaveVersion(t.Context(), dag, []byte(`{"task": [1]}`), [32]byte{1}, 1, t0)
			return err
		}, []events.Event{{Kind: "dag", Namespace: "a", DAG: "etl"}}},
		{"a run", func() (err error) {
			run, err = leader.Admit(t.Context(), newRun(2), nil)
			return err
		}, []events.Event{{Kind: "run", Namespace: "a", DAG: "etl", Run: uid(2), Phase: "Pending"}}},
		{"a run that begins", func() (err error) {
			return leader.Commit(t.Context(), run.ID, []transition.Transition{transition.RunStarted{At: t0}}, nil)
		}, []events.Event{{Kind: "run", Namespace: "a", DAG: "etl", Run: uid(2), Phase: "Running"}}},
		{"a run whose DAG has no row", func() (err error) {
			invalid := newRun(3)
			invalid.DAGName, invalid.DAGID, invalid.VersionID = "invalid", 0, 0
			refused, err = leader.Refuse(t.Context(), invalid, "InvalidDag", "m")
			return err
		}, []events.Event{{Kind: "run", Namespace: "a", DAG: "invalid", Run: uid(3), Phase: "Failed"}}},
		{"a run that is removed", func() (err error) {
			_, err = f.raw.Exec(`WITH gone AS (DELETE FROM kontroler.runs WHERE id = $1 RETURNING id, namespace, dag_id)
INSERT INTO kontroler.changes (kind, run_id, namespace, dag_id) SELECT 'run', id, namespace, $2 FROM gone`,
				refused.ID, version.DAGID)
			return err
		}, []events.Event{{Kind: "run", Namespace: "a", DAG: "etl"}}},
		{"a DagTask", func() error {
			_, _, err := leader.DagTasks.SaveVersion(t.Context(), store.DagTask{Namespace: "b", Name: "t", UID: uid(4),
				Generation: 1, CreatedAt: t0}, []byte(`{}`), [32]byte{2}, t0)
			return err
		}, []events.Event{{Kind: "dagtask", Namespace: "b"}}},
		{"a run, written by an earlier version of the controller", func() error {
			_, err := f.raw.Exec(`INSERT INTO kontroler.changes (kind, run_id) VALUES ('run', $1)`, run.ID)
			return err
		}, []events.Event{{Kind: "run", Namespace: "a", DAG: "etl", Run: uid(2), Phase: "Running"}}},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			t.Fatal(step.name, err)
		}
		f.exec(`NOTIFY kontroler_changes`)
		if diff := cmp.Diff(step.want, f.until(s, hasEvents)); diff != "" {
			t.Errorf("%s: events (-want +got):\n%s", step.name, diff)
		}
	}
	f.exec(`INSERT INTO kontroler.changes (kind) VALUES ('dag')`) // by an earlier version: of any namespace
	if all := f.until(s, isReset); len(all) > 0 {
		t.Errorf("a change of an unknown namespace: %v", all)
	}
}

// TestASlowSubscriberDelaysNobody checks that a subscriber that takes no batches gets a reset, continues after it, and
// delays no other one.
func TestASlowSubscriberDelaysNobody(t *testing.T) {
	f := newFixture(t)
	f.fillRuns(2)
	feed, _ := f.feed()
	slow, quick := f.subscribe(feed, ""), f.subscribe(feed, "")
	f.first(quick)
	for range events.MaxPending + 5 {
		f.exec(insertChange, 1)
		f.exec(`NOTIFY kontroler_changes`)
		if all := f.until(quick, hasEvents); len(all) != 1 {
			t.Fatalf("events %v", all)
		}
	}
	batches := slow.Take()
	if len(batches) > events.MaxPending || batches[0].Reset != events.TooSlow {
		t.Fatalf("%d batches wait: %+v", len(batches), batches)
	}
	f.exec(insertChange, 2)
	f.exec(`NOTIFY kontroler_changes`)
	all := f.until(slow, func(b events.Batch) bool { return hasEvents(b) && b.Events[0].Run == uid(2) })
	if all[len(all)-1].Run != uid(2) {
		t.Errorf("behind the reset: %v", all)
	}
}

// TestOutage stops the database. Open subscriptions continue without a gap afterwards. A new one is refused meanwhile.
func TestOutage(t *testing.T) {
	server := storetest.NewServer(t)
	owner := storetest.Open(t, server.URL())
	if err := owner.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	f := &fixture{T: t, views: openViews(t, server.URL()), owner: owner, raw: openRaw(t, server.URL())}
	f.fillRuns(2)
	feed, _ := f.feed()
	s := f.subscribe(feed, "")
	id := f.first(s).ID
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, since := range []string{id, ""} { // The second one follows a read that has failed.
		if _, err := feed.Subscribe(t.Context(), 1, since); !store.IsUnavailable(err) {
			t.Errorf("a subscription from %q while the database is away: %v", since, err)
		}
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	raw := openRaw(t, server.URL())
	if _, err := raw.Exec(insertChange, 2); err != nil {
		t.Fatal(err)
	}
	if all := f.until(s, func(b events.Batch) bool { return hasEvents(b) || isReset(b) }); len(all) != 1 ||
		all[0].Run != uid(2) {
		t.Errorf("after the outage: %v", all)
	}
}

// TestAPauseOfTheReader moves the clock by more than an hour between two reads.
func TestAPauseOfTheReader(t *testing.T) {
	f := newFixture(t)
	feed, _ := f.feed()
	s := f.subscribe(feed, "")
	f.first(s)
	f.passed.Store(3601)
	f.exec(`NOTIFY kontroler_changes`)
	f.until(s, func(b events.Batch) bool { return b.Reset == events.TooOld })
}

// TestStop checks that subscriptions end with their feed.
func TestStop(t *testing.T) {
	f := newFixture(t)
	feed, stop := f.feed()
	s := f.subscribe(feed, "")
	stop()
	<-s.Ended()
	if _, err := feed.Subscribe(t.Context(), 1, ""); !errors.Is(err, events.ErrStopped) {
		t.Errorf("a subscription of a feed that has stopped: %v", err)
	}
}

// TestTooManySubscriptions checks that the number of subscriptions of a user is limited, and that closing one makes
// room.
func TestTooManySubscriptions(t *testing.T) {
	f := newFixture(t)
	feed, _ := f.feed()
	var all []*events.Subscription
	for range events.MaxStreams {
		all = append(all, f.subscribe(feed, ""))
	}
	if _, err := feed.Subscribe(t.Context(), 1, ""); !errors.Is(err, events.ErrTooMany) {
		t.Errorf("one more: %v", err)
	}
	other, err := feed.Subscribe(t.Context(), 2, "")
	if err != nil {
		t.Fatalf("another user: %v", err)
	}
	other.Close()
	all[0].Close()
	all[0].Close() // counts once
	f.subscribe(feed, "")
	if _, err := feed.Subscribe(t.Context(), 1, ""); !errors.Is(err, events.ErrTooMany) {
		t.Errorf("one more again: %v", err)
	}
}

func FuzzParseID(fuzz *testing.F) {
	for _, seed := range []string{"1782907200/3:5:3,4", "/", "1/1:1:", "-9223372036854775808/::"} {
		fuzz.Add(seed)
	}
	fuzz.Fuzz(func(t *testing.T, id string) {
		snapshot, reset := events.ParseID(id, t0)
		if (snapshot == "") == (reset == "") || strings.Trim(string(snapshot), "0123456789:,") != "" {
			t.Errorf("%q is snapshot %q, reset %q", id, snapshot, reset)
		}
	})
}
