package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Retention says what history Trim removes.
type Retention struct {
	// Now is the leader's clock. What goes has been over for longer than Keep, by the database's clock too: a clock that is
	// wrong removes nothing.
	Now  time.Time
	Keep time.Duration
	// Spare keeps a run, by the UID of its DagRun, for a later pass.
	Spare func(uid string) bool
	// Next is told what a batch removed and how long that took. The next one begins when it returns; an error ends the pass.
	Next func(removed Removed, took time.Duration) error
}

// Removed counts what was removed: run, task, attempt, notification (of large runs; those of others go uncounted), version, schedule, partition; row: of a default partition.
type Removed map[string]int

// trimRows is how many rows a batch removes at most; trimRuns and trimVersions how many it looks at.
const (
	trimRows     = 1000
	trimRuns     = 100
	trimVersions = 500
)

const (
	sqlTrimClock = `SELECT least($1::timestamptz, now())`
	// A run that its schedule may still look for by name is kept: it would be made again. So is one of which something is
	// yet to be told. Attempts are counted to $5.
	sqlTrimRuns = `
SELECT r.id, r.uid::text, r.finished_at, 1 + r.total + (SELECT count(*) FROM (SELECT FROM kontroler.attempts a WHERE a.run_id = r.id LIMIT $5) n)
FROM kontroler.runs r
WHERE (r.finished_at, r.id) > ($1, $2) AND r.finished_at < $3
  AND NOT EXISTS (SELECT FROM kontroler.scheduled_runs s WHERE s.run_name = r.name AND s.run_uid IS NULL)
  AND NOT EXISTS (SELECT FROM kontroler.notifications n WHERE n.run_id = r.id AND n.state = 'Pending')
ORDER BY r.finished_at, r.id LIMIT $4`
	sqlTrimRunAttempts = `
DELETE FROM kontroler.attempts d WHERE d.id = ANY (ARRAY(SELECT a.id FROM kontroler.attempts a WHERE a.run_id = $1 LIMIT $2))`
	sqlTrimRunTasks = `
DELETE FROM kontroler.tasks d WHERE d.id = ANY (ARRAY(SELECT t.id FROM kontroler.tasks t WHERE t.run_id = $1 LIMIT $2))`
	sqlTrimRunNotices = `
DELETE FROM kontroler.notifications d WHERE d.id = ANY (ARRAY(SELECT n.id FROM kontroler.notifications n WHERE n.run_id = $1 LIMIT $2))`
	sqlTrimOldest   = `SELECT r.admitted_at FROM kontroler.runs r ORDER BY r.id LIMIT 1`
	sqlTrimAttempts = `DELETE FROM kontroler.attempts a WHERE a.run_id = ANY ($1::bigint[])`
	sqlTrimTasks    = `DELETE FROM kontroler.tasks t WHERE t.run_id = ANY ($1::bigint[])`
	sqlTrimEnded    = `DELETE FROM kontroler.runs r WHERE r.id = ANY ($1::bigint[]) AND r.finished_at IS NOT NULL`
	sqlTrimChanges  = `INSERT INTO kontroler.changes (run_id, kind) SELECT id, 'run' FROM unnest($1::bigint[]) id RETURNING id`

	// A version goes when it was replaced before $2 and no run pins it.
	sqlTrimVersions = `
SELECT v.id, EXISTS (SELECT FROM kontroler.dag_versions n WHERE n.dag_id = v.dag_id AND n.version > v.version AND n.created_at < $2)
         AND NOT EXISTS (SELECT FROM kontroler.runs r WHERE r.dag_version_id = v.id)
FROM kontroler.dag_versions v WHERE v.id > $1 ORDER BY v.id LIMIT $3`
	sqlTrimVersionRows = `
DELETE FROM kontroler.dag_versions v
WHERE v.id = ANY ($1::bigint[]) AND NOT EXISTS (SELECT FROM kontroler.runs r WHERE r.dag_version_id = v.id)`

	sqlTrimSchedules = `
SELECT s.dag_id FROM kontroler.schedules s JOIN kontroler.dags d ON d.id = s.dag_id WHERE d.deleted_at < $1 ORDER BY s.dag_id LIMIT 100`
	sqlTrimScheduledRuns = `DELETE FROM kontroler.scheduled_runs WHERE dag_id = $1`
	sqlTrimSchedule      = `
DELETE FROM kontroler.schedules s USING kontroler.dags d WHERE s.dag_id = $1 AND d.id = s.dag_id AND d.deleted_at < $2`

	sqlPartitions = `
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = to_regclass($1) ORDER BY c.relname`
	// Whoever comes for the table meanwhile waits behind the drop: not for longer than this.
	sqlDropWait = `SET LOCAL lock_timeout = '100ms'`

	sqlRunOver = `
SELECT NOT EXISTS (SELECT FROM kontroler.runs r WHERE r.uid = $1 AND r.finished_at IS NULL)
   AND NOT EXISTS (SELECT FROM kontroler.scheduled_runs s JOIN kontroler.dags d ON d.id = s.dag_id
                   WHERE s.run_name = $3 AND s.run_uid IS NULL AND d.namespace = $2)`
)

