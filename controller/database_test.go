package controller

import (
	"database/sql"
	"net"
	"net/url"
	"sync/atomic"
	"testing"

	_ "github.com/lib/pq"

	"kontroler/store"
	"kontroler/store/storetest"
)

// database is a database with a leader, which connects to PostgreSQL through a link that can lose an answer.
type database struct {
	leader *store.Leader
	id     string  // of the controller
	rows   *sql.DB // a connection of the test, past the link
	link   *link
	// beforeCommit is called before each commit. It is nil if nothing is to happen then.
	beforeCommit func()
}

func newDatabase(t *testing.T) *database {
	t.Helper()
	target := storetest.URL(t)
	d := &database{link: newLink(t, &target)}
	rows, err := sql.Open("postgres", target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rows.Close() })
	d.rows = rows
	// With one connection, the answer that the link loses is the one to the commit.
	db, err := store.Open(t.Context(), store.Config{URL: target, MaxOpen: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	identity, err := db.Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d.id = identity.ControllerID
	epoch, err := db.TakeEpoch(t.Context(), 0, t.Name(), 0, false)
	if err != nil {
		t.Fatal(err)
	}
	d.leader, err = db.Lead(t.Context(), store.Term{ControllerID: d.id, Epoch: epoch, Hook: func(point string) {
		if point == "transaction-commit" && d.beforeCommit != nil {
			d.beforeCommit()
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.leader.Close() })
	return d
}

// exec runs a statement of another process.
func (d *database) exec(t *testing.T, statement string, args ...any) {
	t.Helper()
	if _, err := d.rows.ExecContext(t.Context(), statement, args...); err != nil {
		t.Fatal(err)
	}
}

// link passes bytes between clients and a server.
type link struct {
	net.Listener
	server string
	// loses says that the next answer of the server is lost, with the connection.
	loses atomic.Bool
}

// newLink makes a link to the server of a URL, which then leads to the link.
func newLink(t *testing.T, target *string) *link {
	t.Helper()
	u, err := url.Parse(*target)
	if err != nil {
		t.Fatal(err)
	}
	l := &link{server: u.Host}
	if l.Listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	u.Host = l.Addr().String()
	*target = u.String()
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go l.serve(client)
		}
	}()
	t.Cleanup(func() { l.Close() })
	return l
}

func (l *link) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", l.server)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		defer server.Close()
		pass(client, server, nil)
	}()
	pass(server, client, &l.loses)
}

// pass copies bytes until either end closes. If those that arrive are to be lost, it resets the connection to their
// receiver.
func pass(from, to net.Conn, loses *atomic.Bool) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if loses != nil && loses.CompareAndSwap(true, false) {
			_ = to.(*net.TCPConn).SetLinger(0)
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}
