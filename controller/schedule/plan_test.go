package schedule

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/names"
	"kontroler/store"
)

// hourly returns facts of an hourly schedule that is accounted for up to hour 0.
func hourly() facts {
	d := newDAG("hourly", "0 * * * *")
	row := store.Schedule{DAGID: 7, DAGUID: string(d.UID), Expression: "0 * * * *", Cursor: hour(0)}
	return facts{dag: d, row: row, now: hour(0).Add(30 * time.Minute)}
}

// liveRun is a run of the hourly schedule that has not ended.
func liveRun(n int) store.ScheduledRun {
	return store.ScheduledRun{DueAt: hour(n), Name: fmt.Sprint("run-", n), UID: testUID(n)}
}

// planned is what the tests compare of a plan.
type planned struct {
	Ticks            []string // "2 Missed"
	Runs             []string // "1 replaced", "2 new": by the hour
	Row              store.Schedule
	Next             time.Time
	Replace, HasMore bool
}

func summarize(p *plan) planned {
	got := planned{Row: p.After, Next: p.next, Replace: p.ReplaceRuns, HasMore: p.hasMore}
	for _, tick := range p.Ticks {
		got.Ticks = append(got.Ticks, fmt.Sprint(tick.Count, " ", tick.Outcome))
	}
	for _, run := range p.runs {
		text := fmt.Sprint(run.DueAt.Hour())
		if run.IsReplaced {
			text += " replaced"
		}
		if run.UID == "" {
			text += " new"
		}
		got.Runs = append(got.Runs, text)
	}
	return got
}

func TestMakePlan(t *testing.T) {
	const uid = "00000000-0000-4000-8000-000000000001"
	halfPast := hour(0).Add(30 * time.Minute)
	for name, c := range map[string]struct {
		change func(*facts)
		want   planned
	}{
		"nothing is due, and the row stays": {
			change: func(*facts) {},
			want:   planned{Row: store.Schedule{Expression: "0 * * * *", Cursor: hour(0)}, Next: hour(1)},
		},
		"a due time becomes a run": {
			change: func(f *facts) { f.now = hour(1) },
			want: planned{
				Ticks: []string{"1 Ran"}, Runs: []string{"1 new"},
				Row: store.Schedule{Expression: "0 * * * *", Cursor: hour(1)}, Next: hour(2),
			},
		},
		"a live run is replaced by the run of a due time": {
			change: func(f *facts) {
				f.dag.Spec.ConcurrencyPolicy, f.now = v1alpha1.ReplaceConcurrent, hour(1)
				f.live = []store.ScheduledRun{liveRun(0)}
			},
			want: planned{
				Ticks: []string{"1 Ran"}, Runs: []string{"0 replaced", "1 new"}, Replace: true,
				Row: store.Schedule{Expression: "0 * * * *", Cursor: hour(1)}, Next: hour(2),
			},
		},
		"a schedule without a row begins now": {
			change: func(f *facts) { f.row = store.Schedule{DAGID: 7} },
			want:   planned{Row: store.Schedule{Expression: "0 * * * *", Cursor: halfPast}, Next: hour(1)},
		},
		"the zone before a schedule is stored beside it": {
			change: func(f *facts) {
				f.row, f.dag.Spec.Schedule = store.Schedule{DAGID: 7}, "CRON_TZ=Europe/Berlin 0 2 * * *"
			},
			want: planned{
				Row:  store.Schedule{Expression: "0 2 * * *", TimeZone: "Europe/Berlin", Cursor: halfPast},
				Next: hour(1),
			},
		},
		"a suspended schedule has no next due time": {
			change: func(f *facts) { f.dag.Spec.Suspended, f.now = true, hour(2) },
			want: planned{
				Ticks: []string{"2 Suspended"},
				Row:   store.Schedule{Expression: "0 * * * *", Cursor: hour(2), HeldAs: "Suspended"},
			},
		},
		"what was due while a schedule was suspended does not run when it is resumed": {
			change: func(f *facts) { f.row.HeldAs, f.now = "Suspended", hour(2) },
			want: planned{
				Ticks: []string{"2 Suspended"},
				Row:   store.Schedule{Expression: "0 * * * *", Cursor: hour(2)}, Next: hour(3),
			},
		},
		"the schedule of an invalid DAG misses what is due": {
			change: func(f *facts) { setValid(f.dag, false); f.now = hour(1) },
			want: planned{
				Ticks: []string{"1 Missed"},
				Row:   store.Schedule{Expression: "0 * * * *", Cursor: hour(1), HeldAs: "Missed"},
			},
		},
		"a schedule that cannot be parsed is not due": {
			change: func(f *facts) {
				f.dag.Spec.Schedule, f.row.Expression, f.now = "99 * * * *", "99 * * * *", hour(2)
				setValid(f.dag, false)
			},
			want: planned{Row: store.Schedule{Expression: "99 * * * *", Cursor: hour(0), HeldAs: "Missed"}},
		},
		"an edited schedule misses what the old one owed, and the new one begins now": {
			change: func(f *facts) { f.dag.Spec.Schedule, f.now = "@every 90s", hour(2).Add(time.Minute) },
			want: planned{
				Ticks: []string{"2 Missed"}, HasMore: true,
				Row: store.Schedule{Expression: "@every 90s", Cursor: hour(2).Add(time.Minute)},
			},
		},
		"the outstanding due times of a removed schedule are missed": {
			change: func(f *facts) { f.dag.Spec.Schedule, f.now = "", hour(1) },
			want:   planned{Ticks: []string{"1 Missed"}, HasMore: true, Row: store.Schedule{Cursor: hour(1)}},
		},
		"a DAG that was created again is not due for the time without it": {
			change: func(f *facts) {
				f.row.DAGUID, f.now = "other", hour(4)
				f.dag.CreationTimestamp = metav1.NewTime(hour(2).Add(time.Minute))
			},
			want: planned{
				Ticks: []string{"1 Missed", "1 Ran"}, Runs: []string{"4 new"},
				Row: store.Schedule{Expression: "0 * * * *", Cursor: hour(4)}, Next: hour(5),
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := hourly()
			c.change(&f)
			c.want.Row.DAGID, c.want.Row.DAGUID = 7, uid
			p := makePlan(f)
			if diff := cmp.Diff(c.want, summarize(p)); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
			for _, tick := range p.Ticks {
				name := ""
				if tick.Outcome == outcomeRan {
					name = names.ScheduledRun("hourly", uid, tick.From)
				}
				if tick.RunName != name {
					t.Errorf("the run of %s is named %q, want %q", tick.From, tick.RunName, name)
				}
			}
			if isChange := len(c.want.Ticks) > 0 || c.want.Row != f.row; p.isChange() != isChange {
				t.Errorf("there is something to commit: %t, want %t", p.isChange(), isChange)
			}
		})
	}
}

