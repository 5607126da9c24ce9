package control_test

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
)

func living(seconds int32) func(*v1alpha1.DAGSpec) {
	return func(s *v1alpha1.DAGSpec) { s.TTLSecondsAfterFinished = &seconds }
}

func limits(succeeded, failed int32) func(*v1alpha1.DAGSpec) {
	return func(s *v1alpha1.DAGSpec) {
		s.SuccessfulRunsHistoryLimit, s.FailedRunsHistoryLimit = &succeeded, &failed
	}
}

// expiring applies a DAG of one task with a time to live.
func (w *world) expiring(name, script string, seconds int32) {
	w.T.Helper()
	spec := v1alpha1.DAGSpec{Task: []v1alpha1.Task{play(name, script)}}
	living(seconds)(&spec)
	w.ApplySpec(name, spec)
}

// waitDeleted waits until a DagRun no longer exists, and returns the time.
func (w *world) waitDeleted(run string) time.Time {
	w.T.Helper()
	w.Eventually("DagRun "+run+" to be deleted", patience, func(ctx context.Context) (bool, string) {
		is, err := w.Client.KontrolerV1alpha1().DagRuns(w.Namespace).Get(ctx, run, metav1.GetOptions{})
		return apierrors.IsNotFound(err), fmt.Sprint(is.Status.Phase, " ", err)
	})
	return time.Now()
}

// DagRuns are deleted when their time to live is over. It comes from the current DAG. Their history stays.
func TestTimeToLive(t *testing.T) {
	w := newWorld(t)
	c := w.Controller()
	w.expiring("none", "", 0)
	w.expiring("short", "", 6)
	w.expiring("long", "", 3600)
	w.expiring("gone", "", 3600)
	w.expiring("held", until("go"), 0)
	w.ApplyDAG("never", play("never", ""))
	for _, name := range []string{"none", "short", "long", "gone", "held", "never"} {
		w.Start(name, name)
	}
	// A foreign finalizer keeps a deleted Pod. Its DagRun stays as long as the Pod.
	pod := w.WaitPod("held", "held", running)
	w.Kubectl(
		"patch",
		"pod",
		pod.Name,
		"--type=json",
		"-p",
		`[{"op":"add","path":"/metadata/finalizers/-","value":"example.org/hold"}]`,
	)
	w.Open("go")
	w.waitDeleted("none")
	deleted := w.waitDeleted("short")
	var done time.Time // from the row, because the DagRun may be deleted already
	if err := w.Query(func(r *sql.Rows) error { return r.Scan(&done) },
		`SELECT finished_at FROM kontroler_v1.runs WHERE name = 'short'`); err != nil {
		t.Fatal(err)
	}
	if deleted.Before(done.Truncate(time.Second).Add(6 * time.Second)) {
		t.Errorf("a DagRun that ended at %s and lives 6 s was gone at %s", done, deleted)
	}
	for _, name := range []string{"long", "gone", "held", "never"} {
		w.WaitRun(name, v1alpha1.RunSucceeded, patience)
	}
	w.Kubectl("delete", "dag", "gone")
	// A changed time to live also counts from the end of the run. DagRuns that are wrongly deleted would be deleted
	// before those that the test waits for.
	w.Kubectl("patch", "dag", "long", "--type=merge", "-p", `{"spec":{"ttlSecondsAfterFinished":1}}`)
	w.waitDeleted("long")
	w.Start("none-again", "none")
	w.waitDeleted("none-again")
	for _, name := range []string{"gone", "held", "never"} {
		if d := w.DagRun(name).DeletionTimestamp; d != nil {
			t.Errorf("DagRun %s was deleted at %s", name, d)
		}
	}
	w.Kubectl("patch", "pod", pod.Name, "--type=merge", "-p", `{"metadata":{"finalizers":null}}`)
	w.waitDeleted("held")
	for run, task := range map[string]string{
		"none": "none", "none-again": "none", "short": "short", "long": "long", "held": "held",
	} {
		w.checkRowsOf(run, task)
	}
	if _, body, err := c.Get("/metrics"); err != nil ||
		!strings.Contains(body, `kontroler_dagruns_deleted_total{by="ttl"} 5`) {
		t.Errorf("the metrics do not count 5 deleted DagRuns: %v", err)
	}
}

