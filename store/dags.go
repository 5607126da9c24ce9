package store

import (
	"context"
	"database/sql"
	"time"

	"kontroler/store/internal/postgres"
)

// DAGs stores DAGs and their versions.
type DAGs struct{ pool *termPool }

// DAG names a DAG object. CreatedAt is the object's creationTimestamp.
type DAG struct {
	Namespace, Name, UID string
	CreatedAt            time.Time
}

// Version is an immutable version of a DAG. Number counts from 1 for each DAG; ID is unique over all of them.
type Version struct {
	ID, DAGID, Number int64
	Tasks             int
	// Spec is the JSON that was saved, with its keys in the order that PostgreSQL keeps.
	Spec []byte
}

const (
	sqlVersionNewest = `
SELECT d.uid::text, d.created_at, d.deleted_at IS NOT NULL, v.id, v.dag_id, v.version, v.tasks, v.spec, v.hash
FROM kontroler.dags d JOIN kontroler.dag_versions v ON v.dag_id = d.id
WHERE d.namespace = $1 AND d.name = $2
ORDER BY v.version DESC LIMIT 1`
	sqlVersionByID = `
SELECT v.id, v.dag_id, v.version, v.tasks, v.spec FROM kontroler.dag_versions v WHERE v.id = $1`
	sqlDAGSave = `
INSERT INTO kontroler.dags AS d (namespace, name, uid, created_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (namespace, name) DO UPDATE SET uid = excluded.uid, created_at = excluded.created_at, deleted_at = NULL
RETURNING d.id`
	sqlVersionSave = `
INSERT INTO kontroler.dag_versions (dag_id, version, hash, spec, tasks, created_at) VALUES ($1, $2, $3, $4, $5, $6)
RETURNING id, dag_id, version, tasks, spec`
	sqlDAGDelete = `
UPDATE kontroler.dags SET deleted_at = $3 WHERE namespace = $1 AND name = $2 AND deleted_at IS NULL
RETURNING id`
	sqlDAGs = `
SELECT d.id, d.namespace, d.name FROM kontroler.dags d
WHERE d.id > $1 AND d.deleted_at IS NULL ORDER BY d.id LIMIT $2`
)

// newestVersion is the newest version of a DAG, with the DAG's row.
type newestVersion struct {
	version   Version
	hash      []byte
	uid       string
	createdAt time.Time
	isDeleted bool
}

func readNewestVersion(
	ctx context.Context, q querier, namespace, name string,
) (n newestVersion, found bool, err error) {
	v := &n.version
	found, err = postgres.ScanRow(ctx, q.QueryRowContext(ctx, sqlVersionNewest, namespace, name),
		&n.uid, nullTime(&n.createdAt), &n.isDeleted, &v.ID, &v.DAGID, &v.Number, &v.Tasks, &v.Spec, &n.hash)
	return n, found, err
}

// SaveVersion returns the newest version of a DAG if it has this hash, the SHA-256 of spec. Otherwise it saves spec as
// the next version. A DAG that was deleted and created again continues its versions. If nothing has changed, nothing is
// written.
func (d *DAGs) SaveVersion(
	ctx context.Context, dag DAG, spec []byte, hash [32]byte, tasks int, now time.Time,
) (Version, error) {
	n, found, err := readNewestVersion(ctx, d.pool.db, dag.Namespace, dag.Name)
	if err == nil && found && !n.isDeleted && n.uid == dag.UID && string(n.hash) == string(hash[:]) &&
		n.createdAt.Equal(dag.CreatedAt.Truncate(time.Microsecond)) {
		return n.version, nil
	}
	var version Version
	if err == nil {
		version, err = d.saveVersion(ctx, dag, spec, hash, tasks, now)
	}
	return version, postgres.Failed(ctx, err, "saving a version of DAG %s/%s", dag.Namespace, dag.Name)
}

func (d *DAGs) saveVersion(
	ctx context.Context, dag DAG, spec []byte, hash [32]byte, tasks int, now time.Time,
) (version Version, err error) {
	err = d.pool.write(ctx, func(q querier) error {
		var dagID int64
		row := q.QueryRowContext(ctx, sqlDAGSave, dag.Namespace, dag.Name, dag.UID, timestamp(dag.CreatedAt))
		if err := row.Scan(&dagID); err != nil {
			return err
		}
		n, found, err := readNewestVersion(ctx, q, dag.Namespace, dag.Name)
		if err != nil {
			return err
		}
		version = n.version
		if !found || string(n.hash) != string(hash[:]) {
			row := q.QueryRowContext(
				ctx, sqlVersionSave, dagID, n.version.Number+1, hash[:], string(spec), tasks, timestamp(now))
			version = Version{}
			err := row.Scan(&version.ID, &version.DAGID, &version.Number, &version.Tasks, &version.Spec)
			if err != nil {
				return err
			}
		}
		return recordObjectChange(ctx, q, dag.Namespace, dagID)
	})
	return version, err
}

// MarkDeleted records that a DAG object is gone. An earlier record stays.
func (d *DAGs) MarkDeleted(ctx context.Context, namespace, name string, now time.Time) error {
	err := d.pool.markDeleted(ctx, sqlDAGDelete, namespace, name, now)
	return postgres.Failed(ctx, err, "marking DAG %s/%s as deleted", namespace, name)
}

// markDeleted runs a statement that marks an object as deleted. The statement returns the id of the DAG, or zero for a
// DagTask. If it changed a row, the change is recorded for readers.
func (p *termPool) markDeleted(ctx context.Context, statement, namespace, name string, now time.Time) error {
	return p.write(ctx, func(q querier) error {
		deleted, err := postgres.ReadRows(
			ctx, q, postgres.ScanOne[int64], statement, namespace, name, timestamp(now))
		if err != nil || len(deleted) == 0 {
			return err
		}
		return recordObjectChange(ctx, q, namespace, deleted[0])
	})
}

// ObjectKey identifies a DAG or a DagTask. ID is the database's.
type ObjectKey struct {
	ID              int64
	Namespace, Name string
}

// List returns up to limit DAGs that are not marked as deleted and whose ID is above afterID, by ID.
func (d *DAGs) List(ctx context.Context, afterID int64, limit int) ([]ObjectKey, error) {
	dags, err := postgres.ReadRows(ctx, d.pool.db, scanObjectKey, sqlDAGs, afterID, limit)
	return dags, postgres.Failed(ctx, err, "listing DAGs")
}

func scanObjectKey(rows *sql.Rows) (k ObjectKey, err error) {
	err = rows.Scan(&k.ID, &k.Namespace, &k.Name)
	return k, err
}

// Version returns a version. found reports whether it exists. ErrCorrupt means that its row cannot be read.
func (d *DAGs) Version(ctx context.Context, id int64) (v Version, found bool, err error) {
	found, err = postgres.ScanRow(ctx, d.pool.db.QueryRowContext(ctx, sqlVersionByID, id),
		&v.ID, &v.DAGID, &v.Number, &v.Tasks, &v.Spec)
	return v, found, postgres.Failed(ctx, err, "reading version %d", id)
}
