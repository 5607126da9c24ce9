package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// changesKept is how long a reader of changes may be away.
const changesKept = 48 * time.Hour

// changesTable is split by day. Binaries before version 9 of the schema split it by month, and make the partition of a
// month where no relation has its name: an empty table stands in its place.
var changesTable = partitionedTable{"changes", "at", false, "id, xid, run_id, kind, at"}

const (
	dayLayout   = "changes_2006_01_02"
	monthLayout = "changes_2006_01"

	placeMake = `CREATE TABLE kontroler.%s (LIKE kontroler.changes)`
	// Tables of months that are no partitions.
	sqlPlaces = `
SELECT c.relname FROM pg_class c
WHERE c.relnamespace = to_regnamespace('kontroler') AND c.relkind = 'r' AND NOT c.relispartition AND c.relname ~ '^changes_\d{4}_\d{2}$'`
	monthDetach = `ALTER TABLE kontroler.changes DETACH PARTITION kontroler.%s`
	monthEmpty  = `
WITH moved AS (DELETE FROM kontroler.%[1]s RETURNING %[2]s)
INSERT INTO kontroler.changes_default (%[2]s) SELECT %[2]s FROM moved`
	// Rows are as old as their ids are low, but for transactions that overlapped.
	trimChanges = `
WITH gone AS (
    DELETE FROM kontroler.%[1]s d
    WHERE d.ctid = ANY (ARRAY(SELECT o.ctid FROM kontroler.%[1]s o WHERE o.id > $1 ORDER BY o.id LIMIT $2)) AND d.at < $3
    RETURNING d.id)
SELECT count(*), coalesce(max(id), 0) FROM gone`
)

func day(t time.Time) time.Time {
	t = t.UTC()
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
}

func month(t time.Time) time.Time { return day(t).AddDate(0, 0, 1-t.UTC().Day()) }

// maintainChanges makes the partitions of today and tomorrow. Within a month that has a partition of its own, made by an
// older binary, there are none until it is over; that of a month that has not begun gives way.
func (l *Leader) maintainChanges(ctx context.Context, now time.Time) error {
	partitions, err := l.partitionsOf(ctx, changesTable.table)
	if err != nil {
		return err
	}
	if err := l.keepPlaces(ctx, now, partitions); err != nil {
		return fmt.Errorf("keeping the places of monthly partitions of changes: %w", classify(ctx, err))
	}
	for _, from := range []time.Time{day(now), day(now).AddDate(0, 0, 1)} {
		if partitions[from.Format(monthLayout)] {
			continue
		}
		if err := l.makePartition(ctx, changesTable, from.Format(dayLayout), from, from.AddDate(0, 0, 1)); err != nil {
			return fmt.Errorf("making the partition of changes for %s: %w", from.Format(time.DateOnly), classify(ctx, err))
		}
	}
	return nil
}

// keepPlaces puts an empty table where an older binary would make the partition of this month or the next one, and drops
// those of months that are over. A partition of the next month becomes such a table: it is empty, or as good as that.
func (l *Leader) keepPlaces(ctx context.Context, now time.Time, partitions map[string]bool) error {
	this, next := month(now).Format(monthLayout), month(now).AddDate(0, 1, 0).Format(monthLayout)
	places, err := readRows(ctx, l.pool, scanName, sqlPlaces)
	if err != nil {
		return err
	}
	var statements []string
	if partitions[next] {
		statements = append(statements, fmt.Sprintf(monthDetach, next), fmt.Sprintf(monthEmpty, next, changesTable.columns))
		places = append(places, next)
		delete(partitions, next)
	}
	for _, name := range places {
		if name < this {
			statements = append(statements, `DROP TABLE kontroler.`+name)
		}
	}
	for _, name := range []string{this, next} {
		if !partitions[name] && !slices.Contains(places, name) {
			statements = append(statements, fmt.Sprintf(placeMake, name))
		}
	}
	if len(statements) == 0 {
		return nil
	}
	return l.inTx(ctx, func(q querier) error {
		for _, statement := range append([]string{sqlDropWait}, statements...) {
			if _, err := q.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
}

// partitionsOf returns the names of a table's partitions.
func (l *Leader) partitionsOf(ctx context.Context, table string) (map[string]bool, error) {
	names, err := readRows(ctx, l.pool, scanName, sqlPartitions, "kontroler."+table)
	if err != nil {
		return nil, fmt.Errorf("listing the partitions of %s: %w", table, classify(ctx, err))
	}
	partitions := map[string]bool{}
	for _, name := range names {
		partitions[name] = true
	}
	return partitions, nil
}

func scanName(rows *sql.Rows) (name string, err error) { return name, rows.Scan(&name) }

// TrimChanges removes the changes that are older than two days, whatever history is kept: partitions that are over, and
// rows of the default partition and of one of a whole month. r.Keep and r.Spare do not count. What is locked is left for
// the next pass, with ErrConflict.
func (l *Leader) TrimChanges(ctx context.Context, r Retention) error {
	r.Keep = changesKept
	before, err := l.trimBefore(ctx, r)
	if err != nil {
		return fmt.Errorf("trimming changes: %w", err)
	}
	partitions, err := l.partitionsOf(ctx, changesTable.table)
	if err != nil {
		return fmt.Errorf("trimming changes: %w", err)
	}
	p := &trim{Leader: l, Retention: r, before: before}
	var locked error
	for _, name := range slices.Sorted(maps.Keys(partitions)) {
		from, err := time.Parse(dayLayout, name)
		end := from.AddDate(0, 0, 1)
		isDay := err == nil
		if !isDay {
			if from, err = time.Parse(monthLayout, name); err == nil {
				end = from.AddDate(0, 1, 0)
			}
		}
		switch {
		case err == nil && !end.After(before):
			err = p.drop(ctx, name)
		case isDay:
			err = nil
		default:
			err = p.changesOf(ctx, name)
		}
		switch {
		case errors.Is(err, ErrConflict):
			locked = errors.Join(locked, err)
		case err != nil:
			return fmt.Errorf("trimming changes before %s: %w", before.Format(time.RFC3339), err)
		}
	}
	return locked
}

// changesOf removes the rows of a partition that are old enough.
func (p *trim) changesOf(ctx context.Context, name string) error {
	for n, last := trimRows, int64(0); n == trimRows; {
		_, err := p.batch(ctx, func(q querier, removed Removed) error {
			err := q.QueryRowContext(ctx, fmt.Sprintf(trimChanges, name), last, trimRows, timestamp(p.before)).Scan(&n, &last)
			removed["row"] = n
			return err
		})
		if err != nil {
			return fmt.Errorf("removing rows of %s: %w", name, err)
		}
	}
	return nil
}
