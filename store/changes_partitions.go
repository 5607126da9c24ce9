package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"kontroler/store/internal/postgres"
)

// changesRetention is how long changes are kept, and so how long a reader of them may be away.
const changesRetention = 48 * time.Hour

// changesTable has a partition for each day. Binaries before version 9 of the schema partition it by month, unless a
// relation with the name of the partition exists. Empty placeholder tables with these names prevent that.
var changesTable = partitionedTable{
	table: "changes", key: "at", columns: "id, xid, run_id, kind, at, namespace, dag_id",
}

const (
	dayLayout   = "changes_2006_01_02"
	monthLayout = "changes_2006_01"

	placeholderCreate = `CREATE TABLE kontroler.%s (LIKE kontroler.changes)`
	// Tables that have the name of a monthly partition and are not partitions.
	sqlPlaceholders = `
SELECT c.relname FROM pg_class c
WHERE c.relnamespace = to_regnamespace('kontroler') AND c.relkind = 'r' AND NOT c.relispartition
  AND c.relname ~ '^changes_\d{4}_\d{2}$'`
	monthDetach = `ALTER TABLE kontroler.changes DETACH PARTITION kontroler.%s`
	monthEmpty  = `
WITH moved AS (DELETE FROM kontroler.%[1]s RETURNING %[2]s)
INSERT INTO kontroler.changes_default (%[2]s) SELECT %[2]s FROM moved`
	// Rows with lower ids are older, except for transactions that overlapped.
	trimChanges = `
WITH gone AS (
    DELETE FROM kontroler.%[1]s d
    WHERE d.ctid = ANY (ARRAY(SELECT o.ctid FROM kontroler.%[1]s o WHERE o.id > $1 ORDER BY o.id LIMIT $2))
        AND d.at < $3
    RETURNING d.id)
SELECT count(*), coalesce(max(id), 0) FROM gone`
)

const (
	sqlChangesForeign = `
SELECT coalesce((SELECT c.xid FROM kontroler.changes c ORDER BY c.xid DESC, c.id DESC LIMIT 1)
                >= pg_snapshot_xmax(pg_current_snapshot()), false)`
	sqlChangesEmpty = `TRUNCATE kontroler.changes`
)

// emptyForeignChanges empties the table if it has rows with transaction ids that this server has not assigned yet. Such
// rows come from the dump of another server. Readers would take every later change for an older one.
func emptyForeignChanges(ctx context.Context, q querier) error {
	var isForeign bool
	if err := q.QueryRowContext(ctx, sqlChangesForeign).Scan(&isForeign); err != nil || !isForeign {
		return err
	}
	if err := postgres.ExecAll(ctx, q, sqlPartitionWait, sqlChangesEmpty); err != nil {
		return fmt.Errorf("emptying kontroler.changes, which another server wrote before a restore: %w", err)
	}
	return nil
}

// maintainChanges creates the partitions of today and tomorrow. A month that already has a partition, created by an
// older binary, gets no daily partitions until it is over. The partition of the next month is removed.
func (h *History) maintainChanges(ctx context.Context, now time.Time) error {
	partitions, err := h.pool.partitionsOf(ctx, changesTable.table)
	if err != nil {
		return err
	}
	if partitions, err = h.maintainPlaceholders(ctx, now, partitions); err != nil {
		return fmt.Errorf("maintaining the placeholders of monthly partitions of changes: %w", err)
	}
	for _, from := range []time.Time{dayOf(now), dayOf(now).AddDate(0, 0, 1)} {
		if slices.Contains(partitions, from.Format(monthLayout)) {
			continue
		}
		err := h.createPartition(ctx, changesTable, from.Format(dayLayout), from, from.AddDate(0, 0, 1))
		if err != nil {
			err = postgres.Classify(ctx, err)
			return fmt.Errorf("creating the partition of changes for %s: %w", from.Format(time.DateOnly), err)
		}
	}
	return nil
}

// maintainPlaceholders creates the placeholders of this month and the next one, and drops those of months that are
// over. A partition of the next month, which has hardly any rows yet, becomes a placeholder. maintainPlaceholders
// returns the remaining partitions.
func (h *History) maintainPlaceholders(ctx context.Context, now time.Time, partitions []string) ([]string, error) {
	this, next := monthOf(now).Format(monthLayout), monthOf(now).AddDate(0, 1, 0).Format(monthLayout)
	placeholders, err := postgres.ReadRows(ctx, h.pool.db, postgres.ScanOne[string], sqlPlaceholders)
	if err != nil {
		return nil, err
	}
	var statements []string
	if i := slices.Index(partitions, next); i >= 0 {
		statements = append(statements,
			fmt.Sprintf(monthDetach, next), fmt.Sprintf(monthEmpty, next, changesTable.columns))
		placeholders = append(placeholders, next)
		partitions = slices.Delete(partitions, i, i+1)
	}
	for _, name := range placeholders {
		if name < this {
			statements = append(statements, `DROP TABLE kontroler.`+name)
		}
	}
	for _, name := range []string{this, next} {
		if !slices.Contains(partitions, name) && !slices.Contains(placeholders, name) {
			statements = append(statements, fmt.Sprintf(placeholderCreate, name))
		}
	}
	if len(statements) == 0 {
		return partitions, nil
	}
	return partitions, h.pool.inTx(ctx, func(q querier) error {
		return postgres.ExecAll(ctx, q, append([]string{sqlDropWait}, statements...)...)
	})
}

// TrimChanges removes the changes that are older than two days, whatever r.Keep says: partitions of past days and
// months, and rows of the default partition and of a monthly one. If a partition is locked, TrimChanges leaves it to
// the next pass and returns ErrConflict.
func (h *History) TrimChanges(ctx context.Context, r Retention) error {
	r.Keep = changesRetention
	before, err := h.cutoff(ctx, r)
	if err != nil {
		return fmt.Errorf("trimming changes: %w", err)
	}
	partitions, err := h.pool.partitionsOf(ctx, changesTable.table)
	if err != nil {
		return fmt.Errorf("trimming changes: %w", err)
	}
	t := &trim{pool: h.pool, Retention: r, before: before}
	var locked error
	for _, name := range partitions {
		err := t.changesPartition(ctx, name)
		switch {
		case errors.Is(err, ErrConflict):
			locked = errors.Join(locked, err)
		case err != nil:
			return fmt.Errorf("trimming changes before %s: %w", before.Format(time.RFC3339), err)
		}
	}
	return locked
}

// changesPartition drops a partition whose time is over. In a partition of more than a day, it removes the old rows.
func (t *trim) changesPartition(ctx context.Context, name string) error {
	from, err := time.Parse(dayLayout, name)
	end, isDay := from.AddDate(0, 0, 1), err == nil
	if !isDay {
		from, err = time.Parse(monthLayout, name)
		end = from.AddDate(0, 1, 0)
	}
	isDefault := err != nil
	switch {
	case !isDefault && !end.After(t.before):
		return t.drop(ctx, name)
	case isDay:
		return nil
	}
	for n, last := trimRows, int64(0); n == trimRows; {
		_, err := t.batch(ctx, func(q querier, removed Removed) error {
			row := q.QueryRowContext(ctx, fmt.Sprintf(trimChanges, name), last, trimRows, timestamp(t.before))
			err := row.Scan(&n, &last)
			removed["row"] = n
			return err
		})
		if err != nil {
			return fmt.Errorf("removing rows of %s: %w", name, err)
		}
	}
	return nil
}
