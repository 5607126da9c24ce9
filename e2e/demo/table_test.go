package main

import (
	"database/sql"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var began = time.Date(2026, 7, 1, 10, 0, 0, 0, time.UTC)

// at returns a time in seconds after the beginning of a run.
func at(seconds float64) time.Time { return began.Add(time.Duration(seconds * float64(time.Second))) }

// midway returns a run with a task in every phase.
func midway() (*graph, *snapshot) {
	g := newGraph(
		tasks(
			"extract; rates; shop-1: extract; shop-2: extract; shop-3: extract; join: shop-1 shop-2 shop-3; " +
				"publish: join rates; broken; never: broken; late",
		),
	)
	return g, &snapshot{
		Now: at(72),
		Run: runRow{Name: "orders-1", Phase: "Running", Done: 5, Total: 10, Admitted: began},
		Tasks: []taskRow{
			{Name: "extract", Phase: "Succeeded", Attempts: 1, Started: at(0), Finished: at(3.14)},
			{
				Name: "rates", Phase: "Active", Live: "Pending", Reason: "ImagePullBackOff",
				Message: "image example.com/rates is not there", Attempts: 1, Started: at(0),
			},
			{Name: "shop-1", Phase: "Active", Live: "Running", Attempts: 1, Started: at(4)},
			{Name: "shop-2", Phase: "Active", Live: "Running", Attempts: 2, Started: at(4)},
			{
				Name: "shop-3", Phase: "Ready", Reason: "BackingOff", Message: "exit code 75", Due: at(75), Attempts: 1,
				Started: at(4),
			},
			{Name: "join", Phase: "Waiting"},
			{Name: "publish", Phase: "Waiting"},
			{
				Name: "broken", Phase: "Failed", Reason: "NotRetryable", Message: "exit code 1",
				Attempts: 1, Started: at(0), Finished: at(65),
			},
			{
				Name: "never", Phase: "Skipped", Reason: "ParentFailed", Message: "parent broken failed",
				Finished: at(65),
			},
			{Name: "late", Phase: "Ready", Reason: "Throttled", Message: "the controller has --max-pods Pods"},
		},
		Attempts: []attemptRow{
			{
				Task: "extract", Number: 1, Phase: "Succeeded", ExitCode: sql.NullInt32{Valid: true}, Started: at(1),
				Finished: at(3),
			},
			{
				Task: "shop-2", Number: 1, Phase: "Failed", ExitCode: sql.NullInt32{Int32: 75, Valid: true},
				Started: at(5), Finished: at(6),
			},
			{
				Task: "broken", Number: 1, Phase: "Failed", ExitCode: sql.NullInt32{Int32: 1, Valid: true},
				Started: at(1), Finished: at(64),
			},
			{Task: "shop-2", Number: 2, Phase: "Running", Started: at(70)},
		},
	}
}

// A schedule has a line below the table. Without a table it has a line for each due time.
func TestScheduleLines(t *testing.T) {
	g, s := midway()
	s.Schedules = []scheduleRow{{DAG: "heartbeat", Expression: "@every 10s", Ran: 7, LastDue: at(70)}}
	const want = " ↺ heartbeat   @every 10s, runs: 7, last due 2.0s ago"
	lines := table(g, s, 80, 24)
	if last := lines[len(lines)-1].String(); last != want {
		t.Errorf("the last line is %q, want %q", last, want)
	}
	if n := len(table(g, s, 80, 8)); n > 8 {
		t.Errorf("%d lines of 8", n)
	}
	before := *s
	before.Schedules = []scheduleRow{{DAG: "heartbeat", Expression: "@every 10s", Ran: 6, LastDue: at(60)}}
	got := events(g, &before, s)
	if len(got) != 1 || got[0].String() != "   1m12s "+want {
		t.Errorf("events are %v", got)
	}
	if got := events(g, s, s); len(got) != 0 {
		t.Errorf("events of no change are %v", got)
	}
}

func TestTable(t *testing.T) {
	tests := map[string]struct {
		width, height int
		want          string
	}{
		"80 columns": {80, 24, `
 orders-1  ◐ Running  ━━━━━━━━━━━━━━━━━━━───────────────────  5/10 tasks   1m12s

   1 ● extract    3.1s
     ◐ rates     1m12s  ImagePullBackOff: image example.com/rates is not there
     ✕ broken    1m05s  NotRetryable: exit code 1
     ○ late             Throttled: the controller has --max-pods Pods
   2 ◐ shop-1    1m08s
     ↻ shop-2    1m08s  attempt 2
     ↻ shop-3    1m08s  again in 3s: exit code 75
     ⤼ never            ParentFailed: parent broken failed
   3 ○ join             needs shop-1, shop-2, shop-3
   4 ○ publish          needs join, rates`},
		"40 columns": {40, 24, `
 orders-1  ◐ Running    5/10 tasks   1m…

   1 ● extract    3.1s
     ◐ rates     1m12s  ImagePullBackOf…
     ✕ broken    1m05s  NotRetryable: e…
     ○ late             Throttled: the …
   2 ◐ shop-1    1m08s
     ↻ shop-2    1m08s  attempt 2
     ↻ shop-3    1m08s  again in 3s: ex…
     ⤼ never            ParentFailed: p…
   3 ○ join             needs shop-1, s…
   4 ○ publish          needs join, rat…`},
		"few rows": {80, 11, `
 orders-1  ◐ Running  ━━━━━━━━━━━━━━━━━━━───────────────────  5/10 tasks   1m12s
     … 1 succeeded
   1 ◐ rates     1m12s  ImagePullBackOff: image example.com/rates is not there
     ✕ broken    1m05s  NotRetryable: exit code 1
     ○ late             Throttled: the controller has --max-pods Pods
   2 ◐ shop-1    1m08s
     ↻ shop-2    1m08s  attempt 2
     ↻ shop-3    1m08s  again in 3s: exit code 75
     ⤼ never            ParentFailed: parent broken failed
   3 ○ join             needs shop-1, shop-2, shop-3
   4 ○ publish          needs join, rates`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			g, s := midway()
			if diff := cmp.Diff(test.want, text(table(g, s, test.width, test.height))); diff != "" {
				t.Errorf("table (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBar(t *testing.T) {
	tests := map[string]struct {
		done, total, width int
		want               string
	}{
		"nothing done":   {0, 3, 9, "─────────"},
		"a third":        {1, 3, 9, "━━━──────"},
		"all":            {3, 3, 9, "━━━━━━━━━"},
		"almost all":     {999, 1000, 10, "━━━━━━━━━─"},
		"no tasks":       {0, 0, 9, ""},
		"no room":        {1, 2, 3, ""},
		"less than none": {1, 2, -1, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, bar(test.done, test.total, test.width, styleGood).String()); diff != "" {
				t.Errorf("bar (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEvents(t *testing.T) {
	g, s := midway()
	before := *s
	before.Tasks = make([]taskRow, len(s.Tasks))
	for i, t := range s.Tasks {
		before.Tasks[i] = taskRow{Name: t.Name, Phase: "Waiting"}
	}
	again := *s
	again.Tasks = append([]taskRow(nil), s.Tasks...)
	again.Tasks[4].Message = "exit code 75, once more"
	tests := map[string]struct {
		before, after *snapshot
		want          string
	}{
		"from the beginning": {nil, s, `
   1m12s  ● extract  succeeded after 3.1s
   1m12s  ◐ shop-1   running
   1m12s  ↻ shop-2   running, attempt 2
   1m12s  ↻ shop-3   to run again in 3s: exit code 75
   1m12s  ✕ broken   failed after 1m05s, NotRetryable: exit code 1
   1m12s  ⤼ never    skipped, ParentFailed: parent broken failed`},
		"everything changed": {&before, s, `
   1m12s  ● extract  succeeded after 3.1s
   1m12s  ◐ shop-1   running
   1m12s  ↻ shop-2   running, attempt 2
   1m12s  ↻ shop-3   to run again in 3s: exit code 75
   1m12s  ✕ broken   failed after 1m05s, NotRetryable: exit code 1
   1m12s  ⤼ never    skipped, ParentFailed: parent broken failed`},
		"nothing changed": {s, s, ""},
		"only a text":     {s, &again, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, text(events(g, test.before, test.after))); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHighlights(t *testing.T) {
	_, s := midway()
	logs := []attemptLog{
		{Task: "broken", Number: 1, Lines: []string{"it does not answer"}},
		{Task: "shop-2", Number: 2, Lines: []string{"connecting", "reading", "read"}},
		{Task: "extract", Number: 1},
		{
			Task: "shop-2", Number: 1,
			Lines: []string{
				"connecting", "busy, and this line is longer than eighty columns, which is what a terminal has",
			},
		},
	}
	want := `
 ✕ shop-2, attempt 1   connecting
 ✕ shop-2, attempt 1   busy, and this line is longer than eighty columns, which…
 ✕ broken              it does not answer
 ○ shop-2, attempt 2   reading
 ○ shop-2, attempt 2   read`
	if diff := cmp.Diff(want, text(highlights(s, logs, 80))); diff != "" {
		t.Errorf("highlights (-want +got):\n%s", diff)
	}
}

func TestRowLines(t *testing.T) {
	_, s := midway()
	want := `
   run         ◐ Running in 1m12s; its containers ran for 1m06s
   tasks       10: 3 Active, 2 Ready, 2 Waiting, 1 Failed, 1 Skipped, 1 Succeeded
   attempts    4: 1 Failed (exit code 1), 1 Failed (exit code 75), 1 Running, 1 Succeeded`
	if diff := cmp.Diff(want, text(rowLines(s))); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func TestSeconds(t *testing.T) {
	tests := map[string]struct {
		d    time.Duration
		want string
	}{
		"negative":          {-time.Second, "0.0s"},
		"rounded":           {1260 * time.Millisecond, "1.3s"},
		"almost a minute":   {59940 * time.Millisecond, "59.9s"},
		"rounded to one":    {59960 * time.Millisecond, "1m00s"},
		"minutes":           {125 * time.Second, "2m05s"},
		"more than an hour": {3725 * time.Second, "62m05s"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := seconds(test.d); got != test.want {
				t.Errorf("seconds(%s) = %q, want %q", test.d, got, test.want)
			}
		})
	}
}

func TestCut(t *testing.T) {
	l := line{{styleGood, "● "}, {stylePlain, "größer"}, {styleDim, " als"}}
	tests := map[string]struct {
		width int
		want  string
	}{
		"fits":                 {12, "● größer als"},
		"in a span":            {11, "● größer a…"},
		"between two spans":    {9, "● größer…"},
		"in the one before":    {8, "● größe…"},
		"after the first span": {3, "● …"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := l.cut(test.width)
			if diff := cmp.Diff(test.want, got.String()); diff != "" || got.count() > test.width {
				t.Errorf("cut to %d columns, is %d (-want +got):\n%s", test.width, got.count(), diff)
			}
		})
	}
}
