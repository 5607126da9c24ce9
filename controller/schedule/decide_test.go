package schedule

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/robfig/cron/v3"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/store"
)

func parsed(t *testing.T, expression, zone string) cron.Schedule {
	t.Helper()
	schedule, err := parse(expression, zone)
	if err != nil {
		t.Fatal(err)
	}
	return schedule
}

// at parses a time in RFC 3339.
func at(text string) time.Time {
	parsed, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return parsed.UTC()
}

// hour is a full hour of a day. An hourly schedule is due then.
func hour(n int) time.Time { return at("2025-03-01T00:00:00Z").Add(time.Duration(n) * time.Hour) }

// hours is the tick of the hours from one to another.
func hours(outcome string, from, to int) store.Tick {
	return store.Tick{From: hour(from), To: hour(to), Count: to - from + 1, Outcome: outcome}
}

// single is the tick of one due time.
func single(outcome string, at time.Time) store.Tick {
	return store.Tick{From: at, To: at, Count: 1, Outcome: outcome}
}

func TestDecide(t *testing.T) {
	second := func(n int) time.Time { return hour(1).Add(time.Duration(n) * time.Second) }
	const minute, all, none = time.Minute, v1alpha1.CatchUpAll, v1alpha1.CatchUpNone
	for name, c := range map[string]struct {
		state    state
		now      time.Time
		want     []store.Tick
		replaces bool
	}{
		"a due time in the future has no tick": {now: hour(1).Add(-time.Second)},
		"a due time runs":                      {now: hour(1), want: []store.Tick{hours("Ran", 1, 1)}},
		"a clock that went back has no tick":   {now: hour(0)},
		"latest runs the newest due time of a gap": {
			now: hour(5).Add(2 * minute), want: []store.Tick{hours("Missed", 1, 4), hours("Ran", 5, 5)},
		},
		"none runs nothing of a gap": {
			state: state{catchUp: none}, now: hour(5).Add(2 * minute), want: []store.Tick{hours("Missed", 1, 5)},
		},
		"none runs the newest due time within a minute": {
			state: state{catchUp: none}, now: hour(5).Add(minute),
			want: []store.Tick{hours("Missed", 1, 4), hours("Ran", 5, 5)},
		},
		"all runs every due time of a gap": {
			state: state{catchUp: all}, now: hour(3),
			want: []store.Tick{hours("Ran", 1, 1), hours("Ran", 2, 2), hours("Ran", 3, 3)},
		},
		"all runs no more due times than its limit": {
			state: state{catchUp: all, limit: 2}, now: hour(4),
			want: []store.Tick{hours("Missed", 1, 2), hours("Ran", 3, 3), hours("Ran", 4, 4)},
		},
		"no due time runs after its deadline": {
			state: state{catchUp: all, limit: 2, deadline: new(minute)}, now: hour(4).Add(2 * minute),
			want: []store.Tick{hours("TooLate", 1, 4)},
		},
		"a due time runs until its deadline": {
			state: state{catchUp: all, deadline: new(minute)}, now: hour(4).Add(minute),
			want: []store.Tick{hours("TooLate", 1, 3), hours("Ran", 4, 4)},
		},
		"a deadline below ten seconds counts as ten": {
			state: state{deadline: new(time.Second)}, now: second(10), want: []store.Tick{hours("Ran", 1, 1)},
		},
		"a suspended schedule runs nothing": {
			state: state{heldAs: "Suspended"}, now: hour(4), want: []store.Tick{hours("Suspended", 1, 4)},
		},
		"a stretch ends with its month": {
			state: state{heldAs: "Suspended"}, now: hour(31*24 + 1),
			want: []store.Tick{hours("Suspended", 1, 31*24-1), hours("Suspended", 31*24, 31*24+1)},
		},
		"Forbid runs only the newest due time of a gap": {
			state: state{concurrency: "Forbid", catchUp: all}, now: hour(2),
			want: []store.Tick{hours("Missed", 1, 1), hours("Ran", 2, 2)},
		},
		"Forbid runs nothing beside a live run": {
			state: state{concurrency: "Forbid", hasLiveRun: true}, now: hour(1),
			want: []store.Tick{hours("Overlapped", 1, 1)},
		},
		"Allow runs beside a live run": {
			state: state{concurrency: "Allow", hasLiveRun: true}, now: hour(1), want: []store.Tick{hours("Ran", 1, 1)},
		},
		"Replace runs and replaces a live run": {
			state: state{concurrency: "Replace", hasLiveRun: true}, now: hour(1),
			want: []store.Tick{hours("Ran", 1, 1)}, replaces: true,
		},
		"Replace replaces nothing if no run is live": {
			state: state{concurrency: "Replace"}, now: hour(1), want: []store.Tick{hours("Ran", 1, 1)},
		},
		"due times of the last ten seconds are no gap": {
			state: state{schedule: parsed(t, "@every 3s", ""), cursor: hour(1), catchUp: none}, now: second(9),
			want: []store.Tick{single("Ran", second(3)), single("Ran", second(6)), single("Ran", second(9))},
		},
		"Forbid runs only the newest due time of the last ten seconds": {
			state: state{schedule: parsed(t, "@every 3s", ""), cursor: hour(1), concurrency: "Forbid"}, now: second(6),
			want: []store.Tick{single("Missed", second(3)), single("Ran", second(6))},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if c.state.schedule == nil {
				c.state.schedule, c.state.cursor = parsed(t, "0 * * * *", ""), hour(0).Add(30*time.Minute)
			}
			d := decide(c.state, c.now)
			if diff := cmp.Diff(c.want, d.ticks); diff != "" {
				t.Errorf("ticks (-want +got):\n%s", diff)
			}
			if d.replacesRuns != c.replaces || d.hasMore || !d.next.After(c.now) {
				t.Errorf("replaces %t, has more %t, next %s", d.replacesRuns, d.hasMore, d.next)
			}
			cursor := c.state.cursor
			if n := len(c.want); n > 0 {
				cursor = c.want[n-1].To
			}
			if !d.cursor.Equal(cursor) {
				t.Errorf("the cursor is %s, want %s", d.cursor, cursor)
			}
		})
	}
}

