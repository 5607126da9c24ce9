package store_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"kontroler/store"

	"github.com/google/go-cmp/cmp"
)

var (
	taskPhases    = []string{"Waiting", "Ready", "Active", "Succeeded", "Failed", "Skipped", "Cancelled"}
	attemptPhases = []string{"Decided", "Pending", "Running", "Stopping", "Succeeded", "Failed", "Lost", "Cancelled"}
)

func TestTaskTransitions(t *testing.T) {
	f := newFixture(t)
	tests := map[string]struct {
		do      func(c *store.Changes, task int64)
		from    []string
		cascade bool
		want    store.Task // when it comes from the first of from; ID aside
	}{
		"TaskUnblocked": {
			do:   func(c *store.Changes, task int64) { c.TaskUnblocked(task, 1) },
			from: []string{"Waiting"}, want: store.Task{Phase: "Waiting", Unmet: 1},
		},
		"TaskReady": {
			do:   func(c *store.Changes, task int64) { c.TaskReady(task, at(5)); c.RunCounts(-1, 1, 0, 0, 0, 0, 0) },
			from: []string{"Waiting"}, want: store.Task{Phase: "Ready", DueAt: at(5), ReadyAt: at(5)},
		},
		"TaskSkipped": {
			do: func(c *store.Changes, task int64) {
				c.TaskSkipped(task, "needs x", true, at(5))
				c.RunCounts(-1, 0, 0, 0, 0, 1, 0)
			},
			from: []string{"Waiting"}, want: store.Task{Phase: "Skipped", Reason: "ParentFailed", Message: "needs x", Unmet: 2, Cascade: true, FinishedAt: at(5)},
		},
		"TaskActive": {
			do:   func(c *store.Changes, task int64) { c.TaskActive(task, at(5)); c.RunCounts(0, -1, 1, 0, 0, 0, 0) },
			from: []string{"Ready"}, want: store.Task{Phase: "Active", Attempts: 2, StartedAt: at(5)},
		},
		"TaskBackedOff": {
			do: func(c *store.Changes, task int64) {
				c.TaskBackedOff(task, "BackingOff", "why", at(9), 3, 4)
				c.RunCounts(0, 1, -1, 0, 0, 0, 0)
			},
			from: []string{"Active"}, want: store.Task{Phase: "Ready", Reason: "BackingOff", Message: "why", Retries: 3, Restarts: 4, DueAt: at(9)},
		},
		"TaskSucceeded": {
			do:   func(c *store.Changes, task int64) { c.TaskSucceeded(task, at(5)); c.RunCounts(0, 0, -1, 1, 0, 0, 0) },
			from: []string{"Active"}, want: store.Task{Phase: "Succeeded", FinishedAt: at(5)},
		},
		"TaskFailed": {
			do: func(c *store.Changes, task int64) {
				c.TaskFailed(task, "RetriesSpent", "m\x00n\xff", true, at(5))
				c.RunCounts(0, 0, -1, 0, 1, 0, 0)
			},
			from: []string{"Active"}, want: store.Task{Phase: "Failed", Reason: "RetriesSpent", Message: "m\uFFFDn\uFFFD", Cascade: true, FinishedAt: at(5)},
		},
		"TaskCancelled": {
			do: func(c *store.Changes, task int64) {
				c.TaskCancelled(task, "UserCancelled", "m", at(5))
				c.RunCounts(0, 0, -1, 0, 0, 0, 1)
			},
			from: []string{"Active"}, want: store.Task{Phase: "Cancelled", Reason: "UserCancelled", Message: "m", FinishedAt: at(5)},
		},
		"TaskCascaded": {
			do:      func(c *store.Changes, task int64) { c.TaskCascaded(task) },
			cascade: true, from: taskPhases, want: store.Task{Phase: "Waiting", Unmet: 2},
		},
		"TaskCascaded of one that is not": {do: func(c *store.Changes, task int64) { c.TaskCascaded(task) }},
	}
	for name, tt := range tests {
		for _, phase := range taskPhases {
			t.Run(name+" from "+phase, func(t *testing.T) {
				run, task := f.task(phase, tt.cascade)
				before := f.tasks(run, 0)
				err := f.commit(run, func(c *store.Changes) { tt.do(c, task) })
				after := f.tasks(run, 0)
				switch {
				case !slices.Contains(tt.from, phase):
					if !errors.Is(err, store.ErrConflict) {
						t.Errorf("error %v, want ErrConflict", err)
					}
					if diff := cmp.Diff(before, after); diff != "" {
						t.Errorf("something was written (-before +after):\n%s", diff)
					}
				case err != nil:
					t.Error(err)
				case phase == tt.from[0]:
					want := tt.want
					want.ID, want.Name = task, "a"
					want.Attempts = max(want.Attempts, 1)
					if diff := cmp.Diff([]store.Task{want}, after); diff != "" {
						t.Errorf("task (-want +got):\n%s", diff)
					}
				}
			})
		}
	}
}

