package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"kontroler/store/internal/postgres"
)

// History maintains partitions and removes old history.
type History struct{ pool *termPool }

// Retention says what Trim removes.
type Retention struct {
	// Now is the time of the leader's machine. Trim removes what ended before Now - Keep. It uses the database's clock
	// if that is behind, so that one wrong clock of the two removes nothing too early.
	Now  time.Time
	Keep time.Duration
	// Retain reports whether the run of the DagRun with this UID must be left to a later pass.
	Retain func(uid string) bool
	// AfterBatch is called after each batch. The next batch begins when it returns. An error ends the pass.
	AfterBatch func(removed Removed, took time.Duration) error
}

// Removed counts what a batch removed, by kind: run, task, attempt, notification, version, schedule, partition, and row
// for rows of a default partition. Notifications are counted for large runs only.
type Removed map[string]int

const (
	// trimRows is the maximum number of rows that a batch removes.
	trimRows = 1000
	// trimRuns and trimVersions are how many runs and versions are read at a time.
	trimRuns     = 100
	trimVersions = 500
)

const (
	sqlTrimClock = `SELECT least($1::timestamptz, now())`
	// A run that its schedule may still look up by name stays: the schedule would create it again. A run with pending
	// notifications stays, too. Attempts are counted up to $5.
	sqlTrimRuns = `
SELECT r.id, r.uid::text, r.finished_at,
       1 + r.total + (SELECT count(*) FROM (SELECT FROM kontroler.attempts a WHERE a.run_id = r.id LIMIT $5) n)
FROM kontroler.runs r
WHERE (r.finished_at, r.id) > ($1, $2) AND r.finished_at < $3
  AND NOT EXISTS (SELECT FROM kontroler.scheduled_runs s WHERE s.run_name = r.name AND s.run_uid IS NULL)
  AND NOT EXISTS (SELECT FROM kontroler.notifications n WHERE n.run_id = r.id AND n.state = 'Pending')
ORDER BY r.finished_at, r.id LIMIT $4`
	trimOfRun = `
DELETE FROM kontroler.%[1]s d WHERE d.id = ANY (ARRAY(SELECT x.id FROM kontroler.%[1]s x WHERE x.run_id = $1 LIMIT $2))`
	sqlTrimOldest   = `SELECT r.admitted_at FROM kontroler.runs r ORDER BY r.id LIMIT 1`
	sqlTrimAttempts = `DELETE FROM kontroler.attempts a WHERE a.run_id = ANY ($1::bigint[])`
	sqlTrimTasks    = `DELETE FROM kontroler.tasks t WHERE t.run_id = ANY ($1::bigint[])`
	sqlTrimEnded    = `
WITH gone AS (
    DELETE FROM kontroler.runs r WHERE r.id = ANY ($1::bigint[]) AND r.finished_at IS NOT NULL
    RETURNING r.id, r.namespace, r.dag_id)
INSERT INTO kontroler.changes (kind, run_id, namespace, dag_id) SELECT 'run', id, namespace, dag_id FROM gone`

	// A version is removed if a newer one was created before $2 and no run pins it.
	sqlTrimVersions = `
SELECT v.id, EXISTS (SELECT FROM kontroler.dag_versions n
                     WHERE n.dag_id = v.dag_id AND n.version > v.version AND n.created_at < $2)
         AND NOT EXISTS (SELECT FROM kontroler.runs r WHERE r.dag_version_id = v.id)
FROM kontroler.dag_versions v WHERE v.id > $1 ORDER BY v.id LIMIT $3`
	sqlTrimVersionRows = `
DELETE FROM kontroler.dag_versions v
WHERE v.id = ANY ($1::bigint[]) AND NOT EXISTS (SELECT FROM kontroler.runs r WHERE r.dag_version_id = v.id)
RETURNING v.dag_id`

	sqlTrimSchedules = `
SELECT s.dag_id FROM kontroler.schedules s JOIN kontroler.dags d ON d.id = s.dag_id
WHERE d.deleted_at < $1 ORDER BY s.dag_id LIMIT 100`
	sqlTrimSchedule = `
WITH runs AS (DELETE FROM kontroler.scheduled_runs WHERE dag_id = $1)
DELETE FROM kontroler.schedules s USING kontroler.dags d WHERE s.dag_id = $1 AND d.id = s.dag_id AND d.deleted_at < $2`

	// Other sessions that need the table queue behind a drop that waits for its lock, for this time at most.
	sqlDropWait = `SET LOCAL lock_timeout = '100ms'`

	sqlRunOver = `
SELECT NOT EXISTS (SELECT FROM kontroler.runs r WHERE r.uid = $1 AND r.finished_at IS NULL)
   AND NOT EXISTS (SELECT FROM kontroler.scheduled_runs s JOIN kontroler.dags d ON d.id = s.dag_id
                   WHERE s.run_name = $3 AND s.run_uid IS NULL AND d.namespace = $2)`
)

