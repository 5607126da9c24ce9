package migrations

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"kontroler/store/internal/postgres"
)

//go:embed *.sql
var files embed.FS

// Set is a set of migrations, of one schema.
type Set struct {
	// Files contains the migrations, at its top.
	Files fs.FS
	// Schema is the name of the schema. It contains the table schema_migrations, and whatever the migrations make.
	Schema string
	// Lock is the key of the advisory lock. It is the same in every version, and differs between sets.
	Lock int64
}

// core is the set of the controller. The key of its lock is the bytes of "kontrole".
var core = Set{Files: files, Schema: "kontroler", Lock: 7741533180467342437}

// TooNewError means that a newer binary has changed the schema beyond what this one can run on.
type TooNewError struct {
	Binary int // the newest version that this binary knows
	Oldest int // the oldest version whose binaries may still run
	Schema int // the version of the schema
}

func (e *TooNewError) Error() string {
	return fmt.Sprintf("the schema is at version %d, which needs a binary of schema version %d or newer; this one has "+
		"schema version %d. Use a newer release", e.Schema, e.Oldest, e.Binary)
}

// LockedError means that a migration needs a lock that a transaction of another session holds. It matches
// postgres.ErrUnavailable, so that callers that wait for the database retry.
type LockedError struct{ Migration string }

func (e *LockedError) Error() string {
	return fmt.Sprintf("migration %s needs a lock that a transaction of another session holds. Wait for that "+
		"transaction or end its session: it is among the oldest by xact_start in pg_stat_activity", e.Migration)
}

// Is makes the error match postgres.ErrUnavailable.
func (e *LockedError) Is(target error) bool { return target == postgres.ErrUnavailable }

// Sessions that need a table queue behind a migration that waits for it. If a long transaction held the table, running
// controllers could not commit. A migration therefore waits for one second, and lets the others continue for four.
const (
	lockTimeout = `SET LOCAL lock_timeout = '1s'`
	lockPause   = 4 * time.Second
)

// The statements name the schema as $schema; see Set.sql.
const (
	sqlMigrateCoding = `SELECT current_setting('server_encoding')`
	sqlMigrateLock   = `SELECT pg_advisory_xact_lock($1)`
	sqlMigrateSchema = `SELECT to_regnamespace('$schema') IS NOT NULL`
	sqlMigrateExists = `SELECT to_regclass('$schema.schema_migrations') IS NOT NULL`
	sqlMigrateCreate = `CREATE SCHEMA $schema`
	sqlMigrateMake   = `
CREATE TABLE $schema.schema_migrations (
    version           integer     PRIMARY KEY CHECK (version > 0),
    name              text        NOT NULL,
    oldest_compatible integer     NOT NULL CHECK (oldest_compatible > 0 AND oldest_compatible <= version),
    checksum          text        NOT NULL,
    applied_at        timestamptz NOT NULL DEFAULT now()
)`
	sqlMigrateList = `SELECT version, oldest_compatible, checksum FROM $schema.schema_migrations ORDER BY version`
	sqlMigrateNote = `
INSERT INTO $schema.schema_migrations (version, name, oldest_compatible, checksum) VALUES ($1, $2, $3, $4)`
)

// Apply migrates the controller's schema of the database at url, as Set.Apply does.
func Apply(ctx context.Context, url string) error { return core.Apply(ctx, url) }

// Version returns the version of the schema that Apply creates.
func Version() (int, error) {
	migrations, err := read(files)
	return len(migrations), err
}

// Digest identifies the schema that Apply creates. It changes with each migration.
func Digest() (string, error) {
	migrations, err := read(files)
	if err != nil {
		return "", err
	}
	all := sha256.New()
	for _, m := range migrations {
		all.Write([]byte(m.checksum))
	}
	return hex.EncodeToString(all.Sum(nil))[:16], nil
}

// open opens a pool for migrations. A migration, or the wait for one of another process, may take longer than any other
// statement.
func open(url string) (*sql.DB, error) {
	return postgres.OpenUnbounded(url, func(cfg *pq.Config) { cfg.ApplicationName = "kontroler migration" })
}

// Apply migrates the database at url to the newest version that this binary knows, with one transaction for each
// migration. It returns when all migrations have run, here or in another process. If the schema is too new for this
// binary, Apply returns a *TooNewError and changes nothing. If another session holds a lock that a migration needs,
// Apply returns a *LockedError after lockPause, and must be called again. The database user needs the privilege to
// create the schema only if the schema does not exist.
func (s Set) Apply(ctx context.Context, url string) error {
	migrations, err := read(s.Files)
	if err != nil {
		return err
	}
	pool, err := open(url)
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := checkEncoding(ctx, pool); err != nil {
		return err
	}
	for isDone := false; !isDone; {
		err := postgres.InTx(ctx, pool, func(tx *sql.Tx) (err error) {
			isDone, err = s.applyNext(ctx, tx, migrations)
			return err
		})
		if _, isLocked := errors.AsType[*LockedError](err); isLocked {
			select {
			case <-ctx.Done():
			case <-time.After(lockPause):
			}
		}
		if err != nil {
			return fmt.Errorf("migrating the schema: %w", err)
		}
	}
	return nil
}

