package store

import (
	"context"
	"time"

	"kontroler/store/internal/postgres"
)

// DagTasks stores DagTasks and their versions.
type DagTasks struct{ pool *termPool }

// DagTask identifies a DagTask object as it was read.
type DagTask struct {
	Namespace, Name, UID string
	Generation           int64
	CreatedAt            time.Time
	// Version is the version that the object states. Zero means that the store counts the versions.
	Version int64
}

// TaskVersion is an immutable version of a DagTask.
type TaskVersion struct {
	// Number of the version. Zero means that the version does not exist.
	Number int64
	// Newest is the highest number of the DagTask's versions.
	Newest int64
	// Spec is the JSON that was saved, with its keys in the order that PostgreSQL keeps.
	Spec []byte
}

const (
	// sqlTaskVersionRead reads version $3. If $3 is 0, it reads the version that the DagTask has.
	sqlTaskVersionRead = `
SELECT t.uid::text, t.generation, t.created_at, t.deleted_at IS NOT NULL, coalesce(t.version, 0),
       coalesce(v.version, 0), v.spec, v.hash,
       coalesce((SELECT max(n.version) FROM kontroler.dag_task_versions n WHERE n.dag_task_id = t.id), 0)
FROM kontroler.dag_tasks t
LEFT JOIN kontroler.dag_task_versions v
       ON v.dag_task_id = t.id AND v.version = CASE WHEN $3::bigint = 0 THEN t.version ELSE $3::bigint END
WHERE t.namespace = $1 AND t.name = $2`
	sqlTaskSave = `
INSERT INTO kontroler.dag_tasks AS t (namespace, name, uid, generation, created_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (namespace, name) DO UPDATE SET uid = excluded.uid, generation = excluded.generation,
    created_at = excluded.created_at, deleted_at = NULL
RETURNING t.id`
	sqlTaskVersionSave = `
INSERT INTO kontroler.dag_task_versions (dag_task_id, version, hash, spec, created_at) VALUES ($1, $2, $3, $4, $5)
RETURNING spec`
	sqlTaskVersionSet = `UPDATE kontroler.dag_tasks SET version = $2 WHERE id = $1`
	sqlTaskDelete     = `
UPDATE kontroler.dag_tasks SET deleted_at = $3 WHERE namespace = $1 AND name = $2 AND deleted_at IS NULL
RETURNING 0::bigint`
	sqlDagTasks = `
SELECT t.id, t.namespace, t.name FROM kontroler.dag_tasks t
WHERE t.id > $1 AND t.deleted_at IS NULL ORDER BY t.id LIMIT $2`
)

// taskRow is a version of a DagTask, with the DagTask's row.
type taskRow struct {
	version            TaskVersion
	hash               []byte
	uid                string
	generation, number int64
	createdAt          time.Time
	isDeleted          bool
}

// isFrom reports whether the row was saved from this object.
func (r *taskRow) isFrom(task DagTask) bool {
	return !r.isDeleted && r.uid == task.UID && r.generation == task.Generation &&
		r.createdAt.Equal(task.CreatedAt.Truncate(time.Microsecond))
}

func readTaskVersion(
	ctx context.Context, q querier, namespace, name string, number int64,
) (r taskRow, found bool, err error) {
	v := &r.version
	found, err = postgres.ScanRow(ctx, q.QueryRowContext(ctx, sqlTaskVersionRead, namespace, name, number), &r.uid,
		&r.generation, nullTime(&r.createdAt), &r.isDeleted, &r.number, &v.Number, &v.Spec, &r.hash, &v.Newest)
	return r, found, err
}

// SaveVersion saves spec, whose SHA-256 is hash, and returns the version that the DagTask has then. If the DagTask
// states a version, spec is saved as that version; otherwise as the next one, unless it equals the current one. A
// stored version never changes: if the stated version exists with another spec, SaveVersion returns the stored one, and
// isTaken is true. A DagTask that was deleted and created again continues its versions. If nothing has changed, nothing
// is written.
//
// The caller must have read the DagTask after the previous call. An older read would save its spec as a new version.
func (d *DagTasks) SaveVersion(
	ctx context.Context, task DagTask, spec []byte, hash [32]byte, now time.Time,
) (v TaskVersion, isTaken bool, err error) {
	r, found, err := readTaskVersion(ctx, d.pool.db, task.Namespace, task.Name, task.Version)
	isSame := string(r.hash) == string(hash[:])
	isCurrent := r.version.Number != 0 && r.version.Number == r.number
	if err == nil && found && r.isFrom(task) && isCurrent && (isSame || task.Version != 0) {
		return r.version, !isSame, nil
	}
	if err == nil {
		v, isTaken, err = d.saveVersion(ctx, task, spec, hash, now)
	}
	if err != nil {
		err = postgres.Failed(ctx, err, "saving a version of DagTask %s/%s", task.Namespace, task.Name)
		return TaskVersion{}, false, err // a caller that continues after ErrRejected must not see v
	}
	return v, isTaken, nil
}

func (d *DagTasks) saveVersion(
	ctx context.Context, task DagTask, spec []byte, hash [32]byte, now time.Time,
) (v TaskVersion, isTaken bool, err error) {
	err = d.pool.write(ctx, func(q querier) error {
		var id int64
		err := q.QueryRowContext(ctx, sqlTaskSave,
			task.Namespace, task.Name, task.UID, task.Generation, timestamp(task.CreatedAt)).Scan(&id)
		if err != nil {
			return err
		}
		r, _, err := readTaskVersion(ctx, q, task.Namespace, task.Name, task.Version)
		if err != nil {
			return err
		}
		isSame := string(r.hash) == string(hash[:])
		v, isTaken = r.version, task.Version != 0 && r.version.Number != 0 && !isSame
		if v.Number == 0 || task.Version == 0 && !isSame {
			v.Number = task.Version
			if v.Number == 0 {
				v.Number = v.Newest + 1
			}
			v.Newest = max(v.Newest, v.Number)
			row := q.QueryRowContext(ctx, sqlTaskVersionSave, id, v.Number, hash[:], string(spec), timestamp(now))
			if err := row.Scan(&v.Spec); err != nil {
				return err
			}
		}
		if v.Number != r.number {
			if _, err := q.ExecContext(ctx, sqlTaskVersionSet, id, v.Number); err != nil {
				return err
			}
		}
		return recordObjectChange(ctx, q, task.Namespace, 0)
	})
	return v, isTaken, err
}

// Version reads a version of a DagTask. Its Number is 0 if the version does not exist.
func (d *DagTasks) Version(ctx context.Context, namespace, name string, number int64) (TaskVersion, error) {
	r, _, err := readTaskVersion(ctx, d.pool.db, namespace, name, number)
	return r.version, postgres.Failed(ctx, err, "reading version %d of DagTask %s/%s", number, namespace, name)
}

// MarkDeleted records that a DagTask object is gone. An earlier record stays.
func (d *DagTasks) MarkDeleted(ctx context.Context, namespace, name string, now time.Time) error {
	err := d.pool.markDeleted(ctx, sqlTaskDelete, namespace, name, now)
	return postgres.Failed(ctx, err, "marking DagTask %s/%s as deleted", namespace, name)
}

// List returns up to limit DagTasks that are not marked as deleted and whose ID is above afterID, by ID.
func (d *DagTasks) List(ctx context.Context, afterID int64, limit int) ([]ObjectKey, error) {
	tasks, err := postgres.ReadRows(ctx, d.pool.db, scanObjectKey, sqlDagTasks, afterID, limit)
	return tasks, postgres.Failed(ctx, err, "listing DagTasks")
}
