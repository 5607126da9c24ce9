package view_test

import (
	"fmt"
	"slices"
	"testing"

	"kontroler/store/view"
)

// TestAttemptsOfARun reads the attempts of a run with more than it returns. The run has tasks with 250 attempts each,
// and tasks without any.
func TestAttemptsOfARun(t *testing.T) {
	f := newFixture(t)
	const each, tasks = 250, 252
	f.exec(fmt.Sprintf(`
SET session_replication_role = replica; -- no checks of foreign keys: no query needs the rows of the DAG
INSERT INTO kontroler.runs (id, uid, namespace, name, dag_name, dag_id, dag_version_id, phase, total, active,
    created_at, admitted_at)
OVERRIDING SYSTEM VALUE SELECT n, gen_random_uuid(), 'team', 'run-' || n, 'etl', 1, 1, 'Running', %[2]d, %[2]d, now(),
    now()
FROM generate_series(1, 2) n;
INSERT INTO kontroler.tasks (run_id, position, name, phase, unmet, attempts)
SELECT r.id, p, 't' || p, 'Active', 0, CASE WHEN p %% 100 = 99 THEN 0 ELSE %[1]d END
FROM kontroler.runs r, generate_series(0, %[2]d) p WHERE r.id = 1 OR p < 3;
INSERT INTO kontroler.attempts (run_id, task_id, number, phase, pod_name, decided_at, finished_at)
SELECT t.run_id, t.id, n, 'Failed', t.id || '-' || n, now(), now()
FROM kontroler.tasks t, generate_series(1, %[1]d) n WHERE t.attempts > 0;
SET session_replication_role = DEFAULT`, each, tasks))

	few, hasMore, err := f.db.RunAttempts(t.Context(), 2)
	if err != nil || hasMore || len(few) != 3*view.MaxPage {
		t.Fatalf("%d attempts of three tasks, more: %t, %v", len(few), hasMore, err)
	}
	for i, a := range few {
		want := view.RunAttempt{Task: fmt.Sprint("t", i/view.MaxPage), Number: each - i%view.MaxPage, Phase: "Failed"}
		if a.Task != want.Task || a.Number != want.Number || a.Phase != want.Phase || a.FinishedAt.IsZero() {
			t.Fatalf("attempt %d is %+v, want %+v", i, a, want)
		}
	}
	many, hasMore, err := f.db.RunAttempts(t.Context(), 1)
	if err != nil || !hasMore || len(many) != view.MaxCells {
		t.Errorf("%d attempts of %d tasks, more: %t, %v", len(many), tasks, hasMore, err)
	}
	if slices.ContainsFunc(many, func(a view.RunAttempt) bool { return a.Task == "t99" }) {
		t.Error("a task without attempts has one")
	}
}

// TestCells reads the tasks of runs in the order of the runs, one of which has none.
func TestCells(t *testing.T) {
	f := newFixture(t)
	f.exec(`
SET session_replication_role = replica; -- no checks of foreign keys: no query needs the rows of the DAG
INSERT INTO kontroler.runs (id, uid, namespace, name, dag_name, dag_id, dag_version_id, phase, total, active,
    created_at, admitted_at)
OVERRIDING SYSTEM VALUE SELECT n, gen_random_uuid(), 'team', 'run-' || n, 'etl', 1, 1, 'Running', 2, 2, now(), now()
FROM generate_series(1, 3) n;
INSERT INTO kontroler.tasks (run_id, position, name, phase, unmet, retries, restarts, finished_at) VALUES
    (1, 1, 'a', 'Active', 0, 2, 0, NULL), (1, 0, 'z', 'Failed', 0, 1, 3, now()), (3, 0, 'a', 'Active', 0, 0, 1, NULL);
SET session_replication_role = DEFAULT`)
	cells, err := f.db.Cells(t.Context(), []int64{3, 2, 1})
	check(t, "the tasks", err, []view.RunTasks{
		{Names: []string{"a"}, Phases: []string{"Active"}, Restarted: []string{"a"}},
		{},
		{Names: []string{"z", "a"}, Phases: []string{"Failed", "Active"},
			Retried: []string{"z", "a"}, Restarted: []string{"z"}},
	}, cells)
}
