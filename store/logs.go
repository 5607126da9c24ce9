package store

import (
	"context"
	"fmt"
	"time"

	"kontroler/store/internal/postgres"
)

// Logs stores the logs of attempts.
type Logs struct {
	pool *termPool
	// saves is a semaphore for Save. A large log occupies a connection for long. The other connections stay free for
	// the statements that runs wait for.
	saves chan struct{}
}

// Log describes the log of an attempt. Omitted of its Bytes, from OmittedAt on, are not stored.
type Log struct {
	AttemptID int64
	// At is the attempt's FinishedAt. It determines the partition.
	At time.Time
	// State is LogCaptured or LogLost. A lost log has a Message that says why, and no other field.
	State, Message            string
	Bytes, OmittedAt, Omitted int64
	// BeginsAt and EndsAt are the times of the first and the last line.
	BeginsAt, EndsAt time.Time
	// IsRotated means that lines before the first may be missing. IsIncomplete means that other lines may be missing;
	// Message says where.
	IsRotated, IsIncomplete bool
	CapturedAt              time.Time
}

// The states of a log.
const (
	LogCaptured = "Captured"
	LogLost     = "Lost"
)

// LogChunk is a part of a log: one gzip member. Size is the size of its content.
type LogChunk struct {
	Size int
	Gzip []byte
}

// LogOwner is the run of an attempt.
type LogOwner struct {
	RunID, VersionID int64
	// HasLog means that the attempt's log is stored.
	HasLog bool
}

const (
	sqlLogOwner = `
SELECT r.id, coalesce(r.dag_version_id, 0),
       EXISTS (SELECT FROM kontroler.logs l WHERE l.attempt_id = $2 AND l.at = $3)
FROM kontroler.runs r WHERE r.uid = $1`
	sqlLogMake = `
INSERT INTO kontroler.logs (attempt_id, at, state, message, bytes, omitted_at, omitted, begins_at, ends_at, rotated,
                            incomplete, chunks, captured_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT DO NOTHING`
	sqlLogChunkMake = `INSERT INTO kontroler.log_chunks (attempt_id, at, seq, size, data) VALUES ($1, $2, $3, $4, $5)`
)

// Owner reads the run of an attempt that has ended. found reports whether the run exists.
func (l *Logs) Owner(ctx context.Context, runUID string, attempt Attempt) (o LogOwner, found bool, err error) {
	row := l.pool.reader().QueryRowContext(ctx, sqlLogOwner, runUID, attempt.ID, timestamp(attempt.FinishedAt))
	found, err = postgres.ScanRow(ctx, row, &o.RunID, &o.VersionID, &o.HasLog)
	return o, found, postgres.Failed(ctx, err, "reading the run of attempt %d", attempt.ID)
}

// Save writes a log and its chunks, in one transaction, unless the attempt has a log.
func (l *Logs) Save(ctx context.Context, runID int64, log Log, chunks []LogChunk) error {
	select {
	case l.saves <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("saving the log of attempt %d: %w", log.AttemptID, ctx.Err())
	}
	defer func() { <-l.saves }()
	err := l.pool.write(ctx, func(q querier) error {
		at := timestamp(log.At)
		n, err := postgres.Affected(q.ExecContext(ctx, sqlLogMake,
			log.AttemptID, at, log.State, clean(log.Message), log.Bytes, log.OmittedAt, log.Omitted,
			timestamp(log.BeginsAt), timestamp(log.EndsAt), log.IsRotated, log.IsIncomplete, len(chunks),
			timestamp(log.CapturedAt)))
		if err != nil || n == 0 {
			return err
		}
		for seq, chunk := range chunks {
			_, err := q.ExecContext(ctx, sqlLogChunkMake, log.AttemptID, at, seq, chunk.Size, chunk.Gzip)
			if err != nil {
				return err
			}
		}
		return recordRunChanges(ctx, q, runID)
	})
	return postgres.Failed(ctx, err, "saving the log of attempt %d", log.AttemptID)
}
