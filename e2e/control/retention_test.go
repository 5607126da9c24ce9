package e2e_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
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

// expiring applies a DAG of one task whose DagRuns live so long.
func (w *world) expiring(name, script string, seconds int32) {
	w.t.Helper()
	spec := v1alpha1.DAGSpec{Task: []v1alpha1.Task{sh(name, script)}}
	living(seconds)(&spec)
	w.applySpec(name, spec)
}

// waitDeleted waits until there is no DagRun of a name, and returns when that was seen.
func (w *world) waitDeleted(run string) time.Time {
	w.t.Helper()
	w.eventually("DagRun "+run+" to be deleted", patience, func(ctx context.Context) (bool, string) {
		is, err := w.client.KontrolerV1alpha1().DagRuns(w.namespace).Get(ctx, run, metav1.GetOptions{})
		return apierrors.IsNotFound(err), fmt.Sprint(is.Status.Phase, " ", err)
	})
	return time.Now()
}

// DagRuns go when they have lived so long as their DAG says now, and their history stays.
func TestTimeToLive(t *testing.T) {
	w := newWorld(t)
	c := w.controller()
	w.expiring("none", "", 0)
	w.expiring("short", "", 6)
	w.expiring("long", "", 3600)
	w.expiring("gone", "", 3600)
	w.expiring("held", until("go"), 0)
	w.applyDAG("never", sh("never", ""))
	for _, name := range []string{"none", "short", "long", "gone", "held", "never"} {
		w.start(name, name)
	}
	// Somebody else's finalizer keeps a Pod that is counted and deleted: its DagRun waits for it.
	pod := w.waitPod("held", "held", running)
	w.kubectl("patch", "pod", pod.Name, "--type=json", "-p", `[{"op":"add","path":"/metadata/finalizers/-","value":"example.org/hold"}]`)
	w.open("go")
	w.waitDeleted("none")
	deleted := w.waitDeleted("short")
	var done time.Time // by its row: a slow machine may see the DagRun no more
	if err := w.query(func(r *sql.Rows) error { return r.Scan(&done) }, `SELECT finished_at FROM kontroler_v1.runs WHERE name = 'short'`); err != nil {
		t.Fatal(err)
	}
	if deleted.Before(done.Truncate(time.Second).Add(6 * time.Second)) {
		t.Errorf("a DagRun that ended at %s and lives 6 s was gone at %s", done, deleted)
	}
	for _, name := range []string{"long", "gone", "held", "never"} {
		w.waitRun(name, v1alpha1.RunSucceeded, patience)
	}
	w.kubectl("delete", "dag", "gone")
	// What is edited counts from the end of the run, too. What would go wrongly goes before those that are waited for.
	w.kubectl("patch", "dag", "long", "--type=merge", "-p", `{"spec":{"ttlSecondsAfterFinished":1}}`)
	w.waitDeleted("long")
	w.start("none-again", "none")
	w.waitDeleted("none-again")
	for _, name := range []string{"gone", "held", "never"} {
		if d := w.dagRun(name).DeletionTimestamp; d != nil {
			t.Errorf("DagRun %s was deleted at %s", name, d)
		}
	}
	w.kubectl("patch", "pod", pod.Name, "--type=merge", "-p", `{"metadata":{"finalizers":null}}`)
	w.waitDeleted("held")
	for run, task := range map[string]string{"none": "none", "none-again": "none", "short": "short", "long": "long", "held": "held"} {
		w.checkRowsOf(run, task)
	}
	if _, body, err := c.get("/metrics"); err != nil || !strings.Contains(body, `kontroler_dagruns_deleted_total{by="ttl"} 5`) {
		t.Errorf("the metrics do not tell of 5 DagRuns: %v", err)
	}
}

// checkRowsOf checks that a run of one task that succeeded is in the database, with its one attempt.
func (w *world) checkRowsOf(run, task string) {
	w.t.Helper()
	row, attempts := w.run(run), w.attemptsOf(run, task)
	if row.Phase != "Succeeded" || row.Succeeded != 1 || len(attempts) != 1 || attempts[0].Phase != "Succeeded" {
		w.t.Errorf("the history of %s is %+v, %+v", run, row, attempts)
	}
}

