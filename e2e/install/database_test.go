package install_test

import (
	"database/sql"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/lib/pq"

	"kontroler/apis/tlstest"
	"kontroler/store/storetest"
)

// database is a PostgreSQL of this machine. Pods reach it at an address of the cluster's network, with TLS and a
// password only.
type database struct {
	*sql.DB        // of an administrator
	address string // HOST:PORT for Pods
}

// startDatabase starts a PostgreSQL with a database kontroler, the role that owns it, and that of the server. Both
// roles have the same password.
func startDatabase(t *testing.T, host net.IP, ca tlstest.Authority, password string) database {
	t.Helper()
	dir, err := os.MkdirTemp("", "kontroler-install-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	server, err := storetest.Start(filepath.Join(dir, "server"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Crash(); err != nil {
			t.Error(err)
		}
	})
	data := filepath.Join(dir, "server", "data")
	certificate, key := ca.Issue(t, "database", host.String())
	writeLike(t, filepath.Join(data, "server.crt"), certificate, data)
	writeLike(t, filepath.Join(data, "server.key"), key, data)
	// The first line that fits a client counts. The administrator's is that of storetest.
	const roles = "kontroler,kontroler_server"
	hba := "hostssl all " + roles + " all scram-sha-256\nhost all " + roles + " all reject\n" +
		"host all postgres 127.0.0.1/32 trust\n"
	writeLike(t, filepath.Join(data, "pg_hba.conf"), []byte(hba), data)
	db, err := sql.Open("postgres", server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	for _, statement := range []string{
		"ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()",
		"CREATE ROLE kontroler LOGIN PASSWORD " + pq.QuoteLiteral(password),
		"CREATE DATABASE kontroler OWNER kontroler",
		"CREATE ROLE kontroler_server LOGIN PASSWORD " + pq.QuoteLiteral(password),
	} {
		if _, err := db.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	address, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	address.Path = "/kontroler"
	own, err := sql.Open("postgres", address.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { own.Close() })
	if _, err := own.Exec("CREATE SCHEMA kontroler_server AUTHORIZATION kontroler_server"); err != nil {
		t.Fatal(err)
	}
	return database{DB: own, address: forward(t, host, address.Host)}
}

// writeLike writes a file that belongs to the owner of a directory, and that nobody else may read.
func writeLike(t *testing.T, path string, content []byte, dir string) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	owner := info.Sys().(*syscall.Stat_t)
	if err := os.Chown(path, int(owner.Uid), int(owner.Gid)); err != nil {
		t.Fatal(err)
	}
}

// forward forwards connections to a port of a host address, as they are. It returns HOST:PORT of that.
func forward(t *testing.T, host net.IP, to string) string {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(host.String(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return // the listener is closed
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				client.Close()
				continue
			}
			for _, pair := range [][2]net.Conn{{client, server}, {server, client}} {
				go func() {
					defer client.Close()
					defer server.Close()
					_, _ = io.Copy(pair[0], pair[1]) // an error is an end too
				}()
			}
		}
	}()
	return listener.Addr().String()
}
