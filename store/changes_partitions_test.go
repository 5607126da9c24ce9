package store_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kontroler/store"
)

// changeTables lists the partitions of changes with their rows, and the placeholders.
func (f *fixture) changeTables() map[string]string {
	f.Helper()
	tables := map[string]string{}
	names, err := f.raw.Query(`SELECT c.relname, c.relispartition FROM pg_class c
WHERE c.relnamespace = 'kontroler'::regnamespace AND c.relkind = 'r' AND c.relname LIKE 'changes\_%'`)
	if err != nil {
		f.Fatal(err)
	}
	defer names.Close()
	for names.Next() {
		var name string
		var isPartition bool
		if err := names.Scan(&name, &isPartition); err != nil {
			f.Fatal(err)
		}
		tables[name] = "place"
		if isPartition {
			tables[name] = f.text(`SELECT count(*) FROM kontroler.` + name)
		}
	}
	return tables
}

func (f *fixture) checkChangeTables(what string, want map[string]string) {
	f.Helper()
	if diff := cmp.Diff(want, f.changeTables()); diff != "" {
		f.Errorf("%s: partitions (-want +got):\n%s", what, diff)
	}
}

func (f *fixture) maintain(now time.Time) {
	f.Helper()
	if err := f.leader.History.Maintain(f.Context(), now); err != nil {
		f.Fatal(err)
	}
}

// change writes n changes of a time.
func (f *fixture) change(at time.Time, n int) {
	f.Helper()
	f.exec(`INSERT INTO kontroler.changes (kind, at) SELECT 'dag', $1 FROM generate_series(1, $2)`, at, n)
}

func (f *fixture) trimChanges(now time.Time) (store.Removed, error) {
	removed := store.Removed{}
	err := f.leader.History.TrimChanges(f.Context(), store.Retention{Now: now,
		AfterBatch: func(r store.Removed, _ time.Duration) error {
			for kind, n := range r {
				removed[kind] += n
				if n > store.TrimRows {
					f.Errorf("a batch removed %d rows", n)
				}
			}
			return nil
		}})
	return removed, err
}

func changesOn(days ...time.Time) (names []string) {
	for _, day := range days {
		names = append(names, day.Format("changes_2006_01_02"))
	}
	return names
}

// TestChangesByDay checks that changes are kept for two days, in daily partitions, and that placeholders stand for
// months.
func TestChangesByDay(t *testing.T) {
	f := newFixture(t)
	f.exec(`DELETE FROM kontroler.changes`)
	// The days are in the middle of a past month, because trimming does not trust a clock ahead of the database's.
	now := time.Now().UTC().AddDate(0, -3, 0)
	now = time.Date(now.Year(), now.Month(), 10, 12, 0, 0, 0, time.UTC)
	day := func(n int) time.Time { return now.AddDate(0, 0, n) }
	this, next := now.Format("changes_2006_01"), now.AddDate(0, 1, 0).Format("changes_2006_01")
	for n := range 5 {
		f.maintain(day(n))
		f.change(day(n), 10)
	}
	f.change(day(-40), 1500) // they have no partition
	d := changesOn(day(0), day(1), day(2), day(3), day(4), day(5))
	f.checkChangeTables("five days", map[string]string{"changes_default": "1500", this: "place", next: "place",
		d[0]: "10", d[1]: "10", d[2]: "10", d[3]: "10", d[4]: "10", d[5]: "0"})
	removed, err := f.trimChanges(day(4))
	if diff := cmp.Diff(store.Removed{"partition": 2, "row": 1500}, removed); err != nil || diff != "" {
		t.Errorf("removed: %v (-want +got):\n%s", err, diff)
	}
	// At noon of the fourth day, the changes of noon of the second day are two days old.
	left := map[string]string{"changes_default": "0", this: "place", next: "place", d[2]: "10", d[3]: "10", d[4]: "10",
		d[5]: "0"}
	f.checkChangeTables("trimmed", left)
	if removed, err := f.trimChanges(day(4)); len(removed) > 1 || removed["row"] > 0 || err != nil {
		t.Errorf("trimmed again: %v, %v", removed, err)
	}
	f.checkChangeTables("trimmed again", left)
	f.maintain(day(30)) // in the next month
	later := changesOn(day(30), day(31))
	left[now.AddDate(0, 2, 0).Format("changes_2006_01")], left[later[0]], left[later[1]] = "place", "0", "0"
	delete(left, this)
	f.checkChangeTables("a month later", left)
}

