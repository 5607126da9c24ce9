package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kontroler/store"
	"kontroler/store/migrations"
)

func TestMonitor(t *testing.T) {
	away := fmt.Errorf("asking: %w", store.ErrUnavailable)
	broken := errors.New("no privilege")
	type step struct {
		after         time.Duration
		prepare, view error
		want          string // of the exit; empty means that the process does not exit
	}
	tests := map[string][]step{
		"the process waits forever for an unavailable database": {
			{prepare: away, view: away}, {after: time.Hour, prepare: away, view: away},
		},
		"a privilege may be missing for a minute": {
			{view: broken}, {after: time.Minute - 1, view: broken}, {after: 1, view: broken, want: "no privilege"},
		},
		"a schema of the accounts may be missing for a minute": {
			{prepare: broken}, {after: time.Minute, prepare: broken, want: "no privilege"},
		},
		"both faults are named": {
			{prepare: broken, view: broken}, {after: time.Minute, prepare: broken, view: broken,
				want: "no privilege. Besides, no privilege"},
		},
		"a grant in time restarts the minute": {
			{view: broken}, {after: 59 * time.Second}, {after: time.Second, view: broken},
			{after: 59 * time.Second, view: broken},
		},
		"an outage in between restarts the minute": {
			{view: broken}, {after: 59 * time.Second, prepare: away, view: away}, {after: time.Second, view: broken},
		},
		"a privilege that is lost later ends the process, too": {
			{}, {after: time.Hour, view: broken}, {after: time.Minute, view: broken, want: "no privilege"},
		},
		"a schema that is too new ends the process immediately": {
			{prepare: &migrations.TooNewError{Binary: 1, Oldest: 2, Schema: 2},
				want: "the schema is at version 2, which needs a binary of schema version 2 or newer; " +
					"this one has schema version 1. Use a newer release"},
		},
		"no password for the first user ends the process immediately": {
			{prepare: &configError{errNoPassword}, want: errNoPassword.Error()},
		},
	}
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			now := time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)
			var current step
			m := newMonitor(func(context.Context) error { return current.prepare },
				func(context.Context) error { return current.view }, func(string, bool) {},
				func() time.Time { return now }, slog.New(slog.DiscardHandler))
			if m.hasPrepared() || m.fault(accountsDatabase)() == "" {
				t.Error("ready before the first check")
			}
			for i, s := range steps {
				now, current = now.Add(s.after), s
				err := m.check(t.Context())
				got := ""
				if err != nil {
					got = err.Error()
				}
				if diff := cmp.Diff(s.want, got); diff != "" {
					t.Errorf("step %d (-want +got):\n%s", i, diff)
				}
				if s.want == "" && ((m.fault(accountsDatabase)() == "") != (s.prepare == nil) ||
					(m.fault(viewsDatabase)() == "") != (s.view == nil)) {
					t.Errorf("step %d: accounts %q, views %q", i, m.fault(accountsDatabase)(), m.fault(viewsDatabase)())
				}
			}
		})
	}
}
