package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
)

// RestoredError says that the database has seen fewer epochs than the Lease: it is a restored backup. It matches
// ErrRestored.
type RestoredError struct {
	Shard    int
	Database int64 // the epoch in the database
	Lease    int64 // the epoch on the Lease
}

func (e *RestoredError) Error() string {
	return fmt.Sprintf("the database is at epoch %d of shard %d, the lease at %d: a backup was restored", e.Database, e.Shard, e.Lease)
}

// Is makes the error match ErrRestored.
func (e *RestoredError) Is(target error) bool { return target == ErrRestored }

const (
	sqlEpochMake = `INSERT INTO kontroler.epochs (shard, epoch, holder, taken_at) VALUES ($1, 0, '', now()) ON CONFLICT (shard) DO NOTHING`
	sqlEpochRead = `SELECT epoch FROM kontroler.epochs WHERE shard = $1`
	sqlEpochTake = `UPDATE kontroler.epochs SET epoch = $3, holder = $4, taken_at = now() WHERE shard = $1 AND epoch = $2`
	sqlEpochLock = `SELECT epoch FROM kontroler.epochs WHERE shard = $1 FOR SHARE`

	sqlClock = `SELECT clock_timestamp()`

	sqlSessions = `SELECT pid, application_name FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND starts_with(application_name, $1)`
	sqlSessionEnd = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND application_name = $2`
)

// TakeEpoch makes holder the leader of a shard: it ends the sessions of this controller's earlier epochs, waits for
// their transactions (for their idle timeout at most, should a session not end), and returns the new epoch.
//
// atLeast is the epoch on the Lease. A database behind it has forgotten what was done: a RestoredError, unless accept is
// set; then the new epoch is above both. Another taker at the same time is ErrConflict.
func (db *DB) TakeEpoch(ctx context.Context, shard int, holder string, atLeast int64, accept bool) (int64, error) {
	identity, err := db.Identity(ctx)
	if err != nil {
		return 0, err
	}
	epoch, err := db.takeEpoch(ctx, identity.ControllerID, shard, holder, atLeast, accept)
	if err != nil {
		return 0, fmt.Errorf("taking the epoch of shard %d: %w", shard, classify(ctx, err))
	}
	return epoch, nil
}

func (db *DB) takeEpoch(ctx context.Context, id string, shard int, holder string, atLeast int64, accept bool) (int64, error) {
	if _, err := db.pool.ExecContext(ctx, sqlEpochMake, shard); err != nil {
		return 0, err
	}
	var current int64
	if err := db.pool.QueryRowContext(ctx, sqlEpochRead, shard).Scan(&current); err != nil {
		return 0, err
	}
	if current < atLeast && !accept {
		return 0, &RestoredError{Shard: shard, Database: current, Lease: atLeast}
	}
	next := max(current, atLeast) + 1
	if err := db.endSessions(ctx, id, shard, next); err != nil {
		return 0, err
	}
	err := db.InTx(ctx, func(tx *sql.Tx) error {
		taken, err := tx.ExecContext(ctx, sqlEpochTake, shard, current, next, holder)
		if err := expect(1, taken, err); err != nil || current >= atLeast {
			return err
		}
		// What was due since the backup may have run.
		_, err = tx.ExecContext(ctx, sqlSchedulesUnknown)
		return err
	})
	if err != nil {
		return 0, err
	}
	return next, nil
}

// endSessions ends the sessions of epochs before next. A session that this role may not end runs into its idle timeout.
func (db *DB) endSessions(ctx context.Context, id string, shard int, next int64) error {
	prefix := fmt.Sprintf("kontroler %s %d ", id, shard)
	rows, err := db.pool.QueryContext(ctx, sqlSessions, prefix)
	if err != nil {
		return err
	}
	defer rows.Close()
	type session struct {
		pid  int64
		name string
	}
	var old []session
	for rows.Next() {
		var s session
		if err := rows.Scan(&s.pid, &s.name); err != nil {
			return err
		}
		if epoch, err := strconv.ParseInt(strings.TrimPrefix(s.name, prefix), 10, 64); err == nil && epoch < next {
			old = append(old, s)
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, s := range old {
		if _, err := db.pool.ExecContext(ctx, sqlSessionEnd, s.pid, s.name); err != nil && pq.As(err, pqerror.InsufficientPrivilege) == nil {
			return err
		}
	}
	return nil
}

// Clock reads the database's clock, which all leaders have in common.
func (l *Leader) Clock(ctx context.Context) (time.Time, error) {
	var now time.Time
	if err := l.pool.QueryRowContext(ctx, sqlClock).Scan(&now); err != nil {
		return time.Time{}, fmt.Errorf("reading the database's clock: %w", classify(ctx, err))
	}
	return now, nil
}

// Term is one leadership.
type Term struct {
	ControllerID string
	Shard        int
	Epoch        int64
	// IdleTimeout is after how long the server ends a transaction of this leader that does nothing. It must be below the
	// time after which another may lead; 5 s when zero.
	IdleTimeout time.Duration
	// Hook is told where a transaction is: "transaction-open" behind the fence, "transaction-commit" before the commit. Nil
	// but in crash tests.
	Hook func(point string)
}

func (t Term) at(point string) {
	if t.Hook != nil {
		t.Hook(point)
	}
}

// sessionName is the application_name of a leader's sessions, 63 bytes at most.
func (t Term) sessionName() string {
	return fmt.Sprintf("kontroler %s %d %d", t.ControllerID, t.Shard, t.Epoch)
}

// Leader writes in one term. Once its epoch has passed every write is ErrFenced.
type Leader struct {
	pool *sql.DB
	term Term
	// The statements of every sync, prepared, by their text.
	prepared map[string]*sql.Stmt

	// What shares transactions.
	accounts group[Accounting, Schedule]
	created  group[created, struct{}]

	// What Notify has to tell: the highest change committed, and that there is one.
	highest atomic.Int64
	changed chan struct{}
}

// Lead opens the sessions of a term and checks that it has not passed.
func (db *DB) Lead(ctx context.Context, term Term) (*Leader, error) {
	if term.IdleTimeout <= 0 {
		term.IdleTimeout = 5 * time.Second
	}
	name := term.sessionName()
	if len(name) > 63 {
		return nil, fmt.Errorf("leading: session name %q is longer than 63 bytes", name)
	}
	pool, err := openPool(db.config, func(cfg *pq.Config) {
		cfg.ApplicationName = name
		cfg.Runtime["idle_in_transaction_session_timeout"] = milliseconds(term.IdleTimeout)
		for name, value := range planSettings {
			cfg.Runtime[name] = value
		}
	})
	if err != nil {
		return nil, fmt.Errorf("leading: %w", err)
	}
	l := &Leader{pool: pool, term: term, changed: make(chan struct{}, 1)}
	err = l.prepare(ctx)
	if err == nil {
		err = l.inTx(ctx, func(querier) error { return nil })
	}
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("leading epoch %d of shard %d: %w", term.Epoch, term.Shard, err)
	}
	return l, nil
}

// Close closes the leader's sessions.
func (l *Leader) Close() error { return l.pool.Close() }

// Term returns the term that this leader leads in.
func (l *Leader) Term() Term { return l.term }

// inTx is InTx behind the fence: no statement of fn runs in another epoch, and none that has run is committed in one.
func (l *Leader) inTx(ctx context.Context, fn func(querier) error) error {
	return inTx(ctx, l.pool, func(tx *sql.Tx) error {
		q := session{prepared: l.prepared, querier: tx, tx: tx}
		if err := l.fence(ctx, q); err != nil {
			return err
		}
		l.term.at("transaction-open")
		if err := fn(q); err != nil {
			return err
		}
		l.term.at("transaction-commit")
		return nil
	})
}

func (l *Leader) fence(ctx context.Context, q querier) error {
	var epoch int64
	err := q.QueryRowContext(ctx, sqlEpochLock, l.term.Shard).Scan(&epoch)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("%w: shard %d has none", ErrFenced, l.term.Shard)
	case err != nil:
		return fmt.Errorf("locking the epoch: %w", err)
	case epoch != l.term.Epoch:
		return fmt.Errorf("%w: it is %d, this leader's %d", ErrFenced, epoch, l.term.Epoch)
	}
	return nil
}

// expect turns the result of a guarded statement into ErrConflict when it touched another number of rows.
func expect(want int64, result sql.Result, err error) error {
	if err != nil {
		return err
	}
	got, err := result.RowsAffected()
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("%w: %d of %d rows matched", ErrConflict, got, want)
	}
	return nil
}
