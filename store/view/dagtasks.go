package view

import (
	"context"
	"database/sql"

	"kontroler/store/internal/postgres"
)

// TaskVersion is a version of a DagTask.
type TaskVersion struct {
	// Number is 0 if there is no such version.
	Number int64
	// Newest is the highest version, 0 if there is none.
	Newest int64
	// Spec is the stored spec, as JSON.
	Spec []byte
}

const sqlTaskVersion = `
SELECT coalesce(v.version, 0), v.spec,
       coalesce((SELECT max(n.version) FROM kontroler_v1.dag_task_versions n WHERE n.dag_task_id = t.id), 0)
FROM kontroler_v1.dag_tasks t
LEFT JOIN kontroler_v1.dag_task_versions v ON v.dag_task_id = t.id AND v.version = $3::bigint
WHERE t.namespace = $1 AND t.name = $2`

// TaskVersion reads a version of a DagTask, also of one that is deleted.
func (db DAGReader) TaskVersion(ctx context.Context, namespace, name string, number int64) (TaskVersion, error) {
	versions, err := postgres.ReadRows(ctx, db.pool, func(rows *sql.Rows) (v TaskVersion, err error) {
		err = rows.Scan(&v.Number, &v.Spec, &v.Newest)
		return v, err
	}, sqlTaskVersion, namespace, name, number)
	if err != nil || len(versions) == 0 {
		return TaskVersion{}, db.classify(ctx, "reading a version of a DagTask", err)
	}
	return versions[0], nil
}
