package view

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"kontroler/store/internal/postgres"
)

// StatisticsReader counts runs.
type StatisticsReader struct{ reader }

// Ended counts runs that have ended, by phase.
type Ended struct{ Succeeded, Failed, Cancelled int }

// SuccessRate is Succeeded / (Succeeded + Failed). ok is false if no run counts for it.
func (e Ended) SuccessRate() (rate float64, ok bool) {
	if e.Succeeded+e.Failed == 0 {
		return 0, false
	}
	return float64(e.Succeeded) / float64(e.Succeeded+e.Failed), true
}

func (e *Ended) add(other Ended) {
	e.Succeeded += other.Succeeded
	e.Failed += other.Failed
	e.Cancelled += other.Cancelled
}

// QuarterHour is the resolution of statistics: the offsets of all time zones in use are multiples of it, and so are
// their changes.
const QuarterHour = 15 * time.Minute

// Quarter counts the runs of a namespace that ended in the quarter-hour from At on. At is in UTC.
type Quarter struct {
	Namespace string
	At        time.Time
	Ended
}

const (
	quarterColumns = `r.namespace, floor(extract(epoch FROM r.finished_at) / 900)::bigint,
       count(*) FILTER (WHERE r.phase = 'Succeeded'), count(*) FILTER (WHERE r.phase = 'Failed'),
       count(*) FILTER (WHERE r.phase = 'Cancelled')`
	sqlQuarters = `
SELECT ` + quarterColumns + `
FROM kontroler_v1.runs r WHERE r.finished_at >= $1 AND r.finished_at < $2 GROUP BY 1, 2`
	// A run ends after its admission.
	sqlQuartersOfDAG = `
SELECT ` + quarterColumns + `
FROM kontroler_v1.runs r
WHERE r.dag_id = $3 AND r.admitted_at < $2 AND r.finished_at >= $1 AND r.finished_at < $2 GROUP BY 1, 2`
	// sqlLaterEnd skips runs in the order in which they ended.
	sqlLaterEnd = `
SELECT r.finished_at FROM kontroler_v1.runs r WHERE r.finished_at >= $1 ORDER BY r.finished_at OFFSET $2 LIMIT 1`
	// sqlEndsOfRuns returns a row with true if one of the runs has been removed.
	sqlEndsOfRuns = `
SELECT DISTINCT r.id IS NULL, coalesce(floor(extract(epoch FROM r.finished_at) / 900)::bigint, 0)
FROM unnest($1::bigint[]) AS c (id) LEFT JOIN kontroler_v1.runs r ON r.id = c.id
WHERE r.id IS NULL OR r.finished_at IS NOT NULL`
)

// Quarters counts the runs of all namespaces that ended from a time on and before another one. It takes about a second
// for a million runs.
func (db StatisticsReader) Quarters(ctx context.Context, from, before time.Time) ([]Quarter, error) {
	return db.quarters(ctx, sqlQuarters, from, before)
}

// QuartersOfDAG counts the runs of one DAG. It reads all rows of the DAG that were admitted before the end.
func (db StatisticsReader) QuartersOfDAG(ctx context.Context, dagID int64, from, before time.Time) ([]Quarter, error) {
	return db.quarters(ctx, sqlQuartersOfDAG, from, before, dagID)
}

func (db StatisticsReader) quarters(ctx context.Context, query string, args ...any) ([]Quarter, error) {
	quarters, err := postgres.ReadRows(ctx, db.pool, func(rows *sql.Rows) (q Quarter, err error) {
		var n int64
		err = rows.Scan(&q.Namespace, &n, &q.Succeeded, &q.Failed, &q.Cancelled)
		q.At = quarterAt(n)
		return q, err
	}, query, args...)
	return quarters, db.classify(ctx, "counting runs", err)
}

// LaterEnd skips n of the runs that ended from a time on, in the order of their ends, and returns the end of the next
// one. found is false if there are no more than n.
func (db StatisticsReader) LaterEnd(ctx context.Context, from time.Time, n int) (end time.Time, found bool, err error) {
	ends, err := postgres.ReadRows(ctx, db.pool, func(rows *sql.Rows) (end time.Time, err error) {
		err = rows.Scan(nullTime(&end))
		return end, err
	}, sqlLaterEnd, from, n)
	if err != nil || len(ends) == 0 {
		return time.Time{}, false, db.classify(ctx, "reading when a run ended", err)
	}
	return ends[0], true, nil
}

// maxRunsOfEnds is how many runs one query of EndsOfRuns reads. For many more, the planner would scan the table.
const maxRunsOfEnds = 500

// EndsOfRuns returns the beginnings of the quarter-hours in which runs ended. hasGone reports that the row of one of
// the runs was removed.
func (db StatisticsReader) EndsOfRuns(ctx context.Context, runs []int64) (at []time.Time, hasGone bool, err error) {
	for some := range slices.Chunk(runs, maxRunsOfEnds) {
		quarters, err := postgres.ReadRows(ctx, db.pool, func(rows *sql.Rows) (n sql.NullInt64, err error) {
			var isGone bool
			err = rows.Scan(&isGone, &n.Int64)
			n.Valid = !isGone
			return n, err
		}, sqlEndsOfRuns, some)
		if err != nil {
			return nil, false, db.classify(ctx, "reading when runs ended", err)
		}
		for _, n := range quarters {
			if hasGone = hasGone || !n.Valid; n.Valid {
				at = append(at, quarterAt(n.Int64))
			}
		}
	}
	return at, hasGone, nil
}

// quarterAt returns the beginning of a quarter-hour, counted from 1970 on.
func quarterAt(n int64) time.Time { return time.Unix(n*int64(QuarterHour/time.Second), 0).UTC() }

// Date is a day of the calendar.
type Date struct {
	Year  int
	Month time.Month
	Day   int
}

// DateOf returns the day of a time in a zone.
func DateOf(t time.Time, zone *time.Location) Date {
	year, month, day := t.In(zone).Date()
	return Date{year, month, day}
}

// next returns the following day.
func (d Date) next() Date {
	return DateOf(time.Date(d.Year, d.Month, d.Day+1, 12, 0, 0, 0, time.UTC), time.UTC)
}

func (d Date) isAfter(other Date) bool {
	if d.Year != other.Year {
		return d.Year > other.Year
	}
	return d.Month > other.Month || d.Month == other.Month && d.Day > other.Day
}

// Day counts the runs that ended on a day.
type Day struct {
	Date Date
	Ended
}

// ByDay adds up quarter-hours by day in a zone, from the first to the last day. Days without runs are in the result. A
// day may have 23 or 25 hours, as in the zone. Quarter-hours outside of these days are ignored.
func ByDay(quarters []Quarter, zone *time.Location, first, last Date) []Day {
	counts := map[Date]*Ended{}
	var days []Day
	for date := first; !date.isAfter(last); date = date.next() {
		days = append(days, Day{Date: date})
	}
	for i := range days {
		counts[days[i].Date] = &days[i].Ended
	}
	for _, q := range quarters {
		if ended := counts[DateOf(q.At, zone)]; ended != nil {
			ended.add(q.Ended)
		}
	}
	return days
}
