package contract

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/lib/pq"

	"kontroler/store/internal/postgres"
)

// statementTimeout is how long the database may work on a statement.
const statementTimeout = 5 * time.Second

// Needs are the columns that a reader needs, by view.
type Needs map[string][]string

// Fault is what keeps a reader from its views, and what helps.
type Fault struct{ text string }

func (f *Fault) Error() string { return f.text }

// DB is a pool of connections of a reader.
type DB struct{ pool *sql.DB }

// Open opens a pool of at most maxOpen connections, whose statements may take five seconds. It does not connect. An
// error never contains the URL.
func Open(url string, maxOpen int) (*DB, error) {
	pool, err := postgres.Open(url, maxOpen, func(cfg *pq.Config) {
		if cfg.ApplicationName == "" {
			cfg.ApplicationName = "kontroler server"
		}
		cfg.Runtime["statement_timeout"] = postgres.Milliseconds(statementTimeout)
	})
	if err != nil {
		return nil, err
	}
	return &DB{pool}, nil
}

// Close closes the pool.
func (db *DB) Close() error { return db.pool.Close() }

const (
	sqlContractSchema = `
SELECT current_user, n.oid IS NOT NULL, coalesce(has_schema_privilege(n.oid, 'USAGE'), false)
FROM (SELECT) one LEFT JOIN pg_namespace n ON n.nspname = 'kontroler_v1'`
	sqlContractColumns = `
SELECT c.relname, has_table_privilege(c.oid, 'SELECT'), a.attname
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE n.nspname = 'kontroler_v1' AND c.relkind = 'v'`
)

// Check returns a *Fault if the database lacks views or columns that a reader needs, or if the database user may not
// read them. Another error means that the database did not answer.
func (db *DB) Check(ctx context.Context, needs Needs) error {
	var user string
	var exists, usable bool
	if err := db.pool.QueryRowContext(ctx, sqlContractSchema).Scan(&user, &exists, &usable); err != nil {
		return fmt.Errorf("looking for schema kontroler_v1: %w", postgres.Classify(ctx, err))
	}
	if !exists {
		return &Fault{"the database has no schema kontroler_v1. Check the database URL, and start the controller with this " +
			"database first: it creates the schema"}
	}
	columns, forbidden, err := db.columns(ctx)
	if err != nil {
		return fmt.Errorf("reading the views of schema kontroler_v1: %w", err)
	}
	var missing []string
	isForbidden := !usable
	for _, view := range slices.Sorted(maps.Keys(needs)) {
		isForbidden = isForbidden || forbidden[view]
		if columns[view] == nil {
			missing = append(missing, view)
			continue
		}
		for _, column := range needs[view] {
			if !columns[view][column] {
				missing = append(missing, view+"."+column)
			}
		}
	}
	switch {
	case len(missing) > 0:
		return &Fault{"schema kontroler_v1 is older than this server: it lacks " + strings.Join(missing, ", ") + ". Upgrade " +
			"the controller first: it migrates the schema"}
	case isForbidden:
		role := pq.QuoteIdentifier(user)
		return &Fault{fmt.Sprintf("the database user %s may not read schema kontroler_v1. As the user of the controller run: "+
			"GRANT USAGE ON SCHEMA kontroler_v1 TO %s; GRANT SELECT ON ALL TABLES IN SCHEMA kontroler_v1 TO %s", role, role, role)}
	}
	return nil
}

// columns returns the columns of each view, and the views that may not be read.
func (db *DB) columns(ctx context.Context) (columns map[string]map[string]bool, forbidden map[string]bool, err error) {
	columns, forbidden = map[string]map[string]bool{}, map[string]bool{}
	_, err = postgres.ReadRows(ctx, db.pool, func(rows *sql.Rows) (struct{}, error) {
		var view, column string
		var readable bool
		if err := rows.Scan(&view, &readable, &column); err != nil {
			return struct{}{}, err
		}
		if columns[view] == nil {
			columns[view] = map[string]bool{}
		}
		columns[view][column] = true
		forbidden[view] = !readable
		return struct{}{}, nil
	}, sqlContractColumns)
	return columns, forbidden, err
}
