package queue

import (
	"bytes"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kontroler/store"
)

// TestStall: what is logged while the database answers pings and does not do what work needs.
func TestStall(t *testing.T) {
	const begins = "" +
		`level=WARN msg="the database answers pings, but operations fail; they are retried" ` +
		`error="pq: the disk is full: the database is unavailable"` + "\n"
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		failures []int // seconds
		away     int   // when the ping fails; 0: never
		until    int   // the last check
		want     string
	}{
		"one failure is no stall":            {failures: []int{0}, until: 200},
		"failures of a few seconds are none": {failures: []int{0, 1, 2, 9}, until: 200},
		"a stall is logged once":             {failures: []int{0, 1, 9, 10, 11, 90, 170}, until: 200, want: begins},
		"its end is logged": {
			failures: []int{0, 31, 62}, until: 200,
			want: begins + `level=INFO msg="database operations succeed again" failed=1m2s` + "\n",
		},
		"the next stall is logged too": {
			failures: []int{0, 12, 200, 211}, until: 250,
			want: begins + `level=INFO msg="database operations succeed again" failed=12s` + "\n" + begins,
		},
		"failures far apart are no stall":      {failures: []int{0, 100, 200, 300}, until: 400},
		"an outage takes the place of a stall": {failures: []int{0, 12}, away: 15, until: 200, want: begins},
		"an outage begins with a few failures": {failures: []int{0, 1, 2}, away: 3, until: 200},
		"a stall after an outage begins afresh": {
			failures: []int{0, 12, 40, 51}, away: 20, until: 60, want: begins + begins,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			s := &stall{log: withoutTime(&log)}
			err := fmt.Errorf("pq: the disk is full: %w", store.ErrUnavailable)
			for second, left := 0, test.failures; second <= test.until; second++ {
				now := began.Add(time.Duration(second) * time.Second)
				if len(left) > 0 && left[0] == second {
					s.note(err, now)
					left = left[1:]
				}
				s.check(test.away != 0 && second == test.away, now)
			}
			if diff := cmp.Diff(test.want, log.String()); diff != "" {
				t.Errorf("log (-want +got):\n%s", diff)
			}
		})
	}
}

// TestFailed checks which errors of the database are logged immediately, count as a stall, or are left to the ping.
func TestFailed(t *testing.T) {
	for name, test := range map[string]struct {
		err              error
		isAway           bool
		wantsLog, stalls bool
	}{
		"a fault of the sync":              {err: store.ErrRejected, wantsLog: true},
		"an outage that the ping sees":     {err: store.ErrUnavailable, isAway: true},
		"a database that answers the ping": {err: store.ErrUnavailable, stalls: true},
		"a fault beside an outage":         {err: store.ErrRejected, isAway: true, wantsLog: true},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			f := &Failures{
				away:  func() (time.Time, bool) { return time.Time{}, test.isAway },
				stall: &stall{log: withoutTime(&log)}, log: withoutTime(&log),
			}
			f.Failed(test.err)
			if got := log.Len() > 0; got != test.wantsLog {
				t.Errorf("log %q", log.String())
			}
			if got := !f.stall.first.IsZero(); got != test.stalls {
				t.Errorf("a stall has begun: %t", got)
			}
		})
	}
}

func withoutTime(to *bytes.Buffer) *slog.Logger {
	return slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}
