package view_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/google/go-cmp/cmp"

	"kontroler/store/view"
)

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	loaded, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

// TestByDay compares statistics by day with a count of the runs one by one, in zones with other offsets than whole
// hours and with days of 23, 24½ and 25 hours, and of midnights that do not exist.
func TestByDay(t *testing.T) {
	tests := map[string]struct {
		zone        string
		first, last view.Date
	}{
		"UTC":                              {"UTC", view.Date{2025, 3, 1}, view.Date{2025, 3, 9}},
		"a day of 23 hours":                {"Europe/Berlin", view.Date{2025, 3, 28}, view.Date{2025, 4, 2}},
		"a day of 25 hours":                {"Europe/Berlin", view.Date{2025, 10, 24}, view.Date{2025, 10, 28}},
		"a day of 25 hours in America":     {"America/New_York", view.Date{2025, 11, 1}, view.Date{2025, 11, 4}},
		"half an hour of daylight saving":  {"Australia/Lord_Howe", view.Date{2025, 4, 4}, view.Date{2025, 4, 8}},
		"an offset of 5:45":                {"Asia/Kathmandu", view.Date{2024, 12, 30}, view.Date{2025, 1, 2}},
		"an offset of -3:30":               {"America/St_Johns", view.Date{2025, 2, 27}, view.Date{2025, 3, 11}},
		"a midnight that does not exist":   {"Africa/Cairo", view.Date{2025, 4, 23}, view.Date{2025, 4, 27}},
		"the end of February":              {"Pacific/Kiritimati", view.Date{2024, 2, 27}, view.Date{2024, 3, 2}},
		"a zone that is behind at its day": {"Pacific/Pago_Pago", view.Date{2025, 1, 1}, view.Date{2025, 1, 1}},
	}
	f := newFixture(t)
	f.fillRuns(300)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			place := zone(t, tt.zone)
			begin := time.Date(tt.first.Year, tt.first.Month, tt.first.Day-2, 0, 0, 0, 0, time.UTC)
			end := time.Date(tt.last.Year, tt.last.Month, tt.last.Day+3, 0, 0, 0, 0, time.UTC)
			// Runs end at random seconds, many of them at the full hour.
			f.exec(`SELECT setseed(0.5)`)
			f.exec(`UPDATE kontroler.runs SET admitted_at = $1,
    finished_at = CASE WHEN id % 3 = 0 THEN date_trunc('hour', at) ELSE at END
FROM (SELECT id AS of, $1::timestamptz + random() * ($2::timestamptz - $1::timestamptz) AS at FROM kontroler.runs) a
WHERE of = id AND finished_at IS NOT NULL`, begin, end)
			quarters, err := f.db.Quarters(t.Context(), begin, end)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff((&fixture{T: t, raw: f.raw}).bruteForce(place, tt.first, tt.last, 0),
				view.ByDay(quarters, place, tt.first, tt.last)); diff != "" {
				t.Errorf("all DAGs (-want +got):\n%s", diff)
			}
			if quarters, err = f.db.QuartersOfDAG(t.Context(), 3, begin, end); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff((&fixture{T: t, raw: f.raw}).bruteForce(place, tt.first, tt.last, 3),
				view.ByDay(quarters, place, tt.first, tt.last)); diff != "" {
				t.Errorf("one DAG (-want +got):\n%s", diff)
			}
		})
	}
}

// bruteForce counts the runs of a DAG, or of all if it is 0, one by one.
func (f *fixture) bruteForce(place *time.Location, first, last view.Date, dag int) []view.Day {
	f.Helper()
	var days []view.Day
	for at := time.Date(first.Year, first.Month, first.Day, 12, 0, 0, 0, time.UTC); ; at = at.AddDate(0, 0, 1) {
		days = append(days, view.Day{Date: view.DateOf(at, time.UTC)})
		if view.DateOf(at, time.UTC) == last {
			break
		}
	}
	rows, err := f.raw.Query(`SELECT phase, finished_at FROM kontroler.runs
WHERE finished_at IS NOT NULL AND ($1 = 0 OR dag_id = $1)`, dag)
	if err != nil {
		f.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var phase string
		var at time.Time
		if err := rows.Scan(&phase, &at); err != nil {
			f.Fatal(err)
		}
		for i := range days {
			if at.In(place).Format(time.DateOnly) != fmt.Sprintf("%04d-%02d-%02d",
				days[i].Date.Year, days[i].Date.Month, days[i].Date.Day) {
				continue
			}
			switch phase {
			case "Succeeded":
				days[i].Succeeded++
			case "Failed":
				days[i].Failed++
			case "Cancelled":
				days[i].Cancelled++
			}
		}
	}
	if err := rows.Err(); err != nil {
		f.Fatal(err)
	}
	return days
}

