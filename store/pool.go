package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"

	"kontroler/store/internal/postgres"
)

// planSettings are the planner's settings in a leader's sessions. Planning a sync's statements costs several times what
// running them does, so each statement is planned once, without regard to its arguments. A plan made while the tables
// are empty must serve when they are full: it uses indexes, row by row, which is what every statement here is written
// for.
var planSettings = map[string]string{
	"plan_cache_mode":  "force_generic_plan",
	"enable_seqscan":   "off",
	"enable_hashjoin":  "off",
	"enable_mergejoin": "off",
}

// preparedStatements are the statements of every sync and every tick.
func preparedStatements() []string {
	statements := []string{
		sqlEpochLock, sqlChange, sqlRunChange, sqlRunByUID, sqlRunAdmit, sqlTasksAdmit, sqlGatherAttempts, sqlGatherTasks,
		sqlGatherNext, sqlTasksAt, sqlAttemptByPod, sqlNotificationsMake,
		sqlLogOwner, sqlLogMake, sqlLogChunkMake,
		sqlScheduleRead, sqlScheduledRuns, sqlScheduleMove, sqlScheduledRunMake, sqlScheduledRunEnded,
		sqlScheduledRunCreated, sqlTickMake, sqlTickCreated,
	}
	for _, m := range moves {
		if !m.isSet {
			statements = append(statements, m.sql)
		}
	}
	return statements
}

// termPool is the connection pool of one term. All its transactions are fenced.
type termPool struct {
	db   *sql.DB
	term Term
	// prepared are the preparedStatements, by their text.
	prepared map[string]*sql.Stmt
	// highestChange is the highest id in kontroler.changes that this leader has committed. A value in hasChanged wakes
	// Notify.
	highestChange atomic.Int64
	hasChanged    chan struct{}
}

// prepare prepares the statements in one session. Other sessions prepare them at their first use.
func (p *termPool) prepare(ctx context.Context) error {
	p.prepared = map[string]*sql.Stmt{}
	for _, statement := range preparedStatements() {
		stmt, err := p.db.PrepareContext(ctx, statement)
		if err != nil {
			return postgres.Classify(ctx, err)
		}
		p.prepared[statement] = stmt
	}
	return nil
}

// reader runs reads outside of a transaction.
func (p *termPool) reader() querier { return session{prepared: p.prepared, querier: p.db} }

// inTx runs fn in a fenced transaction: no statement of fn runs, and nothing is committed, once the epoch has passed.
func (p *termPool) inTx(ctx context.Context, fn func(querier) error) error {
	return postgres.InTx(ctx, p.db, func(tx *sql.Tx) error {
		q := session{prepared: p.prepared, querier: tx, tx: tx}
		if err := p.fence(ctx, q); err != nil {
			return err
		}
		p.term.at("transaction-open")
		if err := fn(q); err != nil {
			return err
		}
		p.term.at("transaction-commit")
		return nil
	})
}

// write runs fn in a fenced transaction and then notifies the readers of changes. fn returns the id of the row that it
// added to kontroler.changes, or zero if it added none.
func (p *termPool) write(ctx context.Context, fn func(querier) (change int64, err error)) error {
	var change int64
	err := p.inTx(ctx, func(q querier) (err error) {
		change, err = fn(q)
		return err
	})
	if err == nil && change != 0 {
		p.committed(change)
	}
	return err
}

// fence locks the epoch, so that a successor's TakeEpoch waits for this transaction.
func (p *termPool) fence(ctx context.Context, q querier) error {
	var epoch int64
	err := q.QueryRowContext(ctx, sqlEpochLock, p.term.Shard).Scan(&epoch)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("%w: shard %d has no epoch", ErrFenced, p.term.Shard)
	case err != nil:
		return fmt.Errorf("locking the epoch: %w", err)
	case epoch != p.term.Epoch:
		return fmt.Errorf("%w: it is %d, this leader's is %d", ErrFenced, epoch, p.term.Epoch)
	}
	return nil
}

const sqlChange = `INSERT INTO kontroler.changes (run_id, kind) VALUES ($1, $2) RETURNING id`

// recordRunChange records for readers that a run has changed.
func recordRunChange(ctx context.Context, q querier, runID int64) (change int64, err error) {
	return change, q.QueryRowContext(ctx, sqlChange, runID, "run").Scan(&change)
}

// recordDAGChange records for readers that a DAG, a DagTask or a schedule has changed.
func recordDAGChange(ctx context.Context, q querier) (change int64, err error) {
	return change, q.QueryRowContext(ctx, sqlChange, nil, "dag").Scan(&change)
}

// querier runs statements, in a transaction or on a pool.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// session is a querier that uses the prepared form of a statement, if it has one.
type session struct {
	querier
	prepared map[string]*sql.Stmt
	tx       *sql.Tx // nil if the querier is a pool
}

// stmt returns the prepared form of a query, nil if it has none.
func (s session) stmt(ctx context.Context, query string) *sql.Stmt {
	stmt := s.prepared[query]
	if stmt == nil || s.tx == nil {
		return stmt
	}
	return s.tx.StmtContext(ctx, stmt)
}

func (s session) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if stmt := s.stmt(ctx, query); stmt != nil {
		return stmt.ExecContext(ctx, args...)
	}
	return s.querier.ExecContext(ctx, query, args...)
}

func (s session) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if stmt := s.stmt(ctx, query); stmt != nil {
		return stmt.QueryContext(ctx, args...)
	}
	return s.querier.QueryContext(ctx, query, args...)
}

func (s session) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if stmt := s.stmt(ctx, query); stmt != nil {
		return stmt.QueryRowContext(ctx, args...)
	}
	return s.querier.QueryRowContext(ctx, query, args...)
}

// readRows runs a query and scans all of its rows.
func readRows[T any](
	ctx context.Context, q querier, scan func(*sql.Rows) (T, error), query string, args ...any,
) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, postgres.Classify(ctx, err)
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, postgres.Classify(ctx, err)
		}
		all = append(all, one)
	}
	return all, postgres.Classify(ctx, rows.Err())
}

func scanID(rows *sql.Rows) (id int64, err error) { return id, rows.Scan(&id) }

func scanName(rows *sql.Rows) (name string, err error) { return name, rows.Scan(&name) }

// expect returns ErrConflict if a guarded statement did not affect want rows.
func expect(want int, result sql.Result, err error) error {
	got, err := affected(result, err)
	if err == nil && got != want {
		return fmt.Errorf("%w: %d of %d rows matched", ErrConflict, got, want)
	}
	return err
}

// affected returns the number of rows that a statement affected.
func affected(result sql.Result, err error) (int, error) {
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}