// IsRunOver reports whether the database no longer needs a DagRun: its run has ended or is unknown, and no schedule may
// look it up by name and create it again.
func (h *History) IsRunOver(ctx context.Context, uid, namespace, name string) (isOver bool, err error) {
	err = h.pool.db.QueryRowContext(ctx, sqlRunOver, uid, namespace, name).Scan(&isOver)
	return isOver, postgres.Failed(ctx, err, "reading whether run %s/%s is over", namespace, name)
}

// Trim removes the history that is older than r allows: runs with their tasks and attempts, replaced versions that no
// run pins, schedules of deleted DAGs, and partitions of whole months. It works in batches, each a short transaction.
// Runs of up to trimRows rows share batches. A larger run takes several batches, and its own row goes last. If a table
// is locked, Trim leaves it to the next pass and returns ErrConflict.
func (h *History) Trim(ctx context.Context, r Retention) error {
	before, err := h.cutoff(ctx, r)
	if err != nil {
		return fmt.Errorf("trimming history: %w", err)
	}
	t := &trim{pool: h.pool, Retention: r, before: before}
	var locked error
	for _, step := range []func(context.Context) error{
		t.runs, t.readOldest, t.versions, t.schedules, t.partitions, t.defaultPartitions,
	} {
		err := step(ctx)
		switch {
		case errors.Is(err, ErrConflict):
			locked = errors.Join(locked, err)
		case err != nil:
			return fmt.Errorf("trimming history before %s: %w", before.Format(time.RFC3339), err)
		}
	}
	return locked
}

// cutoff returns the time before which history is removed.
func (h *History) cutoff(ctx context.Context, r Retention) (time.Time, error) {
	var now time.Time
	if err := h.pool.db.QueryRowContext(ctx, sqlTrimClock, timestamp(r.Now)).Scan(nullTime(&now)); err != nil {
		return time.Time{}, postgres.Classify(ctx, err)
	}
	return now.Add(-r.Keep), nil
}

// trim is one pass.
type trim struct {
	pool *termPool
	Retention
	before time.Time
	// oldest is when the oldest remaining run was admitted. It is zero if there is none.
	oldest time.Time
}

// batch runs one transaction and then calls AfterBatch. fn counts in removed what it removes.
func (t *trim) batch(
	ctx context.Context, fn func(q querier, removed Removed) error,
) (removed Removed, err error) {
	began := time.Now()
	removed = Removed{}
	if err := t.pool.write(ctx, func(q querier) error { return fn(q, removed) }); err != nil {
		return nil, err
	}
	return removed, t.AfterBatch(removed, time.Since(began))
}

type endedRun struct {
	id         int64
	uid        string
	finishedAt time.Time
	rows       int
}

// runs removes runs, in the order in which they ended.
func (t *trim) runs(ctx context.Context) error {
	last := endedRun{finishedAt: time.Unix(0, 0)}
	for {
		runs, err := postgres.ReadRows(ctx, t.pool.db, func(rows *sql.Rows) (r endedRun, err error) {
			err = rows.Scan(&r.id, &r.uid, nullTime(&r.finishedAt), &r.rows)
			return r, err
		}, sqlTrimRuns, timestamp(last.finishedAt), last.id, timestamp(t.before), trimRuns, trimRows)
		if err != nil || len(runs) == 0 {
			return err
		}
		last = runs[len(runs)-1]
		runs = slices.DeleteFunc(runs, func(r endedRun) bool { return t.Retain(r.uid) })
		for len(runs) > 0 {
			var small []int64
			for rows := 0; len(runs) > 0 && rows+runs[0].rows <= trimRows; runs = runs[1:] {
				rows += runs[0].rows
				small = append(small, runs[0].id)
			}
			if len(small) > 0 {
				err = t.wholeRuns(ctx, small)
			} else {
				err, runs = t.largeRun(ctx, runs[0].id), runs[1:]
			}
			if err != nil {
				return err
			}
		}
	}
}

// wholeRuns removes runs in one batch.
func (t *trim) wholeRuns(ctx context.Context, ids []int64) error {
	_, err := t.batch(ctx, func(q querier, removed Removed) (err error) {
		if removed["attempt"], err = postgres.Affected(q.ExecContext(ctx, sqlTrimAttempts, ids)); err != nil {
			return err
		}
		if removed["task"], err = postgres.Affected(q.ExecContext(ctx, sqlTrimTasks, ids)); err != nil {
			return err
		}
		removed["run"] = len(ids)
		runs, err := q.ExecContext(ctx, sqlTrimEnded, ids)
		return postgres.Expect(len(ids), runs, err)
	})
	return err
}

// largeRun removes a run in several batches: notifications, attempts, tasks (which then have no references), and the
// run.
func (t *trim) largeRun(ctx context.Context, id int64) error {
	for _, kind := range []string{"notification", "attempt", "task"} {
		for n := trimRows; n == trimRows; {
			removed, err := t.batch(ctx, func(q querier, removed Removed) (err error) {
				removed[kind], err = postgres.Affected(
					q.ExecContext(ctx, fmt.Sprintf(trimOfRun, kind+"s"), id, trimRows))
				return err
			})
			if err != nil {
				return err
			}
			n = removed[kind]
		}
	}
	return t.wholeRuns(ctx, []int64{id})
}

