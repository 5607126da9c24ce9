package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// DAG names a DAG object. CreatedAt is the object's creationTimestamp.
type DAG struct {
	Namespace, Name, UID string
	CreatedAt            time.Time
}

// Version is an immutable version of a DAG. Number counts from 1 for each DAG; ID is unique over all of them.
type Version struct {
	ID, DAGID, Number int64
	Tasks             int
	// Spec is the JSON that was saved, in whatever order PostgreSQL keeps it.
	Spec []byte
}

const (
	sqlVersionNewest = `
SELECT d.uid::text, d.created_at, d.deleted_at IS NOT NULL, v.id, v.dag_id, v.version, v.tasks, v.spec, v.hash
FROM kontroler.dags d JOIN kontroler.dag_versions v ON v.dag_id = d.id
WHERE d.namespace = $1 AND d.name = $2
ORDER BY v.version DESC LIMIT 1`
	sqlVersionByID = `SELECT v.id, v.dag_id, v.version, v.tasks, v.spec FROM kontroler.dag_versions v WHERE v.id = $1`
	sqlDAGSave     = `
INSERT INTO kontroler.dags AS d (namespace, name, uid, created_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (namespace, name) DO UPDATE SET uid = excluded.uid, created_at = excluded.created_at, deleted_at = NULL
RETURNING d.id`
	sqlVersionSave = `
INSERT INTO kontroler.dag_versions (dag_id, version, hash, spec, tasks, created_at) VALUES ($1, $2, $3, $4, $5, $6)
RETURNING id, dag_id, version, tasks, spec`
	sqlDAGDelete = `UPDATE kontroler.dags SET deleted_at = $4 WHERE namespace = $1 AND name = $2 AND ($3 = '' OR uid::text = $3) AND deleted_at IS NULL`
	sqlDAGs      = `SELECT d.id, d.namespace, d.name FROM kontroler.dags d WHERE d.id > $1 AND d.deleted_at IS NULL ORDER BY d.id LIMIT $2`
	sqlChange    = `INSERT INTO kontroler.changes (run_id, kind) VALUES ($1, $2) RETURNING id`
)

// newest is the newest version of a DAG, and what the DAG's row says.
type newest struct {
	version   Version
	hash      []byte
	uid       string
	createdAt time.Time
	deleted   bool
}

func readNewest(ctx context.Context, q querier, namespace, name string) (newest, bool, error) {
	var n newest
	v := &n.version
	err := q.QueryRowContext(ctx, sqlVersionNewest, namespace, name).Scan(
		&n.uid, nullTime{&n.createdAt}, &n.deleted, &v.ID, &v.DAGID, &v.Number, &v.Tasks, &v.Spec, &n.hash)
	if errors.Is(err, sql.ErrNoRows) {
		return newest{}, false, nil
	}
	return n, err == nil, err
}

// SaveVersion returns the newest version of a DAG when it has this hash, the SHA-256 of spec; else it saves spec as the
// next one. A DAG made again under its name continues its versions. When nothing has changed nothing is written.
func (l *Leader) SaveVersion(ctx context.Context, dag DAG, spec []byte, hash [32]byte, tasks int, now time.Time) (Version, error) {
	version, err := l.saveVersion(ctx, dag, spec, hash, tasks, now)
	if err != nil {
		return Version{}, fmt.Errorf("saving a version of DAG %s/%s: %w", dag.Namespace, dag.Name, classify(ctx, err))
	}
	return version, nil
}

func (l *Leader) saveVersion(ctx context.Context, dag DAG, spec []byte, hash [32]byte, tasks int, now time.Time) (Version, error) {
	n, found, err := readNewest(ctx, l.pool, dag.Namespace, dag.Name)
	if err != nil {
		return Version{}, err
	}
	if found && !n.deleted && n.uid == dag.UID && string(n.hash) == string(hash[:]) &&
		n.createdAt.Equal(dag.CreatedAt.Truncate(time.Microsecond)) {
		return n.version, nil
	}
	var version Version
	var change int64
	err = l.inTx(ctx, func(q querier) error {
		var dagID int64
		err := q.QueryRowContext(ctx, sqlDAGSave, dag.Namespace, dag.Name, dag.UID, timestamp(dag.CreatedAt)).Scan(&dagID)
		if err != nil {
			return err
		}
		n, found, err := readNewest(ctx, q, dag.Namespace, dag.Name)
		if err != nil {
			return err
		}
		version = n.version
		if !found || string(n.hash) != string(hash[:]) {
			row := q.QueryRowContext(ctx, sqlVersionSave, dagID, n.version.Number+1, hash[:], string(spec), tasks, timestamp(now))
			version = Version{}
			if err := row.Scan(&version.ID, &version.DAGID, &version.Number, &version.Tasks, &version.Spec); err != nil {
				return err
			}
		}
		return q.QueryRowContext(ctx, sqlChange, nil, "dag").Scan(&change)
	})
	if err != nil {
		return Version{}, err
	}
	l.committed(change)
	return version, nil
}

// DAGDeleted notes that a DAG object is gone; uid "" is whichever had the name. Another object under the same name, or one
// already noted, is left alone.
func (l *Leader) DAGDeleted(ctx context.Context, namespace, name, uid string, now time.Time) error {
	if err := l.noteDeleted(ctx, sqlDAGDelete, namespace, name, uid, timestamp(now)); err != nil {
		return fmt.Errorf("noting that DAG %s/%s is deleted: %w", namespace, name, err)
	}
	return nil
}

// noteDeleted executes a statement and tells readers of DAGs, if it changed anything.
func (l *Leader) noteDeleted(ctx context.Context, statement string, args ...any) error {
	var change int64
	err := l.inTx(ctx, func(q querier) error {
		n, err := counted(q.ExecContext(ctx, statement, args...))
		if err != nil || n == 0 {
			return err
		}
		return q.QueryRowContext(ctx, sqlChange, nil, "dag").Scan(&change)
	})
	if err == nil {
		l.committed(change)
	}
	return err
}

// ObjectKey says which DAG or DagTask: ID is the database's.
type ObjectKey struct {
	ID              int64
	Namespace, Name string
}

// DAGs lists up to limit DAGs that are not noted as deleted and whose ID is above afterID, by ID.
func (l *Leader) DAGs(ctx context.Context, afterID int64, limit int) ([]ObjectKey, error) {
	dags, err := readRows(ctx, l.pool, scanObjectKey, sqlDAGs, afterID, limit)
	if err != nil {
		return nil, fmt.Errorf("listing DAGs: %w", classify(ctx, err))
	}
	return dags, nil
}

func scanObjectKey(rows *sql.Rows) (k ObjectKey, err error) {
	return k, rows.Scan(&k.ID, &k.Namespace, &k.Name)
}

// VersionByID returns a version, and whether there is one. ErrCorrupt: its row cannot be read.
func (l *Leader) VersionByID(ctx context.Context, id int64) (Version, bool, error) {
	var v Version
	err := l.pool.QueryRowContext(ctx, sqlVersionByID, id).Scan(&v.ID, &v.DAGID, &v.Number, &v.Tasks, &v.Spec)
	if errors.Is(err, sql.ErrNoRows) {
		return Version{}, false, nil
	}
	if err != nil {
		return Version{}, false, fmt.Errorf("reading version %d: %w", id, classify(ctx, err))
	}
	return v, true, nil
}