func TestSuccessRate(t *testing.T) {
	for name, tt := range map[string]struct {
		ended  view.Ended
		want   float64
		wantOK bool
	}{
		"no runs have no rate":                      {view.Ended{}, 0, false},
		"cancelled runs alone have no rate":         {view.Ended{Cancelled: 3}, 0, false},
		"cancelled runs do not count":               {view.Ended{Succeeded: 3, Failed: 1, Cancelled: 9}, 0.75, true},
		"failed runs alone have a rate, which is 0": {view.Ended{Failed: 1}, 0, true},
	} {
		if got, ok := tt.ended.SuccessRate(); got != tt.want || ok != tt.wantOK {
			t.Errorf("%s: %v, %t; want %v, %t", name, got, ok, tt.want, tt.wantOK)
		}
	}
}

// TestQuartersOfManyRuns checks that quarter-hours at the bounds are whole: from is included, before is not.
func TestQuartersOfManyRuns(t *testing.T) {
	f := newFixture(t)
	f.fillRuns(100)
	from := time.Date(2025, 3, 1, 0, 0, 0, 0, time.UTC)
	n := rand.New(rand.NewPCG(7, 7)).IntN(50) + 1
	f.exec(`UPDATE kontroler.runs SET finished_at = CASE WHEN id <= $3 THEN $1::timestamptz WHEN id = 99
THEN $2::timestamptz - interval '1 microsecond' ELSE $2::timestamptz END WHERE finished_at IS NOT NULL`,
		from, from.Add(time.Hour), n)
	quarters, err := f.db.Quarters(t.Context(), from, from.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range quarters {
		if q.At != from && q.At != from.Add(45*time.Minute) {
			t.Errorf("a quarter-hour at %s", q.At)
		}
	}
	// The end of the first of the runs, of the first one after n others, and of none after all of them.
	for n, want := range map[int]time.Time{0: from, f.count(`finished_at = $1`, from): from.Add(time.Hour)} {
		end, found, err := f.db.LaterEnd(t.Context(), from, n)
		if err != nil || !found || n > 0 && end.Before(want.Add(-time.Microsecond)) || n == 0 && end != want {
			t.Errorf("the end after %d others is %s, %t, %v; want %s", n, end, found, err, want)
		}
	}
	all := f.count(`finished_at IS NOT NULL AND $1::timestamptz IS NOT NULL`, from)
	if end, found, err := f.db.LaterEnd(t.Context(), from, all); found || err != nil {
		t.Errorf("an end after all %d: %s, %v", all, end, err)
	}
}

func (f *fixture) count(where string, args ...any) (n int) {
	f.Helper()
	if err := f.raw.QueryRow(`SELECT count(*) FROM kontroler.runs WHERE `+where, args...).Scan(&n); err != nil {
		f.Fatal(err)
	}
	return n
}

// TestEndsOfRuns checks that live runs have no end, that each quarter-hour is there, and that a removed run is noticed.
func TestEndsOfRuns(t *testing.T) {
	f := newFixture(t)
	f.fillRuns(1200)
	f.exec(`
UPDATE kontroler.runs SET finished_at = finished_at + id % 7 * interval '10 minutes' WHERE finished_at IS NOT NULL`)
	var ended, live []int64
	want := map[time.Time]bool{}
	for _, r := range f.allRuns() {
		if r.Phase == "Pending" || r.Phase == "Running" {
			live = append(live, r.ID)
			continue
		}
		ended = append(ended, r.ID)
		end := r.AdmittedAt.Add(time.Minute + time.Duration(r.ID%7)*10*time.Minute)
		want[end.Truncate(view.QuarterHour)] = true
	}
	at, hasGone, err := f.db.EndsOfRuns(t.Context(), append(live, ended...))
	if err != nil || hasGone {
		t.Fatalf("removed runs %t, %v", hasGone, err)
	}
	got := map[time.Time]bool{}
	for _, quarter := range at {
		got[quarter] = true
	}
	if diff := cmp.Diff(want, got); diff != "" || len(want) < 2 {
		t.Errorf("quarter-hours (-want +got):\n%s", diff)
	}
	if at, hasGone, err := f.db.EndsOfRuns(t.Context(), live); len(at) != 0 || hasGone || err != nil {
		t.Errorf("live runs ended at %v, removed %t, %v", at, hasGone, err)
	}
	f.exec(`DELETE FROM kontroler.runs WHERE id = $1`, ended[0])
	if _, hasGone, err := f.db.EndsOfRuns(t.Context(), ended); !hasGone || err != nil {
		t.Errorf("a removed run: %t, %v", hasGone, err)
	}
}
