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

// Report receives whether a kind can be read in a namespace, or in all namespaces if it is empty.
type Report func(resource, namespace string, isUp bool)

// source is a kind in one namespace, or in all, and whether it can be read there.
type source struct {
	request
	report Report
	log    *slog.Logger

	mu     sync.Mutex
	failed error // why the kind cannot be read now; nil if it can
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

// isWaiting reports whether no request has succeeded or failed yet.
func (s *source) isWaiting() bool { return errors.Is(s.fault(), errNotRead) }

// note records the result of a request, and logs when it changes. A nil err means that the kind can be read.
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

// quiet is the log sink of client-go. It drops errors while the source cannot be read, because note has logged why.
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
