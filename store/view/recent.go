package view

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"kontroler/store/internal/postgres"
)

// LastRuns is the number of runs of a DAG that RecentRuns returns.
const LastRuns = 20

// DAGName names a DAG.
type DAGName struct{ Namespace, Name string }

// Recent has the newest runs of a DAG.
type Recent struct {
	// Runs are the newest runs, newest first, at most LastRuns.
	Runs []RecentRun
	// TypicalDuration is that of DAGReader.TypicalDurations.
	TypicalDuration time.Duration
}

// RecentRun is the short form of a run. Zero times are NULL.
type RecentRun struct {
	UID, Name, Phase                 string
	CreatedAt, StartedAt, FinishedAt time.Time
}

var sqlRecent = fmt.Sprintf(`
SELECT d.namespace, d.name, t.seconds, coalesce(n.uid::text, ''), coalesce(n.name, ''), coalesce(n.phase, ''),
       n.created_at, n.started_at, n.finished_at
FROM unnest($1::text[], $2::text[]) AS k (namespace, name)
JOIN kontroler_v1.dags d ON d.namespace = k.namespace AND d.name = k.name
CROSS JOIN LATERAL (`+typicalDurationOf+`) t
LEFT JOIN LATERAL (
    SELECT x.* FROM kontroler_v1.runs x WHERE x.dag_id = d.id ORDER BY x.admitted_at DESC, x.id DESC LIMIT $3) n ON true
ORDER BY d.id, n.admitted_at DESC, n.id DESC`, "d.id")

const (
	sqlDeleted = `
SELECT ` + dagColumns + ` FROM kontroler_v1.dags d
WHERE d.deleted_at IS NOT NULL AND ($1 OR d.namespace = ANY ($2::text[])) AND position($3 IN d.name) > 0
  AND (d.namespace, d.name) > ($4, $5) ORDER BY d.namespace, d.name LIMIT $6`
	sqlDeletedBefore = `
SELECT ` + dagColumns + ` FROM kontroler_v1.dags d
WHERE d.deleted_at IS NOT NULL AND ($1 OR d.namespace = ANY ($2::text[])) AND position($3 IN d.name) > 0
  AND (d.namespace, d.name) < ($4, $5) ORDER BY d.namespace DESC, d.name DESC LIMIT $6`
	// It looks up one run of each DAG in the scope, which takes about 5 ms for a thousand.
	sqlByLastRun = `
SELECT d.namespace, d.name FROM kontroler_v1.dags d CROSS JOIN LATERAL (
    SELECT r.phase FROM kontroler_v1.runs r WHERE r.dag_id = d.id ORDER BY r.admitted_at DESC, r.id DESC LIMIT 1) n
WHERE ($1 OR d.namespace = ANY ($2::text[])) AND n.phase = ANY ($3::text[])`
	sqlAdmitted   = `SELECT r.uid::text FROM kontroler_v1.runs r WHERE r.uid = ANY ($1::uuid[])`
	sqlController = `SELECT coalesce(max(i.controller_id), '') FROM kontroler_v1.identity i`
)

// RecentRuns reads the newest runs of DAGs, in one query. DAGs without a row are missing from the result.
func (db DAGReader) RecentRuns(ctx context.Context, dags []DAGName) (map[DAGName]Recent, error) {
	namespaces, names := make([]string, len(dags)), make([]string, len(dags))
	for i, dag := range dags {
		namespaces[i], names[i] = dag.Namespace, dag.Name
	}
	recent := make(map[DAGName]Recent, len(dags))
	_, err := postgres.ReadRows(ctx, db.pool, func(rows *sql.Rows) (run RecentRun, err error) {
		var dag DAGName
		var seconds float64
		err = rows.Scan(&dag.Namespace, &dag.Name, &seconds, &run.UID, &run.Name, &run.Phase, nullTime(&run.CreatedAt),
			nullTime(&run.StartedAt), nullTime(&run.FinishedAt))
		of := recent[dag]
		of.TypicalDuration = time.Duration(seconds * float64(time.Second))
		if run.UID != "" {
			of.Runs = append(of.Runs, run)
		}
		recent[dag] = of
		return run, err
	}, sqlRecent, namespaces, names, LastRuns)
	return recent, db.classify(ctx, "reading the last runs of DAGs", err)
}

// ByLastRun returns the DAGs of a scope whose newest run is in one of these phases.
func (db DAGReader) ByLastRun(ctx context.Context, scope Scope, phases []string) (map[DAGName]bool, error) {
	dags := map[DAGName]bool{}
	_, err := postgres.ReadRows(ctx, db.pool, func(rows *sql.Rows) (dag DAGName, err error) {
		err = rows.Scan(&dag.Namespace, &dag.Name)
		dags[dag] = true
		return dag, err
	}, sqlByLastRun, scope.isAll, scope.namespaces, phases)
	return dags, db.classify(ctx, "looking for DAGs by their last runs", err)
}

// Deleted lists the DAGs that the controller saw deleted and whose names contain a text, by namespace and name: those
// after from, or those before it if isBackward. A limit beyond MaxRows counts as MaxRows.
func (db DAGReader) Deleted(
	ctx context.Context, scope Scope, search string, from DAGName, isBackward bool, limit int,
) ([]DAG, error) {
	query := sqlDeleted
	if isBackward {
		query = sqlDeletedBefore
	}
	dags, err := postgres.ReadRows(ctx, db.pool, scanDAG, query, scope.isAll, scope.namespaces, search, from.Namespace,
		from.Name, atMost(limit))
	if isBackward {
		slices.Reverse(dags)
	}
	return dags, db.classify(ctx, "listing the DAGs that were deleted", err)
}

// Admitted returns which of these UIDs of DagRuns have a row.
func (db DAGReader) Admitted(ctx context.Context, uids []string) (map[string]bool, error) {
	uids = slices.DeleteFunc(slices.Clone(uids), func(uid string) bool { return !isUUID(uid) })
	rows, err := postgres.ReadRows(ctx, db.pool, postgres.ScanOne[string], sqlAdmitted, uids)
	admitted := make(map[string]bool, len(rows))
	for _, uid := range rows {
		admitted[uid] = true
	}
	return admitted, db.classify(ctx, "looking for the rows of DagRuns", err)
}

// ControllerID reads the id of the controller. It is empty until a controller has started.
func (db DAGReader) ControllerID(ctx context.Context) (id string, err error) {
	err = db.pool.QueryRowContext(ctx, sqlController).Scan(&id)
	return id, db.classify(ctx, "reading the id of the controller", err)
}
