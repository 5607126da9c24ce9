package control_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/e2e/harness"
)

// scheduled applies a DAG of one task with a schedule.
func (w *world) scheduled(name, schedule, script string, change func(*v1alpha1.DAGSpec)) {
	w.T.Helper()
	every := int32(10000) // a slow machine makes more runs than the default limits keep, and the test counts them all
	spec := v1alpha1.DAGSpec{
		Schedule: schedule, CatchUp: v1alpha1.CatchUpAll, Task: []v1alpha1.Task{play(name, script)},
		SuccessfulRunsHistoryLimit: &every, FailedRunsHistoryLimit: &every,
	}
	if change != nil {
		change(&spec)
	}
	w.ApplySpec(name, spec)
}

// suspend changes spec.suspended.
func (w *world) suspend(dag string, suspended bool) {
	w.T.Helper()
	w.Kubectl("patch", "dag", dag, "--type=merge", "-p", fmt.Sprintf(`{"spec":{"suspended":%t}}`, suspended))
}

// rest suspends a DAG and waits until the controller has seen it. No further run is decided.
func (w *world) rest(dag string) {
	w.T.Helper()
	w.suspend(dag, true)
	w.Eventually("DAG "+dag+" to have no next due time", patience, func(context.Context) (bool, string) {
		next := w.DAG(dag).Status.NextScheduleTime
		return next == nil, fmt.Sprint(next)
	})
}

func (w *world) waitTicks(dag, outcome, phase string, n int) {
	w.T.Helper()
	w.Eventually(
		fmt.Sprintf("%d due times of %s to be %s %s", n, dag, outcome, phase),
		patience,
		func(context.Context) (bool, string) {
			got := w.Ticks(dag, outcome, phase)
			return got >= n, fmt.Sprint(got)
		},
	)
}

// checkLedger is checkRows, and checks that the DagRuns are those of the due times that ran.
func (w *world) checkLedger(dag string, every time.Duration) {
	w.T.Helper()
	ran := w.checkRows(dag, every)
	if objects := w.scheduledRuns(dag); !slices.Equal(ran, objects) {
		w.T.Errorf("%s: ticks that ran %v, DagRuns %v", dag, ran, objects)
	}
}

// scheduledRuns returns the names of the DagRuns that the schedule of a DAG created.
func (w *world) scheduledRuns(dag string) (names []string) {
	w.T.Helper()
	list, err := w.Client.KontrolerV1alpha1().
		DagRuns(w.Namespace).
		List(w.T.Context(), metav1.ListOptions{LabelSelector: v1alpha1.LabelScheduled + "=true"})
	if err != nil {
		w.T.Fatal(err)
	}
	for _, run := range list.Items {
		if run.Spec.DagName == dag && metav1.GetControllerOf(&run) != nil {
			names = append(names, run.Name)
		}
	}
	slices.Sort(names)
	return names
}

// checkRows waits until the runs of a suspended DAG have ended. It checks that every due time is in the ledger once,
// and that each one that ran has one run. It returns the names of the runs.
func (w *world) checkRows(dag string, every time.Duration) (ran []string) {
	w.T.Helper()
	w.Eventually("the runs of "+dag+" to end", patience, func(context.Context) (bool, string) {
		live := w.Strings(
			`SELECT name FROM kontroler_v1.runs WHERE dag_name = $1 AND phase IN ('Pending', 'Running')`, dag)
		missing := w.Strings(`SELECT t.due_from::text
FROM kontroler_v1.ticks t JOIN kontroler_v1.dags d ON d.id = t.dag_id
WHERE d.name = $1 AND t.outcome = 'Ran' AND t.run_id IS NULL`, dag)
		return len(live)+len(missing) == 0, fmt.Sprint(live, missing)
	})
	broken := w.Strings(`
SELECT due_from || ' after ' || before FROM (
    SELECT t.*, lag(t.due_to) OVER (ORDER BY t.due_from) AS before
    FROM kontroler_v1.ticks t JOIN kontroler_v1.dags d ON d.id = t.dag_id WHERE d.name = $1) t
WHERE due_from - before <> make_interval(secs => $2) OR due_to - due_from <> make_interval(secs => $2 * (count - 1))`,
		dag, every.Seconds())
	if len(broken) > 0 {
		w.T.Errorf("the ledger of %s has gaps or overlaps at %v", dag, broken)
	}
	ran = w.Strings(`SELECT run_name FROM kontroler_v1.ticks t JOIN kontroler_v1.dags d ON d.id = t.dag_id
WHERE d.name = $1 AND outcome = 'Ran' ORDER BY 1`, dag)
	rows := w.Strings(
		`SELECT name FROM kontroler_v1.runs WHERE dag_name = $1 AND name NOT LIKE 'mine%' ORDER BY 1`, dag)
	slices.Sort(ran)
	slices.Sort(rows)
	if !slices.Equal(ran, rows) || len(ran) == 0 {
		w.T.Errorf("%s: ticks that ran %v, runs %v", dag, ran, rows)
	}
	return ran
}