// RunOver reports that nothing here needs a DagRun any more: its run has ended or is no longer known, and no schedule is
// about to look for it by name, to make it again when it is gone.
func (l *Leader) RunOver(ctx context.Context, uid, namespace, name string) (over bool, err error) {
	if err := l.pool.QueryRowContext(ctx, sqlRunOver, uid, namespace, name).Scan(&over); err != nil {
		return false, fmt.Errorf("asking whether run %s/%s is over: %w", namespace, name, classify(ctx, err))
	}
	return over, nil
}

// Trim goes once through the history that is older than r says and removes it in batches, each a short transaction of its
// own: runs with their tasks and attempts, versions that were replaced and that no run pins, schedules of deleted DAGs,
// partitions of whole months. A run of up to trimRows rows goes in one batch, with others; a larger one in several, its
// own row last. What is locked is left for the next pass, with ErrConflict.
func (l *Leader) Trim(ctx context.Context, r Retention) error {
	before, err := l.trimBefore(ctx, r)
	if err != nil {
		return fmt.Errorf("trimming history: %w", err)
	}
	p := &trim{Leader: l, Retention: r, before: before}
	var locked error
	for _, step := range []func(context.Context) error{p.runs, p.findOldest, p.versions, p.schedules, p.partitions, p.defaults} {
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

func (l *Leader) trimBefore(ctx context.Context, r Retention) (time.Time, error) {
	var now time.Time
	if err := l.pool.QueryRowContext(ctx, sqlTrimClock, timestamp(r.Now)).Scan(nullTime{&now}); err != nil {
		return time.Time{}, classify(ctx, err)
	}
	return now.Add(-r.Keep), nil
}

// trim is one pass.
type trim struct {
	*Leader
	Retention
	before time.Time
	oldest time.Time // the admission of the oldest run that is left; zero: there is none
}

// batch runs one transaction, which says what it removed, and lets Next follow it.
func (p *trim) batch(ctx context.Context, fn func(q querier, removed Removed) error) (removed Removed, err error) {
	began := time.Now()
	removed = Removed{}
	if err := p.inTx(ctx, func(q querier) error { return fn(q, removed) }); err != nil {
		return nil, err
	}
	return removed, p.Next(removed, time.Since(began))
}

// counted is how many rows a statement touched.
func counted(result sql.Result, err error) (int, error) {
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}

type oldRun struct {
	id   int64
	uid  string
	at   time.Time
	rows int
}

// runs removes runs, those that ended first first.
func (p *trim) runs(ctx context.Context) error {
	after := oldRun{at: time.Unix(0, 0)}
	for {
		runs, err := readRows(ctx, p.pool, func(rows *sql.Rows) (r oldRun, err error) {
			return r, rows.Scan(&r.id, &r.uid, nullTime{&r.at}, &r.rows)
		}, sqlTrimRuns, timestamp(after.at), after.id, timestamp(p.before), trimRuns, trimRows)
		if err != nil || len(runs) == 0 {
			return classify(ctx, err)
		}
		after = runs[len(runs)-1]
		runs = slices.DeleteFunc(runs, func(r oldRun) bool { return p.Spare(r.uid) })
		for len(runs) > 0 {
			var together []int64
			for rows := 0; len(runs) > 0 && rows+runs[0].rows <= trimRows; runs = runs[1:] {
				rows += runs[0].rows
				together = append(together, runs[0].id)
			}
			if len(together) > 0 {
				err = p.wholeRuns(ctx, together)
			} else {
				err, runs = p.largeRun(ctx, runs[0].id), runs[1:]
			}
			if err != nil {
				return err
			}
		}
	}
}

// wholeRuns removes runs in one batch.
func (p *trim) wholeRuns(ctx context.Context, ids []int64) error {
	var change int64
	_, err := p.batch(ctx, func(q querier, removed Removed) (err error) {
		if removed["attempt"], err = counted(q.ExecContext(ctx, sqlTrimAttempts, ids)); err != nil {
			return err
		}
		if removed["task"], err = counted(q.ExecContext(ctx, sqlTrimTasks, ids)); err != nil {
			return err
		}
		result, err := q.ExecContext(ctx, sqlTrimEnded, ids)
		if err := expect(int64(len(ids)), result, err); err != nil {
			return err
		}
		removed["run"] = len(ids)
		change, err = noteRuns(ctx, q, ids)
		return err
	})
	p.committed(change)
	return err
}

// noteRuns tells readers of runs, and returns the highest change.
func noteRuns(ctx context.Context, q querier, ids []int64) (int64, error) {
	changes, err := readRows(ctx, q, func(rows *sql.Rows) (id int64, err error) { return id, rows.Scan(&id) }, sqlTrimChanges, ids)
	if err != nil {
		return 0, err
	}
	return slices.Max(changes), nil
}

// largeRun removes a run in slices: notifications, attempts, then tasks, which nothing refers to any more, then the run.
func (p *trim) largeRun(ctx context.Context, id int64) error {
	for _, slice := range []struct{ kind, sql string }{{"notification", sqlTrimRunNotices}, {"attempt", sqlTrimRunAttempts}, {"task", sqlTrimRunTasks}} {
		for n := trimRows; n == trimRows; {
			removed, err := p.batch(ctx, func(q querier, removed Removed) (err error) {
				removed[slice.kind], err = counted(q.ExecContext(ctx, slice.sql, id, trimRows))
				return err
			})
			if err != nil {
				return err
			}
			n = removed[slice.kind]
		}
	}
	return p.wholeRuns(ctx, []int64{id})
}

// versions removes versions, page by page. A run that is admitted meanwhile keeps the version that it pins.
func (p *trim) versions(ctx context.Context) error {
	for after, more := int64(0), true; more; {
		var old []int64
		seen, err := readRows(ctx, p.pool, func(rows *sql.Rows) (id int64, err error) {
			var is bool
			if err = rows.Scan(&id, &is); is {
				old = append(old, id)
			}
			return id, err
		}, sqlTrimVersions, after, timestamp(p.before), trimVersions)
		if err != nil || len(seen) == 0 {
			return classify(ctx, err)
		}
		after, more = seen[len(seen)-1], len(seen) == trimVersions
		if len(old) == 0 {
			continue
		}
		var change int64
		_, err = p.batch(ctx, func(q querier, removed Removed) (err error) {
			if removed["version"], err = counted(q.ExecContext(ctx, sqlTrimVersionRows, old)); err != nil {
				return err
			}
			return q.QueryRowContext(ctx, sqlChange, nil, "dag").Scan(&change)
		})
		p.committed(change)
		if err != nil {
			return err
		}
	}
	return nil
}

// schedules removes what is kept of the schedules of DAGs that are deleted for so long.
func (p *trim) schedules(ctx context.Context) error {
	for {
		dags, err := readRows(ctx, p.pool, func(rows *sql.Rows) (id int64, err error) { return id, rows.Scan(&id) }, sqlTrimSchedules, timestamp(p.before))
		if err != nil || len(dags) == 0 {
			return classify(ctx, err)
		}
		for _, dag := range dags {
			_, err := p.batch(ctx, func(q querier, removed Removed) error {
				if _, err := q.ExecContext(ctx, sqlTrimScheduledRuns, dag); err != nil {
					return err
				}
				removed["schedule"] = 1
				result, err := q.ExecContext(ctx, sqlTrimSchedule, dag, timestamp(p.before))
				return expect(1, result, err) // else the DAG was made again
			})
			if err != nil {
				return err
			}
		}
	}
}

// month is the first month of which something is kept of a table: what belongs to a run is kept as long as that.
func (p *trim) month(ofRuns bool) time.Time {
	before := p.before
	if ofRuns && !p.oldest.IsZero() && p.oldest.Before(before) {
		before = p.oldest
	}
	return time.Date(before.Year(), before.Month(), 1, 0, 0, 0, 0, time.UTC)
}

// findOldest finds the oldest run that is left, by when it was admitted.
func (p *trim) findOldest(ctx context.Context) error {
	err := p.pool.QueryRowContext(ctx, sqlTrimOldest).Scan(nullTime{&p.oldest})
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return classify(ctx, err)
}

// partitions drops the partitions of whole months. That locks out readers and writers of the table, for an instant: the
// lock is waited for so shortly that nobody queues behind a long reader, and a partition that was not to be had is dropped
// by a later pass. (DETACH CONCURRENTLY, from PostgreSQL 14 on, would neither be fenced nor end with its reader.)
func (p *trim) partitions(ctx context.Context) error {
	var locked error
	for _, table := range partitioned {
		names, err := readRows(ctx, p.pool, scanName, sqlPartitions, "kontroler."+table.table)
		if err != nil {
			return classify(ctx, err)
		}
		for _, name := range names {
			month, err := time.Parse("2006_01", strings.TrimPrefix(name, table.table+"_"))
			if err != nil || !month.Before(p.month(table.ofRuns)) {
				continue // the default partition, or one that is kept
			}
			err = p.drop(ctx, name)
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
func (p *trim) drop(ctx context.Context, name string) error {
	_, err := p.batch(ctx, func(q querier, removed Removed) error {
		if _, err := q.ExecContext(ctx, sqlDropWait); err != nil {
			return err
		}
		removed["partition"] = 1
		_, err := q.ExecContext(ctx, `DROP TABLE kontroler.`+name)
		return err
	})
	if err != nil {
		return fmt.Errorf("dropping partition %s: %w", name, err)
	}
	return nil
}

// defaults removes rows of such months from the default partitions.
func (p *trim) defaults(ctx context.Context) error {
	for _, table := range partitioned {
		for n := trimRows; n == trimRows; {
			removed, err := p.batch(ctx, func(q querier, removed Removed) (err error) {
				removed["row"], err = counted(q.ExecContext(ctx, trimDefault(table.table, table.key), timestamp(p.month(table.ofRuns)), trimRows))
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

// trimDefault removes rows of a default partition. Each has an index on the partition key of its own.
func trimDefault(table, key string) string {
	return fmt.Sprintf(`DELETE FROM kontroler.%[1]s_default d
WHERE d.ctid = ANY (ARRAY(SELECT o.ctid FROM kontroler.%[1]s_default o WHERE o.%[2]s < $1 ORDER BY o.%[2]s LIMIT $2))`, table, key)
}
