package install_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/lib/pq"

	"kontroler/store/storetest"
)

// authority is a private CA.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         []byte // the certificate
}

func newAuthority(t *testing.T, name string) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{certificate: certificate, key: key, pem: encode("CERTIFICATE", der)}
}

// issue returns the certificate of a server, and its key, both as PEM.
func (a authority) issue(t *testing.T, address net.IP) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), IPAddresses: []net.IP{address}, NotBefore: a.certificate.NotBefore,
		NotAfter: a.certificate.NotAfter, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &private.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	privateDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return encode("CERTIFICATE", der), encode("PRIVATE KEY", privateDER)
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// tlsConfig returns the configuration of a server with a certificate of the authority.
func (a authority) tlsConfig(t *testing.T, address net.IP) *tls.Config {
	t.Helper()
	pair, err := tls.X509KeyPair(a.issue(t, address))
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}}
}

// database is a PostgreSQL of this machine. Pods reach it at an address of the cluster's network, with TLS and a
// password only.
type database struct {
	*sql.DB        // of an administrator
	address string // HOST:PORT for Pods
}

// startDatabase starts a PostgreSQL with a database kontroler, the role that owns it, and that of the server. Both roles
// have the same password.
func startDatabase(t *testing.T, host net.IP, ca authority, password string) database {
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
	certificate, key := ca.issue(t, host)
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
		"CREATE ROLE kontroler LOGIN PASSWORD " + pq.QuoteLiteral(password), "CREATE DATABASE kontroler OWNER kontroler",
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
