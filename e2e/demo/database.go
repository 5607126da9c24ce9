package main

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	_ "github.com/lib/pq"

	"kontroler/store/storetest"
)

// database is the temporary PostgreSQL of the demo.
type database struct {
	url string
	sql *sql.DB
}

// startDatabase starts a PostgreSQL server on a port of the loopback interface.
func (d *demo) startDatabase(ctx context.Context, _ func(string)) (string, error) {
	server, err := storetest.Start(filepath.Join(d.dir, "postgres"))
	if err != nil {
		return "", err
	}
	d.atEnd("PostgreSQL stopped, its data deleted", func(context.Context) error { return server.Crash() })
	db, err := sql.Open("postgres", server.URL())
	if err != nil {
		return "", fmt.Errorf("connecting to PostgreSQL: %w", err)
	}
	d.atEnd("", func(context.Context) error { return db.Close() })
	d.database = &database{url: server.URL(), sql: db}
	var version string
	if err := db.QueryRowContext(ctx, `SHOW server_version`).Scan(&version); err != nil {
		return "", fmt.Errorf("reading the version of PostgreSQL: %w", err)
	}
	if err := d.database.makeServerRole(ctx); err != nil {
		return "", err
	}
	version, _, _ = strings.Cut(version, " ")
	return "PostgreSQL " + version + ", empty", nil
}

// environment returns the variables with which PostgreSQL's clients find the database.
func (db *database) environment() string {
	u, err := url.Parse(db.url)
	if err != nil {
		return "DATABASE_URL='" + db.url + "'"
	}
	return fmt.Sprintf("PGHOST=%s PGPORT=%s PGUSER=%s", u.Hostname(), u.Port(), u.User.Username())
}
