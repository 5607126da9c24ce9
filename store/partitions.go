package store

import (
	"context"
	"fmt"
	"time"

	"kontroler/store/internal/postgres"
)

// partitionedTable is a table that is partitioned by time.
type partitionedTable struct {
	// key is the column with the time.
	table, key string
	// isOfRuns means that a row is kept as long as its run.
	isOfRuns bool
	// columns are all columns. A new partition copies them from the default partition.
	columns string
}

// partitioned are the tables with a partition for each month.
var partitioned = []partitionedTable{
	{
		table: "pod_events", key: "at", isOfRuns: true,
		columns: "attempt_id, at, key, container, type, reason, message, source, count, first_at, last_at",
	},
	{
		table: "ticks", key: "due_from",
		columns: "dag_id, due_from, due_to, count, outcome, run_id, decided_at, run_name, run_uid",
	},
	{
		table: "deliveries", key: "at", isOfRuns: true,
		columns: "notification_id, try, at, status, error, response, duration_ms",
	},
	{
		table: "logs", key: "at", isOfRuns: true,
		columns: "attempt_id, at, state, message, bytes, omitted_at, omitted, begins_at, ends_at, rotated, " +
			"incomplete, chunks, captured_at",
	},
	{table: "log_chunks", key: "at", isOfRuns: true, columns: "attempt_id, at, seq, size, data"},
}

const (
	sqlPartitionExists = `SELECT to_regclass($1) IS NOT NULL`
	sqlPartitionWait   = `SET LOCAL lock_timeout = '2s'`
	sqlPartitions      = `
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = to_regclass($1) ORDER BY c.relname`
)

// Maintain creates the missing partitions for this month and the next one, and those of kontroler.changes for today and
// tomorrow. Rows in the default partition move to them. Maintain waits at most two seconds for a lock and then returns
// ErrConflict. No row is lost then, because the default partition takes every row.
func (h *History) Maintain(ctx context.Context, now time.Time) error {
	for _, p := range partitioned {
		for _, from := range []time.Time{monthOf(now), monthOf(now).AddDate(0, 1, 0)} {
			name := p.table + from.Format("_2006_01")
			if err := h.createPartition(ctx, p, name, from, from.AddDate(0, 1, 0)); err != nil {
				err = postgres.Classify(ctx, err)
				return fmt.Errorf("creating the partition of %s for %s: %w", p.table, from.Format("2006-01"), err)
			}
		}
	}
	return h.maintainChanges(ctx, now)
}

// createPartition fills a table and then attaches it as a partition. Attaching locks only the default partition, which
// is scanned for rows of the new one. Readers and writers of the parent are not blocked.
func (h *History) createPartition(ctx context.Context, p partitionedTable, name string, from, to time.Time) error {
	name = "kontroler." + name
	var exists bool
	err := h.pool.db.QueryRowContext(ctx, sqlPartitionExists, name).Scan(&exists)
	if err != nil || exists {
		return err
	}
	parent, columns := "kontroler."+p.table, p.columns
	lower, upper := from.Format(time.DateOnly)+" 00:00:00Z", to.Format(time.DateOnly)+" 00:00:00Z"
	isWithin := fmt.Sprintf(`%[1]s >= '%[2]s' AND %[1]s < '%[3]s'`, p.key, lower, upper)
	return h.pool.inTx(ctx, func(q querier) error {
		return postgres.ExecAll(ctx, q,
			sqlPartitionWait,
			fmt.Sprintf(
				`CREATE TABLE %s (LIKE %s INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE, CHECK (%s))`,
				name, parent, isWithin),
			fmt.Sprintf(`LOCK TABLE %s_default IN ACCESS EXCLUSIVE MODE`, parent),
			fmt.Sprintf(`
WITH moved AS (DELETE FROM %[1]s_default WHERE %[2]s RETURNING %[3]s)
INSERT INTO %[4]s (%[3]s) SELECT %[3]s FROM moved`, parent, isWithin, columns, name),
			fmt.Sprintf(`ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM ('%s') TO ('%s')`,
				parent, name, lower, upper),
		)
	})
}

// partitionsOf returns the names of a table's partitions, sorted.
func (p *termPool) partitionsOf(ctx context.Context, table string) ([]string, error) {
	names, err := postgres.ReadRows(ctx, p.db, postgres.ScanOne[string], sqlPartitions, "kontroler."+table)
	return names, postgres.Failed(ctx, err, "listing the partitions of %s", table)
}

// dayOf returns the beginning of a time's day, in UTC.
func dayOf(t time.Time) time.Time {
	t = t.UTC()
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
}

// monthOf returns the beginning of a time's month, in UTC.
func monthOf(t time.Time) time.Time { return dayOf(t).AddDate(0, 0, 1-t.UTC().Day()) }
