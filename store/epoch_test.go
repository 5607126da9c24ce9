package store_test

import (
	"database/sql"
	"errors"
	"sync"
	"testing"
	"time"

	"kontroler/store"
	"kontroler/store/storetest"
	"kontroler/store/transition"
)

func (f *fixture) takeEpoch() int64 {
	f.Helper()
	epoch, err := f.db.TakeEpoch(f.Context(), 0, "next", 0, false)
	if err != nil {
		f.Fatal(err)
	}
	return epoch
}

// write commits until the database answers. The sessions of the old leader were ended; it opens new ones.
func (f *fixture) write(leader *store.Leader, run int64) error {
	for {
		held := []transition.Transition{transition.RunHeld{Reason: "MaxParallel"}}
		if err := leader.Commit(f.Context(), run, held, nil); !store.IsUnavailable(err) {
			return err
		}
	}
}

func TestFence(t *testing.T) {
	f := newFixture(t)
	run := f.admit(0)
	old := f.leader
	epoch := f.takeEpoch()
	if err := f.write(old, run.ID); !errors.Is(err, store.ErrFenced) {
		t.Errorf("the old leader writes: %v, want ErrFenced", err)
	}
	term := old.Term()
	if _, err := f.db.Lead(t.Context(), term); !errors.Is(err, store.ErrFenced) {
		t.Errorf("leading in a term that has passed: %v, want ErrFenced", err)
	}
	term.Epoch = epoch
	leader, err := f.db.Lead(t.Context(), term)
	if err != nil {
		t.Fatal(err)
	}
	defer leader.Close()
	if hold := f.text(`SELECT hold FROM kontroler.runs WHERE id = $1`, run.ID); hold != "" {
		t.Errorf("the old leader has written hold %q", hold)
	}
	if err := f.write(leader, run.ID); err != nil {
		t.Errorf("the new leader writes: %v", err)
	}
}

// TestFenceEndsIdleLeader checks that a process that is stopped inside a transaction does not delay its successor, and
// that its commit does nothing when it continues.
func TestFenceEndsIdleLeader(t *testing.T) {
	f := newFixture(t)
	run := f.admit(0)
	err := f.leader.InTx(t.Context(), func(tx *sql.Tx) error {
		if _, err := tx.Exec(`UPDATE kontroler.runs SET hold = 'Throttled' WHERE id = $1`, run.ID); err != nil {
			return err
		}
		start := time.Now()
		f.takeEpoch()
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("taking the epoch took %v", took)
		}
		return nil
	})
	if !errors.Is(err, store.ErrUnknownCommit) || !store.IsUnavailable(err) {
		t.Errorf("the old leader's commit: %v, want ErrUnknownCommit for a connection that is gone", err)
	}
	if hold := f.text(`SELECT hold FROM kontroler.runs WHERE id = $1`, run.ID); hold != "" {
		t.Errorf("the old leader has written hold %q", hold)
	}
}

// TestFenceWaitsForIdleTimeout checks that a session of another role, which cannot be ended, runs into its timeout.
func TestFenceWaitsForIdleTimeout(t *testing.T) {
	f := newFixture(t)
	tx := f.holdEpoch(`SET LOCAL idle_in_transaction_session_timeout = '700ms'`)
	start := time.Now()
	f.takeEpoch()
	if took := time.Since(start); took < 500*time.Millisecond || took > 5*time.Second {
		t.Errorf("taking the epoch took %v, want about 700ms", took)
	}
	if err := tx.Commit(); err == nil {
		t.Error("the old session has committed")
	}
}

// TestFenceWaitsForCommit checks that the epoch is not taken before a transaction of the old epoch has committed.
func TestFenceWaitsForCommit(t *testing.T) {
	f := newFixture(t)
	run := f.admit(0)
	tx := f.holdEpoch(`SET LOCAL statement_timeout = 0`)
	taken := make(chan error)
	go func() {
		_, err := f.db.TakeEpoch(f.Context(), 0, "next", 0, false)
		taken <- err
	}()
	for f.text(`SELECT count(*) FROM pg_locks WHERE NOT granted`) == "0" {
		time.Sleep(time.Millisecond)
	}
	select {
	case err := <-taken:
		t.Fatalf("the epoch was taken (%v) under a transaction of the old one", err)
	default:
	}
	if _, err := tx.Exec(`UPDATE kontroler.runs SET hold = 'Throttled' WHERE id = $1`, run.ID); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Errorf("committing before the bump: %v", err)
	}
	if err := <-taken; err != nil {
		t.Error(err)
	}
	if hold := f.text(`SELECT hold FROM kontroler.runs WHERE id = $1`, run.ID); hold != "Throttled" {
		t.Errorf("hold %q: an accepted commit is lost", hold)
	}
}

