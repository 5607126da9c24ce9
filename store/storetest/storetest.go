package storetest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lib/pq"

	"kontroler/store"
	"kontroler/store/migrations"
)

// New returns a migrated database for this test alone. It is closed and dropped when the test ends.
func New(t testing.TB) *store.DB {
	t.Helper()
	return Open(t, URL(t))
}

// Open opens a database. It is closed when the test ends.
func Open(t testing.TB, url string) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// Lead takes the next epoch of shard 0 and leads in it until the test ends.
func Lead(t testing.TB, db *store.DB) *store.Leader {
	t.Helper()
	identity, err := db.Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	epoch, err := db.TakeEpoch(t.Context(), 0, t.Name(), 0, false)
	if err != nil {
		t.Fatal(err)
	}
	leader, err := db.Lead(t.Context(), store.Term{ControllerID: identity.ControllerID, Epoch: epoch})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { leader.Close() })
	return leader
}

// URL returns the URL of a migrated database for this test alone. It is dropped when the test ends.
func URL(t testing.TB) string {
	t.Helper()
	server := shared(t)
	name, err := template()
	if err != nil {
		t.Fatalf("making the template database: %v", err)
	}
	return create(t, server, name)
}

// EmptyURL returns the URL of an empty database for this test alone. It is dropped when the test ends.
func EmptyURL(t testing.TB) string {
	t.Helper()
	server := shared(t)
	collation, err := collationOf(t.Context(), server)
	if err != nil {
		t.Fatalf("reading the collations of the server: %v", err)
	}
	return create(t, server, "template0"+collation)
}

// LatinURL returns the URL of an empty database for this test alone whose encoding is LATIN1.
func LatinURL(t testing.TB) string {
	t.Helper()
	return create(t, shared(t), "template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'")
}

// NewRole creates a role that may log in, for this test alone, and returns its name and the URL with which it reaches a
// database. When the test ends, the role is dropped with its privileges in this database.
func NewRole(t testing.TB, database string) (role, url string) {
	t.Helper()
	role, password := "kontroler test \""+rand.Text()[:12]+"\"", rand.Text()
	quoted := pq.QuoteIdentifier(role)
	if err := admin(t.Context(), database, "CREATE ROLE "+quoted+" LOGIN PASSWORD '"+password+"'"); err != nil {
		t.Fatalf("creating a role: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := admin(ctx, database, "DROP OWNED BY "+quoted, "DROP ROLE "+quoted); err != nil {
			t.Errorf("dropping a role: %v", err)
		}
	})
	return role, withUser(database, role, password)
}

// NewServer starts a server for this test alone, so that the test can stop it.
func NewServer(t testing.TB) *Server {
	t.Helper()
	s, err := startTemporary()
	if err != nil {
		skipOrFail(t, err)
	}
	t.Cleanup(func() {
		if err := s.Crash(); err != nil {
			t.Error(err)
		}
		os.RemoveAll(s.dir)
	})
	return s
}

// NewStandby starts a hot standby for this test alone, with the data that a server has now. It is read-only and does
// not follow the server.
func NewStandby(t testing.TB, primary *Server) *Server {
	t.Helper()
	s, err := primary.copyAsStandby()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Crash(); err != nil {
			t.Error(err)
		}
		os.RemoveAll(s.dir)
	})
	return s
}

// server returns the URL of the server that the tests of this process share.
var server = sync.OnceValues(func() (string, error) {
	if url := os.Getenv("TEST_DATABASE_URL"); url != "" {
		return url, nil
	}
	s, err := startTemporary()
	if err != nil {
		return "", err
	}
	return s.URL(), nil
})

// template returns the name of the migrated database that the tests of this process copy.
var template = sync.OnceValues(func() (string, error) {
	url, err := server()
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return makeTemplate(ctx, url)
})

func shared(t testing.TB) string {
	t.Helper()
	url, err := server()
	if err != nil {
		skipOrFail(t, err)
	}
	return url
}

func startTemporary() (*Server, error) {
	if _, err := binaries(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "kontroler-postgres-")
	if err != nil {
		return nil, err
	}
	return start(dir, true)
}