// newest are the names of the newest n due times that ran and whose runs have a phase, sorted.
func (d *database) newest(dag, phase string, n int) []string {
	names := d.strings(`SELECT t.run_name FROM kontroler_v1.ticks t JOIN kontroler_v1.dags d ON d.id = t.dag_id JOIN kontroler_v1.runs r ON r.id = t.run_id
WHERE d.name = $1 AND r.phase = $2 ORDER BY t.due_from DESC LIMIT $3`, dag, phase, n)
	return names
}

// waitKept waits until these are the DagRuns that a schedule made.
func (w *world) waitKept(dag string, want ...string) {
	w.t.Helper()
	slices.Sort(want)
	w.eventually(fmt.Sprintf("the schedule of %s to keep %v", dag, want), patience, func(context.Context) (bool, string) {
		is := w.scheduledRuns(dag)
		return slices.Equal(want, is), fmt.Sprint(is)
	})
}

// A schedule keeps the newest of its DagRuns, those that succeeded and the others counted apart. With limits of 0 it keeps
// none, and each due time still runs once. What others made is left alone.
func TestHistoryLimits(t *testing.T) {
	w := newWorld(t)
	w.controller()
	w.scheduled("tick", "@every 3s", "while [ -e /dir/hang ]; do sleep 0.1; done; [ ! -e /dir/fail ]", limits(2, 1))
	w.start("mine", "tick")
	w.start("mine-labelled", "tick")
	w.kubectl("label", "dagrun", "mine-labelled", v1alpha1.LabelScheduled+"=true")
	for _, name := range []string{"mine", "mine-labelled"} {
		w.waitRun(name, v1alpha1.RunSucceeded, patience)
	}
	w.waitTicks("tick", "Ran", "Succeeded", 4)
	w.open("hang")
	w.waitTicks("tick", "Ran", "Running", 1)
	for _, run := range w.strings(`SELECT name FROM kontroler_v1.runs WHERE phase = 'Running'`) {
		w.cancel(run)
	}
	w.waitTicks("tick", "Ran", "Cancelled", 1)
	w.open("fail")
	if err := os.Remove(filepath.Join(w.dir, "hang")); err != nil {
		t.Fatal(err)
	}
	w.waitTicks("tick", "Ran", "Failed", 2)
	w.rest("tick")
	w.checkRows("tick", 3*time.Second)
	w.waitKept("tick", append(w.newest("tick", "Succeeded", 2), w.newest("tick", "Failed", 1)...)...)
	w.kubectl("patch", "dag", "tick", "--type=merge", "-p", `{"spec":{"successfulRunsHistoryLimit":1,"failedRunsHistoryLimit":0}}`)
	w.waitKept("tick", w.newest("tick", "Succeeded", 1)...)
	before := w.ticks("tick", "Ran", "Failed")
	w.kubectl("patch", "dag", "tick", "--type=merge", "-p", `{"spec":{"successfulRunsHistoryLimit":0,"suspended":false}}`)
	w.waitTicks("tick", "Ran", "Failed", before+3)
	w.rest("tick")
	w.checkRows("tick", 3*time.Second)
	w.waitKept("tick")
	for _, name := range []string{"mine", "mine-labelled"} {
		if d := w.dagRun(name).DeletionTimestamp; d != nil {
			t.Errorf("DagRun %s, which no schedule made, was deleted", name)
		}
	}
}

// kill -9 around the deletion of a DagRun: it goes, its history stays, and nothing runs again.
func TestTimeToLiveKilledAt(t *testing.T) {
	for _, fault := range []string{"end-reported:1", "run-delete:1", "run-deleted:1"} {
		t.Run(fault, func(t *testing.T) {
			w := newWorld(t)
			w.dieAt(fault, func(w *world) {
				w.expiring("a", "", 0)
				w.start(theRun, "a")
			})
			w.controller(atOnce)
			w.waitDeleted(theRun)
			w.checkRowsOf(theRun, "a")
			w.checkPodsGone(w.run(theRun).UID)
			w.checkOnce("a")
		})
	}
}

