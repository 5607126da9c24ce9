package store_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kontroler/store/transition"
)

// TestReadContract pins the columns of the views. A column may be added at the end; none may change or be removed.
func TestReadContract(t *testing.T) {
	f := newFixture(t)
	f.busy()
	want := map[string]string{
		"dags":     "id namespace name uid created_at deleted_at version",
		"versions": "id dag_id version spec tasks created_at",
		"runs": "id uid namespace name dag_name dag_id dag_version_id phase reason message stop hold parameters " +
			"total waiting ready active " +
			"succeeded failed skipped cancelled created_at admitted_at started_at deadline_at finished_at " +
			"workspace_uid trigger requested_by due_at",
		"tasks": "id run_id position index name phase reason message unmet attempts retries restarts due_at " +
			"ready_at started_at finished_at reason_at",
		"attempts": "id run_id task_id number phase reason message stop pod_name pod_uid node exit_code due_at " +
			"reused_from stray_uid decided_at " +
			"created_at started_at finished_at reason_at",
		"pod_events":        "attempt_id run_id container type reason message source count first_at last_at",
		"schedules":         "dag_id schedule time_zone cursor held last_due",
		"ticks":             "dag_id due_from due_to count outcome run_id decided_at run_name run_uid",
		"changes":           "id xid run_id kind at namespace dag_id",
		"dag_tasks":         "id namespace name uid created_at deleted_at version",
		"dag_task_versions": "id dag_task_id version spec created_at",

		"notifications": "id run_id dag_id task_id event state tries due_at error created_at settled_at",
		"deliveries":    "notification_id try at status error response duration_ms",
		"logs": "attempt_id at state message bytes omitted_at omitted begins_at ends_at rotated " +
			"incomplete chunks captured_at",
		"log_chunks": "attempt_id at seq size data",
		"identity":   "controller_id cluster_uid created_at",
		"schema":     "version",
	}
	got := map[string]string{}
	tables := map[string]string{"versions": "dag_versions", "schema": "schema_migrations"}
	for view := range want {
		got[view] = f.text(`SELECT string_agg(column_name, ' ' ORDER BY ordinal_position)
FROM information_schema.columns WHERE table_schema = 'kontroler_v1' AND table_name = $1`, view)
		table := tables[view]
		if table == "" {
			table = view
		}
		viewed, rows := f.text(`SELECT count(*) FROM kontroler_v1.`+view),
			f.text(`SELECT count(*) FROM kontroler.`+table)
		if viewed != rows && view != "schema" { // its row has the version of the newest migration
			t.Errorf("view %s has %s rows, its table %s", view, viewed, rows)
		}
		mistyped := f.text(`SELECT count(*) FROM information_schema.columns v
JOIN information_schema.columns t USING (column_name)
WHERE v.table_schema = 'kontroler_v1' AND v.table_name = $1 AND t.table_schema = 'kontroler' AND t.table_name = $2
    AND v.data_type <> t.data_type`, view, table)
		if mistyped != "0" {
			t.Errorf("view %s: %s columns are of another type than in its table", view, mistyped)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
}

// TestReasonsOfTasks checks that a task that is not running has a reason, from its row, its live attempt, the graph or
// the run.
func TestReasonsOfTasks(t *testing.T) {
	f := newFixture(t)
	run := f.busy()
	f.exec(`UPDATE kontroler.tasks SET due_at = now() + interval '1 hour' WHERE run_id = $1 AND position = 0`, run)
	attempts, err := f.leader.AttemptsByPods(t.Context(), run, []string{"p5"})
	if err != nil {
		t.Fatal(err)
	}
	f.mustCommit(run,
		transition.RunHeld{Reason: "MaxParallel"},
		transition.AttemptWaits{Attempt: attempts[0].ID, Reason: "QuotaExceeded", Message: "pods: 10 of 10", At: at(6),
			Due: at(60)},
	)
	rows := map[int]string{}
	for position := range 10 {
		rows[position] = f.text(`SELECT phase || '|' || reason || '|' || message
FROM kontroler_v1.tasks WHERE run_id = $1 AND position = $2`, run, position)
	}
	want := map[int]string{
		0: "Ready|BackingOff|", 1: "Active||", 2: "Active||", 3: "Active||", 4: "Failed|RetriesSpent|",
		5: "Active|QuotaExceeded|pods: 10 of 10", 6: "Active|Pending|its Pod is being created",
		7: "Ready|MaxParallel|the run has maxParallel tasks active",
		8: "Waiting|NeedsParents|needs t0", 9: "Skipped|ParentFailed|needs t4",
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
	since := map[int]string{}
	for position := range 10 {
		at := f.text(`SELECT coalesce(extract(epoch FROM reason_at - $2)::int::text, '') FROM kontroler_v1.tasks
WHERE run_id = $1 AND position = $3`, run, t0, position)
		if at != "" {
			since[position] = at
		}
	}
	// Task 5 waits for the quota, task 6 for its Pod to be created.
	if diff := cmp.Diff(map[int]string{5: "6", 6: "2"}, since); diff != "" {
		t.Errorf("times of reasons, in seconds (-want +got):\n%s", diff)
	}
	f.exec(`UPDATE kontroler.tasks SET due_at = now() WHERE run_id = $1 AND position = 0`, run)
	if got := f.text(`SELECT reason FROM kontroler_v1.tasks WHERE run_id = $1
AND position = 0`, run); got != "MaxParallel" {
		t.Errorf("a task whose back-off is over waits for %q", got)
	}
}

// TestConstraints checks that the tables reject invalid rows from any writer.
func TestConstraints(t *testing.T) {
	f := newFixture(t)
	run := f.busy()
	tests := map[string]string{
		"an API run without a requester": `UPDATE kontroler.runs SET trigger = 'API' WHERE id = %d`,
		"a requester without a trigger":  `UPDATE kontroler.runs SET requested_by = 'a' WHERE id = %d`,
		"a due time without a schedule": `UPDATE kontroler.runs SET trigger = 'Manual', due_at = now()
WHERE id = %d`,
		"an unknown trigger":          `UPDATE kontroler.runs SET trigger = 'Odd' WHERE id = %d`,
		"counters that do not add up": `UPDATE kontroler.runs SET ready = ready + 1 WHERE id = %d`,
		"an ended run with open tasks": `UPDATE kontroler.runs SET phase = 'Failed', finished_at = now()
WHERE id = %d`,
		"an ended run without its time": `UPDATE kontroler.runs SET phase = 'Failed' WHERE id = %d`,
		"a live run without a version":  `UPDATE kontroler.runs SET dag_version_id = NULL WHERE id = %d`,
		"a Ready task that is not due": `UPDATE kontroler.tasks SET due_at = NULL WHERE run_id = %d
AND phase = 'Ready'`,
		"a Ready task with unmet parents": `UPDATE kontroler.tasks SET unmet = 1 WHERE run_id = %d AND phase = 'Ready'`,
		"a Waiting task without unmet parents": `UPDATE kontroler.tasks SET unmet = 0 WHERE run_id = %d
AND phase = 'Waiting'`,
		"an ended task without its time": `UPDATE kontroler.tasks SET phase = 'Succeeded' WHERE run_id = %d
AND phase = 'Active'`,
		"a Running attempt that never started": `UPDATE kontroler.attempts SET started_at = NULL WHERE run_id = %d
AND phase = 'Running'`,
		"a Running attempt without a Pod": `UPDATE kontroler.attempts SET pod_uid = NULL WHERE run_id = %d
AND phase = 'Running'`,
		"a Stopping attempt without a reason": `UPDATE kontroler.attempts SET phase = 'Stopping', stop = ''
WHERE run_id = %d AND phase = 'Running'`,
		"an unknown phase": `UPDATE kontroler.attempts SET phase = 'Odd' WHERE run_id = %d
AND phase = 'Running'`,
		"two attempts under one Pod name": `UPDATE kontroler.attempts SET pod_name = 'p' WHERE run_id = %d`,
		"two live attempts of one task": `INSERT INTO kontroler.attempts (run_id, task_id, number, phase, pod_name,
decided_at) SELECT run_id, task_id, 9, 'Decided', 'px', now() FROM kontroler.attempts WHERE run_id = %d
AND pod_name = 'p5'`,
	}
	for name, statement := range tests {
		if result, err := f.raw.Exec(fmt.Sprintf(statement, run)); err == nil {
			n, _ := result.RowsAffected()
			t.Errorf("%s: written (%d rows)", name, n)
		}
	}
}
