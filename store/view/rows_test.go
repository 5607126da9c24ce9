package view_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kontroler/store"
	"kontroler/store/storetest"
	"kontroler/store/transition"
	"kontroler/store/view"
)

// at returns the time n seconds after t0.
func at(n int) time.Time { return t0.Add(time.Duration(n) * time.Second) }

// lead leads, and saves two versions of DAG etl.
func (f *fixture) lead() (*store.Leader, store.Version) {
	f.Helper()
	leader := storetest.Lead(f.T, f.owner)
	var version store.Version
	for i, spec := range []string{`{"task": [1]}`, `{"task": [1, 2]}`} {
		var err error
		dag := store.DAG{Namespace: "team", Name: "etl", UID: uid(1), CreatedAt: t0}
		version, err = leader.DAGs.SaveVersion(f.Context(), dag, []byte(spec), [32]byte{byte(i)}, i+1, at(i))
		if err != nil {
			f.Fatal(err)
		}
	}
	return leader, version
}

// check fails the test if an error is not nil or if values differ.
func check[T any](t *testing.T, what string, err error, want, got T) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// TestRowsOfARun checks every field of a run whose first task has failed once, and whose second task waits for it.
func TestRowsOfARun(t *testing.T) {
	f := newFixture(t)
	leader, version := f.lead()
	ctx := t.Context()
	row, err := leader.Admit(ctx, store.NewRun{
		UID: uid(2), Namespace: "team", Name: "etl-1", DAGName: "etl", DAGID: version.DAGID, VersionID: version.ID,
		Parameters: []byte(`[{"name": "p"}]`), CreatedAt: t0, AdmittedAt: at(1), DeadlineSeconds: 60,
		Origin: store.Origin{Trigger: "Schedule", DueAt: t0},
	}, []store.NewTask{{Position: 0, Name: "a"}, {Position: 1, Name: "b", Parents: []int32{0}}})
	if err != nil {
		t.Fatal(err)
	}
	tasks, err := leader.TasksAt(ctx, row.ID, []int32{0, 1})
	if err != nil {
		t.Fatal(err)
	}
	a, b, code := tasks[0].ID, tasks[1].ID, int32(3)
	commit := func(transitions ...transition.Transition) {
		t.Helper()
		if err := leader.Commit(ctx, row.ID, transitions, nil); err != nil {
			t.Fatal(err)
		}
	}
	commit(transition.RunStarted{At: at(2)}, transition.TaskActive{Task: a, At: at(2)},
		transition.AttemptDecided{Task: a, Number: 1, PodName: "pod-1", At: at(2)})
	commit(transition.AttemptRunning{Attempt: 1, PodUID: uid(3), Node: "node", StartedAt: at(3), Due: at(99)})
	_, err = leader.PodEvents.Save(ctx, []store.PodEvent{{
		Pod: store.Pod{UID: uid(3), RunUID: uid(2), Name: "pod-1"}, Container: "task", Type: "Normal",
		Reason: "Started", Message: "m", Source: "kubelet", Count: 2, FirstAt: at(3), LastAt: at(4),
	}})
	if err != nil {
		t.Fatal(err)
	}
	commit(transition.AttemptStopping{Attempt: 1, Reason: "Timeout", Message: "timed out"})
	if waiting, err := f.db.Waiting(ctx, view.AllNamespaces(), time.Now()); err != nil || len(waiting) > 0 {
		t.Errorf("a task that is being stopped waits: %v, %v", waiting, err)
	}
	commit(transition.AttemptEnded{Attempt: 1, Phase: "Failed", Reason: "ExitCode", Message: "exit code 3",
		ExitCode: &code, FinishedAt: at(5)},
		transition.TaskBackedOff{Task: a, Reason: "BackingOff", Message: "again",
			Due: time.Now().Add(time.Hour).Truncate(0), Retries: 1})

	run, found, err := f.db.Run(ctx, uid(2))
	check(t, "the run", err, view.Run{
		ID: row.ID, UID: uid(2), Namespace: "team", Name: "etl-1", DAG: "etl", DAGID: version.DAGID,
		VersionID: version.ID, Phase: "Running", Parameters: []byte(`[{"name": "p"}]`),
		Counts:    view.Counts{Total: 2, Waiting: 1, Ready: 1},
		CreatedAt: t0, AdmittedAt: at(1), StartedAt: at(2), DeadlineAt: at(61), Trigger: "Schedule", DueAt: t0,
	}, run)
	if !found {
		t.Error("the run is not found")
	}
	states, err := f.db.Tasks(ctx, row.ID, view.FirstTask, 10)
	for i := range states {
		if states[i].Position == 0 && states[i].DueAt.Before(time.Now()) {
			t.Errorf("the retry is due at %s", states[i].DueAt)
		}
		states[i].DueAt = time.Time{}
	}
	check(t, "the tasks", err, []view.Task{
		{ID: a, Position: 0, Name: "a", Phase: "Ready", Reason: "BackingOff", Message: "again", Attempts: 1, Retries: 1,
			ReadyAt: at(1), StartedAt: at(2)},
		{ID: b, Position: 1, Name: "b", Phase: "Waiting", Reason: "NeedsParents", Message: "needs a", Unmet: 1},
	}, states)
	attempts, err := f.db.Attempts(ctx, a, 0, 10)
	check(t, "the attempts", err, []view.Attempt{{
		ID: 1, TaskID: a, Number: 1, Phase: "Failed", Reason: "ExitCode", Message: "exit code 3", Stop: "Timeout",
		PodName: "pod-1", PodUID: uid(3), Node: "node", ExitCode: &code, DecidedAt: at(2), CreatedAt: at(2),
		StartedAt: at(3), FinishedAt: at(5),
	}}, attempts)
	ofRun, hasMore, err := f.db.RunAttempts(ctx, row.ID)
	check(t, "the attempts of the run", err, []view.RunAttempt{
		{Task: "a", Number: 1, Phase: "Failed", Reason: "ExitCode", StartedAt: at(3), FinishedAt: at(5)},
	}, ofRun)
	if hasMore {
		t.Error("the run has more attempts")
	}
	events, err := f.db.PodEvents(ctx, 1)
	check(t, "the Events", err, []view.PodEvent{{
		AttemptID: 1, Container: "task", Type: "Normal", Reason: "Started", Message: "m", Source: "kubelet", Count: 2,
		FirstAt: at(3), LastAt: at(4),
	}}, events)
}

