package main

import (
	"testing"
	"time"
)

func TestFaultsOfTheProbes(t *testing.T) {
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))
	tests := map[string]struct{ got, want string }{
		"a database that answers has no fault": {
			databaseFault(func() (time.Time, bool) { return since, false })(), "",
		},
		"a database that is away says since when": {
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