// checkRowsOf checks the rows of a run with one task that succeeded.
func (w *world) checkRowsOf(run, task string) {
	w.T.Helper()
	row, attempts := w.Run(run), w.AttemptsOf(run, task)
	if row.Phase != "Succeeded" || row.Succeeded != 1 || len(attempts) != 1 || attempts[0].Phase != "Succeeded" {
		w.T.Errorf("the history of %s is %+v, %+v", run, row, attempts)
	}
}

// waitKept waits until the DagRuns of a schedule are these.
func (w *world) waitKept(dag string, want ...string) {
	w.T.Helper()
	slices.Sort(want)
	w.Eventually(fmt.Sprintf("the schedule of %s to keep %v", dag, want), patience,
		func(context.Context) (bool, string) {
			is := w.scheduledRuns(dag)
			return slices.Equal(want, is), fmt.Sprint(is)
		})
}

// A schedule keeps its newest DagRuns, and counts those that succeeded and the others separately. With limits of 0 it
// keeps none, and each due time still runs once. DagRuns that users created stay.
func TestHistoryLimits(t *testing.T) {
	w := newWorld(t)
	w.Controller()
	w.scheduled("tick", "@every 3s", "hold hang; fail-if fail", limits(2, 1))
	w.Start("mine", "tick")
	w.Start("mine-labelled", "tick")
	w.Kubectl("label", "dagrun", "mine-labelled", v1alpha1.LabelScheduled+"=true")
	for _, name := range []string{"mine", "mine-labelled"} {
		w.WaitRun(name, v1alpha1.RunSucceeded, patience)
	}
	w.waitTicks("tick", "Ran", "Succeeded", 4)
	w.Open("hang")
	w.waitTicks("tick", "Ran", "Running", 1)
	for _, run := range w.Strings(`SELECT name FROM kontroler_v1.runs WHERE phase = 'Running'`) {
		w.Cancel(run)
	}
	w.waitTicks("tick", "Ran", "Cancelled", 1)
	w.Open("fail")
	w.Close("hang")
	w.waitTicks("tick", "Ran", "Failed", 2)
	w.rest("tick")
	w.checkRows("tick", 3*time.Second)
	w.waitKept("tick", append(w.Newest("tick", "Succeeded", 2), w.Newest("tick", "Failed", 1)...)...)
	w.Kubectl(
		"patch",
		"dag",
		"tick",
		"--type=merge",
		"-p",
		`{"spec":{"successfulRunsHistoryLimit":1,"failedRunsHistoryLimit":0}}`,
	)
	w.waitKept("tick", w.Newest("tick", "Succeeded", 1)...)
	before := w.Ticks("tick", "Ran", "Failed")
	w.Kubectl("patch", "dag", "tick", "--type=merge", "-p",
		`{"spec":{"successfulRunsHistoryLimit":0,"suspended":false}}`)
	w.waitTicks("tick", "Ran", "Failed", before+3)
	w.rest("tick")
	w.checkRows("tick", 3*time.Second)
	w.waitKept("tick")
	for _, name := range []string{"mine", "mine-labelled"} {
		if d := w.DagRun(name).DeletionTimestamp; d != nil {
			t.Errorf("DagRun %s, which no schedule made, was deleted", name)
		}
	}
}

// A controller is killed around the deletion of a DagRun. The next one deletes it; its history stays; nothing runs
// again.
func TestTimeToLiveKilledAt(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{"end-reported:1", "run-delete:1", "run-deleted:1"} {
		t.Run(fault, func(t *testing.T) {
			w := newWorld(t)
			w.DieAt(fault, func() {
				w.expiring("a", "", 0)
				w.Start(theRun, "a")
			})
			w.Controller(takeOver)
			w.waitDeleted(theRun)
			w.checkRowsOf(theRun, "a")
			w.CheckPodsGone(w.Run(theRun).UID)
			w.CheckOnce("a")
		})
	}
}