// A schedule runs, is suspended and continues. The status shows last and next. The DagRuns are deleted with the DAG.
func TestSchedule(t *testing.T) {
	w := newWorld(t)
	w.Controller()
	w.scheduled("tick", "@every 3s", "", nil)
	w.waitTicks("tick", "Ran", "Succeeded", 2)
	s := w.DAG("tick").Status
	if s.LastScheduleTime == nil || s.NextScheduleTime == nil || !s.NextScheduleTime.After(s.LastScheduleTime.Time) {
		t.Errorf("the DAG shows last %v and next %v", s.LastScheduleTime, s.NextScheduleTime)
	}
	w.rest("tick")
	ran := w.Ticks("tick", "Ran", "")
	w.Eventually("a due time to pass", patience, func(context.Context) (bool, string) {
		passed := w.Strings(
			`SELECT dag_id::text FROM kontroler_v1.schedules WHERE now() > cursor + interval '4 seconds'`)
		return len(passed) == 1, fmt.Sprint(passed)
	})
	if now := w.Ticks("tick", "Ran", ""); now != ran {
		t.Errorf("%d runs of a suspended schedule", now-ran)
	}
	w.suspend("tick", false)
	w.waitTicks("tick", "Ran", "Succeeded", ran+1)
	if n := w.Ticks("tick", "Suspended", ""); n == 0 {
		t.Error("the ledger has no row for the suspension")
	}
	w.rest("tick")
	w.checkLedger("tick", 3*time.Second)
	w.Apply(harness.Example(t, "schedule.yaml"))
	w.Eventually("the example to be due next", patience, func(context.Context) (bool, string) {
		s := w.DAG("nightly").Status
		return s.NextScheduleTime != nil && s.NextScheduleTime.Minute() == 30, fmt.Sprint(s.NextScheduleTime)
	})
	w.Kubectl("delete", "dag", "tick")
	w.Eventually("the DagRuns to go with their DAG", patience, func(context.Context) (bool, string) {
		left := w.Kubectl("get", "dagruns", "-o", "name")
		return strings.TrimSpace(left) == "", left
	})
}

// A controller is killed around the creation of a scheduled DagRun. Each due time runs once.
func TestScheduleKilledAt(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{"tick-committed:3", "tick-create:2", "tick-created:2", "run-admitted:2"} {
		t.Run(fault, func(t *testing.T) {
			w := newWorld(t)
			w.DieAt(fault, func() { w.scheduled("tick", "@every 3s", "", nil) })
			before := w.Ticks("tick", "Ran", "")
			w.Controller(takeOver)
			w.waitTicks("tick", "Ran", "Succeeded", before+2)
			w.rest("tick")
			w.checkLedger("tick", 3*time.Second)
		})
	}
}

// A leader dies between the commit of a due time and its DagRun, and the DAG is deleted while nobody leads. The ledger
// does not say that the due time ran.
func TestScheduleOfADAGDeletedWhileNobodyLed(t *testing.T) {
	w := newWorld(t)
	w.DieAt("tick-committed:2", func() { w.scheduled("tick", "@every 3s", "", nil) })
	w.Kubectl("delete", "dag", "tick")
	w.Controller(takeOver)
	w.waitTicks("tick", "Missed", "", 1)
	if left := w.Strings(`SELECT run_name FROM kontroler.ticks WHERE outcome = 'Ran' AND run_uid IS NULL
UNION ALL SELECT run_name FROM kontroler.scheduled_runs WHERE run_uid IS NULL`); len(left) > 0 {
		t.Errorf("runs that were never created: %q", left)
	}
}