// TestFenceHoldsInOneStatement checks the fence of a write that is one statement. A write that waits for a successor's
// transaction fails once that has committed, although it began before.
func TestFenceHoldsInOneStatement(t *testing.T) {
	writes := map[string]func(f *fixture, run store.Run) error{
		"Commit": func(f *fixture, run store.Run) error {
			return f.commit(run.ID, transition.RunHeld{Reason: "MaxParallel"})
		},
		"Admit": func(f *fixture, _ store.Run) error {
			_, err := f.leader.Admit(f.Context(), f.newRun(), []store.NewTask{{Name: "a"}})
			return err
		},
	}
	for name, write := range writes {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			run := f.admit(0)
			const content = `SELECT string_agg(r.id || ' ' || r.hold, ',') || ' '
       || (SELECT count(*) FROM kontroler.tasks) || ' '
       || (SELECT count(*) FROM kontroler.changes) FROM kontroler.runs r`
			before := f.text(content)
			successor, err := f.raw.Begin()
			if err != nil {
				t.Fatal(err)
			}
			defer successor.Rollback()
			if _, err := successor.Exec(`UPDATE kontroler.epochs SET epoch = epoch + 1 WHERE shard = 0`); err != nil {
				t.Fatal(err)
			}
			written := make(chan error, 1)
			go func() { written <- write(f, run) }()
			for f.text(`SELECT count(*) FROM pg_locks WHERE NOT granted`) == "0" {
				time.Sleep(time.Millisecond)
			}
			if err := successor.Commit(); err != nil {
				t.Fatal(err)
			}
			if err := <-written; !errors.Is(err, store.ErrFenced) {
				t.Errorf("error %v, want ErrFenced", err)
			}
			if after := f.text(content); after != before {
				t.Errorf("the old leader has written: %s, before: %s", after, before)
			}
		})
	}
}

// holdEpoch opens a transaction that locks the epoch, in a session without a leader's name.
func (f *fixture) holdEpoch(setting string) *sql.Tx {
	f.Helper()
	tx, err := f.raw.Begin()
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { tx.Rollback() })
	for _, statement := range []string{setting, `SELECT epoch FROM kontroler.epochs WHERE shard = 0 FOR SHARE`} {
		if _, err := tx.Exec(statement); err != nil {
			f.Fatal(err)
		}
	}
	return tx
}

func TestTakeEpoch(t *testing.T) {
	db := storetest.New(t)
	steps := []struct {
		shard    int
		atLeast  int64
		accept   bool
		restored bool
		want     int64
	}{
		{want: 1},
		{want: 2, atLeast: 1},
		{want: 3, atLeast: 2},
		{atLeast: 7, restored: true},
		{atLeast: 7, accept: true, want: 8},
		{atLeast: 8, want: 9},
		{shard: 1, want: 1},
	}
	for i, step := range steps {
		got, err := db.TakeEpoch(t.Context(), step.shard, "h", step.atLeast, step.accept)
		if got != step.want || errors.Is(err, store.ErrRestored) != step.restored || (err != nil) != step.restored {
			t.Errorf("step %d: epoch %d, %v; want %d, restored %t", i, got, err, step.want, step.restored)
		}
		var restored *store.RestoredError
		if step.restored && (!errors.As(err, &restored) || restored.Database != 3 || restored.Lease != 7) {
			t.Errorf("step %d: %+v", i, restored)
		}
	}
}

func TestTakeEpochConcurrently(t *testing.T) {
	db := storetest.New(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	taken := map[int64]bool{}
	for range 8 {
		wg.Go(func() {
			epoch, err := db.TakeEpoch(t.Context(), 0, "h", 0, false)
			if errors.Is(err, store.ErrConflict) {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil || taken[epoch] {
				t.Errorf("epoch %d, %v; taken before: %t", epoch, err, taken[epoch])
			}
			taken[epoch] = true
		})
	}
	wg.Wait()
	if len(taken) == 0 {
		t.Error("nobody took an epoch")
	}
}

func TestSessionNames(t *testing.T) {
	f := newFixture(t)
	id, err := f.db.Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := "kontroler " + id.ControllerID + " 0 1"
	if n := f.text(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
AND application_name = $1`, want); n == "0" {
		t.Errorf("no session is named %q", want)
	}
	term := f.leader.Term()
	term.ControllerID = "a1234567890123456789012345678901234567890123456789"
	if _, err := f.db.Lead(t.Context(), term); err == nil {
		t.Error("a session name over 63 bytes is taken")
	}
}
