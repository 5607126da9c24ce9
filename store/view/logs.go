package view

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"kontroler/store/internal/postgres"
)

// ErrLogRemoved means that retention has removed a log while it was being read.
var ErrLogRemoved = errors.New("the log was removed")

// The states of a log.
const (
	LogCaptured = "Captured"
	LogLost     = "Lost"
)

// LogReader reads the stored logs of attempts.
type LogReader struct{ reader }

// Log describes the stored log of an attempt. Omitted of its Bytes, from OmittedAt on, are in no chunk.
type Log struct {
	AttemptID int64
	// At is when the attempt finished.
	At time.Time
	// State is LogCaptured or LogLost. Message says why a log is lost, or where it lacks lines.
	State, Message            string
	Bytes, OmittedAt, Omitted int64
	// BeginsAt and EndsAt are the times of the first and the last line, in microseconds. They are zero if the log is
	// empty.
	BeginsAt, EndsAt time.Time
	// IsRotated means that lines before the first may be missing, IsIncomplete that others are missing or repeated.
	IsRotated, IsIncomplete bool
	Chunks                  int
	CapturedAt              time.Time
}

const (
	sqlLog = `
SELECT l.attempt_id, l.at, l.state, l.message, l.bytes, l.omitted_at, l.omitted, l.begins_at, l.ends_at,
       l.rotated, l.incomplete, l.chunks, l.captured_at
FROM kontroler_v1.logs l WHERE l.attempt_id = $1 AND l.at = $2`
	sqlLogSizes = `
SELECT c.size FROM kontroler_v1.log_chunks c WHERE c.attempt_id = $1 AND c.at = $2 AND c.seq < $3 ORDER BY c.seq`
	sqlLogChunk = `
SELECT c.data FROM kontroler_v1.log_chunks c WHERE c.attempt_id = $1 AND c.at = $2 AND c.seq = $3`
)

// Log reads the description of the stored log of an attempt. found reports whether there is one. A log is stored after
// its attempt has ended.
func (db LogReader) Log(ctx context.Context, attempt Attempt) (log Log, found bool, err error) {
	if attempt.FinishedAt.IsZero() {
		return Log{}, false, nil
	}
	logs, err := postgres.ReadRows(ctx, db.pool, scanLog, sqlLog, attempt.ID, attempt.FinishedAt)
	if err != nil || len(logs) == 0 {
		return Log{}, false, db.classify(ctx, "reading a log", err)
	}
	return logs[0], true, nil
}

func scanLog(rows *sql.Rows) (l Log, err error) {
	err = rows.Scan(&l.AttemptID, nullTime(&l.At), &l.State, &l.Message, &l.Bytes, &l.OmittedAt, &l.Omitted,
		nullTime(&l.BeginsAt), nullTime(&l.EndsAt), &l.IsRotated, &l.IsIncomplete, &l.Chunks, nullTime(&l.CapturedAt))
	return l, err
}

// LogSizes reads the size of each chunk of a log, in bytes before compression. If retention has removed the log, the
// error is ErrLogRemoved.
func (db LogReader) LogSizes(ctx context.Context, log Log) ([]int, error) {
	sizes, err := postgres.ReadRows(ctx, db.pool, postgres.ScanOne[int], sqlLogSizes, log.AttemptID, log.At, log.Chunks)
	if err == nil && len(sizes) < log.Chunks {
		err = ErrLogRemoved
	}
	return sizes, db.classify(ctx, "reading the sizes of a log", err)
}

// LogChunk reads a chunk of a log by its number, from 0 on. It is a gzip stream. If retention has removed the log, the
// error is ErrLogRemoved.
func (db LogReader) LogChunk(ctx context.Context, log Log, number int) ([]byte, error) {
	chunks, err := postgres.ReadRows(ctx, db.pool, postgres.ScanOne[[]byte], sqlLogChunk, log.AttemptID, log.At, number)
	if err == nil && len(chunks) == 0 {
		err = ErrLogRemoved
	}
	if err != nil {
		return nil, db.classify(ctx, "reading a part of a log", err)
	}
	return chunks[0], nil
}
