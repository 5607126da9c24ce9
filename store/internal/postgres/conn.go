package postgres

import (
	"context"
	"database/sql/driver"
	"sync/atomic"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
)

// pgConn is what a connection of lib/pq can do.
type pgConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.NamedValueChecker
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// pgStmt is what a prepared statement of lib/pq can do.
type pgStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// pgRows is what the rows of lib/pq can do and somebody uses.
type pgRows interface {
	driver.Rows
	driver.RowsNextResultSet
}

// connector makes connections that leave the pool after an answer that says that they are useless. A failover concerns
// every session: after such an answer those that were opened before it are not used again either. Each later statement
// gets a new connection, to the server that the address leads to then.
type connector struct {
	driver.Connector
	// useless counts the answers that said so.
	useless atomic.Int64
}

func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	opened := c.useless.Load()
	inner, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &conn{pgConn: inner.(pgConn), connector: c, opened: opened}, nil
}

// conn is a connection of the pool.
type conn struct {
	pgConn
	connector *connector
	opened    int64 // connector.useless when it was opened
	isUseless bool
	isUsed    bool
}

// firstUse returns driver.ErrBadConn for a connection that became useless before its first use: the pool tries another
// one. The pool does not reset connections that it opened ahead of their use.
func (c *conn) firstUse() error {
	if c.isUsed {
		return nil
	}
	c.isUsed = true
	if !c.IsValid() {
		return driver.ErrBadConn
	}
	return nil
}

// isUselessAfter reports whether an error means that the session would answer the same for ever: it is read-only (25006; a
// standby answers a BEGIN READ WRITE with 0A000), or what it prepared is gone (26000, behind a pooler that changed the
// server) or has other types now (0A000).
func isUselessAfter(err error) bool {
	return pq.As(err, pqerror.ReadOnlySQLTransaction, pqerror.InvalidSQLStatementName, pqerror.FeatureNotSupported) != nil
}

// noted returns the error of an answer, after it has noted what that says of the connection.
func (c *conn) noted(err error) error {
	if err != nil && !c.isUseless && isUselessAfter(err) {
		c.isUseless = true
		c.connector.useless.Add(1)
	}
	return err
}

// IsValid is asked when the connection returns to the pool.
func (c *conn) IsValid() bool {
	return c.opened == c.connector.useless.Load() && c.pgConn.IsValid()
}

// ResetSession is asked when the connection leaves the pool. With ErrBadConn the pool tries another one.
func (c *conn) ResetSession(ctx context.Context) error {
	if !c.IsValid() {
		return driver.ErrBadConn
	}
	return c.pgConn.ResetSession(ctx)
}

// BeginTx begins a transaction.
func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if err := c.firstUse(); err != nil {
		return nil, err
	}
	inner, err := c.pgConn.BeginTx(ctx, opts)
	if err != nil {
		return nil, c.noted(err)
	}
	return tx{inner, c}, nil
}

// PrepareContext prepares a statement.
func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	if err := c.firstUse(); err != nil {
		return nil, err
	}
	inner, err := c.pgConn.PrepareContext(ctx, query)
	if err != nil {
		return nil, c.noted(err)
	}
	return &stmt{inner.(pgStmt), c}, nil
}

// ExecContext runs a statement.
func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if err := c.firstUse(); err != nil {
		return nil, err
	}
	result, err := c.pgConn.ExecContext(ctx, query, args)
	return result, c.noted(err)
}

// QueryContext runs a query.
func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if err := c.firstUse(); err != nil {
		return nil, err
	}
	return c.rows(c.pgConn.QueryContext(ctx, query, args))
}

func (c *conn) rows(inner driver.Rows, err error) (driver.Rows, error) {
	if err != nil {
		return nil, c.noted(err)
	}
	return &rows{inner.(pgRows), c}, nil
}

// rows are the answer to a query. A server that streams them may refuse only here.
type rows struct {
	pgRows
	conn *conn
}

// Next reads a row.
func (r *rows) Next(dest []driver.Value) error { return r.conn.noted(r.pgRows.Next(dest)) }

// tx is a transaction.
type tx struct {
	driver.Tx
	conn *conn
}

// Commit may have an answer like any other statement.
func (t tx) Commit() error { return t.conn.noted(t.Tx.Commit()) }

// stmt is a statement that was prepared in one session.
type stmt struct {
	pgStmt
	conn *conn
}

// ExecContext runs the statement.
func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	result, err := s.pgStmt.ExecContext(ctx, args)
	return result, s.conn.noted(err)
}

// QueryContext runs the query.
func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.conn.rows(s.pgStmt.QueryContext(ctx, args))
}
