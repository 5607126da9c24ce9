package store

import (
	"context"
	"fmt"
	"time"
)

// partitionedTable is a table that is split by time, with its columns: what a new partition takes over from the default
// one. What is ofRuns is kept as long as its run is.
type partitionedTable struct {
	table, key string
	ofRuns     bool
	columns    string
}

// partitioned are the tables that are split by month.
var partitioned = []partitionedTable{
	{"pod_events", "at", true, "attempt_id, at, key, container, type, reason, message, source, count, first_at, last_at"},
	{"ticks", "due_from", false, "dag_id, due_from, due_to, count, outcome, run_id, decided_at, run_name, run_uid"},
	{"deliveries", "at", true, "notification_id, try, at, status, error, response, duration_ms"},
	{"logs", "at", true, "attempt_id, at, state, message, bytes, omitted_at, omitted, begins_at, ends_at, rotated, incomplete, chunks, captured_at"},
	{"log_chunks", "at", true, "attempt_id, at, seq, size, data"},
}

const (
	sqlPartitionExists = `SELECT to_regclass($1) IS NOT NULL`
	sqlPartitionWait   = `SET LOCAL lock_timeout = '2s'`
)

// Maintain makes the partitions of this month and the next one where they are missing; of changes, those of today and
// tomorrow. Rows of those times that have gone to the default partition meanwhile move along. It waits no more than two seconds for a lock: ErrConflict then,
// and nothing is lost, as the default partition takes every row.
func (l *Leader) Maintain(ctx context.Context, now time.Time) error {
	now = now.UTC()
	month := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
	for _, p := range partitioned {
		for _, from := range []time.Time{month, month.AddDate(0, 1, 0)} {
			if err := l.makePartition(ctx, p, p.table+from.Format("_2006_01"), from, from.AddDate(0, 1, 0)); err != nil {
				return fmt.Errorf("making the partition of %s for %s: %w", p.table, from.Format("2006-01"), classify(ctx, err))
			}
		}
	}
	return l.maintainChanges(ctx, now)
}

// makePartition fills a table apart and then attaches it: attaching locks out no reader or writer of the parent, only
// of the default partition, which is scanned for rows that belong to the new one.
func (l *Leader) makePartition(ctx context.Context, p partitionedTable, name string, from, to time.Time) error {
	parent, key, columns := "kontroler."+p.table, p.key, p.columns
	lower, upper := from.Format(time.DateOnly)+" 00:00:00Z", to.Format(time.DateOnly)+" 00:00:00Z"
	name = "kontroler." + name
	var exists bool
	if err := l.pool.QueryRowContext(ctx, sqlPartitionExists, name).Scan(&exists); err != nil || exists {
		return err
	}
	return l.inTx(ctx, func(q querier) error {
		for _, statement := range []string{
			sqlPartitionWait,
			fmt.Sprintf(`CREATE TABLE %s (LIKE %s INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE, CHECK (%s >= '%s' AND %s < '%s'))`, name, parent, key, lower, key, upper),
			fmt.Sprintf(`LOCK TABLE %s_default IN ACCESS EXCLUSIVE MODE`, parent),
			fmt.Sprintf(`WITH moved AS (DELETE FROM %s_default WHERE %s >= '%s' AND %s < '%s' RETURNING %s) INSERT INTO %s (%s) SELECT %s FROM moved`,
				parent, key, lower, key, upper, columns, name, columns, columns),
			fmt.Sprintf(`ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM ('%s') TO ('%s')`, parent, name, lower, upper),
		} {
			if _, err := q.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
}
