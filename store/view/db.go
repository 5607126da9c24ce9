package view

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"kontroler/store/internal/postgres"
)

// ErrUnavailable means that the database does not answer or accepts no work now. A later try may succeed.
var ErrUnavailable = postgres.ErrUnavailable

// MinVersion is the oldest version of the schema that has all views and columns that this package reads.
const MinVersion = 13

// Config says how to reach the database.
type Config struct {
	// URL is a postgres:// URL or a key=value connection string.
	URL string
	// MaxOpen is the maximum number of connections. Zero means 8.
	MaxOpen int
	// StatementTimeout is the time after which the server ends a statement. Zero means 5 s.
	StatementTimeout time.Duration
}

// DB is a pool of read-only sessions. Its parts divide the queries by subject.
type DB struct {
	reader
	DAGReader
	TaskReader
	LogReader
	StatisticsReader
	url string
}

// applicationName is that of sessions whose URL states none.
const applicationName = "kontroler reader"

// reader runs queries.
type reader struct{ pool *sql.DB }

// Open opens a pool. It does not connect yet. An error never contains the URL.
func Open(config Config) (*DB, error) {
	if config.MaxOpen <= 0 {
		config.MaxOpen = 8
	}
	if config.StatementTimeout <= 0 {
		config.StatementTimeout = 5 * time.Second
	}
	pool, err := postgres.OpenQuick(config.URL, config.MaxOpen, config.StatementTimeout, func(cfg *pq.Config) {
		if cfg.ApplicationName == "" {
			cfg.ApplicationName = applicationName
		}
		cfg.Runtime["default_transaction_read_only"] = "on"
	})
	if err != nil {
		return nil, err
	}
	r := reader{pool}
	return &DB{r, DAGReader{r}, TaskReader{r}, LogReader{r}, StatisticsReader{r}, config.URL}, nil
}

// Close closes the pool.
func (db *DB) Close() error { return db.pool.Close() }

// Identity identifies the schema, the controller and the cluster of a database.
type Identity struct {
	// Version of the schema.
	Version int
	// ControllerID is the id of the controller. It is empty until a controller has started.
	ControllerID string
	// ClusterUID is the UID of the namespace kube-system of the cluster. It is empty until a controller has started.
	ClusterUID string
}

// ContractError means that the views are missing, too old, or not granted to the role. Its text says what to do.
type ContractError struct{ help string }

func (e *ContractError) Error() string { return e.help }

const sqlIdentity = `
SELECT s.version, current_user, coalesce(i.controller_id, ''), coalesce(i.cluster_uid, '')
FROM kontroler_v1.schema s LEFT JOIN kontroler_v1.identity i ON true`

// sqlGranted lists the views that the role may not read.
const sqlGranted = `
SELECT v.name FROM unnest($1::text[]) AS v (name)
WHERE NOT has_table_privilege('kontroler_v1.' || v.name, 'SELECT') ORDER BY v.name`

// Identity reads the identity of the database. If this package cannot read the views, the error is a *ContractError.
func (db *DB) Identity(ctx context.Context) (Identity, error) {
	var identity Identity
	var role string
	err := db.pool.QueryRowContext(ctx, sqlIdentity).
		Scan(&identity.Version, &role, &identity.ControllerID, &identity.ClusterUID)
	if err == nil && identity.Version < MinVersion {
		return Identity{}, &ContractError{fmt.Sprintf("the schema of the database is at version %d, this binary needs "+
			"%d. Start a newer controller", identity.Version, MinVersion)}
	}
	var denied []string
	if err == nil {
		denied, err = postgres.ReadRows(ctx, db.pool, postgres.ScanOne[string], sqlGranted, views)
	}
	if err == nil && len(denied) > 0 {
		err = notGranted(role)
	}
	if err != nil {
		return Identity{}, db.classify(ctx, "reading the identity of the database", err)
	}
	return identity, nil
}

// views are the views that this package reads.
var views = []string{
	"attempts", "changes", "dag_task_versions", "dag_tasks", "dags", "deliveries", "identity", "log_chunks", "logs",
	"notifications", "pod_events", "runs", "schedules", "schema", "tasks", "ticks", "versions",
}

func notGranted(role string) error {
	return &ContractError{fmt.Sprintf("database role %q may not read the views of schema kontroler_v1. Start the "+
		"controller with --reader-roles=%s", role, role)}
}

// classify classifies an error and prefixes it with the operation that failed.
func (db reader) classify(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	if pq.As(err, pqerror.InvalidSchemaName, pqerror.UndefinedTable, pqerror.UndefinedColumn) != nil {
		err = &ContractError{"the database lacks views of schema kontroler_v1. Check the database URL. Start a " +
			"controller of this version with this database: it creates them"}
	}
	if pq.As(err, pqerror.InsufficientPrivilege) != nil {
		role := "?"
		if roleErr := db.pool.QueryRowContext(ctx, `SELECT current_user`).Scan(&role); roleErr != nil {
			err = errors.Join(err, roleErr)
		} else {
			err = notGranted(role)
		}
	}
	return postgres.Failed(ctx, err, "%s", doing)
}

// nullTime scans NULL as the zero time and anything else as UTC.
func nullTime(to *time.Time) sql.Scanner { return postgres.NullTime{To: to} }