// A controller is killed while its schedule keeps no DagRuns. Each due time runs once.
func TestHistoryLimitsKilledAt(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{"tick-created:2", "run-delete:2", "run-deleted:2"} {
		t.Run(fault, func(t *testing.T) {
			w := newWorld(t)
			w.DieAt(fault, func() { w.scheduled("tick", "@every 3s", "", limits(0, 0)) })
			before := w.Ticks("tick", "Ran", "")
			w.Controller(takeOver)
			w.waitTicks("tick", "Ran", "Succeeded", before+2)
			w.rest("tick")
			ran := w.checkRows("tick", 3*time.Second)
			w.waitKept("tick")
			if n := w.Effects()["tick"]; n != len(ran) {
				t.Errorf("%d due times ran %d times", len(ran), n)
			}
		})
	}
}

// Old rows are removed, beside live runs and after a crash, but not those of a run whose DagRun has no final status
// yet. A DagRun without a row is left alone, and does not block its schedule.
func TestHistoryRetention(t *testing.T) {
	w := newWorld(t)
	c := w.Controller(longLease)
	w.ApplyDAG("dag", play("a", ""), play("b", "", after("a")))
	w.ApplyDAG("live", play("c", until("go")))
	w.scheduled("forbid", "@every 3s", "", func(s *v1alpha1.DAGSpec) {
		s.ConcurrencyPolicy = v1alpha1.ForbidConcurrent
	})
	for _, run := range []string{"old", "older", "recent"} {
		w.Start(run, "dag")
		w.WaitRun(run, v1alpha1.RunSucceeded, patience)
	}
	w.Start("live", "live")
	w.WaitAttempt("live", "c", 1, "Running")
	w.waitTicks("forbid", "Ran", "Succeeded", 1)
	w.rest("forbid")
	w.checkLedger("forbid", 3*time.Second)
	c.Stop()
	w.DieAt("end-report:1", func() { w.Start("untold", "dag") })
	w.Exec(`UPDATE kontroler.runs SET finished_at = finished_at - interval '2 hours'
WHERE name IN ('old', 'older', 'untold') OR dag_name = 'forbid'`)
	w.Exec(`UPDATE kontroler.runs
SET created_at = created_at - interval '1 year', admitted_at = admitted_at - interval '1 year' WHERE name = 'live'`)
	// The schedule does not know yet that its last run has ended.
	w.Exec(`INSERT INTO kontroler.scheduled_runs (dag_id, due_at, run_name, dag_uid, run_uid)
SELECT s.dag_id, t.due_from, t.run_name, s.dag_uid, t.run_uid
FROM kontroler.ticks t JOIN kontroler.schedules s ON s.dag_id = t.dag_id
WHERE t.outcome = 'Ran' ORDER BY t.due_from DESC LIMIT 1 ON CONFLICT DO NOTHING`)
	before := w.DagRun("old").ResourceVersion
	ran := w.Ticks("forbid", "Ran", "")
	retention := environment("KONTROLER_HISTORY_RETENTION=1h")
	killed, hit := w.LaunchFaulty("kill:history-trimmed:1", retention)
	killed.WaitExit()
	if hit() == "" {
		t.Fatalf("%s was not killed in the middle of its pass", killed.Name)
	}
	w.Controller(takeOver, retention)
	w.Eventually("the old rows to be gone", patience, func(context.Context) (bool, string) {
		left := w.Strings(`SELECT name FROM kontroler.runs
WHERE name IN ('old', 'older') OR dag_name = 'forbid' AND finished_at < now() - interval '1 hour'`)
		return len(left) == 0, fmt.Sprint(left)
	})
	// The status comes from the rows, which may be removed afterwards.
	w.WaitRun("untold", v1alpha1.RunSucceeded, patience)
	w.CheckFinal("recent", "Succeeded", all("Succeeded", "a", "b"))
	if orphans := w.Strings(`SELECT t.name FROM kontroler.tasks t LEFT JOIN kontroler.runs r ON r.id = t.run_id
WHERE r.id IS NULL`); len(orphans) > 0 {
		t.Errorf("tasks of runs that are gone: %v", orphans)
	}
	w.suspend("forbid", false)
	w.waitTicks("forbid", "Ran", "", ran+1)
	w.rest("forbid")
	w.Open("go")
	w.WaitRun("live", v1alpha1.RunSucceeded, patience)
	w.CheckFinal("live", "Succeeded", all("Succeeded", "c"))
	if is := w.DagRun("old"); is.ResourceVersion != before {
		t.Errorf("the DagRun whose row is gone was written to: %s %s", is.Status.Phase, is.Status.Message)
	}
}
