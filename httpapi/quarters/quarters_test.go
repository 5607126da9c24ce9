package quarters_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/google/go-cmp/cmp"

	"kontroler/httpapi/quarters"
	"kontroler/store"
	"kontroler/store/storetest"
	"kontroler/store/view"
)

// fixture is a database, a leader that writes it, and counts of its runs.
type fixture struct {
	*testing.T
	raw    *sql.DB
	leader *store.Leader
	counts *quarters.Counts
	random *rand.Rand
	runs   int

	mu  sync.Mutex
	at  time.Time // of the clock of counts
	log bytes.Buffer
}

// Write makes the fixture a log.
func (f *fixture) Write(line []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.log.Write(line)
}

func (f *fixture) now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.at
}

func (f *fixture) add(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at = f.at.Add(d)
}

// logged returns how many lines of the log contain a text.
func (f *fixture) logged(text string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Count(f.log.String(), text)
}

func newFixture(t *testing.T, url string) *fixture {
	t.Helper()
	raw, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	f := &fixture{
		T: t, raw: raw, leader: storetest.Lead(t, storetest.Open(t, url)), random: rand.New(rand.NewPCG(5, 8)),
		at: time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC),
	}
	f.counts = quarters.New(openViews(t, url), f.now, slog.New(slog.NewTextHandler(f, nil)))
	return f
}

