package accounts

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"kontroler/store/internal/postgres"
	"kontroler/store/migrations"
)

//go:embed migrations/*.sql
var files embed.FS

// lockKey is the key of the migration lock: the bytes of "ktserver".
const lockKey = 7742940538905978226

// statementTimeout is how long the database may work on a statement.
const statementTimeout = 5 * time.Second

// The errors of this package that callers distinguish.
var (
	// ErrNotFound means that there is no such user, session or token.
	ErrNotFound = errors.New("not found")
	// ErrExists means that the name is taken.
	ErrExists = errors.New("the name is taken")
	// ErrStale means that the user has another generation than the caller has read.
	ErrStale = errors.New("the user has changed")
	// ErrLastAdmin means that no enabled administrator would be left.
	ErrLastAdmin = errors.New("no enabled administrator would be left")
	// ErrTooMany means that the user has MaxTokens tokens.
	ErrTooMany = errors.New("the user has too many tokens")
	// ErrForbidden means that the database user may not create or use the schema.
	ErrForbidden = errors.New("the database user lacks a privilege")
)

// DB is a pool of connections. Its fields divide the work by subject.
type DB struct {
	Users    Users
	Sessions Sessions
	Tokens   Tokens
	Audit    Audit
	url      string
	pool     *sql.DB
}

// Open opens a pool of at most maxOpen connections, whose statements may take five seconds. It does not connect. An
// error never contains the URL.
func Open(url string, maxOpen int) (*DB, error) {
	pool, err := postgres.OpenQuick(url, maxOpen, statementTimeout, func(cfg *pq.Config) {
		if cfg.ApplicationName == "" {
			cfg.ApplicationName = "kontroler server"
		}
	})
	if err != nil {
		return nil, err
	}
	return &DB{
		Users: Users{pool}, Sessions: Sessions{pool}, Tokens: Tokens{pool}, Audit: Audit{pool}, url: url, pool: pool,
	}, nil
}

// Close closes the pool.
func (db *DB) Close() error { return db.pool.Close() }

// Migrate creates the schema or migrates it. Concurrent processes may call it. If the database user may not create the
// schema, the error matches ErrForbidden and says what to do. If the schema is too new, the error is a
// *migrations.TooNewError.
func (db *DB) Migrate(ctx context.Context) error {
	dir, err := fs.Sub(files, "migrations")
	if err != nil {
		return err
	}
	err = migrations.Set{Files: dir, Schema: "kontroler_server", Lock: lockKey}.Apply(ctx, db.url)
	if pq.As(err, pqerror.InsufficientPrivilege) != nil {
		return fmt.Errorf("%w: %w. As an administrator of the database run: GRANT <the user of the server> TO "+
			"CURRENT_USER; CREATE SCHEMA kontroler_server AUTHORIZATION <the user of the server>", ErrForbidden, err)
	}
	return err
}

// Clean removes sessions that have expired, tokens that expired 30 days ago, and rows of the audit that are older than
// retention; 0 keeps the audit.
func (db *DB) Clean(ctx context.Context, now time.Time, retention time.Duration) error {
	type step struct {
		statement string
		before    time.Time
	}
	steps := []step{{sqlSessionClean, now}, {sqlTokenClean, now.Add(-expiredTokens)}}
	if retention > 0 {
		steps = append(steps, step{sqlAuditClean, now.Add(-retention)})
	}
	for _, s := range steps {
		for n := cleanBatch; n == cleanBatch; {
			var err error
			if n, err = postgres.Affected(
				db.pool.ExecContext(ctx, s.statement, s.before.UTC(), cleanBatch)); err != nil {
				return postgres.Classify(ctx, err)
			}
		}
	}
	return nil
}

// scanRow scans the row of a query. No row is ErrNotFound.
func scanRow(ctx context.Context, row *sql.Row, to ...any) error {
	err := row.Scan(to...)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	return postgres.Classify(ctx, err)
}

// insertError returns the error of an INSERT. If the name is taken, it is ErrExists.
func insertError(ctx context.Context, err error) error {
	if pq.As(err, pqerror.UniqueViolation) != nil {
		return ErrExists
	}
	return postgres.Classify(ctx, err)
}

// utc scans a time. NULL is the zero time.
func utc(to *time.Time) sql.Scanner { return postgres.NullTime{To: to} }

// nullID returns an id as a parameter, NULL if it is zero.
func nullID(id int64) any {
	if id == 0 {
		return nil
	}
	return id
}