// While a run is live, Forbid skips the next due time, and Replace cancels the run and keeps its DagRun.
func TestScheduleConcurrency(t *testing.T) {
	w := newWorld(t)
	w.Controller()
	w.scheduled(
		"forbid",
		"@every 3s",
		until("go"),
		func(s *v1alpha1.DAGSpec) { s.ConcurrencyPolicy = v1alpha1.ForbidConcurrent },
	)
	w.scheduled(
		"replace",
		"@every 6s",
		forever,
		func(s *v1alpha1.DAGSpec) { s.ConcurrencyPolicy = v1alpha1.ReplaceConcurrent },
	)
	w.waitTicks("forbid", "Overlapped", "", 2)
	if n := w.Ticks("forbid", "Ran", ""); n != 1 {
		t.Errorf("%d runs of a schedule that forbids a second one", n)
	}
	w.Open("go")
	w.waitTicks("forbid", "Ran", "Succeeded", 2)
	w.rest("forbid")
	w.checkLedger("forbid", 3*time.Second)
	w.waitTicks("replace", "Ran", "Cancelled", 1)
	w.rest("replace")
	for _, run := range strings.Fields(w.Kubectl("get", "dagruns", "-l", v1alpha1.LabelDAG+"=replace", "-o", "name")) {
		w.Kubectl("patch", run, "--type=merge", "-p", `{"spec":{"cancel":true}}`)
	}
	w.checkLedger("replace", 6*time.Second)
}

// A controller is killed after it has cancelled the run that a newer one replaces. Each due time still has its run, and
// all but the newest are Cancelled.
func TestScheduleReplaceKilled(t *testing.T) {
	w := newWorld(t)
	w.DieAt("tick-replaced:1", func() {
		w.scheduled(
			"tick",
			"@every 6s",
			forever,
			func(s *v1alpha1.DAGSpec) { s.ConcurrencyPolicy = v1alpha1.ReplaceConcurrent },
		)
	})
	before := w.Ticks("tick", "Ran", "")
	w.Controller(takeOver)
	w.waitTicks("tick", "Ran", "Running", 1)
	w.waitTicks("tick", "Ran", "Cancelled", before)
	w.rest("tick")
	for _, run := range w.Strings(`SELECT name FROM kontroler_v1.runs WHERE phase = 'Running'`) {
		w.Cancel(run)
	}
	w.checkLedger("tick", 6*time.Second)
}

// A standby takes over a schedule from a leader that dies. No due time is skipped or runs twice.
func TestScheduleLeaderChange(t *testing.T) {
	w := newWorld(t)
	first := w.Controller(shortLease)
	first.WaitLeads()
	w.scheduled("tick", "@every 3s", "", nil)
	w.waitTicks("tick", "Ran", "Succeeded", 2)
	second := w.Launch(shortLease)
	before := w.Ticks("tick", "Ran", "")
	first.Kill9()
	second.WaitLeads()
	w.waitTicks("tick", "Ran", "Succeeded", before+2)
	w.rest("tick")
	w.checkLedger("tick", 3*time.Second)
}

// A change of another field does not move the cursor. A changed schedule begins when the controller sees it.
func TestScheduleEdited(t *testing.T) {
	w := newWorld(t)
	w.Controller()
	w.scheduled("tick", "@every 3s", "", nil)
	w.waitTicks("tick", "Ran", "", 1)
	w.Kubectl("patch", "dag", "tick", "--type=merge", "-p", `{"spec":{"maxParallel":2}}`)
	w.waitTicks("tick", "Ran", "Succeeded", 2)
	w.rest("tick")
	w.checkLedger("tick", 3*time.Second)
	ran := w.Ticks("tick", "Ran", "")
	w.Kubectl("patch", "dag", "tick", "--type=merge", "-p", `{"spec":{"schedule":"0 0 1 1 *","suspended":false}}`)
	w.Eventually("the new schedule to be due", patience, func(context.Context) (bool, string) {
		next := w.DAG("tick").Status.NextScheduleTime
		return next != nil && next.Time.UTC().Month() == time.January, fmt.Sprint(next)
	})
	if now := w.Ticks("tick", "Ran", ""); now != ran {
		t.Errorf("a new schedule made %d runs of due times before it", now-ran)
	}
}

