package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
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
		sqlEpochLock, sqlRunChanged, sqlDAGsChanged, sqlCommit, sqlRunByUID, sqlRunAdmit, sqlRunProgress, sqlGather,
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

// writeAtOnce runs fn, which runs one statement, and then notifies the readers of changes. The statement is a
// transaction of its own, and fences and checks itself. It may return no row: sql.ErrNoRows.
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

const (
	sqlRunChanged = `
INSERT INTO kontroler.changes (kind, run_id, namespace, dag_id)
SELECT 'run', r.id, r.namespace, r.dag_id FROM kontroler.runs r WHERE r.id = $1
RETURNING id`
	sqlObjectChanged = `
INSERT INTO kontroler.changes (kind, namespace, dag_id) VALUES ('dag', $1, $2) RETURNING id`
	sqlDAGsChanged = `
INSERT INTO kontroler.changes (kind, namespace, dag_id)
SELECT 'dag', d.namespace, d.id FROM kontroler.dags d WHERE d.id = ANY ($1::bigint[])
RETURNING id`
)

// recordRunChange records for readers that a run has changed. It returns zero for a run that is gone: its removal has
// been recorded.
func recordRunChange(ctx context.Context, q querier, runID int64) (change int64, err error) {
	return optionalID(q.QueryRowContext(ctx, sqlRunChanged, runID))
}

// recordObjectChange records for readers that a DAG has changed, or a DagTask if dagID is zero.
func recordObjectChange(ctx context.Context, q querier, namespace string, dagID int64) (change int64, err error) {
	err = q.QueryRowContext(ctx, sqlObjectChanged, namespace, nullID(dagID)).Scan(&change)
	return change, err
}

// recordDAGChanges records for readers that DAGs, their versions or their schedules have changed.
func recordDAGChanges(ctx context.Context, q querier, dagIDs ...int64) (change int64, err error) {
	if len(dagIDs) == 0 {
		return 0, nil
	}
	changes, err := postgres.ReadRows(ctx, q, postgres.ScanOne[int64], sqlDAGsChanged, dagIDs)
	if err != nil || len(changes) == 0 {
		return 0, err
	}
	return slices.Max(changes), nil
}

// optionalID returns the id in a row, or zero if there is no row.
func optionalID(row *sql.Row) (id int64, err error) {
	if err := row.Scan(&id); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, err
	}
	return id, nil
}

// querier runs statements, in a transaction or on a pool.
type querier = postgres.Querier