// TestRowsOfADAG checks every field of a DAG, of its versions and of its due times.
func TestRowsOfADAG(t *testing.T) {
	f := newFixture(t)
	leader, version := f.lead()
	ctx := t.Context()
	before, _, err := leader.Schedules.Read(ctx, "team", "etl")
	if err != nil {
		t.Fatal(err)
	}
	after := before
	after.DAGUID, after.Expression, after.Cursor = uid(1), "@every 1m", at(240)
	_, err = leader.Schedules.Advance(ctx, store.ScheduleUpdate{
		Before: before, After: after, Now: at(250), Ticks: []store.Tick{
			{From: at(60), To: at(180), Count: 3, Outcome: "Missed"},
			{From: at(240), To: at(240), Count: 1, Outcome: "Ran", RunName: "etl-4"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := leader.DAGs.MarkDeleted(ctx, "team", "etl", at(300)); err != nil {
		t.Fatal(err)
	}

	dag, found, err := f.db.DAG(ctx, "team", "etl")
	check(t, "the DAG", err, view.DAG{ID: version.DAGID, Namespace: "team", Name: "etl", UID: uid(1), Version: 2,
		CreatedAt: t0, DeletedAt: at(300)}, dag)
	if _, foundOther, err := f.db.DAG(ctx, "other", "etl"); !found || foundOther || err != nil {
		t.Errorf("the DAG is found: %t; in another namespace: %t, %v", found, foundOther, err)
	}
	first := view.Version{ID: version.ID - 1, DAGID: dag.ID, Number: 1, Tasks: 1, CreatedAt: t0}
	second := view.Version{ID: version.ID, DAGID: dag.ID, Number: 2, Tasks: 2, CreatedAt: at(1)}
	versions, err := f.db.Versions(ctx, dag.ID, 0, 10)
	check(t, "the versions", err, []view.Version{second, first}, versions)
	versions, err = f.db.Versions(ctx, dag.ID, 0, 1)
	check(t, "the newest version", err, []view.Version{second}, versions)
	versions, err = f.db.Versions(ctx, dag.ID, 2, 10)
	check(t, "the versions below 2", err, []view.Version{first}, versions)
	second.Spec = []byte(`{"task": [1, 2]}`)
	got, _, err := f.db.Version(ctx, dag.ID, 2)
	check(t, "version 2", err, second, got)
	got, _, err = f.db.VersionByID(ctx, version.ID)
	check(t, "the version by its id", err, second, got)
	if _, found, err := f.db.Version(ctx, dag.ID, 3); found || err != nil {
		t.Errorf("a version that does not exist: found %t, %v", found, err)
	}

	ran := view.Tick{From: at(240), To: at(240), Count: 1, Outcome: "Ran", RunName: "etl-4", DecidedAt: at(250)}
	missed := view.Tick{From: at(60), To: at(180), Count: 3, Outcome: "Missed", DecidedAt: at(250)}
	ticks, err := f.db.Ticks(ctx, dag.ID, time.Time{}, 10)
	check(t, "the due times", err, []view.Tick{ran, missed}, ticks)
	ticks, err = f.db.Ticks(ctx, dag.ID, at(240), 10)
	check(t, "the due times before the last", err, []view.Tick{missed}, ticks)
}

// TestMissedAmongMany finds a stretch that was missed behind more due times that ran than a list has rows, and one that
// begins before the time and ends after it.
func TestMissedAmongMany(t *testing.T) {
	f := newFixture(t)
	_, version := f.lead()
	f.exec(fmt.Sprintf(`
INSERT INTO kontroler.ticks (dag_id, due_from, due_to, count, outcome, decided_at)
SELECT %[1]d, due, due, 1, 'Ran', due FROM generate_series('%[2]s'::timestamptz, '%[3]s', '1 second') due`,
		version.DAGID, at(1000).Format(time.RFC3339), at(1000+view.MaxRows).Format(time.RFC3339)))
	var want []view.MissedTick
	for _, m := range []view.Tick{{From: at(600), To: at(660), Count: 2}, {From: at(300), To: at(480), Count: 4}} {
		f.exec(fmt.Sprintf(`
INSERT INTO kontroler.ticks (dag_id, due_from, due_to, count, outcome, decided_at)
VALUES (%d, '%s', '%s', %d, 'Missed', '%[3]s')`,
			version.DAGID, m.From.Format(time.RFC3339), m.To.Format(time.RFC3339), m.Count))
		m.Outcome, m.DecidedAt = "Missed", m.To
		want = append(want, view.MissedTick{Namespace: "team", DAG: "etl", Tick: m})
	}
	missed, err := f.db.Missed(t.Context(), view.AllNamespaces(), at(400))
	check(t, "what was missed", err, want, missed)
	missed, err = f.db.Missed(t.Context(), view.AllNamespaces(), at(500))
	check(t, "what was missed later", err, want[:1], missed)
}

// TestRecentRuns checks the last runs of several DAGs, and the DAGs that were deleted.
func TestRecentRuns(t *testing.T) {
	f := newFixture(t)
	f.fillRuns(300)
	ctx := t.Context()
	names := []view.DAGName{{Namespace: "team-1", Name: "dag-1"}, {Namespace: "team-2", Name: "dag-2"},
		{Namespace: "team-1", Name: "none"}, {Namespace: "none", Name: "dag-1"}}
	recent, err := f.db.RecentRuns(ctx, names)
	check(t, "the number of DAGs with a row", err, 2, len(recent))
	for _, name := range names[:2] {
		filter := view.RunFilter{Scope: view.Namespaces(name.Namespace), DAG: name.Name}
		page, err := f.db.Runs(ctx, filter, view.PageRequest{Limit: view.LastRuns})
		var want []view.RecentRun
		for _, r := range page.Rows {
			want = append(want, view.RecentRun{UID: r.UID, Name: r.Name, Phase: r.Phase, CreatedAt: r.CreatedAt,
				StartedAt: r.StartedAt, FinishedAt: r.FinishedAt})
		}
		check(t, "the last runs of "+name.Name, err, want, recent[name].Runs)
		if len(want) != view.LastRuns {
			t.Errorf("%d runs of %s", len(want), name.Name)
		}
		id := page.Rows[0].DAGID
		typical, err := f.db.TypicalDurations(ctx, []int64{id, id + 1000})
		check(t, "the typical duration of "+name.Name, err, typical[id], recent[name].TypicalDuration)
		for _, phase := range []string{"Pending", "Running", "Succeeded", "Failed", "Cancelled"} {
			isLast := phase == page.Rows[0].Phase
			for _, scope := range []view.Scope{view.AllNamespaces(), view.Namespaces(name.Namespace)} {
				found, err := f.db.ByLastRun(ctx, scope, []string{phase})
				check(t, name.Name+" among the DAGs whose last run is "+phase, err, isLast, found[name])
			}
		}
		foreign, err := f.db.ByLastRun(ctx, view.Namespaces("none"), []string{page.Rows[0].Phase})
		check(t, "DAGs of a foreign namespace", err, 0, len(foreign))
	}
	admitted, err := f.db.Admitted(ctx, []string{uid(3), uid(9999), "no UUID"})
	check(t, "the DagRuns with a row", err, map[string]bool{uid(3): true}, admitted)

	f.exec(`UPDATE kontroler.dags SET deleted_at = $1 WHERE name IN ('dag-1', 'dag-2')`, t0)
	deleted := func(scope view.Scope, search string, from view.DAGName, isBackward bool, limit int) (names []string) {
		t.Helper()
		dags, err := f.db.Deleted(ctx, scope, search, from, isBackward, limit)
		if err != nil {
			t.Fatal(err)
		}
		for _, dag := range dags {
			names = append(names, dag.Namespace+"/"+dag.Name)
		}
		return names
	}
	all := []string{"team-0/dag-2", "team-1/dag-1", "team-2/dag-1", "team-2/dag-2"}
	beside := view.DAGName{Namespace: "team-2", Name: "dag-1"}
	check(t, "all that were deleted", nil, all, deleted(view.AllNamespaces(), "", view.DAGName{}, false, 9))
	check(t, "those after a name", nil, all[3:], deleted(view.AllNamespaces(), "", beside, false, 9))
	check(t, "the one before a name", nil, all[1:2], deleted(view.AllNamespaces(), "", beside, true, 1))
	check(t, "those of a namespace", nil, all[2:], deleted(view.Namespaces("team-2"), "", view.DAGName{}, false, 9))
	check(t, "those with a text in their name", nil, []string{all[0], all[3]},
		deleted(view.AllNamespaces(), "g-2", view.DAGName{}, false, 9))
}

// TestControllerID checks that a reader learns the id of the controller.
func TestControllerID(t *testing.T) {
	f := newFixture(t)
	owner, err := f.owner.Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	id, err := f.db.ControllerID(t.Context())
	check(t, "the id of the controller", err, owner.ControllerID, id)
}
