package store_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kontroler/store"
)

func TestMaintain(t *testing.T) {
	f := newFixture(t) // which has written a change already
	now := time.Now().UTC()
	f.exec(`INSERT INTO kontroler.ticks (dag_id, due_from, due_to, count, outcome, decided_at)
VALUES (1, $1, $1, 1, 'Ran', $1), (1, $2, $2, 1, 'Ran', $2)`,
		now, now.AddDate(-1, 0, 0))
	f.saveLog(store.Log{AttemptID: 1, At: now, State: store.LogCaptured, Bytes: 1}, "x")
	before := f.text(`SELECT string_agg(id::text || xid, ',' ORDER BY id) FROM kontroler.changes WHERE id = 1`)
	for range 2 {
		if err := f.leader.History.Maintain(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
	f.admit(0)
	month := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
	this, next := month.Format("2006_01"), month.AddDate(0, 1, 0).Format("2006_01")
	today, tomorrow := now.Format("2006_01_02"), now.AddDate(0, 0, 1).Format("2006_01_02")
	got := map[string]string{}
	for _, table := range []string{"changes_default", "changes_" + today, "changes_" + tomorrow, "ticks_default",
		"ticks_" + this, "ticks_" + next,
		"logs_default", "logs_" + this, "log_chunks_default", "log_chunks_" + this} {
		got[table] = f.text(`SELECT count(*) FROM kontroler.` + table)
	}
	want := map[string]string{
		"changes_default": "0", "changes_" + today: "4", "changes_" + tomorrow: "0", "ticks_default": "1", "ticks_" +
			this: "1", "ticks_" + next: "0",
		"logs_default": "0", "logs_" + this: "1", "log_chunks_default": "0", "log_chunks_" + this: "1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if after := f.text(`SELECT string_agg(id::text || xid, ',' ORDER BY id) FROM kontroler.changes
WHERE id = 1`); after != before {
		t.Errorf("changes %q became %q", before, after)
	}
	if storage := f.text(`SELECT attstorage FROM pg_attribute WHERE attrelid = ('kontroler.log_chunks_' || $1)::regclass
AND attname = 'data'`, this); storage != "e" {
		t.Errorf("compressed data is compressed once more: storage %q", storage)
	}
	for _, key := range []string{"changes_" + today, "ticks_" + this, "logs_" + this, "log_chunks_" + this} {
		if n := f.text(`SELECT count(*) FROM pg_index WHERE indrelid = ('kontroler.' || $1)::regclass
AND indisprimary`, key); n != "1" {
			t.Errorf("%s has no primary key", key)
		}
	}
	if err := f.leader.History.Maintain(t.Context(), month.AddDate(0, 1, 5)); err != nil {
		t.Error(err)
	}
}

// TestMaintainGivesWay checks that Maintain does not wait long for a reader of the default partition, and leaves
// nothing half done.
func TestMaintainGivesWay(t *testing.T) {
	f := newFixture(t)
	tx, err := f.raw.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.Exec(`LOCK TABLE kontroler.changes_default IN ACCESS SHARE MODE`); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	if err := f.leader.History.Maintain(t.Context(), now); err == nil || store.IsUnavailable(err) {
		t.Errorf("Maintain under a lock: %v", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := f.leader.History.Maintain(t.Context(), now); err != nil {
		t.Error(err)
	}
}
