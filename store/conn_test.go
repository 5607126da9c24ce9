package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"kontroler/store"
	"kontroler/store/storetest"
)

// readOnly sets whether sessions that are opened from now on are read-only.
func readOnly(t *testing.T, raw *sql.DB, isReadOnly bool) {
	t.Helper()
	var name string
	if err := raw.QueryRow(`SELECT current_database()`).Scan(&name); err != nil {
		t.Fatal(err)
	}
	if _, err := raw.Exec(fmt.Sprintf(`ALTER DATABASE %s
SET default_transaction_read_only = %t`, pq.QuoteIdentifier(name), isReadOnly)); err != nil {
		t.Fatal(err)
	}
}

// openAll opens n connections of a pool. Each transaction stays open until all have begun.
func openAll(t *testing.T, n int, inTx func(context.Context, func(*sql.Tx) error) error) {
	t.Helper()
	var begun, ended sync.WaitGroup
	begun.Add(n)
	for range n {
		ended.Go(func() {
			_ = inTx(t.Context(), func(tx *sql.Tx) error {
				begun.Done()
				begun.Wait()
				return nil
			})
		})
	}
	ended.Wait()
}

func TestReadOnlyConnections(t *testing.T) {
	const connections = 5
	url := storetest.URL(t)
	raw := openRaw(t, url)
	readOnly(t, raw, true)
	db, err := store.Open(t.Context(), store.Config{URL: url, MaxOpen: connections})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	take := func() error {
		_, err := db.TakeEpoch(t.Context(), 0, "holder", 0, false)
		return err
	}
	if err := take(); !store.IsUnavailable(err) || pq.As(err, pqerror.ReadOnlySQLTransaction) == nil {
		t.Fatalf("a write while the database is read-only: %v, want 25006", err)
	}
	openAll(t, connections, db.InTx)
	readOnly(t, raw, false)
	if err := take(); !store.IsUnavailable(err) {
		t.Fatalf("the first write afterwards: %v, want the last refusal", err)
	}
	for range 2 * connections {
		if err := take(); err != nil {
			t.Fatalf("a later write: %v", err)
		}
	}
}

// failover is an address of one server and then of another. Open connections stay with their server.
type failover struct {
	net.Listener
	mu    sync.Mutex
	to    string
	conns []net.Conn
}

func newFailover(t *testing.T, to string) *failover {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &failover{Listener: l, to: to}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			out, err := net.Dial("tcp", f.to)
			if err == nil {
				f.conns = append(f.conns, in, out)
				go func() { _, _ = io.Copy(out, in); out.Close() }()
				go func() { _, _ = io.Copy(in, out); in.Close() }()
			} else {
				in.Close()
			}
			f.mu.Unlock()
		}
	}()
	t.Cleanup(func() { l.Close(); f.cut() })
	return f
}

func (f *failover) lead(to string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.to = to
}

func (f *failover) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.conns {
		c.Close()
	}
	f.conns = nil
}

// host returns the address of the server in a URL.
func host(t *testing.T, from string) string {
	t.Helper()
	u, err := url.Parse(from)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

func TestConnectionsToAStandby(t *testing.T) {
	const connections = 5
	primary := storetest.NewServer(t)
	if err := storetest.Open(t, primary.URL()).Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	standby := storetest.NewStandby(t, primary)
	address := newFailover(t, host(t, primary.URL()))
	db, err := store.Open(t.Context(), store.Config{
		URL: strings.Replace(primary.URL(), host(t, primary.URL()), address.Addr().String(), 1), MaxOpen: connections,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	leader := storetest.Lead(t, db)
	admit := func(n int) error {
		_, err := leader.Refuse(t.Context(), store.NewRun{
			UID: uid(n), Namespace: "default", Name: fmt.Sprint("r", n), DAGName: "d", CreatedAt: t0, AdmittedAt: t0,
		}, "InvalidDag", "")
		return err
	}
	openAll := func() { // reads open as many connections as the pool allows
		var reads sync.WaitGroup
		for range 8 * connections {
			reads.Go(func() { _, _, _ = leader.RunByUID(t.Context(), uid(99)) })
		}
		reads.Wait()
	}
	if err := admit(1); err != nil {
		t.Fatal(err)
	}
	address.lead(host(t, standby.URL()))
	address.cut()
	openAll()
	if err := admit(2); !store.IsUnavailable(err) {
		t.Fatalf("a write on the standby: %v, want ErrUnavailable", err)
	}
	openAll()
	address.lead(host(t, primary.URL()))
	var refused []error
	for n := range 4 * connections {
		if err := admit(n + 3); err != nil {
			if !store.IsUnavailable(err) {
				t.Fatal(err)
			}
			refused = append(refused, err)
		}
	}
	if len(refused) != 1 {
		t.Errorf("%d writes were refused after the failover, want one:\n%v", len(refused), errors.Join(refused...))
	}
}

// TestForgottenStatement covers a session that has lost its prepared statements, as it happens behind a pooler that
// changes servers. Such a session answers 26000 for ever.
func TestForgottenStatement(t *testing.T) {
	db, err := store.Open(t.Context(), store.Config{URL: storetest.URL(t), MaxOpen: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	leader := storetest.Lead(t, db)
	if _, _, err := leader.RunByUID(t.Context(), uid(1)); err != nil {
		t.Fatal(err)
	}
	err = leader.InTx(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec(`DEALLOCATE ALL`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := leader.RunByUID(t.Context(), uid(1)); !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("a read without its statement: %v, want ErrUnavailable", err)
	}
	for range 2 {
		if _, _, err := leader.RunByUID(t.Context(), uid(1)); err != nil {
			t.Errorf("the next read: %v", err)
		}
	}
}