// skipOrFail ends a test that has no server.
func skipOrFail(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, ErrMissing) && os.Getenv("CI") != "true" {
		t.Skipf("no database: TEST_DATABASE_URL is not set and %v", err)
	}
	t.Fatalf("no database: TEST_DATABASE_URL is not set and %v", err)
}

// create creates a database from a template and returns its URL.
func create(t testing.TB, server, template string) string {
	t.Helper()
	name := "kontroler_test_" + strings.ToLower(rand.Text()[:12])
	if err := admin(t.Context(), server, "CREATE DATABASE "+name+" TEMPLATE "+template); err != nil {
		t.Fatalf("creating a database: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := admin(ctx, server, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("dropping a database: %v", err)
		}
	})
	return withDatabase(server, name)
}

// makeTemplate makes the template of this schema, unless the server has it. Concurrent processes may call it.
func makeTemplate(ctx context.Context, server string) (string, error) {
	digest, err := migrations.Digest()
	if err != nil {
		return "", err
	}
	name := "kontroler_template_icu_" + digest
	db, err := sql.Open("postgres", server)
	if err != nil {
		return "", err
	}
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, `SELECT pg_advisory_lock(hashtext('kontroler_template'))`); err != nil {
		return "", err
	}
	var exists bool
	row := conn.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, name)
	if err := row.Scan(&exists); err != nil {
		return "", err
	}
	if !exists {
		if err := fillTemplate(ctx, server, name); err != nil {
			return "", err
		}
	}
	return name, nil
}

// fillTemplate migrates a database, and then gives it the name of the template.
func fillTemplate(ctx context.Context, server, name string) error {
	collation, err := collationOf(ctx, server)
	if err != nil {
		return err
	}
	half := name + "_half"
	err = admin(ctx, server,
		"DROP DATABASE IF EXISTS "+half+" WITH (FORCE)", "CREATE DATABASE "+half+" TEMPLATE template0"+collation)
	if err != nil {
		return err
	}
	db, err := store.Open(ctx, store.Config{URL: withDatabase(server, half)})
	if err != nil {
		return err
	}
	err = db.Migrate(ctx)
	db.Close()
	if err != nil {
		return err
	}
	// RENAME waits until the closed sessions have ended on the server, too.
	return admin(ctx, server,
		"ALTER DATABASE "+half+" ALLOW_CONNECTIONS false", "ALTER DATABASE "+half+" RENAME TO "+name)
}

// collationOf returns the options of CREATE DATABASE for a database that sorts text as a language does, not by bytes:
// in another collation than C, an index serves fewer queries. Before version 15, PostgreSQL has no such option that
// works on every machine; the database then sorts as the server does.
func collationOf(ctx context.Context, server string) (options string, err error) {
	db, err := sql.Open("postgres", server)
	if err != nil {
		return "", err
	}
	defer db.Close()
	var hasICU bool
	err = db.QueryRowContext(ctx, `SELECT current_setting('server_version_num')::int >= 150000
AND EXISTS (SELECT FROM pg_collation WHERE collprovider = 'i')`).Scan(&hasICU)
	if err != nil || !hasICU {
		return "", err
	}
	return " LOCALE_PROVIDER icu ICU_LOCALE 'en-US'", nil
}

// admin runs statements in the server's own database.
func admin(ctx context.Context, server string, statements ...string) error {
	db, err := sql.Open("postgres", server)
	if err != nil {
		return err
	}
	defer db.Close()
	for _, statement := range statements {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

var databaseSetting = regexp.MustCompile(`(^|\s)dbname\s*=\s*('[^']*'|\S*)`)

// withUser returns a URL with another user.
func withUser(database, user, password string) string {
	if u, err := url.Parse(database); err == nil && (u.Scheme == "postgres" || u.Scheme == "postgresql") {
		u.User = url.UserPassword(user, password)
		return u.String()
	}
	return database + " user='" + strings.ReplaceAll(user, "'", `\'`) + "' password=" + password
}

// withDatabase returns the server's URL with another database.
func withDatabase(server, name string) string {
	if u, err := url.Parse(server); err == nil && (u.Scheme == "postgres" || u.Scheme == "postgresql") {
		u.Path = "/" + name
		return u.String()
	}
	return databaseSetting.ReplaceAllString(server, "") + " dbname=" + name
}
