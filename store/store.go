package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/lib/pq"

	"kontroler/store/internal/postgres"
	"kontroler/store/migrations"
)

// The kinds of errors. Every error of this package with one of these meanings matches it with errors.Is.
var (
	// ErrFenced means that a later leader has taken the epoch. Nothing was written, and nothing will be.
	ErrFenced = postgres.ErrFenced
	// ErrConflict means that the rows are not in the state that the writer expects, or that another transaction holds a
	// lock. Nothing was written. The writer must read the rows again and decide again.
	ErrConflict = postgres.ErrConflict
	// ErrUnavailable means that the database does not answer, or accepts no work now. A retry may succeed.
	ErrUnavailable = postgres.ErrUnavailable
	// ErrRejected means that the database refuses the values (a constraint, an encoding). A retry does not help.
	ErrRejected = postgres.ErrRejected
	// ErrCorrupt means that the database cannot read a row that it has stored. A retry does not help.
	ErrCorrupt = postgres.ErrCorrupt
	// ErrUnknownCommit means that the answer to a commit was lost. The transaction may have been committed or not.
	ErrUnknownCommit = postgres.ErrUnknownCommit
	// ErrOtherCluster means that the database belongs to another cluster. The error is an OtherClusterError.
	ErrOtherCluster = errors.New("the database belongs to another cluster")
	// ErrRestored means that the database is older than the Lease. The error is a RestoredError.
	ErrRestored = errors.New("the database is behind the lease")
)

// IsUnavailable reports whether the database does not answer or accepts no work now.
func IsUnavailable(err error) bool { return errors.Is(err, ErrUnavailable) }

// Config says how to reach the database.
type Config struct {
	// URL is a postgres:// URL or a key=value connection string.
	URL string
	// MaxOpen is the maximum number of connections of each pool. Zero means 8.
	MaxOpen int
}

// DB is the pool for work that needs no leadership: migration, identity, taking an epoch, reads.
type DB struct {
	config Config
	pool   *sql.DB
}

// Open opens a pool and waits until the database has answered once. An error never contains the URL.
func Open(ctx context.Context, config Config) (*DB, error) {
	if config.MaxOpen <= 0 {
		config.MaxOpen = 8
	}
	pool, err := postgres.Open(config.URL, config.MaxOpen, nil, func(cfg *pq.Config) {
		if cfg.ApplicationName == "" {
			cfg.ApplicationName = "kontroler"
		}
	})
	if err != nil {
		return nil, err
	}
	db := &DB{config: config, pool: pool}
	if err := pool.PingContext(ctx); err != nil {
		pool.Close()
		return nil, postgres.Failed(ctx, err, "connecting to the database")
	}
	return db, nil
}

// Close closes the pool. Leaders have pools of their own, which stay open.
func (db *DB) Close() error { return db.pool.Close() }

// sqlPing locks no row. It fails where nothing can be written.
const sqlPing = `SELECT FROM kontroler.epochs WHERE false FOR SHARE`

// Ping checks that the database answers, and is not read-only. The schema must exist.
func (db *DB) Ping(ctx context.Context) error {
	_, err := db.pool.ExecContext(ctx, sqlPing)
	return postgres.Failed(ctx, err, "pinging the database")
}

// Migrate migrates the schema to the newest version that this binary knows. Any number of processes may call it at the
// same time. If a newer binary has changed the schema beyond what this one can run on, Migrate returns a
// *migrations.TooNewError and changes nothing.
func (db *DB) Migrate(ctx context.Context) error { return migrations.Apply(ctx, db.config.URL) }

// GrantReaders lets database roles read the views of schema kontroler_v1, also those of later migrations. It revokes
// nothing. If the server lacks roles, it returns a *migrations.MissingRolesError and grants nothing.
func (db *DB) GrantReaders(ctx context.Context, roles []string) error {
	return migrations.GrantReaders(ctx, db.config.URL, roles)
}

// SchemaVersion returns the version of the schema that Migrate creates.
func SchemaVersion() (int, error) { return migrations.Version() }

// InTx runs fn in one transaction. It commits when fn returns nil, and rolls back when fn returns an error or panics.
// If the answer to the commit is lost, the error is ErrUnknownCommit.
func (db *DB) InTx(ctx context.Context, fn func(*sql.Tx) error) error {
	return postgres.InTx(ctx, db.pool, fn)
}
