package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/lib/pq"
)

// The timeouts of a connection. The server ends a statement after statementTimeout. answerTimeout detects a server that
// has vanished.
const (
	connectTimeout   = 5 * time.Second
	statementTimeout = 30 * time.Second
	answerTimeout    = statementTimeout + 15*time.Second
)

// Open opens a pool of at most maxOpen connections. It does not connect yet. roundTrip, if it is not nil, is called
// with each round trip to the server. configure changes the settings of the URL. An error never contains the URL.
func Open(url string, maxOpen int, roundTrip func(), configure func(*pq.Config)) (*sql.DB, error) {
	return open(url, maxOpen, dialer{answerTimeout, roundTrip}, configure)
}

// OpenQuick opens a pool whose statements may take at most statement. A server that has vanished is noticed after 1.5
// times that.
func OpenQuick(url string, maxOpen int, statement time.Duration, configure func(*pq.Config)) (*sql.DB, error) {
	return open(url, maxOpen, dialer{answerTimeout: statement + statement/2}, func(cfg *pq.Config) {
		cfg.Runtime["statement_timeout"] = Milliseconds(statement)
		configure(cfg)
	})
}

// OpenUnbounded opens a pool of one connection, whose statements may take any time.
func OpenUnbounded(url string, configure func(*pq.Config)) (*sql.DB, error) {
	return open(url, 1, dialer{}, func(cfg *pq.Config) {
		cfg.Runtime["statement_timeout"] = "0"
		configure(cfg)
	})
}

func open(url string, maxOpen int, dialer dialer, configure func(*pq.Config)) (*sql.DB, error) {
	cfg, err := pq.NewConfig(url)
	if err != nil {
		// The parser's text may contain a part of the password.
		return nil, errors.New("the database URL is neither a valid postgres:// URL (special characters in a " +
			"password are written %XX) nor a valid list of key=value settings")
	}
	cfg.BinaryParameters = true // parameters travel with the statement, in one round trip
	if cfg.ConnectTimeout <= 0 {
		cfg.ConnectTimeout = connectTimeout
	}
	if cfg.Runtime == nil {
		cfg.Runtime = map[string]string{}
	}
	if _, set := cfg.Runtime["statement_timeout"]; !set {
		cfg.Runtime["statement_timeout"] = Milliseconds(statementTimeout)
	}
	configure(&cfg)
	inner, err := pq.NewConnectorConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	inner.Dialer(dialer)
	pool := sql.OpenDB(&connector{Connector: inner})
	pool.SetMaxOpenConns(maxOpen)
	pool.SetMaxIdleConns(maxOpen)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	pool.SetConnMaxLifetime(time.Hour)
	return pool, nil
}

// Milliseconds formats a duration for a setting of PostgreSQL.
func Milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// InTx runs fn in one transaction. It commits when fn returns nil, and rolls back when fn returns an error or panics.
// If the answer to the commit is lost, the error is ErrUnknownCommit.
func InTx(ctx context.Context, pool *sql.DB, fn func(*sql.Tx) error) error {
	tx, err := begin(ctx, pool)
	if err != nil {
		return fmt.Errorf("beginning a transaction: %w", Classify(ctx, err))
	}
	defer tx.Rollback() // does nothing after a commit
	if err := fn(tx); err != nil {
		return Classify(ctx, err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("committing: %w", classifyCommit(ctx, err))
	}
	return nil
}

// begin begins a transaction. On a connection that died while it was idle, the first statement fails without any
// effect. begin then tries the next connection, until all of them are new.
func begin(ctx context.Context, pool *sql.DB) (*sql.Tx, error) {
	for tries := 0; ; tries++ {
		tx, err := pool.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
		lost, ok := errors.AsType[*net.OpError](err)
		if !ok || lost.Op == "dial" || tries == pool.Stats().MaxOpenConnections || ctx.Err() != nil {
			return tx, err
		}
	}
}

// dialer makes connections with bounded reads and writes. Without these bounds, a server that vanishes from the network
// before it has answered would block its caller, even after the context has ended, until the kernel gives up a quarter
// of an hour later.
type dialer struct {
	// answerTimeout is how long an answer may take. Zero means any time; keep-alives detect a server that vanishes.
	answerTimeout time.Duration
	// roundTrip is called with the first read after each write. It may be nil.
	roundTrip func()
}

func (d dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil || d.answerTimeout == 0 {
		return conn, err
	}
	return &boundedConn{Conn: conn, dialer: d}, nil
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
	dialer
	hasWritten  bool // since the last read
	hasDeadline bool // the driver has set a deadline of its own, while it connects
}

func (c *boundedConn) SetDeadline(t time.Time) error {
	c.hasDeadline = !t.IsZero()
	return c.Conn.SetDeadline(t)
}

func (c *boundedConn) Read(p []byte) (int, error) {
	if c.hasWritten && c.roundTrip != nil {
		c.roundTrip()
	}
	c.hasWritten = false
	if !c.hasDeadline {
		if err := c.Conn.SetReadDeadline(time.Now().Add(c.answerTimeout)); err != nil {
			return 0, err
		}
	}
	return c.Conn.Read(p)
}

func (c *boundedConn) Write(p []byte) (int, error) {
	c.hasWritten = true
	if !c.hasDeadline {
		if err := c.Conn.SetWriteDeadline(time.Now().Add(c.answerTimeout)); err != nil {
			return 0, err
		}
	}
	return c.Conn.Write(p)
}