// checkEncoding returns an error if the encoding of the database is not UTF8. Another encoding cannot store every
// message of a run.
func checkEncoding(ctx context.Context, pool *sql.DB) error {
	var encoding string
	if err := pool.QueryRowContext(ctx, sqlMigrateCoding).Scan(&encoding); err != nil {
		return postgres.Failed(ctx, err, "reading the encoding of the database")
	}
	if encoding != "UTF8" {
		return fmt.Errorf("the encoding of the database is %s. "+
			"Use one that was created with ENCODING 'UTF8' TEMPLATE template0", encoding)
	}
	return nil
}

// applyNext applies the first migration that is missing. isDone reports that none is missing.
func (s Set) applyNext(ctx context.Context, tx *sql.Tx, migrations []migration) (isDone bool, err error) {
	if _, err := tx.ExecContext(ctx, sqlMigrateLock, s.Lock); err != nil {
		return false, err
	}
	if err := s.prepare(ctx, tx); err != nil {
		return false, err
	}
	applied, err := s.appliedVersion(ctx, tx, migrations)
	if err != nil || applied >= len(migrations) {
		return true, err
	}
	m := migrations[applied]
	if _, err := tx.ExecContext(ctx, lockTimeout+";\n"+m.sql); err != nil {
		if pq.As(err, pqerror.LockNotAvailable) != nil {
			return false, &LockedError{Migration: m.name}
		}
		return false, fmt.Errorf("%s: %w", m.name, err)
	}
	_, err = tx.ExecContext(ctx, s.sql(sqlMigrateNote), m.version, m.name, m.oldest, m.checksum)
	return false, err
}

// prepare creates the schema and its table of migrations if they are missing. CREATE SCHEMA IF NOT EXISTS would need
// the privilege to create schemas even if the schema exists.
func (s Set) prepare(ctx context.Context, tx *sql.Tx) error {
	for _, step := range []struct{ exists, create string }{
		{sqlMigrateSchema, sqlMigrateCreate}, {sqlMigrateExists, sqlMigrateMake},
	} {
		var exists bool
		if err := tx.QueryRowContext(ctx, s.sql(step.exists)).Scan(&exists); err != nil {
			return err
		}
		if exists {
			continue
		}
		if _, err := tx.ExecContext(ctx, s.sql(step.create)); err != nil {
			return err
		}
	}
	return nil
}

// sql returns a statement for the schema of this set.
func (s Set) sql(statement string) string { return strings.ReplaceAll(statement, "$schema", s.Schema) }

// appliedVersion returns the version of the schema if this binary may run on it.
func (s Set) appliedVersion(ctx context.Context, tx *sql.Tx, migrations []migration) (int, error) {
	rows, err := tx.QueryContext(ctx, s.sql(sqlMigrateList))
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	newest, applied, oldest := len(migrations), 0, 0
	for rows.Next() {
		var version, compatible int
		var checksum string
		if err := rows.Scan(&version, &compatible, &checksum); err != nil {
			return 0, err
		}
		if version <= newest && migrations[version-1].checksum != checksum {
			return 0, fmt.Errorf("%s is not the migration that was applied under this number",
				migrations[version-1].name)
		}
		applied, oldest = version, max(oldest, compatible)
	}
	if err := rows.Err(); err != nil {
		return 0, err
	}
	if oldest > newest {
		return 0, &TooNewError{Binary: newest, Oldest: oldest, Schema: applied}
	}
	return applied, nil
}

type migration struct {
	version  int
	name     string
	oldest   int // the oldest schema version whose binaries may still run on the result
	checksum string
	sql      string
}

var (
	migrationName    = regexp.MustCompile(`^([0-9]{4})_[a-z0-9_]+\.sql$`)
	oldestCompatible = regexp.MustCompile(`(?m)^-- oldest-compatible: ([0-9]+)$`)
)

// read reads the migrations of a directory, in order.
func read(dir fs.FS) ([]migration, error) {
	names, err := fs.Glob(dir, "*.sql") // sorted
	if err != nil {
		return nil, err
	}
	var migrations []migration
	for i, name := range names {
		text, err := fs.ReadFile(dir, name)
		if err != nil {
			return nil, err
		}
		match := migrationName.FindStringSubmatch(name)
		header, _, _ := strings.Cut(string(text), "\n\n")
		oldest := oldestCompatible.FindStringSubmatch(header)
		if match == nil || oldest == nil || match[1] != fmt.Sprintf("%04d", i+1) {
			return nil, fmt.Errorf("%s: want name %04d_….sql and a header line -- oldest-compatible: N", name, i+1)
		}
		compatible, err := strconv.Atoi(oldest[1])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		sum := sha256.Sum256(text)
		migrations = append(migrations, migration{
			version: i + 1, name: strings.TrimSuffix(name, ".sql"), oldest: compatible,
			checksum: hex.EncodeToString(sum[:]), sql: string(text),
		})
	}
	return migrations, nil
}