// A long gap is accounted for in several plans. The schedule of an edited spec begins after the last one.
func TestPlansOfALongGap(t *testing.T) {
	f := hourly()
	f.row.Expression, f.dag.Spec.Schedule, f.now = "* * * * *", "0 * * * *", hour(500)
	plans := 0
	for {
		p := makePlan(f)
		plans++
		if isLast := p.After.Expression == "0 * * * *"; !p.hasMore || isLast != p.After.Cursor.Equal(f.now) {
			t.Fatalf("plan %d has more: %t, cursor %s, schedule %q",
				plans, p.hasMore, p.After.Cursor, p.After.Expression)
		} else if isLast {
			break
		}
		f.row = p.After
	}
	if plans != 3 {
		t.Errorf("%d plans for 30,000 due times, want 3", plans)
	}
}

func TestKeepFirstRun(t *testing.T) {
	for name, c := range map[string]struct {
		limit   int32
		live    []store.ScheduledRun
		now     time.Time
		want    []string
		runs    []string
		cursor  time.Time
		hasMore bool
	}{
		"later runs are left": {
			limit: 9, now: hour(3), want: []string{"1 Ran"}, runs: []string{"1 new"}, cursor: hour(1), hasMore: true,
		},
		"a stretch before the first run stays": {
			limit: 2, live: []store.ScheduledRun{liveRun(0)}, now: hour(4),
			want: []string{"2 Missed", "1 Ran"}, runs: []string{"0", "3 new"}, cursor: hour(3), hasMore: true,
		},
		"the only run stays": {
			limit: 1, now: hour(2), want: []string{"1 Missed", "1 Ran"}, runs: []string{"2 new"}, cursor: hour(2),
		},
		"a plan without runs stays": {limit: 9, now: hour(0), cursor: hour(0)},
	} {
		t.Run(name, func(t *testing.T) {
			f := hourly()
			f.dag.Spec.CatchUp, f.dag.Spec.CatchUpLimit, f.live, f.now = v1alpha1.CatchUpAll, &c.limit, c.live, c.now
			p := makePlan(f)
			p.keepFirstRun()
			got := summarize(p)
			want := planned{Ticks: c.want, Runs: c.runs, Row: f.row, Next: got.Next, HasMore: c.hasMore}
			want.Row.Cursor = c.cursor
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBeginOf(t *testing.T) {
	created, now := hour(10), hour(20)
	for name, c := range map[string]struct {
		since  time.Time
		now    time.Time
		change func(*v1alpha1.DAG)
		want   time.Time
	}{
		"a new DAG's schedule begins with the DAG": {hour(5), now, func(*v1alpha1.DAG) {}, created},
		"a DAG older than the controller's database may have run elsewhere": {
			hour(15), now, func(*v1alpha1.DAG) {}, now,
		},
		"an edited DAG may have had another schedule": {
			hour(5), now, func(d *v1alpha1.DAG) { d.Generation = 2 }, now,
		},
		"a DAG that shows a last due time ran elsewhere": {
			hour(5), now, func(d *v1alpha1.DAG) { d.Status.LastScheduleTime = &metav1.Time{Time: hour(12)} }, now,
		},
		"a DAG that shows a next due time was scheduled elsewhere": {
			hour(5), now, func(d *v1alpha1.DAG) { d.Status.NextScheduleTime = &metav1.Time{Time: hour(12)} }, now,
		},
		"a DAG from an API server whose clock is ahead begins now": {
			hour(5), hour(9), func(*v1alpha1.DAG) {}, hour(9),
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDAG("daily", "0 2 * * *")
			d.CreationTimestamp = metav1.NewTime(created)
			c.change(d)
			if got := beginOf(d, c.since, c.now); !got.Equal(c.want) {
				t.Errorf("begins at %s, want %s", got, c.want)
			}
		})
	}
}