// TestChangesMoveToTheirDay checks that rows of the default partition move to a new partition of their day.
func TestChangesMoveToTheirDay(t *testing.T) {
	f := newFixture(t)
	f.exec(`DELETE FROM kontroler.changes`)
	now := time.Now().UTC()
	f.change(now, 3)
	f.maintain(now)
	tables := f.changeTables()
	if today := changesOn(now)[0]; tables[today] != "3" || tables["changes_default"] != "0" {
		t.Errorf("partitions: %v", tables)
	}
}

// TestChangesByMonth starts with monthly partitions of an older binary. The partition of this month stays and loses
// its old rows, the next month gets daily partitions instead, and past months are dropped.
func TestChangesByMonth(t *testing.T) {
	f := newFixture(t)
	f.exec(`DELETE FROM kontroler.changes`)
	now := time.Now().UTC().AddDate(0, -3, 0)
	now = time.Date(now.Year(), now.Month(), 20, 12, 0, 0, 0, time.UTC)
	begin := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
	month := func(n int) string { return begin.AddDate(0, n, 0).Format("changes_2006_01") }
	for n := -1; n < 2; n++ {
		from, to := begin.AddDate(0, n, 0), begin.AddDate(0, n+1, 0)
		f.exec(fmt.Sprintf(`CREATE TABLE kontroler.%s PARTITION OF kontroler.changes FOR VALUES FROM ('%s') TO ('%s')`,
			month(n), from.Format(time.DateOnly+" 00:00:00Z"), to.Format(time.DateOnly+" 00:00:00Z")))
	}
	f.change(begin.AddDate(0, -1, 3), 2000) // a past month
	f.change(begin.AddDate(0, 0, 3), 2500)  // this month, old
	f.change(now.Add(-time.Hour), 7)        // this month
	f.change(begin.AddDate(0, 1, 3), 4)     // the next month, by a clock that is ahead
	for range 2 {
		f.maintain(now)
	}
	f.checkChangeTables("maintained", map[string]string{"changes_default": "4", month(-1): "2000", month(0): "2507",
		month(1): "place"})
	removed, err := f.trimChanges(now)
	if diff := cmp.Diff(store.Removed{"partition": 1, "row": 2500}, removed); err != nil || diff != "" {
		t.Errorf("removed: %v (-want +got):\n%s", err, diff)
	}
	f.checkChangeTables("trimmed", map[string]string{"changes_default": "4", month(0): "7", month(1): "place"})
	last := begin.AddDate(0, 1, -1)
	f.maintain(last)
	first := changesOn(begin.AddDate(0, 1, 0))[0]
	f.checkChangeTables("the last day of the month", map[string]string{"changes_default": "4", month(0): "7",
		month(1): "place", first: "0"})
	f.maintain(begin.AddDate(0, 1, 3))
	days := changesOn(begin.AddDate(0, 1, 3), begin.AddDate(0, 1, 4))
	f.checkChangeTables("the next month", map[string]string{"changes_default": "0", month(0): "7", month(1): "place",
		month(2): "place",
		first:    "0", days[0]: "4", days[1]: "0"})
}

// TestPlaceholders checks that an older binary finds a table with the name of its monthly partition, and creates none.
func TestPlaceholders(t *testing.T) {
	f := newFixture(t)
	now := time.Now().UTC()
	f.maintain(now)
	for n := range 2 {
		name := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC).AddDate(0, n,
			0).Format("kontroler.changes_2006_01")
		if there := f.text(`SELECT to_regclass($1) IS NOT NULL`, name); there != "true" {
			t.Errorf("%s does not exist", name)
		}
	}
}

// TestTrimChangesGivesWay checks that a long reader keeps its partitions, and that no other session waits for it.
func TestTrimChangesGivesWay(t *testing.T) {
	f := newFixture(t)
	now := time.Now().UTC()
	f.maintain(now.AddDate(0, 0, -5))
	reader, err := f.raw.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Rollback()
	if _, err := reader.Exec(`SELECT count(*) FROM kontroler_v1.changes`); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if removed, err := f.trimChanges(now); !errors.Is(err, store.ErrConflict) || removed["partition"] != 0 {
		t.Errorf("beside a reader: removed %v, %v", removed, err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it waited for %v", took)
	}
	if err := reader.Rollback(); err != nil {
		t.Fatal(err)
	}
	if removed, err := f.trimChanges(now); removed["partition"] != 2 || err != nil {
		t.Errorf("after the reader: removed %v, %v", removed, err)
	}
}
