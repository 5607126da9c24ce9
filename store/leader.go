package store

import (
	"context"
	"fmt"
	"time"

	"github.com/lib/pq"

	"kontroler/store/internal/postgres"
)

// Term is one term of leadership.
type Term struct {
	ControllerID string
	Shard        int
	Epoch        int64
	// IdleTimeout is the time after which the server ends an idle transaction of this leader. It must be shorter than
	// the time after which another process may lead. Zero means 5 s.
	IdleTimeout time.Duration
	// Hook, if it is not nil, is called with the state of each transaction: "transaction-open" after the fence,
	// "transaction-commit" before the commit, or before the one statement of the transaction. The controller sets it to
	// fault.Point, which does nothing except in binaries for crash tests.
	Hook func(point string)
	// RoundTrip, if it is not nil, is called on each round trip of the leader to the database.
	RoundTrip func()
}

func (t Term) at(point string) {
	if t.Hook != nil {
		t.Hook(point)
	}
}

// sessionName is the application_name of a leader's sessions, 63 bytes at most.
func (t Term) sessionName() string {
	return fmt.Sprintf("kontroler %s %d %d", t.ControllerID, t.Shard, t.Epoch)
}

// Leader writes in one term. Once the epoch of the term has passed, every write returns ErrFenced. Its methods write
// runs; each field has the writes and reads of one other subject.
type Leader struct {
	pool *termPool

	DAGs      *DAGs
	DagTasks  *DagTasks
	Schedules *Schedules
	Logs      *Logs
	PodEvents *PodEvents
	Outbox    *Outbox
	History   *History
}

// Lead opens the sessions of a term and checks that its epoch has not passed. If another server wrote
// kontroler.changes, Lead empties it; ErrConflict means that a reader holds the table.
func (db *DB) Lead(ctx context.Context, term Term) (*Leader, error) {
	if term.IdleTimeout <= 0 {
		term.IdleTimeout = 5 * time.Second
	}
	name := term.sessionName()
	if len(name) > 63 {
		return nil, fmt.Errorf("leading: session name %q is longer than 63 bytes", name)
	}
	pool, err := postgres.Open(db.config.URL, db.config.MaxOpen, term.RoundTrip, func(cfg *pq.Config) {
		cfg.ApplicationName = name
		cfg.Runtime["idle_in_transaction_session_timeout"] = postgres.Milliseconds(term.IdleTimeout)
		for name, value := range planSettings {
			cfg.Runtime[name] = value
		}
	})
	if err != nil {
		return nil, fmt.Errorf("leading: %w", err)
	}
	p := &termPool{db: pool, term: term, hasWritten: make(chan struct{}, 1)}
	p.prepared, err = postgres.Prepare(ctx, pool, preparedStatements())
	if err == nil {
		err = p.inTx(ctx, func(q querier) error { return emptyForeignChanges(ctx, q) })
	}
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("leading epoch %d of shard %d: %w", term.Epoch, term.Shard, err)
	}
	return &Leader{
		pool: p, DAGs: &DAGs{p}, DagTasks: &DagTasks{p}, Schedules: &Schedules{pool: p},
		Logs:      &Logs{pool: p, saves: make(chan struct{}, max(1, db.config.MaxOpen/2))},
		PodEvents: &PodEvents{p}, Outbox: &Outbox{p}, History: &History{p},
	}, nil
}

// Close closes the leader's sessions.
func (l *Leader) Close() error { return l.pool.db.Close() }

const sqlClock = `SELECT clock_timestamp()`

// Clock reads the database's clock, which is the same for all leaders.
func (l *Leader) Clock(ctx context.Context) (now time.Time, err error) {
	err = l.pool.db.QueryRowContext(ctx, sqlClock).Scan(nullTime(&now))
	return now, postgres.Failed(ctx, err, "reading the database's clock")
}

// NotifyChannel is the channel on which Notify sends. A notification has no payload.
const NotifyChannel = "kontroler_changes"

// notifyInterval is the shortest time between two notifications.
const notifyInterval = 100 * time.Millisecond

const sqlNotify = `SELECT pg_notify('` + NotifyChannel + `', '')`

// wakeNotify wakes Notify after a commit. It does not block.
func (p *termPool) wakeNotify() {
	select {
	case p.hasWritten <- struct{}{}:
	default:
	}
}

// Notify notifies NotifyChannel after this leader has written, at most ten times a second, until ctx ends. It runs
// apart from the commits, which a NOTIFY in their transactions would serialize. A notification is a hint: there may be
// new rows in kontroler.changes. If the database does not accept one, Notify tries again.
func (l *Leader) Notify(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.pool.hasWritten:
		}
		if _, err := l.pool.db.ExecContext(ctx, sqlNotify); err != nil {
			l.pool.wakeNotify()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(notifyInterval):
		}
	}
}
