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
	return []string{
		sqlEpochLock, sqlChange, sqlCommit, sqlRunByUID, sqlRunAdmit, sqlGather,
		sqlTasksAt, sqlAttemptByPod, sqlNotificationsMake,
		sqlLogOwner, sqlLogMake, sqlLogChunkMake,
		sqlScheduleRead, sqlScheduledRuns, sqlScheduleMove, sqlScheduledRunMake, sqlScheduledRunEnded,
		sqlScheduledRunCreated, sqlTickMake, sqlTickCreated,
	}
}

// termPool is the connection pool of one term. All its transactions are fenced.
type termPool struct {
	db   *sql.DB
	term Term
	// prepared are the preparedStatements.
	prepared postgres.Prepared
	// highestChange is the highest id in kontroler.changes that this leader has committed. A value in hasChanged wakes
	// Notify.
	highestChange atomic.Int64
	hasChanged    chan struct{}
}

// reader runs reads outside of a transaction.
func (p *termPool) reader() querier { return p.prepared.OnPool(p.db) }

// inTx runs fn in a fenced transaction: no statement of fn runs, and nothing is committed, once the epoch has passed.
func (p *termPool) inTx(ctx context.Context, fn func(querier) error) error {
	return postgres.InTx(ctx, p.db, func(tx *sql.Tx) error {
		q := p.prepared.InTx(tx)
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

// writeAtOnce runs fn, which runs one statement, and then notifies the readers of changes. The statement is a transaction
// of its own, and fences and checks itself. It may return no row: sql.ErrNoRows.
func (p *termPool) writeAtOnce(ctx context.Context, fn func(querier) (change int64, err error)) error {
	p.term.at("transaction-commit")
	change, err := fn(p.reader())
	if errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if err != nil {
		return postgres.ClassifyAtOnce(ctx, err)
	}
	p.committed(change)
	return nil
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
	err = q.QueryRowContext(ctx, sqlChange, runID, "run").Scan(&change)
	return change, err
}

// recordDAGChange records for readers that a DAG, a DagTask or a schedule has changed.
func recordDAGChange(ctx context.Context, q querier) (change int64, err error) {
	err = q.QueryRowContext(ctx, sqlChange, nil, "dag").Scan(&change)
	return change, err
}

// querier runs statements, in a transaction or on a pool.
type querier = postgres.Querier
