package view

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"kontroler/store/internal/postgres"
)

// DAGReader reads DAGs, their versions and their due times.
type DAGReader struct{ reader }

// DAG is the row of a DAG. DeletedAt is zero unless the DAG was deleted. Version is its newest version.
type DAG struct {
	ID                   int64
	Namespace, Name, UID string
	Version              int64
	CreatedAt, DeletedAt time.Time
}

// Version is a version of a DAG. Spec is JSON; it is nil in lists.
type Version struct {
	ID, DAGID, Number int64
	Tasks             int
	Spec              []byte
	CreatedAt         time.Time
}

// Tick is the outcome of a due time of a schedule, or of a stretch of Count due times that did not run. RunUID is empty
// unless the due time ran and its DagRun is known.
type Tick struct {
	From, To        time.Time
	Count           int
	Outcome         string
	RunID           int64
	RunName, RunUID string
	DecidedAt       time.Time
}

const (
	dagColumns = `d.id, d.namespace, d.name, d.uid::text, coalesce(d.version, 0), d.created_at, d.deleted_at`
	sqlDAG     = `
SELECT ` + dagColumns + ` FROM kontroler_v1.dags d WHERE d.namespace = $1 AND d.name = $2`
	sqlVersions = `
SELECT v.id, v.dag_id, v.version, v.tasks, NULL::bytea, v.created_at
FROM kontroler_v1.versions v WHERE v.dag_id = $1 AND v.version < $2 ORDER BY v.version DESC LIMIT $3`
	sqlVersionsAbove = `
SELECT v.id, v.dag_id, v.version, v.tasks, NULL::bytea, v.created_at
FROM kontroler_v1.versions v WHERE v.dag_id = $1 AND v.version > $2 ORDER BY v.version LIMIT $3`
	sqlVersion = `
SELECT v.id, v.dag_id, v.version, v.tasks, v.spec, v.created_at
FROM kontroler_v1.versions v WHERE v.dag_id = $1 AND v.version = $2`
	sqlVersionByID = `
SELECT v.id, v.dag_id, v.version, v.tasks, v.spec, v.created_at FROM kontroler_v1.versions v WHERE v.id = $1`
	sqlVersionNumbers = `
SELECT v.id, v.version FROM kontroler_v1.versions v WHERE v.id = ANY ($1::bigint[])`
	tickColumns = `t.due_from, t.due_to, t.count, t.outcome, coalesce(t.run_id, 0), coalesce(t.run_name, ''),
       coalesce(t.run_uid::text, ''), t.decided_at`
	sqlTicks = `
SELECT ` + tickColumns + `
FROM kontroler_v1.ticks t WHERE t.dag_id = $1 AND t.due_from < $2 ORDER BY t.due_from DESC LIMIT $3`
	sqlTicksAfter = `
SELECT ` + tickColumns + `
FROM kontroler_v1.ticks t WHERE t.dag_id = $1 AND t.due_from > $2 ORDER BY t.due_from LIMIT $3`
	// It reads the last thousand runs. A DAG without a success among them has no typical duration.
	typicalDurationOf = `
SELECT coalesce(percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM s.took)), 0) AS seconds FROM (
    SELECT n.finished_at - coalesce(n.started_at, n.admitted_at) AS took FROM (
        SELECT r.id, r.phase, r.admitted_at, r.started_at, r.finished_at FROM kontroler_v1.runs r
        WHERE r.dag_id = %s ORDER BY r.admitted_at DESC, r.id DESC LIMIT 1000) n
    WHERE n.phase = 'Succeeded' ORDER BY n.admitted_at DESC, n.id DESC LIMIT 20) s`
)

var sqlTypicalDurations = fmt.Sprintf(`
SELECT k.id, t.seconds FROM unnest($1::bigint[]) AS k (id) CROSS JOIN LATERAL (`+typicalDurationOf+`) t`, "k.id")

// DAG reads a DAG. found reports whether it has a row: a DAG that has never been valid has none.
func (db DAGReader) DAG(ctx context.Context, namespace, name string) (dag DAG, found bool, err error) {
	dags, err := postgres.ReadRows(ctx, db.pool, scanDAG, sqlDAG, namespace, name)
	if err != nil || len(dags) == 0 {
		return DAG{}, false, db.classify(ctx, "reading a DAG", err)
	}
	return dags[0], true, nil
}

func scanDAG(rows *sql.Rows) (d DAG, err error) {
	err = rows.Scan(&d.ID, &d.Namespace, &d.Name, &d.UID, &d.Version, nullTime(&d.CreatedAt), nullTime(&d.DeletedAt))
	return d, err
}

