package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"kontroler/controller/install"
)

// TestAwaitCluster checks that a start waits while the API server is unavailable, and for nothing else.
func TestAwaitCluster(t *testing.T) {
	away := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	refused := errors.New("the controller lacks permissions")
	for name, test := range map[string]struct {
		answers    []error // in turn; the last one repeats
		cancelAt   time.Duration
		tries, log int
		err        error
	}{
		"an API server that answers":     {answers: []error{nil}, tries: 1},
		"a refusal ends the start":       {answers: []error{refused}, tries: 1, err: refused},
		"a refusal after an outage does": {answers: []error{away, refused}, tries: 2, log: 1, err: refused},
		"an outage is logged every 5 s": {
			answers: []error{away, away, away, away, away, away, nil}, tries: 7, log: 2,
		},
		"the end of the process ends the wait": {
			answers: []error{away}, cancelAt: 1500 * time.Millisecond, tries: 2, log: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				want := test.err
				if test.cancelAt != 0 {
					time.AfterFunc(test.cancelAt, cancel)
					want = context.Canceled
				}
				var log bytes.Buffer
				tries := 0
				_, err := awaitCluster(ctx, slog.New(slog.NewTextHandler(&log, nil)), func() (install.Cluster, error) {
					tries++
					return install.Cluster{}, test.answers[min(tries, len(test.answers))-1]
				})
				if !errors.Is(err, want) || tries != test.tries {
					t.Errorf("%d tries end with %v, want %d with %v", tries, err, test.tries, want)
				}
				if got := strings.Count(log.String(), "waiting for the API server"); got != test.log {
					t.Errorf("%d lines, want %d:\n%s", got, test.log, log.String())
				}
			})
		})
	}
}

func TestFaultsOfTheProbes(t *testing.T) {
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))
	tests := map[string]struct{ got, want string }{
		"a database that answers has no fault": {
			databaseFault(func() (time.Time, bool) { return since, false })(), "",
		},
		"an unavailable database says since when": {
			databaseFault(func() (time.Time, bool) { return since, true })(), "no answer since 2026-01-02T02:04:05Z",
		},
		"caches that are filled have no fault": {cachesFault(func() bool { return true })(), ""},
		"empty caches wait for their first lists": {
			cachesFault(func() bool { return false })(), "waiting for the first lists of the watches",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if test.got != test.want {
				t.Errorf("fault %q, want %q", test.got, test.want)
			}
		})
	}
}