// versions removes versions, page by page. A run that is admitted meanwhile keeps the version that it pins.
func (t *trim) versions(ctx context.Context) error {
	for after, hasMore := int64(0), true; hasMore; {
		var old []int64
		read, err := postgres.ReadRows(ctx, t.pool.db, func(rows *sql.Rows) (id int64, err error) {
			var isOld bool
			if err = rows.Scan(&id, &isOld); isOld {
				old = append(old, id)
			}
			return id, err
		}, sqlTrimVersions, after, timestamp(t.before), trimVersions)
		if err != nil || len(read) == 0 {
			return err
		}
		after, hasMore = read[len(read)-1], len(read) == trimVersions
		if len(old) == 0 {
			continue
		}
		_, err = t.batch(ctx, func(q querier, removed Removed) error {
			dags, err := postgres.ReadRows(ctx, q, postgres.ScanOne[int64], sqlTrimVersionRows, old)
			if err != nil {
				return err
			}
			removed["version"] = len(dags)
			return recordDAGChanges(ctx, q, dags...)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// schedules removes the schedules of DAGs that were deleted before the cutoff.
func (t *trim) schedules(ctx context.Context) error {
	for {
		dags, err := postgres.ReadRows(ctx, t.pool.db, postgres.ScanOne[int64], sqlTrimSchedules, timestamp(t.before))
		if err != nil || len(dags) == 0 {
			return err
		}
		for _, dag := range dags {
			_, err := t.batch(ctx, func(q querier, removed Removed) error {
				removed["schedule"] = 1
				result, err := q.ExecContext(ctx, sqlTrimSchedule, dag, timestamp(t.before))
				if err := postgres.Expect(1, result, err); err != nil {
					return err // no row means that the DAG was created again
				}
				return recordDAGChanges(ctx, q, dag)
			})
			if err != nil {
				return err
			}
		}
	}
}

// firstMonth returns the first month of a table that is kept.
func (t *trim) firstMonth(table partitionedTable) time.Time {
	if table.isOfRuns && !t.oldest.IsZero() && t.oldest.Before(t.before) {
		return monthOf(t.oldest)
	}
	return monthOf(t.before)
}

// readOldest reads when the oldest remaining run was admitted.
func (t *trim) readOldest(ctx context.Context) error {
	_, err := postgres.ScanRow(ctx, t.pool.db.QueryRowContext(ctx, sqlTrimOldest), nullTime(&t.oldest))
	return err
}

// partitions drops the partitions of whole months. A drop locks the table for an instant. It waits for the lock only
// briefly, so that other sessions do not queue behind it while a long read lasts; a later pass retries. (DETACH
// CONCURRENTLY, which PostgreSQL has from version 14 on, would neither be fenced nor end with its session.)
func (t *trim) partitions(ctx context.Context) error {
	var locked error
	for _, table := range partitioned {
		names, err := t.pool.partitionsOf(ctx, table.table)
		if err != nil {
			return err
		}
		for _, name := range names {
			month, err := time.Parse("2006_01", strings.TrimPrefix(name, table.table+"_"))
			if err != nil || !month.Before(t.firstMonth(table)) {
				continue // the default partition, or one that is kept
			}
			err = t.drop(ctx, name)
			switch {
			case errors.Is(err, ErrConflict):
				locked = errors.Join(locked, err)
			case err != nil:
				return err
			}
		}
	}
	return locked
}

// drop drops a partition.
func (t *trim) drop(ctx context.Context, name string) error {
	_, err := t.batch(ctx, func(q querier, removed Removed) error {
		removed["partition"] = 1
		return postgres.ExecAll(ctx, q, sqlDropWait, `DROP TABLE kontroler.`+name)
	})
	return postgres.Failed(ctx, err, "dropping partition %s", name)
}

// defaultPartitions removes the rows of past months from the default partitions.
func (t *trim) defaultPartitions(ctx context.Context) error {
	for _, table := range partitioned {
		for n := trimRows; n == trimRows; {
			removed, err := t.batch(ctx, func(q querier, removed Removed) (err error) {
				removed["row"], err = postgres.Affected(
					q.ExecContext(ctx, trimDefault(table), timestamp(t.firstMonth(table)), trimRows))
				return err
			})
			if err != nil {
				return fmt.Errorf("removing rows of %s_default: %w", table.table, err)
			}
			n = removed["row"]
		}
	}
	return nil
}

// trimDefault returns the statement that removes rows of a default partition. Each default partition has an index on
// the partition key.
func trimDefault(table partitionedTable) string {
	return fmt.Sprintf(`
DELETE FROM kontroler.%[1]s_default d
WHERE d.ctid = ANY (ARRAY(SELECT o.ctid FROM kontroler.%[1]s_default o WHERE o.%[2]s < $1 ORDER BY o.%[2]s LIMIT $2))`,
		table.table, table.key)
}
