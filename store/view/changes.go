package view

import (
	"context"
	"database/sql"

	"kontroler/store/internal/postgres"
)

// Change says that something has changed. Namespace is empty if an earlier version of the controller wrote it: it may
// be of any namespace.
type Change struct {
	ID int64
	// Kind is run, or dag for a DAG, its versions, its schedule, or a DagTask. DAGID is 0 for a DagTask.
	Kind, Namespace string
	DAGID, RunID    int64
}

// Snapshot is what a reader has seen: the transactions that were visible to it. It is opaque text.
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
)

// Snapshot returns a snapshot to begin with. A reader takes it before it reads the rows that it follows.
func (db *DB) Snapshot(ctx context.Context) (s Snapshot, err error) {
	err = db.pool.QueryRowContext(ctx, sqlSnapshot).Scan(&s)
	return s, db.classify(ctx, "taking a snapshot", err)
}

// Changes returns the changes that have become visible since a snapshot, each once, and the next snapshot. isReset
// means that the reader must begin anew: there are more changes than the limit, or the snapshot is ahead of the
// database, which was restored from a dump.
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
