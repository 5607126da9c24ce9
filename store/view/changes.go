package view

import (
	"context"
	"database/sql"

	"kontroler/store/internal/postgres"
)

// Change is a row of kontroler_v1.changes. Namespace is empty if an earlier version of the controller wrote the row;
// the change may then be of any namespace.
type Change struct {
	ID int64
	// Kind is run, or dag for a DAG, its versions, its schedule, or a DagTask. DAGID is 0 for a DagTask.
	Kind, Namespace string
	DAGID, RunID    int64
}

// ChangedRun is the present state of a run that has changed.
type ChangedRun struct {
	ID                         int64
	UID, Namespace, DAG, Phase string
}

// Snapshot describes the transactions that were visible to a reader, as opaque text.
type Snapshot string

const (
	sqlSnapshot = `SELECT pg_current_snapshot()::text`
	// sqlChanges returns the changes that have become visible since a snapshot, up to a limit, and the next snapshot. A
	// transaction that a snapshot does not show begins after it, from its xmax on, or was in progress in it.
	sqlChanges = `
SELECT pg_current_snapshot()::text, pg_snapshot_xmax($1::pg_snapshot) > pg_snapshot_xmax(pg_current_snapshot()),
       coalesce(c.id, 0), coalesce(c.kind, ''), coalesce(c.namespace, ''), coalesce(c.dag_id, 0), coalesce(c.run_id, 0)
FROM (SELECT) one LEFT JOIN LATERAL (
    (SELECT n.* FROM kontroler_v1.changes n WHERE n.xid >= pg_snapshot_xmax($1::pg_snapshot)
     ORDER BY n.xid, n.id LIMIT $2)
    UNION ALL
    (SELECT o.* FROM kontroler_v1.changes o WHERE o.xid = ANY (ARRAY(SELECT pg_snapshot_xip($1::pg_snapshot))) LIMIT $2)
) c ON true ORDER BY c.xid, c.id`
	// sqlChangesBetween returns the changes that a later snapshot shows and an earlier one does not, up to a limit.
	sqlChangesBetween = `
SELECT pg_snapshot_xmax($1::pg_snapshot) > pg_snapshot_xmax($2::pg_snapshot),
       coalesce(c.id, 0), coalesce(c.kind, ''), coalesce(c.namespace, ''), coalesce(c.dag_id, 0), coalesce(c.run_id, 0)
FROM (SELECT) one LEFT JOIN LATERAL (
    (SELECT n.* FROM kontroler_v1.changes n
     WHERE n.xid >= pg_snapshot_xmax($1::pg_snapshot) AND n.xid < pg_snapshot_xmax($2::pg_snapshot)
       AND pg_visible_in_snapshot(n.xid, $2::pg_snapshot) ORDER BY n.xid, n.id LIMIT $3)
    UNION ALL
    (SELECT o.* FROM kontroler_v1.changes o WHERE o.xid = ANY (ARRAY(SELECT pg_snapshot_xip($1::pg_snapshot)))
       AND pg_visible_in_snapshot(o.xid, $2::pg_snapshot) LIMIT $3)
) c ON true ORDER BY c.xid, c.id`
	sqlRunsChanged = `
SELECT r.id, r.uid::text, r.namespace, r.dag_name, r.phase FROM kontroler_v1.runs r WHERE r.id = ANY ($1::bigint[])`
	sqlDAGNames = `SELECT d.id, d.name FROM kontroler_v1.dags d WHERE d.id = ANY ($1::bigint[])`
)

// Snapshot returns a snapshot to begin with. A reader takes it before it reads the rows that it follows.
func (db *DB) Snapshot(ctx context.Context) (s Snapshot, err error) {
	err = db.pool.QueryRowContext(ctx, sqlSnapshot).Scan(&s)
	return s, db.classify(ctx, "taking a snapshot", err)
}

// Changes returns the changes that have become visible since a snapshot, each once, and the next snapshot. isReset
// means that the reader must start over: there are more changes than the limit, or the snapshot is ahead of the
// database, because the database was restored from a dump.
func (db *DB) Changes(
	ctx context.Context, since Snapshot, limit int,
) (changes []Change, next Snapshot, isReset bool, err error) {
	_, err = postgres.ReadRows(ctx, db.pool, func(rows *sql.Rows) (none struct{}, err error) {
		var c Change
		err = rows.Scan(&next, &isReset, &c.ID, &c.Kind, &c.Namespace, &c.DAGID, &c.RunID)
		if c.ID != 0 {
			changes = append(changes, c)
		}
		return none, err
	}, sqlChanges, string(since), limit+1)
	if err != nil {
		return nil, "", false, db.classify(ctx, "reading changes", err)
	}
	if isReset || len(changes) > limit {
		return nil, next, true, nil
	}
	return changes, next, false, nil
}

// ChangesBetween returns the changes that the snapshot until shows and since does not, each once. isReset has the
// meaning that it has in Changes. The server must have taken both snapshots; any other text is ErrRejected.
func (db *DB) ChangesBetween(
	ctx context.Context, since, until Snapshot, limit int,
) (changes []Change, isReset bool, err error) {
	_, err = postgres.ReadRows(ctx, db.pool, func(rows *sql.Rows) (none struct{}, err error) {
		var c Change
		err = rows.Scan(&isReset, &c.ID, &c.Kind, &c.Namespace, &c.DAGID, &c.RunID)
		if c.ID != 0 {
			changes = append(changes, c)
		}
		return none, err
	}, sqlChangesBetween, string(since), string(until), limit+1)
	if err != nil {
		return nil, false, db.classify(ctx, "reading changes between two snapshots", err)
	}
	if isReset || len(changes) > limit {
		return nil, true, nil
	}
	return changes, false, nil
}

// ChangedRuns reads runs by their ids, in no order. Those that were removed are missing.
func (db *DB) ChangedRuns(ctx context.Context, ids []int64) ([]ChangedRun, error) {
	runs, err := postgres.ReadRows(ctx, db.pool, func(rows *sql.Rows) (r ChangedRun, err error) {
		err = rows.Scan(&r.ID, &r.UID, &r.Namespace, &r.DAG, &r.Phase)
		return r, err
	}, sqlRunsChanged, ids)
	return runs, db.classify(ctx, "reading runs that have changed", err)
}

// Names reads the names of DAGs by their ids. Those that were removed are missing.
func (db DAGReader) Names(ctx context.Context, ids []int64) (map[int64]string, error) {
	names := map[int64]string{}
	_, err := postgres.ReadRows(ctx, db.pool, func(rows *sql.Rows) (none struct{}, err error) {
		var id int64
		var name string
		err = rows.Scan(&id, &name)
		names[id] = name
		return none, err
	}, sqlDAGNames, ids)
	return names, db.classify(ctx, "reading the names of DAGs", err)
}

// changesChannel is the channel on which the leader notifies of new changes.
const changesChannel = "kontroler_changes"

// Listen calls notify when there may be new changes, until ctx ends. It keeps a session of its own, and opens a new one
// after it was lost. It calls notify once for each session: notifications may have been lost before.
func (db *DB) Listen(ctx context.Context, notify func()) {
	postgres.Listen(ctx, db.url, applicationName, changesChannel, notify)
}
