package store_test

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"kontroler/store"
	"kontroler/store/storetest"
	"kontroler/store/transition"
)

var t0 = time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)

// at returns the time n seconds after t0.
func at(n int) time.Time { return t0.Add(time.Duration(n) * time.Second) }

// uid returns the UUID for a number.
func uid(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

// fixture is a database with a leader. raw reaches the database without them.
type fixture struct {
	*testing.T
	url     string
	db      *store.DB
	leader  *store.Leader
	raw     *sql.DB
	version store.Version
	runs    int
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	url := storetest.URL(t)
	db := storetest.Open(t, url)
	f := &fixture{T: t, url: url, db: db, leader: storetest.Lead(t, db), raw: openRaw(t, url)}
	f.version = f.save(1, `{"task": []}`)
	return f
}

func openRaw(t testing.TB, url string) *sql.DB {
	t.Helper()
	raw, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	return raw
}

// save saves a version whose hash consists of bytes n.
func (f *fixture) save(n byte, spec string) store.Version {
	f.Helper()
	dag := store.DAG{Namespace: "default", Name: "d", UID: uid(1), CreatedAt: t0}
	version, err := f.leader.DAGs.SaveVersion(f.Context(), dag, []byte(spec), hash(n), 5, t0)
	if err != nil {
		f.Fatal(err)
	}
	return version
}

func hash(n byte) (h [32]byte) {
	for i := range h {
		h[i] = n
	}
	return h
}

func (f *fixture) newRun() store.NewRun {
	f.runs++
	return store.NewRun{
		UID: uid(1000 + f.runs), Namespace: "default", Name: fmt.Sprintf("r%d", f.runs), DAGName: "d",
		DAGID: f.version.DAGID, VersionID: f.version.ID, CreatedAt: t0, AdmittedAt: at(1),
	}
}

// admit admits a run. Each argument is the number of parents of a task.
func (f *fixture) admit(unmet ...int) store.Run {
	f.Helper()
	tasks := make([]store.NewTask, len(unmet))
	for i, n := range unmet {
		tasks[i] = store.NewTask{Position: i, Name: fmt.Sprintf("t%d", i), Parents: make([]int32, n)}
	}
	run, err := f.leader.Admit(f.Context(), f.newRun(), tasks)
	if err != nil {
		f.Fatal(err)
	}
	return run
}

// commit commits transitions.
func (f *fixture) commit(run int64, transitions ...transition.Transition) error {
	f.Helper()
	return f.leader.Commit(f.Context(), run, transitions, nil)
}

func (f *fixture) mustCommit(run int64, transitions ...transition.Transition) {
	f.Helper()
	if err := f.commit(run, transitions...); err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) run(uid string) store.Run {
	f.Helper()
	run, found, err := f.leader.RunByUID(f.Context(), uid)
	if err != nil || !found {
		f.Fatalf("run %s: found %t, %v", uid, found, err)
	}
	return run
}

// gather reads a run that exists.
func (f *fixture) gather(run int64, request store.GatherRequest) store.Snapshot {
	f.Helper()
	uid := f.text(`SELECT uid FROM kontroler.runs WHERE id = $1`, run)
	snapshot, found, err := f.leader.Gather(f.Context(), uid, request)
	if err != nil || !found {
		f.Fatalf("Gather: found %t, %v", found, err)
	}
	return snapshot
}

func (f *fixture) tasks(run int64, positions ...int32) []store.Task {
	f.Helper()
	tasks, err := f.leader.TasksAt(f.Context(), run, positions)
	if err != nil {
		f.Fatal(err)
	}
	return tasks
}

// task inserts a run with one task in this phase, without the transitions that lead to it.
func (f *fixture) task(phase string, cascade bool) (run, task int64) {
	f.Helper()
	run = f.admit().ID
	f.exec(fmt.Sprintf(`UPDATE kontroler.runs SET phase = 'Running', total = 1, %s = 1
WHERE id = $1`, strings.ToLower(phase)), run)
	unmet := 0
	if phase == "Waiting" || phase == "Skipped" {
		unmet = 2
	}
	err := f.raw.QueryRow(`INSERT INTO kontroler.tasks (run_id, position, name, phase, unmet, cascade, attempts, due_at,
finished_at)
VALUES ($1, 0, 'a', $2, $3, $4, 1, CASE WHEN $2::text = 'Ready' THEN $5::timestamptz END,
        CASE WHEN $2::text IN ('Succeeded', 'Failed', 'Skipped', 'Cancelled') THEN $5::timestamptz END) RETURNING id`,
		run, phase, unmet, cascade, t0).Scan(&task)
	if err != nil {
		f.Fatal(err)
	}
	return run, task
}

// attempt inserts a run with one Active task and its attempt in this phase.
func (f *fixture) attempt(phase string) (run, task, attempt int64) {
	f.Helper()
	run, task = f.task("Active", false)
	err := f.raw.QueryRow(`INSERT INTO kontroler.attempts (run_id, task_id, number, phase, pod_name, decided_at, pod_uid,
started_at, stop, finished_at)
VALUES ($1, $2, 1, $3, 'p', $4, CASE WHEN $3::text <> 'Decided' THEN $5::uuid END, CASE WHEN $3::text NOT IN ('Decided',
    'Pending') THEN $4::timestamptz END,
        CASE WHEN $3::text = 'Stopping' THEN 'Timeout' ELSE '' END,
        CASE WHEN $3::text IN ('Succeeded', 'Failed', 'Lost', 'Cancelled') THEN $4::timestamptz END) RETURNING id`,
		run, task, phase, t0, uid(7)).Scan(&attempt)
	if err != nil {
		f.Fatal(err)
	}
	return run, task, attempt
}

func (f *fixture) exec(query string, args ...any) {
	f.Helper()
	if _, err := f.raw.Exec(query, args...); err != nil {
		f.Fatal(err)
	}
}

// text returns the one value of a query, as text.
func (f *fixture) text(query string, args ...any) string {
	f.Helper()
	var s string
	if err := f.raw.QueryRow(query, args...).Scan(&s); err != nil {
		f.Fatal(err)
	}
	return s
}