// Another controller of the class takes over the schedule of one that does not return. The old ledger stays, and the
// new one begins with the claim.
func TestScheduleOfDAGTakenOver(t *testing.T) {
	w := newWorld(t)
	one, two := w.Database, w.NewDatabase()
	dead := w.Controller(on(one), longLease)
	w.scheduled("tick", "@every 3s", "", nil)
	w.waitTicks("tick", "Ran", "Succeeded", 2)
	w.Controller(on(two), longLease)
	dead.Kill9()
	w.Kubectl("delete", "lease", "kontroler-"+one.ControllerID())
	taken := time.Now()
	w.waitClaimed("tick", two)
	w.Eventually("the other controller to run the schedule", patience, func(context.Context) (bool, string) {
		got := two.Ticks("tick", "Ran", "Succeeded")
		return got >= 2, fmt.Sprint(got)
	})
	w.rest("tick")
	if early := two.Strings(
		`SELECT due_from::text FROM kontroler_v1.ticks WHERE due_from < $1`, taken); len(early) > 0 {
		t.Errorf("the new controller accounts for due times before its claim: %v", early)
	}
	const ran = `SELECT run_name FROM kontroler_v1.ticks WHERE outcome = 'Ran'`
	first, second := one.Strings(ran), two.Strings(ran)
	for _, run := range first {
		if slices.Contains(second, run) {
			t.Errorf("%s is in both ledgers", run)
		}
	}
	if n, most := w.Effects()["tick"], len(first)+len(second); n > most {
		t.Errorf("the task ran %d times for %d due times", n, most)
	}
}

// The schedule of a recreated DAG begins at its creation. Ledger and versions continue.
func TestScheduleOfDAGMadeAgain(t *testing.T) {
	w := newWorld(t)
	w.Controller()
	w.scheduled("tick", "@every 3s", "", nil)
	w.waitTicks("tick", "Ran", "Succeeded", 2)
	w.rest("tick")
	w.Kubectl("delete", "dag", "tick")
	before := w.Strings(`SELECT run_name FROM kontroler_v1.ticks WHERE outcome = 'Ran'`)
	w.Eventually("due times to pass", patience, func(context.Context) (bool, string) {
		passed := w.Strings(
			`SELECT dag_id::text FROM kontroler_v1.schedules WHERE now() > cursor + interval '10 seconds'`)
		return len(passed) == 1, fmt.Sprint(passed)
	})
	w.scheduled("tick", "@every 3s", "say again", nil)
	made := w.DAG("tick").CreationTimestamp
	w.waitTicks("tick", "Ran", "Succeeded", len(before)+1)
	if version := w.DAG("tick").Status.Version; version < 2 {
		t.Errorf("the recreated DAG has version %d", version)
	}
	after := w.Strings(`SELECT run_name FROM kontroler_v1.ticks WHERE outcome = 'Ran' AND due_from < $1`, made.Time)
	slices.Sort(before)
	slices.Sort(after)
	if !slices.Equal(before, after) {
		t.Errorf("runs of due times before the DAG was recreated: %v, want %v", after, before)
	}
	// The ledger does not mention the time in which the DAG did not exist.
	if between := w.Strings(
		`SELECT due_from::text FROM kontroler_v1.ticks WHERE outcome IN ('Missed', 'TooLate')`); len(between) > 0 {
		t.Errorf("the ledger has due times at which the DAG did not exist: %v", between)
	}
}

// Schedules that are not due cause no request and no sync. Only the Lease is renewed.
func TestSchedulesIdle(t *testing.T) {
	const renewals = 5
	w := newWorld(t)
	c := w.Controller()
	names := []string{"a", "b", "c", "d", "e"}
	for _, name := range names {
		w.scheduled(name, "0 0 29 2 *", "", nil)
	}
	for _, name := range names {
		w.Eventually("DAG "+name+" to have a next due time", patience, func(context.Context) (bool, string) {
			next := w.DAG(name).Status.NextScheduleTime
			return next != nil, fmt.Sprint(next)
		})
	}
	var before map[string]int
	renewed := 0
	w.Eventually("a controller that does nothing", patience, func(context.Context) (bool, string) {
		did, leases := activity(t, c)
		diff := gocmp.Diff(before, did)
		if diff != "" {
			before, renewed = did, leases
		}
		return leases >= renewed+renewals, diff
	})
}

// activity returns the counters of requests and syncs of a controller. It counts renewals of the Lease separately.
func activity(t *testing.T, c *controller) (did map[string]int, renewals int) {
	t.Helper()
	did = map[string]int{}
	counters := c.Counters()
	for series, n := range counters {
		request := strings.HasPrefix(series, "kontroler_api_requests_total")
		switch {
		case request && strings.Contains(series, `resource="leases"`):
			renewals += n
		case request, strings.HasPrefix(series, "kontroler_syncs_total"):
			did[series] = n
		}
	}
	if len(did) == 0 || renewals == 0 {
		t.Fatalf("no request, no sync or no renewal in /metrics: %v", counters)
	}
	return did, renewals
}
