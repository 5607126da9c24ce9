package cluster

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"k8s.io/klog/v2"
)

// errNotRead is the cause of an Error before anything was read.
var errNotRead = errors.New("nothing was read yet")

// Report is told whether a kind can be read in a namespace, or in all if it is empty.
type Report func(resource, namespace string, isUp bool)

// source is a kind in a namespace, or in all, and whether it can be read there.
type source struct {
	request
	report Report
	log    *slog.Logger

	mu     sync.Mutex
	failed error // why it cannot be read now
}

func newSource(asked request, report Report, log *slog.Logger) *source {
	notYet := &Error{"The server has not read the " + asked.resource + " of the cluster yet.", errNotRead}
	return &source{request: asked, report: report, log: log, failed: notYet}
}

// fault returns why the kind cannot be read, or nil.
func (s *source) fault() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// isWaiting reports whether nothing is known yet.
func (s *source) isWaiting() bool { return errors.Is(s.fault(), errNotRead) }

// note records whether the kind can be read, by the error of a request. It logs a change.
func (s *source) note(err error) {
	if errors.Is(err, context.Canceled) {
		return // the server stops, or the client has gone
	}
	failed := s.request.failed(err)
	s.mu.Lock()
	before := s.failed
	s.failed = failed
	s.report(s.resource, s.namespace, failed == nil)
	s.mu.Unlock()
	switch {
	case failed != nil && detailOf(failed) != detailOf(before):
		s.log.Warn("live objects cannot be read", "resource", s.resource, "namespace", s.namespace, "error", failed)
	case failed == nil && before != nil && !errors.Is(before, errNotRead):
		s.log.Info("live objects can be read again", "resource", s.resource, "namespace", s.namespace)
	}
}

// quiet is the log of client-go, without the errors of a source that has logged why it cannot be read.
type quiet struct {
	klog.LogSink
	source *source
}

// Error logs an error.
func (q quiet) Error(err error, message string, keysAndValues ...any) {
	if q.source.fault() == nil || q.source.isWaiting() {
		q.LogSink.Error(err, message, keysAndValues...)
	}
}

// WithName returns a log with a longer name.
func (q quiet) WithName(name string) klog.LogSink { return quiet{q.LogSink.WithName(name), q.source} }

// WithValues returns a log with more values.
func (q quiet) WithValues(keysAndValues ...any) klog.LogSink {
	return quiet{q.LogSink.WithValues(keysAndValues...), q.source}
}
