package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"time"
)

// Log is what became of the log of an attempt. Of Bytes, Omitted ones from OmittedAt on were not kept.
type Log struct {
	AttemptID int64
	// At is the attempt's FinishedAt: the partition.
	At time.Time
	// State is LogCaptured or LogLost; a lost log has a Message, why, and nothing else.
	State, Message            string
	Bytes, OmittedAt, Omitted int64
	// BeginsAt and EndsAt are the times of the first and the last line.
	BeginsAt, EndsAt time.Time
	// Rotated: lines before the first may be missing. Incomplete: others may be, Message says where.
	Rotated, Incomplete bool
	Chunks              int
	CapturedAt          time.Time
}

// The states of a log.
const (
	LogCaptured = "Captured"
	LogLost     = "Lost"
)

// LogChunk is a part of a log: one gzip member. Size is that of its content.
type LogChunk struct {
	Size int
	Gzip []byte
}

// LogOwner is what a capture wants to know of an attempt's run.
type LogOwner struct {
	RunID, VersionID int64
	// Logged: the attempt's log has its row.
	Logged bool
}

const (
	logColumns = `l.attempt_id, l.at, l.state, l.message, l.bytes, l.omitted_at, l.omitted, l.begins_at, l.ends_at, l.rotated, l.incomplete,
       l.chunks, l.captured_at`
	sqlLogOwner = `
SELECT r.id, coalesce(r.dag_version_id, 0), EXISTS (SELECT FROM kontroler.logs l WHERE l.attempt_id = $2 AND l.at = $3)
FROM kontroler.runs r WHERE r.uid = $1`
	sqlLogMake = `
INSERT INTO kontroler.logs (attempt_id, at, state, message, bytes, omitted_at, omitted, begins_at, ends_at, rotated, incomplete, chunks, captured_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT DO NOTHING`
	sqlLogChunkMake = `INSERT INTO kontroler.log_chunks (attempt_id, at, seq, size, data) VALUES ($1, $2, $3, $4, $5)`
	sqlLogRead      = `SELECT ` + logColumns + ` FROM kontroler.logs l WHERE l.attempt_id = $1 AND l.at = $2`
	sqlLogChunkRead = `SELECT c.data FROM kontroler.log_chunks c WHERE c.attempt_id = $1 AND c.at = $2 AND c.seq = $3`
)

// LogOwner reads what a capture wants to know of an attempt's run, and whether that is there.
func (l *Leader) LogOwner(ctx context.Context, runUID string, attempt Attempt) (o LogOwner, found bool, err error) {
	if !isUUID(runUID) {
		return LogOwner{}, false, nil
	}
	err = l.reader().QueryRowContext(ctx, sqlLogOwner, runUID, attempt.ID, timestamp(attempt.FinishedAt)).Scan(&o.RunID, &o.VersionID, &o.Logged)
	if errors.Is(err, sql.ErrNoRows) {
		return LogOwner{}, false, nil
	}
	if err != nil {
		return LogOwner{}, false, fmt.Errorf("reading the run of attempt %d: %w", attempt.ID, classify(ctx, err))
	}
	return o, true, nil
}

// SaveLog writes a log and its chunks, in one transaction, unless the attempt has one.
func (l *Leader) SaveLog(ctx context.Context, runID int64, log Log, chunks []LogChunk) error {
	var change int64
	err := l.inTx(ctx, func(q querier) error {
		at := timestamp(log.At)
		made, err := q.ExecContext(ctx, sqlLogMake, log.AttemptID, at, log.State, clean(log.Message), log.Bytes, log.OmittedAt, log.Omitted,
			timestamp(log.BeginsAt), timestamp(log.EndsAt), log.Rotated, log.Incomplete, len(chunks), timestamp(log.CapturedAt))
		if err != nil {
			return err
		}
		if n, err := made.RowsAffected(); err != nil || n == 0 {
			return err // it has one
		}
		for seq, chunk := range chunks {
			if _, err := q.ExecContext(ctx, sqlLogChunkMake, log.AttemptID, at, seq, chunk.Size, chunk.Gzip); err != nil {
				return err
			}
		}
		return q.QueryRowContext(ctx, sqlChange, runID, "run").Scan(&change)
	})
	if err != nil {
		return fmt.Errorf("saving the log of attempt %d: %w", log.AttemptID, err)
	}
	if change != 0 {
		l.committed(change)
	}
	return nil
}

// Log reads the log of an attempt that ended at a time, and whether there is one.
func (db *DB) Log(ctx context.Context, attemptID int64, finishedAt time.Time) (log Log, found bool, err error) {
	err = db.pool.QueryRowContext(ctx, sqlLogRead, attemptID, timestamp(finishedAt)).Scan(&log.AttemptID, nullTime{&log.At}, &log.State, &log.Message,
		&log.Bytes, &log.OmittedAt, &log.Omitted, nullTime{&log.BeginsAt}, nullTime{&log.EndsAt}, &log.Rotated, &log.Incomplete,
		&log.Chunks, nullTime{&log.CapturedAt})
	if errors.Is(err, sql.ErrNoRows) {
		return Log{}, false, nil
	}
	if err != nil {
		return Log{}, false, fmt.Errorf("reading the log of attempt %d: %w", attemptID, classify(ctx, err))
	}
	return log, true, nil
}

// CopyLog writes the content of a log, as one gzip stream, a chunk at a time. A log without content writes nothing. One
// that retention takes meanwhile is an error, io.ErrUnexpectedEOF.
func (db *DB) CopyLog(ctx context.Context, to io.Writer, log Log) error {
	for seq := range log.Chunks {
		var data []byte
		err := db.pool.QueryRowContext(ctx, sqlLogChunkRead, log.AttemptID, timestamp(log.At), seq).Scan(&data)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("reading the log of attempt %d: chunk %d is gone: %w", log.AttemptID, seq, io.ErrUnexpectedEOF)
		}
		if err != nil {
			return fmt.Errorf("reading the log of attempt %d: %w", log.AttemptID, classify(ctx, err))
		}
		if _, err := to.Write(data); err != nil {
			return err
		}
	}
	return nil
}
