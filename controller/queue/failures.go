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

// NewFailures makes the Failures of a term. away reports whether the database does not answer pings. end ends the term
// with a cause; the first one counts.
func NewFailures(
	log *slog.Logger, away func() (since time.Time, away bool), end context.CancelCauseFunc,
) *Failures {
	return &Failures{log: log, away: away, end: end, stall: &stall{log: log}}
}

// Failed logs an error of work that is retried. store.ErrFenced ends the term instead. Errors of an unavailable
// database are not logged one by one.
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

// IsOutage reports whether an error comes from an outage of the database, which readiness and DagRuns show. If the
// database answers but an operation fails, because the disk is full or a table is locked, the error belongs to the
// sync.
func (f *Failures) IsOutage(err error) bool {
	_, isAway := f.away()
	return isAway && store.IsUnavailable(err)
}

// Watch logs the end of a stall. It runs until ctx ends.
func (f *Failures) Watch(ctx context.Context) {
	for wait.For(ctx, stallCheck) {
		_, isAway := f.away()
		f.stall.check(isAway, time.Now())
	}
}

const (
	// stallAfter is how long operations must fail before a stall is logged. By then, a ping would have detected an
	// outage.
	stallAfter = 10 * time.Second
	// stallEnds is how long no operation may have failed when a stall counts as over. It must be long enough for the
	// next failure: a statement times out after half a minute, and some work runs only once a minute.
	stallEnds  = 90 * time.Second
	stallCheck = 5 * time.Second
)

// stall is a period in which the database answers pings but operations fail: the disk is full, a table is locked,
// statements time out. It is logged once when it begins and once when it is over.
type stall struct {
	log *slog.Logger

	mu          sync.Mutex
	first, last time.Time // failures
	isLogged    bool
}

// note records a failed operation.
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

// check ends a stall if no operation has failed for stallEnds, or if the stall has become an outage.
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
