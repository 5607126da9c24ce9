package postgres

import (
	"context"
	"database/sql/driver"
	"sync/atomic"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
)

// pgConn has the interfaces that a connection of lib/pq implements.
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

// pgStmt has the interfaces that a prepared statement of lib/pq implements.
type pgStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// pgRows has the methods of lib/pq's rows that are used.
type pgRows interface {
	driver.Rows
	driver.RowsNextResultSet
}

// connector opens connections that leave the pool after an error that shows that they are useless. A failover affects
// all sessions, so all connections that were opened before such an error leave the pool as well. Each later statement
// gets a new connection, to the server that has the address then.
type connector struct {
	driver.Connector
	// useless counts the errors that showed that a connection is useless.
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
	opened    int64 // the value of connector.useless when the connection was opened
	isUseless bool
	isUsed    bool
}

// firstUse returns driver.ErrBadConn for a connection that became useless before its first use, so that the pool tries
// another one. The pool calls ResetSession only before later uses.
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

// isUselessAfter reports whether an error means that the session would always fail in the same way. It is read-only
// (25006; a standby answers a BEGIN READ WRITE with 0A000), or its prepared statements are gone (26000, behind a pooler
// that changed the server) or have other types now (0A000).
func isUselessAfter(err error) bool {
	return pq.As(err,
		pqerror.ReadOnlySQLTransaction, pqerror.InvalidSQLStatementName, pqerror.FeatureNotSupported) != nil
}

// inspect returns err. It marks the connection as useless if err shows that.
func (c *conn) inspect(err error) error {
	if err != nil && !c.isUseless && isUselessAfter(err) {
		c.isUseless = true
		c.connector.useless.Add(1)
	}
	return err
}

// IsValid is called when the connection returns to the pool.
func (c *conn) IsValid() bool {
	return c.opened == c.connector.useless.Load() && c.pgConn.IsValid()
}

// ResetSession is called when the pool hands the connection out. After ErrBadConn the pool tries another one.
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
		return nil, c.inspect(err)
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
		return nil, c.inspect(err)
	}
	return &stmt{inner.(pgStmt), c}, nil
}

// ExecContext runs a statement.
func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if err := c.firstUse(); err != nil {
		return nil, err
	}
	result, err := c.pgConn.ExecContext(ctx, query, args)
	return result, c.inspect(err)
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
		return nil, c.inspect(err)
	}
	return &rows{inner.(pgRows), c}, nil
}

// rows are the rows of a query. The server may fail the query only after it has sent some.
type rows struct {
	pgRows
	conn *conn
}

// Next reads a row.
func (r *rows) Next(dest []driver.Value) error { return r.conn.inspect(r.pgRows.Next(dest)) }

// tx is a transaction.
type tx struct {
	driver.Tx
	conn *conn
}

// Commit commits the transaction. Its error is inspected like that of a statement.
func (t tx) Commit() error { return t.conn.inspect(t.Tx.Commit()) }

// stmt is a statement that was prepared in one session.
type stmt struct {
	pgStmt
	conn *conn
}

// ExecContext runs the statement.
func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	result, err := s.pgStmt.ExecContext(ctx, args)
	return result, s.conn.inspect(err)
}

// QueryContext runs the query.
func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.conn.rows(s.pgStmt.QueryContext(ctx, args))
}