func openViews(t *testing.T, url string) *view.DB {
	t.Helper()
	db, err := view.Open(view.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// querier is a database or a transaction.
type querier interface {
	Exec(query string, args ...any) (sql.Result, error)
}

func (f *fixture) exec(q querier, statement string, args ...any) {
	f.Helper()
	if _, err := q.Exec(statement, args...); err != nil {
		f.Fatalf("%v\n%s", err, statement)
	}
}

// windows are times in which days have 23, 23½, 24½ and 25 hours, depending on the zone.
var windows = [][2]time.Time{
	{time.Date(2025, 3, 27, 0, 0, 0, 0, time.UTC), time.Date(2025, 4, 8, 0, 0, 0, 0, time.UTC)},
	{time.Date(2025, 10, 3, 0, 0, 0, 0, time.UTC), time.Date(2025, 10, 7, 0, 0, 0, 0, time.UTC)},
	{time.Date(2025, 10, 24, 0, 0, 0, 0, time.UTC), time.Date(2025, 11, 4, 0, 0, 0, 0, time.UTC)},
}

// end returns a time in one of the windows, often at a full quarter-hour or just before one.
func (f *fixture) end() time.Time {
	window := windows[f.random.IntN(len(windows))]
	at := window[0].Add(time.Duration(f.random.Int64N(int64(window[1].Sub(window[0]))))).Truncate(time.Microsecond)
	switch f.random.IntN(4) {
	case 0:
		return at.Truncate(15 * time.Minute)
	case 1:
		return at.Truncate(15 * time.Minute).Add(-time.Microsecond)
	}
	return at
}

// insertRun inserts a run and its change, as a leader does. A run without an end is live.
func (f *fixture) insertRun(q querier, namespace, phase string, end time.Time) {
	f.Helper()
	f.runs++
	f.exec(q, `
WITH r AS (
    INSERT INTO kontroler.runs (uid, namespace, name, dag_name, phase, dag_version_id, created_at, admitted_at,
                                finished_at)
    SELECT gen_random_uuid(), $1, $2, 'd', $3,
           CASE WHEN $3 = 'Running' THEN (SELECT min(id) FROM kontroler.dag_versions) END, $4::timestamptz, $4,
           CASE WHEN $3 <> 'Running' THEN $4::timestamptz END
    RETURNING id)
INSERT INTO kontroler.changes (kind, run_id, namespace) SELECT 'run', id, $1 FROM r`,
		namespace, fmt.Sprint("r", f.runs), phase, end)
}

// endRuns ends up to n live runs.
func (f *fixture) endRuns(q querier, n int, phase string, end time.Time) {
	f.Helper()
	f.exec(q, `
WITH r AS (
    UPDATE kontroler.runs SET phase = $2, finished_at = $3
    WHERE id IN (SELECT id FROM kontroler.runs WHERE finished_at IS NULL ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED)
    RETURNING id)
INSERT INTO kontroler.changes (kind, run_id) SELECT 'run', id FROM r`, n, phase, end)
}

// saveVersion stores a version, which live runs need.
func (f *fixture) saveVersion() {
	f.Helper()
	dag := store.DAG{Namespace: "a", Name: "d", UID: "00000000-0000-4000-8000-000000000001", CreatedAt: f.now()}
	if _, err := f.leader.DAGs.SaveVersion(f.Context(), dag, []byte(`{}`), [32]byte{1}, 1, f.now()); err != nil {
		f.Fatal(err)
	}
}

// trim removes runs that ended before a time, as the controller does, but some of them stay.
func (f *fixture) trim(before time.Time) (removed int) {
	f.Helper()
	err := f.leader.History.Trim(f.Context(), store.Retention{
		Now: time.Now(), Keep: time.Since(before),
		Retain: func(uid string) bool { return uid[0] == '0' },
		AfterBatch: func(batch store.Removed, _ time.Duration) error {
			removed += batch["run"]
			return nil
		},
	})
	if err != nil {
		f.Fatal(err)
	}
	return removed
}

// byRows counts the runs of namespaces by day, one by one.
func (f *fixture) byRows(has func(string) bool, zone *time.Location, first, last view.Date) []view.Day {
	f.Helper()
	days := view.ByDay(nil, zone, first, last)
	index := map[string]*view.Day{}
	for i, d := range days {
		index[fmt.Sprintf("%04d-%02d-%02d", d.Date.Year, d.Date.Month, d.Date.Day)] = &days[i]
	}
	rows, err := f.raw.Query(`SELECT namespace, phase, finished_at FROM kontroler.runs WHERE finished_at IS NOT NULL`)
	if err != nil {
		f.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var namespace, phase string
		var end time.Time
		if err := rows.Scan(&namespace, &phase, &end); err != nil {
			f.Fatal(err)
		}
		day := index[end.In(zone).Format(time.DateOnly)]
		if day == nil || !has(namespace) {
			continue
		}
		*map[string]*int{"Succeeded": &day.Succeeded, "Failed": &day.Failed, "Cancelled": &day.Cancelled}[phase]++
	}
	if err := rows.Err(); err != nil {
		f.Fatal(err)
	}
	return days
}

// byCounts counts the runs by day through the counts.
func (f *fixture) byCounts(scope view.Scope, zone *time.Location, first, last view.Date) []view.Day {
	f.Helper()
	from := time.Date(first.Year, first.Month, first.Day-1, 0, 0, 0, 0, time.UTC)
	before := time.Date(last.Year, last.Month, last.Day+2, 0, 0, 0, 0, time.UTC)
	read, err := f.counts.Read(scope, from, before)
	if err != nil {
		f.Fatal(err)
	}
	return view.ByDay(read, zone, first, last)
}

var (
	zones = []string{
		"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/St_Johns",
		"Pacific/Kiritimati", "Pacific/Pago_Pago",
	}
	scopes = []view.Scope{view.AllNamespaces(), view.Namespaces("a"), view.Namespaces("b", "none"), view.Namespaces()}
)

// compare compares counts with rows, by day in every zone, for every scope and window.
func (f *fixture) compare(step string) {
	f.Helper()
	for _, name := range zones {
		zone, err := time.LoadLocation(name)
		if err != nil {
			f.Fatal(err)
		}
		scope, window := scopes[f.random.IntN(len(scopes))], windows[f.random.IntN(len(windows))]
		first, last := view.DateOf(window[0].AddDate(0, 0, f.random.IntN(3)), time.UTC),
			view.DateOf(window[1], time.UTC)
		if diff := cmp.Diff(f.byRows(scope.Has, zone, first, last), f.byCounts(scope, zone, first, last)); diff != "" {
			f.Fatalf("%s, %s, scope %v: rows and counts differ (-rows +counts):\n%s", step, name, scope, diff)
		}
	}
}

// settle reads until nothing is left to read.
func (f *fixture) settle(follower quarters.Follower) (rounds int) {
	f.Helper()
	rounds, err := follower.Rounds(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	return rounds
}

// TestCountsEqualRows compares counts with rows while runs are admitted, end, and are removed, in transactions that
// commit in another order than they begin, some of them after many later ones.
func TestCountsEqualRows(t *testing.T) {
	f := newFixture(t, storetest.URL(t))
	f.saveVersion()
	namespaces, phases := []string{"a", "b", "c"}, []string{"Succeeded", "Failed", "Cancelled", "Running"}
	var open []*sql.Tx
	write := func(q querier) {
		for range 1 + f.random.IntN(6) {
			phase := phases[f.random.IntN(len(phases))]
			if f.random.IntN(3) == 0 && phase != "Running" {
				f.endRuns(q, 1+f.random.IntN(3), phase, f.end())
			} else {
				f.insertRun(q, namespaces[f.random.IntN(len(namespaces))], phase, f.end())
			}
		}
	}
	for range 20 {
		write(f.raw)
	}
	follower := f.counts.Follower(7)
	late, removed, parts := 0, 0, 0
	for step := range 150 {
		switch f.random.IntN(6) {
		case 0, 1:
			write(f.raw)
		case 2:
			tx, err := f.raw.Begin()
			if err != nil {
				t.Fatal(err)
			}
			write(tx)
			open = append(open, tx)
		case 3:
			if len(open) > 0 {
				i := f.random.IntN(len(open))
				if err := open[i].Commit(); err != nil {
					t.Fatal(err)
				}
				open = append(open[:i], open[i+1:]...)
				late++
			}
		case 4:
			if f.random.IntN(6) == 0 {
				removed += f.trim(f.end())
			}
		case 5: // the rounds see the rows in the midst of a sweep
			if _, err := follower.Round(t.Context()); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if f.random.IntN(3) == 0 {
			parts += f.settle(follower)
			f.compare(fmt.Sprint("step ", step))
		}
	}
	for _, tx := range open {
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	f.settle(follower)
	f.compare("the end")
	if late < 5 || removed < 20 || parts < 40 {
		t.Errorf("%d late commits, %d removed runs and %d rounds are too few", late, removed, parts)
	}
	f.exec(f.raw, `WITH gone AS (DELETE FROM kontroler.runs RETURNING id)
INSERT INTO kontroler.changes (kind, run_id) SELECT 'run', id FROM gone`)
	if f.settle(follower); f.counts.Len() != 0 {
		t.Errorf("%d counts are left of no runs", f.counts.Len())
	}
}

// TestRowsThatChangesDoNotShow checks that rows deleted by hand stop being counted within an hour, and that only
// changed quarter-hours are read between two sweeps.
func TestRowsThatChangesDoNotShow(t *testing.T) {
	f := newFixture(t, storetest.URL(t))
	for range 40 {
		f.insertRun(f.raw, "a", "Failed", f.end())
	}
	follower := f.counts.Follower(3)
	if rounds := f.settle(follower); rounds < 5 {
		t.Errorf("the first sweep had %d parts", rounds)
	}
	before := f.counts.Len()
	f.exec(f.raw, `DELETE FROM kontroler.runs`)
	f.add(quarters.SweepEvery - time.Second)
	if rounds := f.settle(follower); rounds != 1 || f.counts.Len() != before {
		t.Errorf("without a change, %d rounds were read, and %d of %d counts are left", rounds, f.counts.Len(), before)
	}
	f.add(time.Second)
	f.settle(follower)
	f.compare("an hour later")
	if f.counts.Len() != 0 {
		t.Errorf("%d counts are left", f.counts.Len())
	}
}

// TestRestoredDatabase checks that the counts of a database are dropped when the snapshot is newer than the database
// that replaces it.
func TestRestoredDatabase(t *testing.T) {
	old := newFixture(t, storetest.URL(t))
	for range 20 {
		old.insertRun(old.raw, "a", "Failed", old.end())
	}
	follower := old.counts.Follower(7)
	old.settle(follower)
	server := storetest.NewServer(t)
	db := storetest.Open(t, server.URL())
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The shared server must have counted more transactions than the new one.
	old.exec(old.raw, `DO $$ BEGIN FOR i IN 1..5000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$`)
	old.settle(follower)
	restored := newFixture(t, server.URL())
	for range 5 {
		restored.insertRun(restored.raw, "b", "Succeeded", restored.end())
	}
	follower.Move(openViews(t, server.URL()))
	old.raw = restored.raw
	old.settle(follower)
	old.compare("after the restore")
}

// TestManyChanges checks that all runs are counted again if there are more changes than a round reads.
func TestManyChanges(t *testing.T) {
	f := newFixture(t, storetest.URL(t))
	follower := f.counts.Follower(7)
	f.settle(follower)
	for range 30 { // more runs than a part, all in one quarter-hour
		f.insertRun(f.raw, "a", "Failed", windows[0][0].AddDate(0, 0, 3))
	}
	for range 30 {
		f.insertRun(f.raw, "a", "Failed", f.end())
	}
	f.exec(f.raw, `INSERT INTO kontroler.changes (kind, run_id) SELECT 'run', n FROM generate_series(1, 11000) n`)
	if _, err := follower.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := f.counts.Read(view.AllNamespaces(), windows[0][0], windows[0][1]); err != quarters.ErrCounting {
		t.Errorf("in the midst of the first sweep: %v", err)
	}
	f.settle(follower)
	f.compare("after many changes")
}

// TestRun checks that counts are returned for a minute after the database becomes unavailable and refused afterwards,
// that the outage is logged once, and that the counts follow the rows when the database is back.
func TestRun(t *testing.T) {
	server := storetest.NewServer(t)
	db := storetest.Open(t, server.URL())
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	f := newFixture(t, server.URL())
	for range 10 {
		f.insertRun(f.raw, "a", "Failed", f.end())
	}
	read := func() error {
		_, err := f.counts.Read(view.AllNamespaces(), windows[0][0], windows[0][1])
		return err
	}
	if err := read(); err != quarters.ErrCounting {
		t.Errorf("before the first count: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := f.counts.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	defer func() {
		cancel()
		running.Wait()
	}()
	f.await("the first count", func() bool { return read() == nil })
	f.compare("at first")
	if err := server.Crash(); err != nil {
		t.Fatal(err)
	}
	f.await("a failed round", func() bool { return f.logged("cannot be counted") > 0 })
	if err := read(); err != nil {
		t.Errorf("counts of an instant ago: %v", err)
	}
	f.add(quarters.MaxAge + time.Second)
	if err := read(); !store.IsUnavailable(err) {
		t.Errorf("counts of a minute ago: %v", err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	f.insertRun(f.raw, "b", "Succeeded", f.end())
	f.await("counts that are current", func() bool {
		zone := time.UTC
		first, last := view.DateOf(windows[0][0], zone), view.DateOf(windows[2][1], zone)
		return read() == nil && cmp.Equal(f.byRows(view.AllNamespaces().Has, zone, first, last),
			f.byCounts(view.AllNamespaces(), zone, first, last))
	})
	f.compare("at last")
	if failed, good := f.logged("cannot be counted"), f.logged("can be counted"); failed != 1 || good != 1 {
		t.Errorf("the log tells of %d failures and %d recoveries", failed, good)
	}
}

func (f *fixture) await(what string, isSo func() bool) {
	f.Helper()
	for end := time.Now().Add(2 * time.Minute); !isSo(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			f.Fatalf("waiting for %s\n%s", what, f.log.String())
		}
	}
}

// TestCost checks the size of a count and the pauses, which doc.go states.
func TestCost(t *testing.T) {
	if quarters.BytesOfOne != 16 {
		t.Errorf("a count is %d bytes", quarters.BytesOfOne)
	}
	for took, want := range map[time.Duration]time.Duration{
		time.Millisecond: quarters.PollEvery, 200 * time.Millisecond: 3800 * time.Millisecond,
		time.Second: quarters.MaxPause,
	} {
		if got := quarters.Pause(took, false); got != want {
			t.Errorf("a pause of %s after %s, want %s", got, took, want)
		}
	}
	if got := quarters.Pause(time.Second, true); got != 0 {
		t.Errorf("a pause of %s in the first sweep", got)
	}
}