// kill -9 of a controller that keeps no DagRun of its schedule: each due time runs once.
func TestHistoryLimitsKilledAt(t *testing.T) {
	for _, fault := range []string{"tick-created:2", "run-delete:2", "run-deleted:2"} {
		t.Run(fault, func(t *testing.T) {
			w := newWorld(t)
			w.dieAt(fault, func(w *world) { w.scheduled("tick", "@every 3s", "", limits(0, 0)) })
			before := w.ticks("tick", "Ran", "")
			w.controller(atOnce)
			w.waitTicks("tick", "Ran", "Succeeded", before+2)
			w.rest("tick")
			ran := w.checkRows("tick", 3*time.Second)
			w.waitKept("tick")
			if n := w.effects()["tick"]; n != len(ran) {
				t.Errorf("%d due times ran %d times", len(ran), n)
			}
		})
	}
}

// Rows go when they are old enough, beside live runs and through a crash: not those of a run whose DagRun has yet to be
// told its end. A DagRun whose row is gone is left alone, and takes no schedule's place.
func TestHistoryRetention(t *testing.T) {
	w := newWorld(t)
	c := w.controller(patientLease)
	w.applyDAG("dag", sh("a", ""), sh("b", "", after("a")))
	w.applyDAG("live", sh("c", until("go")))
	w.scheduled("forbid", "@every 3s", "", func(s *v1alpha1.DAGSpec) { s.ConcurrencyPolicy = v1alpha1.ForbidConcurrent })
	for _, run := range []string{"old", "older", "recent"} {
		w.start(run, "dag")
		w.waitRun(run, v1alpha1.RunSucceeded, patience)
	}
	w.start("live", "live")
	w.waitAttempt("live", "c", 1, "Running")
	w.waitTicks("forbid", "Ran", "Succeeded", 1)
	w.rest("forbid")
	w.checkLedger("forbid", 3*time.Second)
	c.stop()
	w.dieAt("end-report:1", func(w *world) { w.start("untold", "dag") })
	w.exec(`UPDATE kontroler.runs SET finished_at = finished_at - interval '2 hours' WHERE name IN ('old', 'older', 'untold') OR dag_name = 'forbid'`)
	w.exec(`UPDATE kontroler.runs SET created_at = created_at - interval '1 year', admitted_at = admitted_at - interval '1 year' WHERE name = 'live'`)
	// The schedule does not know yet that its last run has ended.
	w.exec(`INSERT INTO kontroler.scheduled_runs (dag_id, due_at, run_name, dag_uid, run_uid)
SELECT s.dag_id, t.due_from, t.run_name, s.dag_uid, t.run_uid FROM kontroler.ticks t JOIN kontroler.schedules s ON s.dag_id = t.dag_id
WHERE t.outcome = 'Ran' ORDER BY t.due_from DESC LIMIT 1 ON CONFLICT DO NOTHING`)
	before := w.dagRun("old").ResourceVersion
	ran := w.ticks("forbid", "Ran", "")
	retention := environment("KONTROLER_HISTORY_RETENTION=1h")
	killed, hit := w.launchFaulty("kill:history-trimmed:1", retention)
	killed.waitExit()
	if hit() == "" {
		t.Fatalf("%s was not killed in the middle of its pass", killed.name)
	}
	w.controller(atOnce, retention)
	w.eventually("the old rows to be gone", patience, func(context.Context) (bool, string) {
		left := w.strings(`SELECT name FROM kontroler.runs WHERE name IN ('old', 'older') OR dag_name = 'forbid' AND finished_at < now() - interval '1 hour'`)
		return len(left) == 0, fmt.Sprint(left)
	})
	w.waitRun("untold", v1alpha1.RunSucceeded, patience)
	w.checkFinal("untold", "Succeeded", all("Succeeded", "a", "b"))
	w.checkFinal("recent", "Succeeded", all("Succeeded", "a", "b"))
	if orphans := w.strings(`SELECT t.name FROM kontroler.tasks t LEFT JOIN kontroler.runs r ON r.id = t.run_id WHERE r.id IS NULL`); len(orphans) > 0 {
		t.Errorf("tasks of runs that are gone: %v", orphans)
	}
	w.suspend("forbid", false)
	w.waitTicks("forbid", "Ran", "", ran+1)
	w.rest("forbid")
	w.open("go")
	w.waitRun("live", v1alpha1.RunSucceeded, patience)
	w.checkFinal("live", "Succeeded", all("Succeeded", "c"))
	if is := w.dagRun("old"); is.ResourceVersion != before {
		t.Errorf("the DagRun whose row is gone was written to: %s %s", is.Status.Phase, is.Status.Message)
	}
}
