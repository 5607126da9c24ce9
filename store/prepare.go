package store

import (
	"context"
	"database/sql"
)

// planSettings are those of a leader's sessions. Planning a sync's statements costs several times what running them
// does, so each is planned once, without looking at its arguments. A plan made while the tables are empty must serve when
// they are not: it goes by index, row by row, which is what every statement here is written for.
var planSettings = map[string]string{
	"plan_cache_mode":  "force_generic_plan",
	"enable_seqscan":   "off",
	"enable_hashjoin":  "off",
	"enable_mergejoin": "off",
}

// preparedStatements are those of every sync and every tick.
func preparedStatements() []string {
	statements := []string{
		sqlEpochLock, sqlChange, sqlRunChange, sqlRunByUID, sqlRunAdmit, sqlTasksAdmit, sqlGatherAttempts, sqlGatherTasks,
		sqlGatherNext, sqlTasksAt, sqlAttemptByPod, sqlAttemptsByPods, sqlNotificationsMake,
		sqlLogOwner, sqlLogMake, sqlLogChunkMake,
		sqlScheduleRead, sqlScheduledRuns, sqlScheduleMove, sqlScheduledRunMake, sqlScheduledRunSettled, sqlScheduledRunCreated,
		sqlTickMake, sqlTickCreated,
	}
	for _, m := range moves {
		if !m.isSet {
			statements = append(statements, m.sql)
		}
	}
	return statements
}

// prepare prepares them in one session; others do when they first use them.
func (l *Leader) prepare(ctx context.Context) error {
	l.prepared = map[string]*sql.Stmt{}
	for _, statement := range preparedStatements() {
		stmt, err := l.pool.PrepareContext(ctx, statement)
		if err != nil {
			return classify(ctx, err)
		}
		l.prepared[statement] = stmt
	}
	return nil
}

// reader is the leader's pool for reads.
func (l *Leader) reader() querier { return session{prepared: l.prepared, querier: l.pool} }

// session uses the prepared form of a statement where there is one.
type session struct {
	prepared map[string]*sql.Stmt
	querier
	tx *sql.Tx // nil: the querier is a pool
}

// stmt returns the prepared form of a query, nil when there is none.
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