func TestAttemptTransitions(t *testing.T) {
	f := newFixture(t)
	code := int32(3)
	base := store.Attempt{Number: 1, PodName: "p", PodUID: uid(7), DecidedAt: t0}
	with := func(change func(a *store.Attempt)) store.Attempt {
		a := base
		change(&a)
		return a
	}
	live, unended := attemptPhases[:4], attemptPhases[:3]
	tests := map[string]struct {
		do   func(c *store.Changes, attempt int64)
		from []string
		want map[string]store.Attempt // by phase
	}{
		"AttemptPending": {
			do: func(c *store.Changes, a int64) { c.AttemptPending(a, uid(8), "n1", at(5), at(10)) }, from: []string{"Decided"},
			want: map[string]store.Attempt{"Decided": with(func(a *store.Attempt) {
				a.Phase, a.PodUID, a.Node, a.CreatedAt, a.DueAt = "Pending", uid(8), "n1", at(5), at(10)
			})},
		},
		"AttemptRunning": {
			do: func(c *store.Changes, a int64) { c.AttemptRunning(a, "", "n1", at(5), time.Time{}) }, from: []string{"Pending"},
			want: map[string]store.Attempt{"Pending": with(func(a *store.Attempt) { a.Phase, a.Node, a.CreatedAt, a.StartedAt = "Running", "n1", at(0), at(5) })},
		},
		"AttemptRunning with a UID": {
			do: func(c *store.Changes, a int64) { c.AttemptRunning(a, uid(8), "n1", at(5), at(9)) }, from: []string{"Decided", "Pending"},
			want: map[string]store.Attempt{"Decided": with(func(a *store.Attempt) {
				a.Phase, a.PodUID, a.Node, a.CreatedAt, a.StartedAt, a.DueAt = "Running", uid(8), "n1", at(0), at(5), at(9)
			})},
		},
		"AttemptWaits": {
			do: func(c *store.Changes, a int64) { c.AttemptWaits(a, "Unschedulable", "m", at(5), at(9)) }, from: unended,
			want: map[string]store.Attempt{"Pending": with(func(a *store.Attempt) {
				a.Phase, a.Reason, a.Message, a.ReasonAt, a.MessageAt, a.DueAt = "Pending", "Unschedulable", "m", at(5), at(5), at(9)
			})},
		},
		"AttemptDue": {
			do: func(c *store.Changes, a int64) { c.AttemptDue(a, at(8)); c.AttemptDue(a, at(9)) }, from: live,
			want: map[string]store.Attempt{"Stopping": with(func(a *store.Attempt) { a.Phase, a.Stop, a.StartedAt, a.DueAt = "Stopping", "Timeout", t0, at(9) })},
		},
		"AttemptStopping": {
			do: func(c *store.Changes, a int64) { c.AttemptStopping(a, "Timeout", "m", at(9)) }, from: unended,
			want: map[string]store.Attempt{"Running": with(func(a *store.Attempt) {
				a.Phase, a.Stop, a.Reason, a.Message, a.StartedAt, a.DueAt = "Stopping", "Timeout", "Timeout", "m", t0, at(9)
			})},
		},
		"AttemptEnded": {
			do: func(c *store.Changes, a int64) {
				c.AttemptEnded(a, "Failed", "ExitCode", "m", &code, "", "n1", time.Time{}, at(6))
			}, from: live,
			want: map[string]store.Attempt{
				"Decided": with(func(a *store.Attempt) {
					a.Phase, a.Reason, a.Message, a.ExitCode, a.PodUID, a.Node, a.ReasonAt, a.MessageAt, a.FinishedAt = "Failed", "ExitCode", "m", &code, "", "n1", at(6), at(6), at(6)
				}),
				"Running": with(func(a *store.Attempt) {
					a.Phase, a.Reason, a.Message, a.ExitCode, a.Node, a.StartedAt, a.ReasonAt, a.MessageAt, a.FinishedAt = "Failed", "ExitCode", "m", &code, "n1", t0, at(6), at(6), at(6)
				}),
			},
		},
	}
	for name, tt := range tests {
		for _, phase := range attemptPhases {
			t.Run(name+" from "+phase, func(t *testing.T) {
				run, task, attempt := f.attempt(phase)
				before := f.pods(run)
				err := f.commit(run, func(c *store.Changes) { tt.do(c, attempt) })
				after := f.pods(run)
				if name == "AttemptRunning" && phase == "Decided" {
					// No Pod was ever seen: a CHECK of the table refuses it.
					if !errors.Is(err, store.ErrRejected) {
						t.Errorf("error %v, want ErrRejected", err)
					}
					return
				}
				if !slices.Contains(tt.from, phase) {
					if !errors.Is(err, store.ErrConflict) {
						t.Errorf("error %v, want ErrConflict", err)
					}
					if diff := cmp.Diff(before, after); diff != "" {
						t.Errorf("something was written (-before +after):\n%s", diff)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if want, ok := tt.want[phase]; ok {
					want.ID, want.TaskID = attempt, task
					if diff := cmp.Diff([]store.Attempt{want}, after); diff != "" {
						t.Errorf("attempt (-want +got):\n%s", diff)
					}
				}
			})
		}
	}
}

func (f *fixture) pods(run int64) []store.Attempt {
	f.Helper()
	attempts, err := f.leader.RunPods(f.Context(), run, []string{"p", "p2"})
	if err != nil {
		f.Fatal(err)
	}
	return attempts
}

func TestAttemptDecided(t *testing.T) {
	f := newFixture(t)
	for _, phase := range taskPhases {
		t.Run("of a task "+phase, func(t *testing.T) {
			run, task := f.task(phase, false)
			err := f.commit(run, func(c *store.Changes) { c.AttemptDecided(task, 1, "p", at(5)) })
			if phase == "Active" {
				if err != nil {
					t.Fatal(err)
				}
				attempts := f.pods(run)
				want := []store.Attempt{{ID: attempts[0].ID, TaskID: task, Number: 1, Phase: "Decided", PodName: "p", DecidedAt: at(5)}}
				if diff := cmp.Diff(want, attempts); diff != "" {
					t.Errorf("attempts (-want +got):\n%s", diff)
				}
				return
			}
			if !errors.Is(err, store.ErrConflict) || len(f.pods(run)) != 0 {
				t.Errorf("error %v, want ErrConflict and no attempt", err)
			}
		})
	}
	t.Run("with a number the task does not count", func(t *testing.T) {
		run, task := f.task("Active", false)
		if err := f.commit(run, func(c *store.Changes) { c.AttemptDecided(task, 2, "p", at(5)) }); !errors.Is(err, store.ErrConflict) {
			t.Errorf("error %v, want ErrConflict", err)
		}
	})
	t.Run("while another is live", func(t *testing.T) {
		run, task, _ := f.attempt("Stopping")
		f.exec(`UPDATE kontroler.tasks SET attempts = 2 WHERE id = $1`, task)
		if err := f.commit(run, func(c *store.Changes) { c.AttemptDecided(task, 2, "p2", at(5)) }); !errors.Is(err, store.ErrConflict) {
			t.Errorf("error %v, want ErrConflict", err)
		}
	})
}

func TestReasonKeepsItsTime(t *testing.T) {
	f := newFixture(t)
	run, _, attempt := f.attempt("Pending")
	steps := []struct {
		reason, message     string
		at                  int
		reasonAt, messageAt int
	}{
		{"Unschedulable", "a", 1, 1, 1},
		{"Unschedulable", "b", 2, 1, 2},
		{"ImagePullBackOff", "b", 3, 3, 3},
	}
	for _, step := range steps {
		f.mustCommit(run, func(c *store.Changes) { c.AttemptWaits(attempt, step.reason, step.message, at(step.at), time.Time{}) })
		got := f.pods(run)[0]
		want := []time.Time{at(step.reasonAt), at(step.messageAt)}
		if diff := cmp.Diff(want, []time.Time{got.ReasonAt, got.MessageAt}); diff != "" {
			t.Errorf("%s: %s (-want +got):\n%s", step.reason, step.message, diff)
		}
	}
}

func TestRunTransitions(t *testing.T) {
	f := newFixture(t)
	phases := []string{"Pending", "Running", "Succeeded", "Failed", "Cancelled"}
	tests := map[string]struct {
		do   func(c *store.Changes)
		from []string
		want func(r *store.Run)
	}{
		"RunStarted": {func(c *store.Changes) { c.RunStarted(at(5)) }, phases[:1],
			func(r *store.Run) { r.Phase, r.StartedAt = "Running", at(5) }},
		"RunStopping": {func(c *store.Changes) { c.RunStopping("Deleted") }, phases[:2],
			func(r *store.Run) { r.Stop = "Deleted" }},
		"RunHeld": {func(c *store.Changes) { c.RunHeld("MaxParallel") }, phases[:2],
			func(r *store.Run) { r.Hold = "MaxParallel" }},
		"RunEnded": {func(c *store.Changes) { c.RunEnded("Failed", "TaskFailed", "m", at(5)) }, phases[:2],
			func(r *store.Run) { r.Phase, r.Reason, r.Message, r.FinishedAt = "Failed", "TaskFailed", "m", at(5) }},
		"RunStarted and RunEnded": {func(c *store.Changes) { c.RunStarted(at(5)); c.RunEnded("Succeeded", "", "", at(6)) }, phases[:1],
			func(r *store.Run) { r.Phase, r.StartedAt, r.FinishedAt = "Succeeded", at(5), at(6) }},
		"RunCounts": {func(c *store.Changes) { c.RunCounts(0, 0, 0, 0, 0, 0, 0) }, phases[:2], func(*store.Run) {}},
	}
	for name, tt := range tests {
		for _, phase := range phases {
			t.Run(name+" from "+phase, func(t *testing.T) {
				run := f.admit()
				f.exec(`UPDATE kontroler.runs SET phase = $2, finished_at = CASE WHEN $2::text NOT IN ('Pending', 'Running') THEN $3::timestamptz END WHERE id = $1`, run.ID, phase, t0)
				want := f.run(run.UID)
				err := f.commit(run.ID, tt.do)
				if slices.Contains(tt.from, phase) {
					if err != nil {
						t.Fatal(err)
					}
					tt.want(&want)
				} else if !errors.Is(err, store.ErrConflict) {
					t.Errorf("error %v, want ErrConflict", err)
				}
				if diff := cmp.Diff(want, f.run(run.UID)); diff != "" {
					t.Errorf("run (-want +got):\n%s", diff)
				}
			})
		}
	}
	t.Run("RunStopping twice", func(t *testing.T) {
		run := f.admit()
		f.mustCommit(run.ID, func(c *store.Changes) { c.RunStopping("Deleted") })
		if err := f.commit(run.ID, func(c *store.Changes) { c.RunStopping("UserCancelled") }); !errors.Is(err, store.ErrConflict) {
			t.Errorf("error %v, want ErrConflict", err)
		}
	})
	t.Run("RunEnded before its tasks", func(t *testing.T) {
		run := f.admit(0)
		err := f.commit(run.ID, func(c *store.Changes) { c.RunEnded("Failed", "TaskFailed", "", at(5)) })
		if !errors.Is(err, store.ErrRejected) {
			t.Errorf("error %v, want ErrRejected", err)
		}
	})
}

// TestOneRowTooFew: when one of several rows is not as expected, none is written.
func TestOneRowTooFew(t *testing.T) {
	f := newFixture(t)
	run := f.admit(0, 0, 1)
	tasks := f.tasks(run.ID, 0, 1, 2)
	other := f.admit(0)
	foreign := f.tasks(other.ID, 0)[0].ID
	tests := map[string]func(c *store.Changes){
		"one in another phase": func(c *store.Changes) {
			for _, task := range tasks {
				c.TaskActive(task.ID, at(5))
			}
			c.RunCounts(0, -3, 3, 0, 0, 0, 0)
		},
		"one twice": func(c *store.Changes) {
			c.TaskActive(tasks[0].ID, at(5))
			c.TaskActive(tasks[0].ID, at(5))
			c.RunCounts(0, -2, 2, 0, 0, 0, 0)
		},
		"one of another run": func(c *store.Changes) {
			c.TaskActive(tasks[0].ID, at(5))
			c.TaskActive(foreign, at(5))
			c.RunCounts(0, -2, 2, 0, 0, 0, 0)
		},
		"counters that do not follow": func(c *store.Changes) {
			c.TaskActive(tasks[0].ID, at(5))
			c.RunCounts(0, -2, 2, 0, 0, 0, 0)
		},
		"no counters": func(c *store.Changes) { c.TaskActive(tasks[0].ID, at(5)) },
	}
	for name, do := range tests {
		t.Run(name, func(t *testing.T) {
			if err := f.commit(run.ID, do); !errors.Is(err, store.ErrConflict) {
				t.Errorf("error %v, want ErrConflict", err)
			}
			if diff := cmp.Diff(tasks, f.tasks(run.ID, 0, 1, 2)); diff != "" {
				t.Errorf("something was written (-before +after):\n%s", diff)
			}
			if diff := cmp.Diff(run, f.run(run.UID)); diff != "" {
				t.Errorf("something was written (-before +after):\n%s", diff)
			}
		})
	}
}

// TestOutcome: an outcome, its children and their attempts in one commit, in whatever order the calls come.
func TestOutcome(t *testing.T) {
	f := newFixture(t)
	run := f.admit(0, 1, 2)
	tasks := f.tasks(run.ID, 0, 1, 2)
	before := f.text(`SELECT count(*) FROM kontroler.changes WHERE run_id = $1`, run.ID)
	f.mustCommit(run.ID, func(c *store.Changes) {
		c.RunStarted(at(2))
		c.AttemptDecided(tasks[0].ID, 1, "p", at(2))
		c.TaskActive(tasks[0].ID, at(2))
		c.RunCounts(0, -1, 1, 0, 0, 0, 0)
	})
	attempt := f.pods(run.ID)[0].ID
	zero := int32(0)
	f.mustCommit(run.ID, func(c *store.Changes) {
		c.RunHeld("Throttled")
		c.AttemptDecided(tasks[1].ID, 1, "p2", at(5))
		c.TaskActive(tasks[1].ID, at(5))
		c.TaskReady(tasks[1].ID, at(5))
		c.TaskUnblocked(tasks[2].ID, 1)
		c.RunCounts(-1, 1, 0, 0, 0, 0, 0)
		c.RunCounts(0, -1, 1, 0, 0, 0, 0)
		c.TaskSucceeded(tasks[0].ID, at(5))
		c.AttemptEnded(attempt, "Succeeded", "", "", &zero, uid(9), "n1", at(3), at(4))
		c.RunCounts(0, 0, -1, 1, 0, 0, 0)
	})
	got := f.run(run.UID)
	want := run
	want.Phase, want.Hold, want.StartedAt = "Running", "Throttled", at(2)
	want.Counts = store.Counts{Total: 3, Waiting: 1, Active: 1, Succeeded: 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("run (-want +got):\n%s", diff)
	}
	var phases []string
	for _, task := range f.tasks(run.ID, 0, 1, 2) {
		phases = append(phases, fmt.Sprintf("%s %d", task.Phase, task.Unmet))
	}
	if diff := cmp.Diff([]string{"Succeeded 0", "Active 0", "Waiting 1"}, phases); diff != "" {
		t.Errorf("tasks (-want +got):\n%s", diff)
	}
	if after := f.text(`SELECT count(*) - $2::bigint FROM kontroler.changes WHERE run_id = $1`, run.ID, before); after != "2" {
		t.Errorf("%s change rows for two commits", after)
	}
}

func TestCancelEverything(t *testing.T) {
	f := newFixture(t)
	run := f.admit(0, 0, 0, 1, 1)
	tasks := f.tasks(run.ID, 0, 1, 2, 3, 4)
	f.mustCommit(run.ID, func(c *store.Changes) {
		c.RunStarted(at(2))
		for _, task := range tasks[:2] {
			c.TaskActive(task.ID, at(2))
			c.AttemptDecided(task.ID, 1, []string{"p", "p2"}[task.Position], at(2))
		}
		c.RunCounts(0, -2, 2, 0, 0, 0, 0)
	})
	attempts := f.pods(run.ID)
	f.mustCommit(run.ID, func(c *store.Changes) {
		c.RunStopping("UserCancelled")
		c.LiveStopped("UserCancelled", "asked for", at(6))
		c.AttemptEnded(attempts[0].ID, "Failed", "ExitCode", "", nil, "", "", time.Time{}, at(5))
		c.TaskFailed(tasks[0].ID, "RetriesSpent", "", true, at(6))
		c.UnstartedCancelled("UserCancelled", "asked for", at(6))
		c.RunCounts(-2, -1, -1, 0, 1, 0, 3)
	})
	var got []string
	for _, task := range f.tasks(run.ID, 0, 1, 2, 3, 4) {
		got = append(got, fmt.Sprintf("%s %s %t", task.Phase, task.Reason, task.Cascade))
	}
	for _, a := range f.pods(run.ID) {
		got = append(got, fmt.Sprintf("%s %s %s", a.Phase, a.Reason, a.Stop))
	}
	want := []string{
		"Failed RetriesSpent false", "Active  false", "Cancelled UserCancelled false", "Cancelled UserCancelled false",
		"Cancelled UserCancelled false", "Failed ExitCode ", "Stopping UserCancelled UserCancelled",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("tasks and attempts (-want +got):\n%s", diff)
	}
}

func TestEmptyChanges(t *testing.T) {
	f := newFixture(t)
	run := f.admit(0)
	var c store.Changes
	if !c.Empty() {
		t.Error("the zero value is not empty")
	}
	before := f.text(`SELECT count(*) FROM kontroler.changes`)
	if err := f.leader.Commit(t.Context(), run.ID, &c); err != nil {
		t.Error(err)
	}
	if after := f.text(`SELECT count(*) FROM kontroler.changes`); after != before {
		t.Errorf("empty changes wrote something")
	}
	c.RunHeld("")
	if c.Empty() {
		t.Error("a change of the run is empty")
	}
}
