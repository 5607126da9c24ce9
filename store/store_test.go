package store_test

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"

	"kontroler/store"
	"kontroler/store/storetest"
)

func TestOutage(t *testing.T) {
	server := storetest.NewServer(t)
	db := storetest.Open(t, server.URL())
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	leader := storetest.Lead(t, db)
	run := store.NewRun{UID: uid(1), Namespace: "default", Name: "r", DAGName: "d", CreatedAt: t0, AdmittedAt: t0}
	tests := map[string]struct{ stop func() error }{
		"stopped": {server.Stop},
		"crashed": {server.Crash},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := leader.InTx(t.Context(), func(tx *sql.Tx) error {
				var one int
				if err := tx.QueryRow(`SELECT 1`).Scan(&one); err != nil {
					return err
				}
				return tt.stop()
			})
			if !errors.Is(err, store.ErrUnknownCommit) || !store.IsUnavailable(err) {
				t.Errorf("a commit during the stop: %v, want ErrUnknownCommit and ErrUnavailable", err)
			}
			if err := db.Ping(t.Context()); !store.IsUnavailable(err) {
				t.Errorf("Ping: %v, want ErrUnavailable", err)
			}
			// A write of one statement does not know whether an earlier try of database/sql has committed.
			if _, err := leader.Refuse(t.Context(), run, "InvalidDag", ""); !store.IsUnavailable(err) {
				t.Errorf("a write: %v, want ErrUnavailable", err)
			}
			if _, _, err := leader.Gather(t.Context(), uid(1), store.GatherRequest{}); !store.IsUnavailable(err) {
				t.Errorf("a read: %v, want ErrUnavailable", err)
			}
			if _, err := store.Open(t.Context(), store.Config{URL: server.URL()}); !store.IsUnavailable(err) {
				t.Errorf("Open: %v, want ErrUnavailable", err)
			}
			if err := server.Start(); err != nil {
				t.Fatal(err)
			}
			if _, err := leader.Refuse(t.Context(), run, "InvalidDag", ""); err != nil {
				t.Errorf("a write after the outage: %v", err)
			}
		})
	}
}

func TestKindsOfErrors(t *testing.T) {
	f := newFixture(t)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	kinds := map[string]error{
		"ErrUnavailable": store.ErrUnavailable, "ErrConflict": store.ErrConflict, "ErrRejected": store.ErrRejected,
		"ErrCorrupt": store.ErrCorrupt, "ErrUnknownCommit": store.ErrUnknownCommit, "ErrFenced": store.ErrFenced,
		"context.Canceled": context.Canceled,
	}
	statement := func(query string, args ...any) func() error {
		return func() error {
			return f.db.InTx(t.Context(), func(tx *sql.Tx) error {
				_, err := tx.Exec(query, args...)
				return err
			})
		}
	}
	tests := map[string]struct {
		do   func() error
		want string // the one kind it is of
	}{
		"statement timeout": {statement(`SET LOCAL statement_timeout = 10; SELECT pg_sleep(5)`), "ErrUnavailable"},
		"ended by an admin": {statement(`SELECT pg_terminate_backend(pg_backend_pid())`), "ErrUnavailable"},
		"read only":         {statement(`SET TRANSACTION READ ONLY; DELETE FROM kontroler.runs`), "ErrUnavailable"},
		"unique violation":  {statement(`INSERT INTO kontroler.epochs VALUES (0, 1, '', now())`), "ErrConflict"},
		"lock timeout":      {f.lockTimeout, "ErrConflict"},
		"check violation":   {statement(`UPDATE kontroler.epochs SET epoch = -1`), "ErrRejected"},
		"a NUL":             {statement(`SELECT $1::text`, "a\x00b"), "ErrRejected"},
		"a corrupt row": {statement(`DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'data_corrupted'; END $$`),
			"ErrCorrupt"},
		"an unknown column":      {statement(`SELECT nothing`), ""},
		"a cancelled context":    {func() error { return f.db.Ping(cancelled) }, "context.Canceled"},
		"another database":       {f.open(func(u *url.URL) { u.Path = "/nowhere" }), ""},
		"nobody listens":         {f.open(func(u *url.URL) { u.Host = "127.0.0.1:1" }), "ErrUnavailable"},
		"a server never answers": {f.open(f.deaf), "ErrUnavailable"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := tt.do()
			if err == nil {
				t.Fatal("no error")
			}
			for name, kind := range kinds {
				if errors.Is(err, kind) != (name == tt.want) {
					t.Errorf("%v: is %s: %t", err, name, errors.Is(err, kind))
				}
			}
		})
	}
}

