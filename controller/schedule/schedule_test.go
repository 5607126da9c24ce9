package schedule_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"kontroler/apis/dag"
	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/schedule"

	"github.com/google/go-cmp/cmp"
	"github.com/robfig/cron/v3"
)

func parse(t *testing.T, expression, zone string) cron.Schedule {
	t.Helper()
	var name *string
	if zone != "" {
		name = &zone
	}
	parsed, _, err := dag.ParseSchedule(expression, name)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func at(text string) time.Time {
	parsed, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return parsed.UTC()
}

func TestDecide(t *testing.T) {
	const hourly = "0 * * * *"
	minute, all := time.Minute, v1alpha1.CatchUpAll
	begin := at("2025-03-01T00:30:00Z")
	hour := func(n int) time.Time { return at("2025-03-01T00:00:00Z").Add(time.Duration(n) * time.Hour) }
	tick := func(outcome string, from, to int) schedule.Tick {
		return schedule.Tick{From: hour(from), To: hour(to), Count: to - from + 1, Outcome: outcome}
	}
	for name, c := range map[string]struct {
		state   schedule.State
		now     time.Time
		want    []schedule.Tick
		replace bool
	}{
		"not due":                   {now: hour(1).Add(-time.Second)},
		"due":                       {now: hour(1), want: []schedule.Tick{tick("Ran", 1, 1)}},
		"the clock went back":       {now: begin.Add(-time.Hour)},
		"latest":                    {now: hour(5).Add(2 * minute), want: []schedule.Tick{tick("Missed", 1, 4), tick("Ran", 5, 5)}},
		"none":                      {state: schedule.State{CatchUp: v1alpha1.CatchUpNone}, now: hour(5).Add(2 * minute), want: []schedule.Tick{tick("Missed", 1, 5)}},
		"none, a little late":       {state: schedule.State{CatchUp: v1alpha1.CatchUpNone}, now: hour(5).Add(minute), want: []schedule.Tick{tick("Missed", 1, 4), tick("Ran", 5, 5)}},
		"all":                       {state: schedule.State{CatchUp: all}, now: hour(3), want: []schedule.Tick{tick("Ran", 1, 1), tick("Ran", 2, 2), tick("Ran", 3, 3)}},
		"all, within its limit":     {state: schedule.State{CatchUp: all, Limit: 2}, now: hour(4), want: []schedule.Tick{tick("Missed", 1, 2), tick("Ran", 3, 3), tick("Ran", 4, 4)}},
		"too late":                  {state: schedule.State{CatchUp: all, Limit: 2, Deadline: &minute}, now: hour(4).Add(2 * minute), want: []schedule.Tick{tick("TooLate", 1, 4)}},
		"some too late":             {state: schedule.State{CatchUp: all, Deadline: &minute}, now: hour(4).Add(minute), want: []schedule.Tick{tick("TooLate", 1, 3), tick("Ran", 4, 4)}},
		"suspended":                 {state: schedule.State{Held: "Suspended"}, now: hour(4), want: []schedule.Tick{tick("Suspended", 1, 4)}},
		"Forbid, nothing live":      {state: schedule.State{Concurrency: "Forbid", CatchUp: all}, now: hour(2), want: []schedule.Tick{tick("Missed", 1, 1), tick("Ran", 2, 2)}},
		"Forbid beside a live run":  {state: schedule.State{Concurrency: "Forbid", Live: true}, now: hour(1), want: []schedule.Tick{tick("Overlapped", 1, 1)}},
		"Allow beside a live run":   {state: schedule.State{Concurrency: "Allow", Live: true}, now: hour(1), want: []schedule.Tick{tick("Ran", 1, 1)}},
		"Replace beside a live run": {state: schedule.State{Concurrency: "Replace", Live: true}, now: hour(1), want: []schedule.Tick{tick("Ran", 1, 1)}, replace: true},
	} {
		t.Run(name, func(t *testing.T) {
			c.state.Schedule, c.state.Cursor = parse(t, hourly, ""), begin
			d := schedule.Decide(c.state, c.now)
			if diff := cmp.Diff(c.want, d.Ticks); diff != "" {
				t.Errorf("ticks (-want +got):\n%s", diff)
			}
			if d.Replace != c.replace || d.More || !d.Next.After(c.now) {
				t.Errorf("replace %t, more %t, next %s", d.Replace, d.More, d.Next)
			}
		})
	}
}

// Daylight saving: a time that is skipped is not due on that day, a time that is repeated is due twice.
func TestDaylightSaving(t *testing.T) {
	for name, c := range map[string]struct {
		expression, zone, from, to string
		want                       []string
	}{
		"a time that New York skips":     {"30 2 * * *", "America/New_York", "2025-03-08T12:00:00Z", "2025-03-10T12:00:00Z", []string{"2025-03-10T06:30:00Z"}},
		"a time that New York repeats":   {"30 1 * * *", "America/New_York", "2025-11-01T12:00:00Z", "2025-11-03T00:00:00Z", []string{"2025-11-02T05:30:00Z", "2025-11-02T06:30:00Z"}},
		"a time that Berlin skips":       {"30 2 * * *", "Europe/Berlin", "2025-03-29T12:00:00Z", "2025-03-31T12:00:00Z", []string{"2025-03-31T00:30:00Z"}},
		"a time that Berlin repeats":     {"30 2 * * *", "Europe/Berlin", "2025-10-25T12:00:00Z", "2025-10-26T12:00:00Z", []string{"2025-10-26T00:30:00Z", "2025-10-26T01:30:00Z"}},
		"hourly through a skipped hour":  {"0 * * * *", "Europe/Berlin", "2025-03-30T00:30:00Z", "2025-03-30T02:30:00Z", []string{"2025-03-30T01:00:00Z", "2025-03-30T02:00:00Z"}},
		"hourly through a repeated hour": {"0 * * * *", "Europe/Berlin", "2025-10-25T23:30:00Z", "2025-10-26T02:30:00Z", []string{"2025-10-26T00:00:00Z", "2025-10-26T01:00:00Z", "2025-10-26T02:00:00Z"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := schedule.State{Schedule: parse(t, c.expression, c.zone), Cursor: at(c.from), CatchUp: v1alpha1.CatchUpAll}
			var got []string
			for _, tick := range schedule.Decide(s, at(c.to)).Ticks {
				got = append(got, tick.From.Format(time.RFC3339))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("due times (-want +got):\n%s", diff)
			}
		})
	}
}

// Years of minutes are counted in bounded steps, and what runs is the newest.
func TestLongGap(t *testing.T) {
	begin, now := at("2024-01-01T00:00:00Z"), at("2026-01-01T00:00:30Z")
	s := schedule.State{Schedule: parse(t, "* * * * *", ""), Cursor: begin, CatchUp: v1alpha1.CatchUpAll, Limit: 7}
	count, ran := 0, 0
	for steps := 0; ; steps++ {
		d := schedule.Decide(s, now)
		for _, tick := range d.Ticks {
			count += tick.Count
			if tick.Outcome == schedule.Ran {
				ran++
			}
		}
		s.Cursor = d.Cursor
		if !d.More {
			break
		}
		if steps > 1000 {
			t.Fatal("it does not end")
		}
	}
	if want := int(now.Sub(begin) / time.Minute); count != want || ran != 7 || !s.Cursor.Equal(at("2026-01-01T00:00:00Z")) {
		t.Errorf("%d due times, %d ran, cursor %s; want %d and 7", count, ran, s.Cursor, want)
	}
}

// Whatever the clock, the policies and the controller's absences do, every due time is in exactly one tick.
func TestEveryDueTimeOnce(t *testing.T) {
	expressions := []string{"* * * * *", "*/7 * * * *", "30 2 * * *", "0 */3 * * 1-5", "@hourly", "@every 90s", "@every 3s"}
	zones := []string{"", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"}
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		s := schedule.State{Schedule: parse(t, expressions[r.IntN(len(expressions))], zones[r.IntN(len(zones))])}
		begin := at("2025-01-01T00:00:00Z").Add(time.Duration(r.IntN(365*24*60)) * time.Minute)
		s.Cursor = begin
		now, highest := begin, begin
		var ticks []schedule.Tick
		for range 40 {
			s.CatchUp = []v1alpha1.CatchUpPolicy{"", "none", "latest", "all"}[r.IntN(4)]
			s.Concurrency = []v1alpha1.ConcurrencyPolicy{"", "Allow", "Forbid", "Replace"}[r.IntN(4)]
			s.Limit, s.Live, s.Held, s.Deadline = 1+r.IntN(5), r.IntN(2) == 0, "", nil
			if r.IntN(4) == 0 {
				s.Held = schedule.Suspended
			}
			if r.IntN(3) == 0 {
				deadline := time.Duration(r.IntN(600)) * time.Second
				s.Deadline = &deadline
			}
			step := []time.Duration{time.Second, time.Minute, time.Hour, 10 * time.Hour}[r.IntN(4)]
			now = now.Add(time.Duration(r.Int64N(int64(step)*2)) - step/3) // the clock may go back
			for more := true; more; {
				d := schedule.Decide(s, now)
				if d.Cursor.Before(s.Cursor) || d.Cursor.After(now) && d.Cursor.After(s.Cursor) {
					t.Fatalf("seed %d: cursor %s to %s at %s", seed, s.Cursor, d.Cursor, now)
				}
				if ran := len(d.Ticks); ran > s.Limit+2+11 {
					t.Fatalf("seed %d: %d rows with a limit of %d", seed, ran, s.Limit)
				}
				ticks, s.Cursor, more = append(ticks, d.Ticks...), d.Cursor, d.More
			}
			if now.After(highest) {
				highest = now
			}
		}
		next := s.Schedule.Next(begin)
		for _, tick := range ticks {
			from := tick.From
			for range tick.Count {
				if !next.Equal(from) {
					t.Fatalf("seed %d: due at %s, the ledger has %s", seed, next, from)
				}
				next = s.Schedule.Next(next)
				from = next
			}
			if tick.Count > 1 && tick.Outcome == schedule.Ran {
				t.Fatalf("seed %d: a stretch ran", seed)
			}
		}
		if !next.After(highest) {
			t.Fatalf("seed %d: %s is not in the ledger at %s", seed, next, highest)
		}
	}
}
