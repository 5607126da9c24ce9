package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"kontroler/store/internal/postgres"
)

// planSettings are the planner's settings in a leader's sessions. Planning a sync's statements costs several times what
// running them does, so each statement is planned once, without regard to its arguments. A plan made while the tables
// are empty must serve when they are full: it uses indexes, row by row, and every statement here is written for that.
var planSettings = map[string]string{
	"plan_cache_mode":  "force_generic_plan",
	"enable_seqscan":   "off",
	"enable_hashjoin":  "off",
	"enable_mergejoin": "off",
}

// preparedStatements are the statements of every sync and every tick.
func preparedStatements() []string {
	return []string{
		sqlEpochLock, sqlRunsChanged, sqlDAGsChanged, sqlCommit, sqlRunByUID, sqlRunAdmit, sqlRunProgress, sqlGather,
		sqlTasksAt, sqlAttemptByPod, sqlNotificationsMake,
		sqlLogOwner, sqlLogMake, sqlLogChunkMake,
		sqlScheduleRead, sqlScheduledRuns, sqlScheduleMove, sqlScheduledRunEnded,
		sqlScheduledRunCreated, sqlTickMake,
	}
}

// termPool is the connection pool of one term. All its transactions are fenced.
type termPool struct {
	db   *sql.DB
	term Term
	// prepared are the preparedStatements.
	prepared postgres.Prepared
	// hasWritten wakes Notify.
	hasWritten chan struct{}
}

// reader runs reads outside of a transaction.
func (p *termPool) reader() querier { return p.prepared.OnPool(p.db) }

// inTx runs fn in a fenced transaction. Once the epoch has passed, fn is not called and the error is ErrFenced.
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

// write runs fn in a fenced transaction and then notifies the readers of changes.
func (p *termPool) write(ctx context.Context, fn func(querier) error) error {
	err := p.inTx(ctx, fn)
	if err == nil {
		p.wakeNotify()
	}
	return err
}

// writeAutocommit runs fn, which runs one statement outside of an explicit transaction, and then notifies the readers
// of changes. The statement fences and checks itself. If it returns no row, the error is sql.ErrNoRows.
func (p *termPool) writeAutocommit(ctx context.Context, fn func(querier) error) error {
	p.term.at("transaction-commit")
	err := fn(p.reader())
	if errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if err != nil {
		return postgres.ClassifyAtOnce(ctx, err)
	}
	p.wakeNotify()
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

const (
	sqlRunsChanged = `
INSERT INTO kontroler.changes (kind, run_id, namespace, dag_id)
SELECT 'run', r.id, r.namespace, r.dag_id FROM kontroler.runs r WHERE r.id = ANY ($1::bigint[])`
	sqlObjectChanged = `
INSERT INTO kontroler.changes (kind, namespace, dag_id) VALUES ('dag', $1, $2)`
	sqlDAGsChanged = `
INSERT INTO kontroler.changes (kind, namespace, dag_id)
SELECT 'dag', d.namespace, d.id FROM kontroler.dags d WHERE d.id = ANY ($1::bigint[])`
)

// recordRunChanges records for readers that runs have changed. It skips runs that no longer exist, because their
// removal has been recorded.
func recordRunChanges(ctx context.Context, q querier, runIDs ...int64) error {
	_, err := q.ExecContext(ctx, sqlRunsChanged, runIDs)
	return err
}

// recordObjectChange records for readers that a DAG has changed, or a DagTask if dagID is zero.
func recordObjectChange(ctx context.Context, q querier, namespace string, dagID int64) error {
	_, err := q.ExecContext(ctx, sqlObjectChanged, namespace, nullID(dagID))
	return err
}

// recordDAGChanges records for readers that DAGs, their versions or their schedules have changed.
func recordDAGChanges(ctx context.Context, q querier, dagIDs ...int64) error {
	if len(dagIDs) == 0 {
		return nil
	}
	_, err := q.ExecContext(ctx, sqlDAGsChanged, dagIDs)
	return err
}

// querier runs statements, in a transaction or on a pool.
type querier = postgres.Querier
