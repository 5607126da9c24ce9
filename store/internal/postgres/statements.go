package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Querier runs statements, in a transaction or on a pool.
type Querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Prepared are prepared statements, by their text.
type Prepared map[string]*sql.Stmt

// Prepare prepares statements in one session of a pool. Other sessions prepare them at their first use.
func Prepare(ctx context.Context, pool *sql.DB, statements []string) (Prepared, error) {
	prepared := Prepared{}
	for _, statement := range statements {
		stmt, err := pool.PrepareContext(ctx, statement)
		if err != nil {
			return nil, Classify(ctx, err)
		}
		prepared[statement] = stmt
	}
	return prepared, nil
}

// Session is a Querier that uses the prepared form of a statement, if it has one.
type Session struct {
	Querier
	Prepared Prepared
	Tx       *sql.Tx // nil if the Querier is a pool
}

// OnPool returns a Session that runs each statement on a pool.
func (p Prepared) OnPool(pool *sql.DB) Session { return Session{Querier: pool, Prepared: p} }

// InTx returns a Session that runs statements in a transaction.
func (p Prepared) InTx(tx *sql.Tx) Session { return Session{Querier: tx, Prepared: p, Tx: tx} }

// stmt returns the prepared form of a query, nil if it has none.
func (s Session) stmt(ctx context.Context, query string) *sql.Stmt {
	stmt := s.Prepared[query]
	if stmt == nil || s.Tx == nil {
		return stmt
	}
	return s.Tx.StmtContext(ctx, stmt)
}

// ExecContext runs a statement.
func (s Session) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if stmt := s.stmt(ctx, query); stmt != nil {
		return stmt.ExecContext(ctx, args...)
	}
	return s.Querier.ExecContext(ctx, query, args...)
}

// QueryContext runs a query.
func (s Session) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if stmt := s.stmt(ctx, query); stmt != nil {
		return stmt.QueryContext(ctx, args...)
	}
	return s.Querier.QueryContext(ctx, query, args...)
}

// QueryRowContext runs a query of at most one row.
func (s Session) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if stmt := s.stmt(ctx, query); stmt != nil {
		return stmt.QueryRowContext(ctx, args...)
	}
	return s.Querier.QueryRowContext(ctx, query, args...)
}

// ReadRows runs a query and scans all of its rows.
func ReadRows[T any](
	ctx context.Context, q Querier, scan func(*sql.Rows) (T, error), query string, args ...any,
) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, Classify(ctx, err)
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, Classify(ctx, err)
		}
		all = append(all, one)
	}
	return all, Classify(ctx, rows.Err())
}

// ScanRow scans the row of a query. found reports whether there is one.
func ScanRow(ctx context.Context, row *sql.Row, to ...any) (found bool, err error) {
	err = row.Scan(to...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, Classify(ctx, err)
}

// NullTime scans NULL as the zero time and anything else as UTC.
type NullTime struct{ To *time.Time }

// Scan makes NullTime a sql.Scanner.
func (n NullTime) Scan(src any) error {
	var t sql.NullTime
	if err := t.Scan(src); err != nil {
		return err
	}
	*n.To = time.Time{}
	if t.Valid {
		*n.To = t.Time.UTC()
	}
	return nil
}

// ScanOne scans a row of one column.
func ScanOne[T any](rows *sql.Rows) (value T, err error) {
	err = rows.Scan(&value)
	return value, err
}

// ExecAll runs statements without arguments until one fails.
func ExecAll(ctx context.Context, q Querier, statements ...string) error {
	for _, statement := range statements {
		if _, err := q.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// Affected returns the number of rows that a statement affected.
func Affected(result sql.Result, err error) (int, error) {
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}

// Expect returns ErrConflict if a guarded statement did not affect want rows.
func Expect(want int, result sql.Result, err error) error {
	got, err := Affected(result, err)
	if err == nil && got != want {
		return fmt.Errorf("%w: %d of %d rows matched", ErrConflict, got, want)
	}
	return err
}