// Versions lists the versions of a DAG below a number, newest first, without their specs. A number of 0 means no bound.
// A limit beyond MaxRows counts as MaxRows.
func (db DAGReader) Versions(ctx context.Context, dagID, below int64, limit int) ([]Version, error) {
	if below <= 0 {
		below = 1 << 62
	}
	versions, err := postgres.ReadRows(
		ctx, db.pool, scanVersion, sqlVersions, dagID, below, atMost(limit))
	return versions, db.classify(ctx, "listing the versions of a DAG", err)
}

// VersionsAbove lists the versions right above a number, at most limit of them, newest first.
func (db DAGReader) VersionsAbove(ctx context.Context, dagID, number int64, limit int) ([]Version, error) {
	versions, err := reversed(postgres.ReadRows(
		ctx, db.pool, scanVersion, sqlVersionsAbove, dagID, number, atMost(limit)))
	return versions, db.classify(ctx, "listing the versions of a DAG", err)
}

// Version reads a version of a DAG by its number. found reports whether it exists.
func (db DAGReader) Version(ctx context.Context, dagID, number int64) (v Version, found bool, err error) {
	return db.oneVersion(ctx, sqlVersion, dagID, number)
}

// VersionByID reads the version that a run names. found reports whether it exists.
func (db DAGReader) VersionByID(ctx context.Context, id int64) (v Version, found bool, err error) {
	return db.oneVersion(ctx, sqlVersionByID, id)
}

// VersionNumbers returns the numbers of versions by their ids.
func (db DAGReader) VersionNumbers(ctx context.Context, ids []int64) (map[int64]int64, error) {
	numbers := map[int64]int64{}
	_, err := postgres.ReadRows(ctx, db.pool, func(rows *sql.Rows) (struct{}, error) {
		var id, number int64
		err := rows.Scan(&id, &number)
		numbers[id] = number
		return struct{}{}, err
	}, sqlVersionNumbers, ids)
	return numbers, db.classify(ctx, "reading the numbers of versions", err)
}

func (db DAGReader) oneVersion(ctx context.Context, query string, args ...any) (Version, bool, error) {
	versions, err := postgres.ReadRows(ctx, db.pool, scanVersion, query, args...)
	if err != nil || len(versions) == 0 {
		return Version{}, false, db.classify(ctx, "reading a version of a DAG", err)
	}
	return versions[0], true, nil
}

func scanVersion(rows *sql.Rows) (v Version, err error) {
	err = rows.Scan(&v.ID, &v.DAGID, &v.Number, &v.Tasks, &v.Spec, nullTime(&v.CreatedAt))
	return v, err
}

// Ticks lists the ticks of a DAG before a time, newest first. The zero time means no bound. A limit beyond MaxRows
// counts as MaxRows.
func (db DAGReader) Ticks(ctx context.Context, dagID int64, before time.Time, limit int) ([]Tick, error) {
	if before.IsZero() {
		before = farthest
	}
	ticks, err := postgres.ReadRows(ctx, db.pool, scanTick, sqlTicks, dagID, before, atMost(limit))
	return ticks, db.classify(ctx, "listing the due times of a DAG", err)
}

// TicksAfter lists the ticks right after a time, at most limit of them, newest first.
func (db DAGReader) TicksAfter(ctx context.Context, dagID int64, after time.Time, limit int) ([]Tick, error) {
	ticks, err := reversed(postgres.ReadRows(ctx, db.pool, scanTick, sqlTicksAfter, dagID, after, atMost(limit)))
	return ticks, db.classify(ctx, "listing the due times of a DAG", err)
}

func scanTick(rows *sql.Rows) (t Tick, err error) {
	err = rows.Scan(nullTime(&t.From), nullTime(&t.To), &t.Count, &t.Outcome, &t.RunID, &t.RunName, &t.RunUID,
		nullTime(&t.DecidedAt))
	return t, err
}

// TypicalDurations returns how long runs of DAGs take, by their ids: the median duration of the last twenty runs that
// succeeded, among the last thousand. It is zero if none has.
func (db DAGReader) TypicalDurations(ctx context.Context, dagIDs []int64) (map[int64]time.Duration, error) {
	typical := map[int64]time.Duration{}
	if len(dagIDs) == 0 {
		return typical, nil
	}
	_, err := postgres.ReadRows(ctx, db.pool, func(rows *sql.Rows) (struct{}, error) {
		var id int64
		var seconds float64
		err := rows.Scan(&id, &seconds)
		typical[id] = time.Duration(seconds * float64(time.Second))
		return struct{}{}, err
	}, sqlTypicalDurations, dagIDs)
	return typical, db.classify(ctx, "reading how long DAGs take", err)
}
