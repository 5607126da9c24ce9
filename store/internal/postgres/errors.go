package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"syscall"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
)

// The kinds of errors of a database. Classify makes an error match its kind with errors.Is.
var (
	ErrFenced        = errors.New("a later leader has taken the epoch")
	ErrConflict      = errors.New("the rows have changed")
	ErrUnavailable   = errors.New("the database is unavailable")
	ErrRejected      = errors.New("the database refuses the values")
	ErrCorrupt       = errors.New("the stored row is corrupt")
	ErrUnknownCommit = errors.New("the outcome of the commit is unknown")
)

// The states that kontroler.check_write raises.
const (
	fenced    pqerror.Code = "KT001"
	unmatched pqerror.Code = "KT002"
)

var kinds = []error{ErrFenced, ErrConflict, ErrUnavailable, ErrRejected, ErrCorrupt, ErrUnknownCommit}

// Classify adds its kind to an error of the driver. An error after the context was cancelled is a cancellation, not a
// fault of the database.
func Classify(ctx context.Context, err error) error {
	switch {
	case err == nil, errors.Is(err, context.Canceled), hasKind(err):
		return err
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	kind := kindOf(err)
	if kind == nil {
		return err
	}
	return fmt.Errorf("%w: %w", kind, err)
}

// classifyCommit classifies the error of a COMMIT. Unless the server itself has refused the commit, its outcome is
// unknown.
func classifyCommit(ctx context.Context, err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return Classify(ctx, err) // the context ended before COMMIT was sent
	}
	if refused, ok := errors.AsType[*pq.Error](err); ok {
		switch refused.Code.Class() {
		case "22", "23", "25", "2D", "53", "55":
			return Classify(ctx, err)
		case "40":
			if refused.Code != pqerror.TRStatementCompletionUnknown {
				return Classify(ctx, err)
			}
		}
	}
	return fmt.Errorf("%w: %w", ErrUnknownCommit, Classify(ctx, err))
}

// ClassifyAtOnce classifies the error of a statement that is a transaction of its own. Unless the server has refused
// the statement, its outcome is unknown: database/sql repeats a statement whose connection was lost, so that even an
// error of dialing may follow a commit.
func ClassifyAtOnce(ctx context.Context, err error) error {
	if hasRefused(err) {
		return Classify(ctx, err)
	}
	return fmt.Errorf("%w: %w", ErrUnknownCommit, Classify(ctx, err))
}

// hasRefused reports whether the server has rolled back a statement, or never begun it. If the session or the server
// ended, it may have committed first.
func hasRefused(err error) bool {
	refused, ok := errors.AsType[*pq.Error](err)
	if !ok {
		return false
	}
	switch refused.Code {
	case pqerror.AdminShutdown, pqerror.CrashShutdown, pqerror.TRStatementCompletionUnknown:
		return false
	}
	return !slices.Contains([]pqerror.Class{"08", "58", "XX"}, refused.Code.Class())
}

func hasKind(err error) bool {
	return slices.ContainsFunc(kinds, func(kind error) bool { return errors.Is(err, kind) })
}

func kindOf(err error) error {
	if refused, ok := errors.AsType[*pq.Error](err); ok {
		return kindOfState(refused.Code)
	}
	if errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EPIPE) {
		return ErrUnavailable
	}
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return ErrUnavailable
	}
	return nil
}

func kindOfState(code pqerror.Code) error {
	switch code {
	case fenced:
		return ErrFenced
	case unmatched:
		return ErrConflict
	case pqerror.QueryCanceled, // statement_timeout: Classify has already handled a cancelled context
		pqerror.AdminShutdown, pqerror.CrashShutdown, pqerror.CannotConnectNow, pqerror.DatabaseDropped,
		pqerror.IdleSessionTimeout, pqerror.IdleInTransactionSessionTimeout,
		// These also drop the connection (isUselessAfter).
		pqerror.ReadOnlySQLTransaction, pqerror.InvalidSQLStatementName, pqerror.FeatureNotSupported:
		return ErrUnavailable
	case pqerror.LockNotAvailable, pqerror.UniqueViolation, pqerror.ExclusionViolation:
		return ErrConflict
	case pqerror.DataCorrupted:
		return ErrCorrupt
	}
	switch code.Class() {
	case "08", "53", "58":
		return ErrUnavailable
	case "40":
		return ErrConflict
	case "21", "22", "23":
		return ErrRejected
	}
	return nil
}

// Failed classifies an error and prefixes it with the operation that failed. It returns nil for nil.
func Failed(ctx context.Context, err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), Classify(ctx, err))
}
