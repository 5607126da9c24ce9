package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"kontroler/store"
	"kontroler/store/migrations"
)

const (
	// checkEvery is how often the databases are checked.
	checkEvery = 2 * time.Second
	// checkTimeout bounds one check.
	checkTimeout = 10 * time.Second
	// patience is how long a schema or a privilege may be missing before the process exits.
	patience = time.Minute
)

// monitor checks whether the databases can be used.
type monitor struct {
	// prepare migrates the accounts and creates the first user. Once it has succeeded, it checks that the users can be
	// read.
	prepare func(context.Context) error
	// checkViews checks that the views can be read.
	checkViews func(context.Context) error
	report     func(database string, isUp bool)
	now        func() time.Time
	log        *slog.Logger

	mu          sync.Mutex
	isPrepared  bool
	faults      map[string]string // by database; empty means that it can be used
	brokenSince time.Time
}

// The databases, in health and metrics.
const (
	accountsDatabase = "accounts"
	viewsDatabase    = "views"
)

func newMonitor(prepare, checkViews func(context.Context) error, report func(string, bool), now func() time.Time,
	log *slog.Logger) *monitor {
	return &monitor{
		prepare: prepare, checkViews: checkViews, report: report, now: now, log: log,
		faults: map[string]string{accountsDatabase: "no answer yet", viewsDatabase: "no answer yet"},
	}
}

// hasPrepared reports whether the accounts were usable once.
func (m *monitor) hasPrepared() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.isPrepared
}

// fault returns a function that says why a database cannot be used, or "".
func (m *monitor) fault(database string) func() string {
	return func() string {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.faults[database]
	}
}

// run checks until ctx ends, or until a fault remains that waiting cannot fix, which it returns.
func (m *monitor) run(ctx context.Context) error {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for {
		if err := m.check(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// check checks both databases once. It returns an error if the process is to exit.
func (m *monitor) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	prepareErr := m.prepare(ctx)
	if errors.Is(ctx.Err(), context.Canceled) {
		return nil
	}
	if isHopeless(prepareErr) {
		return prepareErr
	}
	viewsErr := m.checkViews(ctx)
	if errors.Is(ctx.Err(), context.Canceled) {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.isPrepared = m.isPrepared || prepareErr == nil
	m.note(accountsDatabase, prepareErr)
	m.note(viewsDatabase, viewsErr)
	broken := brokenErr(prepareErr, viewsErr)
	if broken == nil {
		m.brokenSince = time.Time{}
		return nil
	}
	if m.brokenSince.IsZero() {
		m.brokenSince = m.now()
	}
	if m.now().Sub(m.brokenSince) >= patience {
		return broken
	}
	return nil
}

// note records the state of a database, and logs it when it changes.
func (m *monitor) note(database string, err error) {
	fault := ""
	if err != nil {
		fault = err.Error()
	}
	m.report(database, err == nil)
	if m.faults[database] == fault {
		return
	}
	m.faults[database] = fault
	if err != nil {
		m.log.Warn("waiting for a database", "database", database, "error", err)
	} else {
		m.log.Info("the database can be used", "database", database)
	}
}

// brokenErr returns those of the two errors that isBroken reports, or nil.
func brokenErr(prepareErr, viewsErr error) error {
	switch {
	case isBroken(prepareErr) && isBroken(viewsErr):
		return fmt.Errorf("%w. Besides, %w", prepareErr, viewsErr)
	case isBroken(prepareErr):
		return prepareErr
	case isBroken(viewsErr):
		return viewsErr
	}
	return nil
}

// isBroken reports whether a database answers, but lacks something that an operator must add, such as a privilege.
func isBroken(err error) bool {
	return err != nil && !store.IsUnavailable(err) && !errors.Is(err, context.DeadlineExceeded) &&
		!errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrUnknownCommit)
}

// isHopeless reports whether only a new configuration or a newer version of the server can help.
func isHopeless(err error) bool {
	_, isTooNew := errors.AsType[*migrations.TooNewError](err)
	_, isConfig := errors.AsType[*configError](err)
	return isTooNew || isConfig
}
