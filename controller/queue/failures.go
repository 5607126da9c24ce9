package queue

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"kontroler/controller/wait"
	"kontroler/store"
)

// Failures logs the errors of work that is retried.
type Failures struct {
	log   *slog.Logger
	away  func() (since time.Time, away bool)
	end   context.CancelCauseFunc
	stall *stall
}

// NewFailures makes the Failures of a term. away reports whether the database does not answer pings. end ends the term;
// the first error counts.
func NewFailures(
	log *slog.Logger, away func() (since time.Time, away bool), end context.CancelCauseFunc,
) *Failures {
	return &Failures{log: log, away: away, end: end, stall: &stall{log: log}}
}

// Failed logs an error of work that is retried. store.ErrFenced ends the term. While the database is unavailable, it
// logs once.
func (f *Failures) Failed(err error) {
	switch {
	case errors.Is(err, store.ErrFenced):
		f.end(err)
	case f.IsOutage(err): // the ping logs it
	case store.IsUnavailable(err):
		f.stall.note(err, time.Now())
	case apierrors.IsConflict(err):
		f.log.Debug("failed; will be retried", "error", err)
	default:
		f.log.Warn("failed; will be retried", "error", err)
	}
}

// IsOutage reports whether an error comes from an outage of the database, which readiness and DagRuns show. A database
// that answers and cannot do what a sync needs, because its disk is full or a table is locked, is a fault of that sync.
func (f *Failures) IsOutage(err error) bool {
	_, isAway := f.away()
	return isAway && store.IsUnavailable(err)
}

// Watch logs when the database works again, until ctx ends.
func (f *Failures) Watch(ctx context.Context) {
	for wait.For(ctx, stallCheck) {
		_, isAway := f.away()
		f.stall.check(isAway, time.Now())
	}
}

const (
	// stallAfter is how long work must fail before it is logged. By then the ping has seen an outage.
	stallAfter = 10 * time.Second
	// stallEnds is how long no work may fail before the database counts as working again. A statement that times out
	// takes half a minute, and some work is done every minute.
	stallEnds  = 90 * time.Second
	stallCheck = 5 * time.Second
)

// stall is a time in which the database answers pings and does not do what work needs: its disk is full, a table is
// locked, statements time out. It is logged once when it begins and once when it is over.
type stall struct {
	log *slog.Logger

	mu          sync.Mutex
	first, last time.Time // failures
	isLogged    bool
}

// note notes a failure.
func (s *stall) note(err error, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first.IsZero() {
		s.first = now
	}
	s.last = now
	if !s.isLogged && now.Sub(s.first) >= stallAfter {
		s.isLogged = true
		s.log.Warn("the database answers pings, but operations fail; they are retried", "error", err)
	}
}

// check ends a stall if no work has failed for stallEnds, or if it has become an outage.
func (s *stall) check(isAway bool, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	isOver := !s.first.IsZero() && now.Sub(s.last) >= stallEnds
	if !isOver && !isAway {
		return
	}
	if s.isLogged && !isAway {
		s.log.Info("database operations succeed again", "failed", s.last.Sub(s.first).Round(time.Second).String())
	}
	s.first, s.last, s.isLogged = time.Time{}, time.Time{}, false
}
