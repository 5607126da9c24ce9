package store

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"kontroler/store/internal/postgres"
)

// RestoredError means that the database has seen fewer epochs than the Lease, because a backup was restored. It matches
// ErrRestored.
type RestoredError struct {
	Shard    int
	Database int64 // the epoch in the database
	Lease    int64 // the epoch on the Lease
}

func (e *RestoredError) Error() string {
	return fmt.Sprintf("the database is at epoch %d of shard %d, the lease at %d: a backup was restored",
		e.Database, e.Shard, e.Lease)
}

// Is makes the error match ErrRestored.
func (e *RestoredError) Is(target error) bool { return target == ErrRestored }

const (
	sqlEpochMake = `
INSERT INTO kontroler.epochs (shard, epoch, holder, taken_at) VALUES ($1, 0, '', now()) ON CONFLICT (shard) DO NOTHING`
	sqlEpochRead = `SELECT epoch FROM kontroler.epochs WHERE shard = $1`
	sqlEpochTake = `
UPDATE kontroler.epochs SET epoch = $3, holder = $4, taken_at = now() WHERE shard = $1 AND epoch = $2`
	sqlEpochLock = `SELECT epoch FROM kontroler.epochs WHERE shard = $1 FOR SHARE`

	sqlSessions = `SELECT pid, application_name FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND starts_with(application_name, $1)`
	sqlSessionEnd = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND application_name = $2`
)

// TakeEpoch makes holder the leader of a shard and returns the new epoch. First it ends the sessions of this
// controller's earlier epochs and waits for their transactions. A transaction whose session cannot be ended delays it
// for the idle timeout of that session at most.
//
// atLeast is the epoch on the Lease. A database behind it was restored from a backup: TakeEpoch returns a
// RestoredError, or, if accept is set, takes an epoch above both. If another process takes it at the same time, the
// error is ErrConflict.
func (db *DB) TakeEpoch(ctx context.Context, shard int, holder string, atLeast int64, accept bool) (int64, error) {
	identity, err := db.Identity(ctx)
	if err != nil {
		return 0, err
	}
	epoch, err := db.takeEpoch(ctx, identity.ControllerID, shard, holder, atLeast, accept)
	return epoch, postgres.Failed(ctx, err, "taking the epoch of shard %d", shard)
}

func (db *DB) takeEpoch(
	ctx context.Context, id string, shard int, holder string, atLeast int64, accept bool,
) (int64, error) {
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
		if err := postgres.Expect(1, taken, err); err != nil || current >= atLeast {
			return err
		}
		// Due times since the backup may have run.
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
	type session struct {
		pid  int64
		name string
	}
	prefix := fmt.Sprintf("kontroler %s %d ", id, shard)
	sessions, err := postgres.ReadRows(ctx, db.pool, func(rows *sql.Rows) (s session, err error) {
		err = rows.Scan(&s.pid, &s.name)
		return s, err
	}, sqlSessions, prefix)
	if err != nil {
		return err
	}
	for _, s := range sessions {
		if epoch, err := strconv.ParseInt(strings.TrimPrefix(s.name, prefix), 10, 64); err != nil || epoch >= next {
			continue
		}
		_, err := db.pool.ExecContext(ctx, sqlSessionEnd, s.pid, s.name)
		if err != nil && pq.As(err, pqerror.InsufficientPrivilege) == nil {
			return err
		}
	}
	return nil
}
