package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
)

// The kinds of errors. Every error of this package that has one of these meanings matches it with errors.Is.
var (
	// ErrFenced: a later leader has taken the epoch. Nothing was written, and nothing will be.
	ErrFenced = errors.New("a later leader has taken the epoch")
	// ErrConflict: the rows are not what the writer took them for, or another transaction was in the way. Nothing was
	// written; what was to be written follows from rows that must be read again.
	ErrConflict = errors.New("the rows have changed")
	// ErrUnavailable: the database does not answer or takes no work now. Trying again later helps.
	ErrUnavailable = errors.New("the database is unavailable")
	// ErrRejected: the database refuses the values (a constraint, an encoding). Trying again does not help.
	ErrRejected = errors.New("the database refuses the values")
	// ErrCorrupt: the database cannot read what it has stored. Trying again does not help.
	ErrCorrupt = errors.New("the stored row is corrupt")
	// ErrUnknownCommit: the answer to a commit was lost. It may or may not have happened.
	ErrUnknownCommit = errors.New("the outcome of the commit is unknown")
	// ErrOtherCluster: the database belongs to another cluster. The error is an OtherClusterError.
	ErrOtherCluster = errors.New("the database belongs to another cluster")
	// ErrRestored: the database is older than what this controller has done. The error is a RestoredError.
	ErrRestored = errors.New("the database is behind the lease")
	// ErrSchemaTooNew: the schema has left this binary behind. The error is a SchemaTooNewError.
	ErrSchemaTooNew = errors.New("the schema is too new for this binary")
)

// IsUnavailable reports whether the database does not answer or takes no work now.
func IsUnavailable(err error) bool { return errors.Is(err, ErrUnavailable) }

// Times that bound a connection. A server that is alive ends a statement by itself; answerTimeout is for one that is not.
const (
	connectTimeout   = 5 * time.Second
	statementTimeout = 30 * time.Second
	answerTimeout    = statementTimeout + 15*time.Second
)

// Config says how to reach the database.
type Config struct {
	// URL is a postgres:// URL or a key=value connection string.
	URL string
	// MaxOpen is how many connections each pool opens at most; 16 when zero.
	MaxOpen int
}

// DB is the pool for what needs no leadership: migration, identity, taking an epoch, reads.
type DB struct {
	config Config
	pool   *sql.DB
}