func TestDaylightSaving(t *testing.T) {
	for name, c := range map[string]struct {
		expression, zone, from, to string
		want                       []string
	}{
		"a time that New York skips is not due that day": {
			"30 2 * * *", "America/New_York", "2025-03-08T12:00:00Z", "2025-03-10T12:00:00Z",
			[]string{"2025-03-10T06:30:00Z"},
		},
		"a time that New York repeats is due twice": {
			"30 1 * * *", "America/New_York", "2025-11-01T12:00:00Z", "2025-11-03T00:00:00Z",
			[]string{"2025-11-02T05:30:00Z", "2025-11-02T06:30:00Z"},
		},
		"a time that Berlin skips is not due that day": {
			"30 2 * * *", "Europe/Berlin", "2025-03-29T12:00:00Z", "2025-03-31T12:00:00Z",
			[]string{"2025-03-31T00:30:00Z"},
		},
		"a time that Berlin repeats is due twice": {
			"30 2 * * *", "Europe/Berlin", "2025-10-25T12:00:00Z", "2025-10-26T12:00:00Z",
			[]string{"2025-10-26T00:30:00Z", "2025-10-26T01:30:00Z"},
		},
		"an hourly schedule is due every hour around a skipped one": {
			"0 * * * *", "Europe/Berlin", "2025-03-30T00:30:00Z", "2025-03-30T02:30:00Z",
			[]string{"2025-03-30T01:00:00Z", "2025-03-30T02:00:00Z"},
		},
		"an hourly schedule is due in both of two repeated hours": {
			"0 * * * *", "Europe/Berlin", "2025-10-25T23:30:00Z", "2025-10-26T02:30:00Z",
			[]string{"2025-10-26T00:00:00Z", "2025-10-26T01:00:00Z", "2025-10-26T02:00:00Z"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := state{schedule: parsed(t, c.expression, c.zone), cursor: at(c.from), catchUp: v1alpha1.CatchUpAll}
			var got []string
			for _, tick := range decide(s, at(c.to)).ticks {
				got = append(got, tick.From.Format(time.RFC3339))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("due times (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCursorBefore(t *testing.T) {
	for _, expression := range []string{"* * * * *", "0 3 * * 1", "@hourly", "@every 1s", "@every 90s"} {
		schedule := parsed(t, expression, "")
		due := schedule.Next(at("2025-03-01T00:00:00Z"))
		if next := schedule.Next(cursorBefore(schedule, due)); !next.Equal(due) {
			t.Errorf("%s: due at %s after the cursor before %s", expression, next, due)
		}
	}
}

// A gap of three months of minutes is accounted for in bounded steps, and the newest due times run.
func TestLongGap(t *testing.T) {
	begin, now := at("2025-10-01T00:00:00Z"), at("2026-01-01T00:00:30Z")
	s := state{schedule: parsed(t, "* * * * *", ""), cursor: begin, catchUp: v1alpha1.CatchUpAll, limit: 7}
	count, ran := 0, 0
	for steps := 0; ; steps++ {
		d := decide(s, now)
		for _, tick := range d.ticks {
			count += tick.Count
			if tick.Outcome == outcomeRan {
				ran++
			}
		}
		s.cursor = d.cursor
		if !d.hasMore {
			break
		}
		if steps > 1000 {
			t.Fatal("it does not end")
		}
	}
	if want := int(now.Sub(begin) / time.Minute); count != want || ran != 7 {
		t.Errorf("%d due times, %d ran; want %d and 7", count, ran, want)
	}
	if want := now.Truncate(time.Minute); !s.cursor.Equal(want) {
		t.Errorf("cursor %s, want %s", s.cursor, want)
	}
}

// Whatever the clock, the policies and the controller's absences do, every due time is in exactly one tick.
func TestEveryDueTimeIsInOneTick(t *testing.T) {
	expressions := []string{
		"* * * * *", "*/7 * * * *", "30 2 * * *", "0 */3 * * 1-5", "@hourly", "@every 90s", "@every 3s",
	}
	zones := []string{"", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"}
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		s := state{schedule: parsed(t, expressions[r.IntN(len(expressions))], zones[r.IntN(len(zones))])}
		begin := at("2025-01-01T00:00:00Z").Add(time.Duration(r.IntN(365*24*60)) * time.Minute)
		s.cursor = begin
		now, latest := begin, begin
		var ticks []store.Tick
		for range 40 {
			s.randomize(r)
			step := []time.Duration{time.Second, time.Minute, time.Hour, 10 * time.Hour}[r.IntN(4)]
			now = now.Add(time.Duration(r.Int64N(int64(step)*2)) - step/3) // the clock may go back
			for hasMore := true; hasMore; {
				d := decide(s, now)
				if d.cursor.Before(s.cursor) || d.cursor.After(now) && d.cursor.After(s.cursor) {
					t.Fatalf("seed %d: cursor %s to %s at %s", seed, s.cursor, d.cursor, now)
				}
				if n := len(d.ticks); n > s.limit+2+11 {
					t.Fatalf("seed %d: %d ticks with a limit of %d", seed, n, s.limit)
				}
				ticks, s.cursor, hasMore = append(ticks, d.ticks...), d.cursor, d.hasMore
			}
			if now.After(latest) {
				latest = now
			}
		}
		checkTicks(t, seed, s.schedule, begin, latest, ticks)
	}
}

// randomize gives a state random policies.
func (s *state) randomize(r *rand.Rand) {
	s.catchUp = []v1alpha1.CatchUpPolicy{"", "none", "latest", "all"}[r.IntN(4)]
	s.concurrency = []v1alpha1.ConcurrencyPolicy{"", "Allow", "Forbid", "Replace"}[r.IntN(4)]
	s.limit, s.hasLiveRun, s.heldAs, s.deadline = 1+r.IntN(5), r.IntN(2) == 0, "", nil
	if r.IntN(4) == 0 {
		s.heldAs = outcomeSuspended
	}
	if r.IntN(3) == 0 {
		s.deadline = new(time.Duration(r.IntN(600)) * time.Second)
	}
}

// checkTicks checks that ticks are the due times of a schedule from one time to another.
func checkTicks(t *testing.T, seed uint64, schedule cron.Schedule, begin, latest time.Time, ticks []store.Tick) {
	t.Helper()
	next := schedule.Next(begin)
	for _, tick := range ticks {
		from := tick.From
		for range tick.Count {
			if !next.Equal(from) {
				t.Fatalf("seed %d: due at %s, the tick is of %s", seed, next, from)
			}
			next = schedule.Next(next)
			from = next
		}
		if tick.Count > 1 && tick.Outcome == outcomeRan {
			t.Fatalf("seed %d: a stretch ran", seed)
		}
	}
	if !next.After(latest) {
		t.Fatalf("seed %d: %s has no tick at %s", seed, next, latest)
	}
}