func (f *fixture) lockTimeout() error {
	f.holdEpoch(`SELECT 1`)
	return f.db.InTx(f.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec(`SET LOCAL lock_timeout = 10; UPDATE kontroler.epochs SET epoch = epoch`)
		return err
	})
}

func (f *fixture) open(change func(u *url.URL)) func() error {
	return func() error {
		u, err := url.Parse(f.url)
		if err != nil {
			f.Fatal(err)
		}
		change(u)
		_, err = store.Open(f.Context(), store.Config{URL: u.String()})
		return err
	}
}

// deaf points a URL to a listener that accepts connections and never answers.
func (f *fixture) deaf(u *url.URL) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { listener.Close() })
	u.Host = listener.Addr().String()
	u.RawQuery += "&connect_timeout=1"
}

func TestOpenTakesSettings(t *testing.T) {
	u, err := url.Parse(storetest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	settings := "host=" + u.Hostname() + " port=" + u.Port() + " user=" + u.User.Username() + " dbname=" +
		strings.TrimPrefix(u.Path, "/") + " sslmode=disable"
	if password, ok := u.User.Password(); ok {
		settings += " password=" + password
	}
	if err := storetest.Open(t, settings).Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestPingOfAReadOnlyDatabase: a database that takes no writes is unavailable.
func TestPingOfAReadOnlyDatabase(t *testing.T) {
	url := storetest.URL(t)
	db := storetest.Open(t, url)
	if err := db.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := db.InTx(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec(`DO $$ BEGIN
    EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := storetest.Open(t, url).Ping(t.Context()); !store.IsUnavailable(err) {
		t.Errorf("Ping: %v, want ErrUnavailable", err)
	}
}

func TestOpenKeepsSecrets(t *testing.T) {
	for _, url := range []string{
		"postgres://user:sec#ret@host/db", "postgres://user:sec%ret@host/db", "postgres://user:secret@host:port/db",
		"user=u password='secret", "password=secret sslmode=never",
	} {
		_, err := store.Open(t.Context(), store.Config{URL: url})
		if err == nil || strings.Contains(err.Error(), "sec") {
			t.Errorf("Open(%q): %v", url, err)
		}
	}
}

func TestPanicRollsBack(t *testing.T) {
	f := newFixture(t)
	func() {
		defer func() { recover() }()
		f.db.InTx(t.Context(), func(tx *sql.Tx) error {
			if _, err := tx.Exec(`UPDATE kontroler.epochs SET holder = 'x'`); err != nil {
				return err
			}
			panic("x")
		})
	}()
	if holder := f.text(`SELECT holder FROM kontroler.epochs`); holder == "x" {
		t.Error("a transaction that panicked was committed")
	}
}

// TestDeadConnections checks that sessions that ended while they were idle cause no error of the next write.
func TestDeadConnections(t *testing.T) {
	f := newFixture(t)
	var wg sync.WaitGroup
	for range 10 { // so that the pool has several
		wg.Go(func() {
			f.leader.InTx(t.Context(), func(tx *sql.Tx) error {
				_, err := tx.Exec(`SELECT pg_sleep(0.05)`)
				return err
			})
		})
	}
	wg.Wait()
	f.exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'kontroler %'
AND datname = current_database()`)
	f.admit(0)
}