// Open opens a pool and waits until the database has answered once. An error never contains the URL.
func Open(ctx context.Context, config Config) (*DB, error) {
	if config.MaxOpen <= 0 {
		config.MaxOpen = 16
	}
	pool, err := openPool(config, func(cfg *pq.Config) {
		if cfg.ApplicationName == "" {
			cfg.ApplicationName = "kontroler"
		}
	})
	if err != nil {
		return nil, err
	}
	db := &DB{config: config, pool: pool}
	if err := db.Ping(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	return db, nil
}

// Close closes the pool. Leaders opened from it have pools of their own.
func (db *DB) Close() error { return db.pool.Close() }

// Ping asks the database for one answer.
func (db *DB) Ping(ctx context.Context) error {
	var one int
	if err := db.pool.QueryRowContext(ctx, sqlPing).Scan(&one); err != nil {
		return fmt.Errorf("asking the database for an answer: %w", classify(ctx, err))
	}
	return nil
}

const sqlPing = `SELECT 1`

// InTx runs fn in one transaction: committed when fn returns nil, else (also when it panics) rolled back. The outcome of
// a commit whose answer is lost is ErrUnknownCommit.
func (db *DB) InTx(ctx context.Context, fn func(*sql.Tx) error) error { return inTx(ctx, db.pool, fn) }

func inTx(ctx context.Context, pool *sql.DB, fn func(*sql.Tx) error) error {
	tx, err := begin(ctx, pool)
	if err != nil {
		return fmt.Errorf("beginning a transaction: %w", classify(ctx, err))
	}
	defer tx.Rollback() // After a commit it does nothing.
	if err := fn(tx); err != nil {
		return classify(ctx, err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("committing: %w", classifyCommit(ctx, err))
	}
	return nil
}

// begin begins a transaction. A connection that has died while it was idle is found out by its first statement, before
// anything was done: the next one is tried, until they are all new.
func begin(ctx context.Context, pool *sql.DB) (*sql.Tx, error) {
	for tried := 0; ; tried++ {
		tx, err := pool.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
		lost, ok := errors.AsType[*net.OpError](err)
		if !ok || lost.Op == "dial" || tried == pool.Stats().MaxOpenConnections || ctx.Err() != nil {
			return tx, err
		}
	}
}

// querier is what a pool and a transaction have in common.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// openPool opens a pool of sessions that setup may configure further. One round trip a statement: parameters are bound
// in the message that parses.
func openPool(config Config, setup func(*pq.Config)) (*sql.DB, error) {
	cfg, err := pq.NewConfig(config.URL)
	if err != nil {
		// The parser's text may contain a part of the password.
		return nil, errors.New("the database URL is neither a valid postgres:// URL (special characters in a password " +
			"are written %XX) nor a valid list of key=value settings")
	}
	cfg.BinaryParameters = true
	if cfg.ConnectTimeout <= 0 {
		cfg.ConnectTimeout = connectTimeout
	}
	if cfg.Runtime == nil {
		cfg.Runtime = map[string]string{}
	}
	if _, set := cfg.Runtime["statement_timeout"]; !set {
		cfg.Runtime["statement_timeout"] = milliseconds(statementTimeout)
	}
	setup(&cfg)
	inner, err := pq.NewConnectorConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	inner.Dialer(dialer{})
	pool := sql.OpenDB(&connector{Connector: inner})
	pool.SetMaxOpenConns(config.MaxOpen)
	pool.SetMaxIdleConns(config.MaxOpen)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	pool.SetConnMaxLifetime(time.Hour)
	return pool, nil
}

// dialer bounds every wait for an answer: without it a database that vanishes from the network while it owes one holds
// its caller, whatever the context says, until the kernel gives up a quarter of an hour later.
type dialer struct{}

func (dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &boundedConn{Conn: conn}, nil
}

func (d dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialTimeout(network, address, connectTimeout)
}

func (d dialer) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return d.DialContext(ctx, network, address)
}

type boundedConn struct {
	net.Conn
	own bool // The driver has set a deadline of its own, while it connects.
}

func (c *boundedConn) SetDeadline(t time.Time) error {
	c.own = !t.IsZero()
	return c.Conn.SetDeadline(t)
}

func (c *boundedConn) Read(p []byte) (int, error) {
	if !c.own {
		if err := c.Conn.SetReadDeadline(time.Now().Add(answerTimeout)); err != nil {
			return 0, err
		}
	}
	return c.Conn.Read(p)
}

func (c *boundedConn) Write(p []byte) (int, error) {
	if !c.own {
		if err := c.Conn.SetWriteDeadline(time.Now().Add(answerTimeout)); err != nil {
			return 0, err
		}
	}
	return c.Conn.Write(p)
}

// classify adds to an error of the driver the kind that it is of. A context that was cancelled is no fault of the
// database.
func classify(ctx context.Context, err error) error {
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

// classifyCommit does the same for the answer to a COMMIT. Only a refusal by a server that is there is an answer.
func classifyCommit(ctx context.Context, err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return classify(ctx, err) // The context ended before COMMIT was sent.
	}
	if refused, ok := errors.AsType[*pq.Error](err); ok {
		switch refused.Code.Class() {
		case "22", "23", "25", "2D", "53", "55":
			return classify(ctx, err)
		case "40":
			if refused.Code != pqerror.TRStatementCompletionUnknown {
				return classify(ctx, err)
			}
		}
	}
	return fmt.Errorf("%w: %w", ErrUnknownCommit, classify(ctx, err))
}

func hasKind(err error) bool {
	for _, kind := range []error{ErrFenced, ErrConflict, ErrUnavailable, ErrRejected, ErrCorrupt, ErrUnknownCommit, ErrOtherCluster, ErrRestored, ErrSchemaTooNew} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
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
	case pqerror.QueryCanceled, // statement_timeout; a cancelled context has been answered before
		pqerror.AdminShutdown, pqerror.CrashShutdown, pqerror.CannotConnectNow, pqerror.DatabaseDropped, pqerror.IdleSessionTimeout,
		pqerror.IdleInTransactionSessionTimeout,
		pqerror.ReadOnlySQLTransaction, pqerror.InvalidSQLStatementName, pqerror.FeatureNotSupported: // the connection is dropped
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
	case "22", "23":
		return ErrRejected
	}
	return nil
}
