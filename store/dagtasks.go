package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// DagTask names a DagTask object as it was read.
type DagTask struct {
	Namespace, Name, UID string
	Generation           int64
	CreatedAt            time.Time
	// Version that the object states; 0: versions are counted.
	Version int64
}

// TaskVersion is an immutable version of a DagTask.
type TaskVersion struct {
	// Number of the version; 0: there is no such version.
	Number int64
	// Newest is the highest number of the DagTask's versions.
	Newest int64
	// Spec is the JSON that was saved, in whatever order PostgreSQL keeps it.
	Spec []byte
}

const (
	// sqlTaskVersionRead reads a version, $3, or by 0 the one that the DagTask has.
	sqlTaskVersionRead = `
SELECT t.uid::text, t.generation, t.created_at, t.deleted_at IS NOT NULL, coalesce(t.version, 0), coalesce(v.version, 0), v.spec, v.hash,
       coalesce((SELECT max(n.version) FROM kontroler.dag_task_versions n WHERE n.dag_task_id = t.id), 0)
FROM kontroler.dag_tasks t
LEFT JOIN kontroler.dag_task_versions v ON v.dag_task_id = t.id AND v.version = CASE WHEN $3 = 0 THEN t.version ELSE $3 END
WHERE t.namespace = $1 AND t.name = $2`
	sqlTaskSave = `
INSERT INTO kontroler.dag_tasks AS t (namespace, name, uid, generation, created_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (namespace, name) DO UPDATE SET uid = excluded.uid, generation = excluded.generation, created_at = excluded.created_at, deleted_at = NULL
RETURNING t.id`
	sqlTaskVersionSave = `
INSERT INTO kontroler.dag_task_versions (dag_task_id, version, hash, spec, created_at) VALUES ($1, $2, $3, $4, $5) RETURNING spec`
	sqlTaskVersionSet = `UPDATE kontroler.dag_tasks SET version = $2 WHERE id = $1`
	sqlTaskDelete     = `UPDATE kontroler.dag_tasks SET deleted_at = $3 WHERE namespace = $1 AND name = $2 AND deleted_at IS NULL`
	sqlTasksThere     = `SELECT t.id, t.namespace, t.name FROM kontroler.dag_tasks t WHERE t.id > $1 AND t.deleted_at IS NULL ORDER BY t.id LIMIT $2`
)

// taskRow is a version of a DagTask, and what the DagTask's row says.
type taskRow struct {
	version            TaskVersion
	hash               []byte
	uid                string
	generation, number int64
	createdAt          time.Time
	deleted            bool
}

func readTaskVersion(ctx context.Context, q querier, namespace, name string, number int64) (r taskRow, found bool, err error) {
	v := &r.version
	err = q.QueryRowContext(ctx, sqlTaskVersionRead, namespace, name, number).Scan(
		&r.uid, &r.generation, nullTime{&r.createdAt}, &r.deleted, &r.number, &v.Number, &v.Spec, &r.hash, &v.Newest)
	if errors.Is(err, sql.ErrNoRows) {
		return taskRow{}, false, nil
	}
	return r, err == nil, err
}

// SaveTaskVersion saves spec, whose SHA-256 is hash, as the version that the DagTask states, or else as the next one unless
// it is what the DagTask has. It returns the version that the DagTask has then. One that is stored is never changed: taken
// says that the stated version has another spec, which is what comes back. A DagTask made again under its name continues
// its versions. When nothing has changed nothing is written. Whoever calls it has read the DagTask after the call before: an
// older read would make its spec a version once more.
func (l *Leader) SaveTaskVersion(ctx context.Context, task DagTask, spec []byte, hash [32]byte, now time.Time) (v TaskVersion, taken bool, err error) {
	r, found, err := readTaskVersion(ctx, l.pool, task.Namespace, task.Name, task.Version)
	same := string(r.hash) == string(hash[:])
	if err == nil && found && !r.deleted && r.uid == task.UID && r.generation == task.Generation &&
		r.createdAt.Equal(task.CreatedAt.Truncate(time.Microsecond)) && r.version.Number != 0 && r.version.Number == r.number && (same || task.Version != 0) {
		return r.version, !same, nil
	}
	if err == nil {
		v, taken, err = l.saveTaskVersion(ctx, task, spec, hash, now)
	}
	if err != nil {
		return TaskVersion{}, false, fmt.Errorf("saving a version of DagTask %s/%s: %w", task.Namespace, task.Name, classify(ctx, err))
	}
	return v, taken, nil
}

func (l *Leader) saveTaskVersion(ctx context.Context, task DagTask, spec []byte, hash [32]byte, now time.Time) (v TaskVersion, taken bool, err error) {
	var change int64
	err = l.inTx(ctx, func(q querier) error {
		var id int64
		err := q.QueryRowContext(ctx, sqlTaskSave, task.Namespace, task.Name, task.UID, task.Generation, timestamp(task.CreatedAt)).Scan(&id)
		if err != nil {
			return err
		}
		r, _, err := readTaskVersion(ctx, q, task.Namespace, task.Name, task.Version)
		if err != nil {
			return err
		}
		same := string(r.hash) == string(hash[:])
		v, taken = r.version, task.Version != 0 && r.version.Number != 0 && !same
		if v.Number == 0 || task.Version == 0 && !same {
			v.Number = task.Version
			if v.Number == 0 {
				v.Number = v.Newest + 1
			}
			v.Newest = max(v.Newest, v.Number)
			if err := q.QueryRowContext(ctx, sqlTaskVersionSave, id, v.Number, hash[:], string(spec), timestamp(now)).Scan(&v.Spec); err != nil {
				return err
			}
		}
		if v.Number != r.number {
			if _, err := q.ExecContext(ctx, sqlTaskVersionSet, id, v.Number); err != nil {
				return err
			}
		}
		return q.QueryRowContext(ctx, sqlChange, nil, "dag").Scan(&change)
	})
	if err != nil {
		return TaskVersion{}, false, err
	}
	l.committed(change)
	return v, taken, nil
}

// TaskVersion reads a version of a DagTask; Number is 0 where there is none.
func (l *Leader) TaskVersion(ctx context.Context, namespace, name string, number int64) (TaskVersion, error) {
	r, _, err := readTaskVersion(ctx, l.pool, namespace, name, number)
	if err != nil {
		return TaskVersion{}, fmt.Errorf("reading version %d of DagTask %s/%s: %w", number, namespace, name, classify(ctx, err))
	}
	return r.version, nil
}

// DagTaskDeleted notes that a DagTask object is gone. One that was already noted is left alone.
func (l *Leader) DagTaskDeleted(ctx context.Context, namespace, name string, now time.Time) error {
	if err := l.noteDeleted(ctx, sqlTaskDelete, namespace, name, timestamp(now)); err != nil {
		return fmt.Errorf("noting that DagTask %s/%s is deleted: %w", namespace, name, err)
	}
	return nil
}

// DagTasks lists up to limit DagTasks that are not noted as deleted and whose ID is above afterID, by ID.
func (l *Leader) DagTasks(ctx context.Context, afterID int64, limit int) ([]ObjectKey, error) {
	tasks, err := readRows(ctx, l.pool, scanObjectKey, sqlTasksThere, afterID, limit)
	if err != nil {
		return nil, fmt.Errorf("listing DagTasks: %w", classify(ctx, err))
	}
	return tasks, nil
}
