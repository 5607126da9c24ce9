package store_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kontroler/store"
	"kontroler/store/transition"
)

var (
	taskPhases    = []string{"Waiting", "Ready", "Active", "Succeeded", "Failed", "Skipped", "Cancelled"}
	attemptPhases = []string{"Decided", "Pending", "Running", "Stopping", "Succeeded", "Failed", "Lost", "Cancelled"}
)

func TestTaskTransitions(t *testing.T) {
	f := newFixture(t)
	tests := map[string]struct {
		do      func(task int64) []transition.Transition
		from    []string
		cascade bool
		want    store.Task // after the first phase of from; the ID is not compared
	}{
		"TaskUnblocked": {
			do: func(task int64) []transition.Transition {
				return []transition.Transition{transition.TaskUnblocked{Task: task, Met: 1}}
			},
			from: []string{"Waiting"}, want: store.Task{Phase: "Waiting", Unmet: 1},
		},
		"TaskReady": {
			do: func(task int64) []transition.Transition {
				return []transition.Transition{transition.TaskReady{Task: task, At: at(5)}}
			},
			from: []string{"Waiting"}, want: store.Task{Phase: "Ready", DueAt: at(5), ReadyAt: at(5)},
		},
		"TaskSkipped": {
			do: func(task int64) []transition.Transition {
				return []transition.Transition{transition.TaskSkipped{Task: task, Message: "needs x",
					ChildrenPending: true, At: at(5)}}
			},
			from: []string{"Waiting"}, want: store.Task{Phase: "Skipped", Reason: "ParentFailed", Message: "needs x",
				Unmet: 2, ChildrenPending: true, FinishedAt: at(5)},
		},
		"TaskActive": {
			do: func(task int64) []transition.Transition {
				return []transition.Transition{transition.TaskActive{Task: task, At: at(5)}}
			},
			from: []string{"Ready"}, want: store.Task{Phase: "Active", Attempts: 2, StartedAt: at(5)},
		},
		"TaskBackedOff": {
			do: func(task int64) []transition.Transition {
				return []transition.Transition{transition.TaskBackedOff{Task: task, Reason: "BackingOff",
					Message: "why", Due: at(9), Retries: 3, Restarts: 4}}
			},
			from: []string{"Active"}, want: store.Task{Phase: "Ready", Reason: "BackingOff", Message: "why", Retries: 3,
				Restarts: 4, DueAt: at(9)},
		},
		"TaskSucceeded": {
			do: func(task int64) []transition.Transition {
				return []transition.Transition{transition.TaskSucceeded{Task: task, At: at(5)}}
			},
			from: []string{"Active"}, want: store.Task{Phase: "Succeeded", FinishedAt: at(5)},
		},
		"TaskFailed": {
			do: func(task int64) []transition.Transition {
				return []transition.Transition{transition.TaskFailed{Task: task, Reason: "RetriesSpent",
					Message: "m\x00n\xff", ChildrenPending: true, At: at(5)}}
			},
			from: []string{"Active"}, want: store.Task{Phase: "Failed", Reason: "RetriesSpent",
				Message: "m\uFFFDn\uFFFD", ChildrenPending: true, FinishedAt: at(5)},
		},
		"TaskCancelled": {
			do: func(task int64) []transition.Transition {
				return []transition.Transition{transition.TaskCancelled{Task: task, Reason: "UserCancelled",
					Message: "m", At: at(5)}}
			},
			from: []string{"Active"}, want: store.Task{Phase: "Cancelled", Reason: "UserCancelled", Message: "m",
				FinishedAt: at(5)},
		},
		"TaskChildrenSkipped": {
			do: func(task int64) []transition.Transition {
				return []transition.Transition{transition.TaskChildrenSkipped{Task: task}}
			},
			cascade: true, from: []string{"Skipped", "Failed"},
			want: store.Task{Phase: "Skipped", Unmet: 2, FinishedAt: t0},
		},
		"TaskChildrenSkipped of one that is not": {do: func(task int64) []transition.Transition {
			return []transition.Transition{transition.TaskChildrenSkipped{Task: task}}
		}},
	}
	for name, tt := range tests {
		for _, phase := range taskPhases {
			t.Run(name+" from "+phase, func(t *testing.T) {
				run, task := f.task(phase, tt.cascade)
				before := f.tasks(run, 0)
				err := f.commit(run, tt.do(task)...)
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
		do   func(attempt int64) []transition.Transition
		from []string
		want map[string]store.Attempt // by phase
	}{
		"AttemptPending": {
			do: func(a int64) []transition.Transition {
				return []transition.Transition{transition.AttemptPending{Attempt: a, PodUID: uid(8), Node: "n1",
					At: at(5), Due: at(10)}}
			}, from: []string{"Decided"},
			want: map[string]store.Attempt{"Decided": with(func(a *store.Attempt) {
				a.Phase, a.PodUID, a.Node, a.CreatedAt, a.DueAt = "Pending", uid(8), "n1", at(5), at(10)
			})},
		},
		"AttemptRunning": {
			do: func(a int64) []transition.Transition {
				return []transition.Transition{transition.AttemptRunning{Attempt: a, Node: "n1", StartedAt: at(5)}}
			}, from: []string{"Pending"},
			want: map[string]store.Attempt{"Pending": with(func(a *store.Attempt) {
				a.Phase, a.Node, a.CreatedAt, a.StartedAt = "Running", "n1", at(0), at(5)
			})},
		},
		"AttemptRunning with a UID": {
			do: func(a int64) []transition.Transition {
				return []transition.Transition{transition.AttemptRunning{Attempt: a, PodUID: uid(8), Node: "n1",
					StartedAt: at(5), Due: at(9)}}
			}, from: []string{"Decided", "Pending"},
			want: map[string]store.Attempt{"Decided": with(func(a *store.Attempt) {
				a.Phase, a.PodUID, a.Node, a.CreatedAt, a.StartedAt, a.DueAt =
					"Running", uid(8), "n1", at(0), at(5), at(9)
			})},
		},
		"AttemptWaits": {
			do: func(a int64) []transition.Transition {
				return []transition.Transition{transition.AttemptWaits{Attempt: a, Reason: "Unschedulable",
					Message: "m", At: at(5), Due: at(9)}}
			}, from: unended,
			want: map[string]store.Attempt{"Pending": with(func(a *store.Attempt) {
				a.Phase, a.Reason, a.Message = "Pending", "Unschedulable", "m"
				a.ReasonAt, a.MessageAt, a.DueAt = at(5), at(5), at(9)
			})},
		},
		"AttemptDue": {
			do: func(a int64) []transition.Transition {
				return []transition.Transition{
					transition.AttemptDue{Attempt: a, Node: "n2", Due: at(8)},
					transition.AttemptDue{Attempt: a, Due: at(9)},
				}
			}, from: live,
			want: map[string]store.Attempt{"Stopping": with(func(a *store.Attempt) {
				a.Phase, a.Stop, a.Node, a.StartedAt, a.DueAt = "Stopping", "Timeout", "n2", t0, at(9)
			})},
		},
		"AttemptStopping": {
			do: func(a int64) []transition.Transition {
				return []transition.Transition{transition.AttemptStopping{Attempt: a, Reason: "Timeout",
					Message: "m", Due: at(9)}}
			}, from: unended,
			want: map[string]store.Attempt{"Running": with(func(a *store.Attempt) {
				a.Phase, a.Stop, a.Reason, a.Message, a.StartedAt, a.DueAt =
					"Stopping", "Timeout", "Timeout", "m", t0, at(9)
			})},
		},
		"AttemptEnded": {
			do: func(a int64) []transition.Transition {
				return []transition.Transition{transition.AttemptEnded{Attempt: a, Phase: "Failed", Reason: "ExitCode",
					Message: "m", ExitCode: &code, Node: "n1", FinishedAt: at(6)}}
			}, from: live,
			want: map[string]store.Attempt{
				"Decided": with(func(a *store.Attempt) {
					a.Phase, a.Reason, a.Message, a.ExitCode, a.PodUID, a.Node =
						"Failed", "ExitCode", "m", &code, "", "n1"
					a.ReasonAt, a.MessageAt, a.FinishedAt = at(6), at(6), at(6)
				}),
				"Running": with(func(a *store.Attempt) {
					a.Phase, a.Reason, a.Message, a.ExitCode, a.Node, a.StartedAt =
						"Failed", "ExitCode", "m", &code, "n1", t0
					a.ReasonAt, a.MessageAt, a.FinishedAt = at(6), at(6), at(6)
				}),
			},
		},
	}
	for name, tt := range tests {
		for _, phase := range attemptPhases {
			t.Run(name+" from "+phase, func(t *testing.T) {
				run, task, attempt := f.attempt(phase)
				before := f.pods(run)
				err := f.commit(run, tt.do(attempt)...)
				after := f.pods(run)
				if name == "AttemptRunning" && phase == "Decided" {
					// The attempt has no Pod. A CHECK of the table rejects that.
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
	attempts, err := f.leader.AttemptsByPods(f.Context(), run, []string{"p", "p2"})
	if err != nil {
		f.Fatal(err)
	}
	return attempts
}

func TestAttemptDecided(t *testing.T) {
	f := newFixture(t)
	decide := func(task int64, number int) []transition.Transition {
		return []transition.Transition{
			transition.TaskActive{Task: task, At: at(5)},
			transition.AttemptDecided{Task: task, Number: number, PodName: "p2", At: at(5)},
		}
	}
	for _, phase := range taskPhases {
		t.Run("of a task "+phase, func(t *testing.T) {
			run, task := f.task(phase, false)
			err := f.commit(run, decide(task, 2)...)
			if phase == "Ready" {
				if err != nil {
					t.Fatal(err)
				}
				attempts := f.pods(run)
				want := []store.Attempt{{ID: attempts[0].ID, TaskID: task, Number: 2, Phase: "Decided", PodName: "p2",
					DecidedAt: at(5)}}
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
	t.Run("with a number that the task does not count", func(t *testing.T) {
		run, task := f.task("Ready", false)
		if err := f.commit(run, decide(task, 1)...); !errors.Is(err, store.ErrConflict) {
			t.Errorf("error %v, want ErrConflict", err)
		}
	})
	t.Run("of a task that does not become Active", func(t *testing.T) {
		run, task := f.task("Active", false)
		err := f.commit(run, transition.AttemptDecided{Task: task, Number: 1, PodName: "p2", At: at(5)})
		if !errors.Is(err, store.ErrConflict) {
			t.Errorf("error %v, want ErrConflict", err)
		}
	})
	t.Run("while another is live", func(t *testing.T) {
		run, task, _ := f.attempt("Stopping")
		f.exec(`UPDATE kontroler.tasks SET phase = 'Ready', due_at = now() WHERE id = $1`, task)
		f.exec(`UPDATE kontroler.runs SET ready = 1, active = 0 WHERE id = $1`, run)
		if err := f.commit(run, decide(task, 2)...); !errors.Is(err, store.ErrConflict) {
			t.Errorf("error %v, want ErrConflict", err)
		}
	})
	t.Run("after the earlier one has ended in the same commit", func(t *testing.T) {
		run, task, attempt := f.attempt("Running")
		f.mustCommit(run, append(decide(task, 2),
			transition.AttemptEnded{Attempt: attempt, Phase: "Lost", Reason: "Evicted", FinishedAt: at(5)},
			transition.TaskBackedOff{Task: task, Reason: "BackingOff", Due: at(5), Restarts: 1})...)
		var phases []string
		for _, a := range f.pods(run) {
			phases = append(phases, a.Phase)
		}
		if diff := cmp.Diff([]string{"Lost", "Decided"}, phases); diff != "" {
			t.Errorf("attempts (-want +got):\n%s", diff)
		}
	})
}

// TestMergedAttempt commits several transitions of one attempt together.
func TestMergedAttempt(t *testing.T) {
	f := newFixture(t)
	tests := map[string]struct {
		from  string
		merge func(a int64) []transition.Transition
		want  store.Attempt
	}{
		"it is seen, and waits": {"Decided", func(a int64) []transition.Transition {
			return []transition.Transition{
				transition.AttemptWaits{Attempt: a, Reason: "Unschedulable", Message: "m", At: at(5), Due: at(9)},
				transition.AttemptPending{Attempt: a, PodUID: uid(8), Node: "n1", At: at(5), Due: at(7)},
			}
		}, store.Attempt{Phase: "Pending", Reason: "Unschedulable", Message: "m", PodUID: uid(8), Node: "n1",
			ReasonAt: at(5), MessageAt: at(5), DueAt: at(9), CreatedAt: at(5)}},
		"it runs, and is stopped": {"Pending", func(a int64) []transition.Transition {
			return []transition.Transition{
				transition.AttemptRunning{Attempt: a, PodUID: uid(7), StartedAt: at(5), Due: at(7)},
				transition.AttemptStopping{Attempt: a, Reason: "Timeout", Message: "m", Due: at(9)},
			}
		}, store.Attempt{Phase: "Stopping", Stop: "Timeout", Reason: "Timeout", Message: "m", PodUID: uid(7),
			DueAt: at(9), CreatedAt: t0, StartedAt: at(5)}},
		"it is due at another time, and ends": {"Running", func(a int64) []transition.Transition {
			return []transition.Transition{
				transition.AttemptDue{Attempt: a, Due: at(7)},
				transition.AttemptEnded{Attempt: a, Phase: "Succeeded", FinishedAt: at(6)},
			}
		}, store.Attempt{Phase: "Succeeded", PodUID: uid(7), ReasonAt: at(6), MessageAt: at(6), StartedAt: t0,
			FinishedAt: at(6)}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			run, task, attempt := f.attempt(tt.from)
			f.mustCommit(run, tt.merge(attempt)...)
			tt.want.ID, tt.want.TaskID, tt.want.Number, tt.want.PodName, tt.want.DecidedAt = attempt, task, 1, "p", t0
			if diff := cmp.Diff([]store.Attempt{tt.want}, f.pods(run)); diff != "" {
				t.Errorf("attempt (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("it ends twice", func(t *testing.T) {
		run, _, attempt := f.attempt("Running")
		end := transition.AttemptEnded{Attempt: attempt, Phase: "Succeeded", FinishedAt: at(6)}
		if err := f.commit(run, end, end); !errors.Is(err, store.ErrConflict) {
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
		f.mustCommit(run, transition.AttemptWaits{Attempt: attempt, Reason: step.reason, Message: step.message,
			At: at(step.at)})
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
		do   []transition.Transition
		from []string
		want func(r *store.Run)
	}{
		"RunStarted": {[]transition.Transition{transition.RunStarted{At: at(5)}}, phases[:1],
			func(r *store.Run) { r.Phase, r.StartedAt = "Running", at(5) }},
		"RunStopping": {[]transition.Transition{transition.RunStopping{Reason: "Deleted"}}, phases[:2],
			func(r *store.Run) { r.Stop = "Deleted" }},
		"RunHeld": {[]transition.Transition{transition.RunHeld{Reason: "MaxParallel"}}, phases[:2],
			func(r *store.Run) { r.Hold = "MaxParallel" }},
		"RunEnded": {[]transition.Transition{transition.RunEnded{Phase: "Failed", Reason: "TaskFailed", Message: "m",
			At: at(5)}}, phases[:2],
			func(r *store.Run) { r.Phase, r.Reason, r.Message, r.FinishedAt = "Failed", "TaskFailed", "m", at(5) }},
		"RunStarted and RunEnded": {[]transition.Transition{
			transition.RunStarted{At: at(5)},
			transition.RunEnded{Phase: "Succeeded", At: at(6)},
		}, phases[:1],
			func(r *store.Run) { r.Phase, r.StartedAt, r.FinishedAt = "Succeeded", at(5), at(6) }},
	}
	for name, tt := range tests {
		for _, phase := range phases {
			t.Run(name+" from "+phase, func(t *testing.T) {
				run := f.admit()
				f.exec(`UPDATE kontroler.runs SET phase = $2, finished_at = CASE WHEN $2::text NOT IN ('Pending',
'Running') THEN $3::timestamptz END WHERE id = $1`, run.ID, phase, t0)
				want := f.run(run.UID)
				err := f.commit(run.ID, tt.do...)
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
		f.mustCommit(run.ID, transition.RunStopping{Reason: "Deleted"})
		if err := f.commit(
			run.ID, transition.RunStopping{Reason: "UserCancelled"}); !errors.Is(err, store.ErrConflict) {
			t.Errorf("error %v, want ErrConflict", err)
		}
	})
	t.Run("RunEnded before its tasks", func(t *testing.T) {
		run := f.admit(0)
		err := f.commit(run.ID, transition.RunEnded{Phase: "Failed", Reason: "TaskFailed", At: at(5)})
		if !errors.Is(err, store.ErrRejected) {
			t.Errorf("error %v, want ErrRejected", err)
		}
	})
}

// TestOneRowTooFew checks that nothing is written if one of several rows is in another phase.
func TestOneRowTooFew(t *testing.T) {
	f := newFixture(t)
	run := f.admit(0, 0, 1)
	tasks := f.tasks(run.ID, 0, 1, 2)
	other := f.admit(0)
	foreign := f.tasks(other.ID, 0)[0].ID
	tests := map[string][]transition.Transition{
		"one in another phase": {
			transition.TaskActive{Task: tasks[0].ID, At: at(5)},
			transition.TaskActive{Task: tasks[1].ID, At: at(5)},
			transition.TaskActive{Task: tasks[2].ID, At: at(5)},
		},
		"one twice": {
			transition.TaskActive{Task: tasks[0].ID, At: at(5)},
			transition.TaskActive{Task: tasks[0].ID, At: at(5)},
		},
		"one of another run": {
			transition.TaskActive{Task: tasks[0].ID, At: at(5)},
			transition.TaskActive{Task: foreign, At: at(5)},
		},
	}
	for name, do := range tests {
		t.Run(name, func(t *testing.T) {
			if err := f.commit(run.ID, do...); !errors.Is(err, store.ErrConflict) {
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

// TestOutcome commits an outcome, its children and their attempts together, with the transitions in any order.
func TestOutcome(t *testing.T) {
	f := newFixture(t)
	run := f.admit(0, 1, 2)
	tasks := f.tasks(run.ID, 0, 1, 2)
	before := f.text(`SELECT count(*) FROM kontroler.changes WHERE run_id = $1`, run.ID)
	f.mustCommit(run.ID,
		transition.RunStarted{At: at(2)},
		transition.AttemptDecided{Task: tasks[0].ID, Number: 1, PodName: "p", At: at(2)},
		transition.TaskActive{Task: tasks[0].ID, At: at(2)},
	)
	attempt := f.pods(run.ID)[0].ID
	zero := int32(0)
	f.mustCommit(run.ID,
		transition.RunHeld{Reason: "Throttled"},
		transition.AttemptDecided{Task: tasks[1].ID, Number: 1, PodName: "p2", At: at(5)},
		transition.TaskActive{Task: tasks[1].ID, At: at(5)},
		transition.TaskReady{Task: tasks[1].ID, At: at(5)},
		transition.TaskUnblocked{Task: tasks[2].ID, Met: 1},
		transition.TaskSucceeded{Task: tasks[0].ID, At: at(5)},
		transition.AttemptEnded{Attempt: attempt, Phase: "Succeeded", ExitCode: &zero, PodUID: uid(9), Node: "n1",
			StartedAt: at(3), FinishedAt: at(4)},
	)
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
	if after := f.text(`SELECT count(*) - $2::bigint FROM kontroler.changes
WHERE run_id = $1`, run.ID, before); after != "2" {
		t.Errorf("%s change rows for two commits", after)
	}
}

func TestCancelEverything(t *testing.T) {
	f := newFixture(t)
	run := f.admit(0, 0, 0, 1, 1)
	tasks := f.tasks(run.ID, 0, 1, 2, 3, 4)
	f.mustCommit(run.ID,
		transition.RunStarted{At: at(2)},
		transition.TaskActive{Task: tasks[0].ID, At: at(2)},
		transition.AttemptDecided{Task: tasks[0].ID, Number: 1, PodName: "p", At: at(2)},
		transition.TaskActive{Task: tasks[1].ID, At: at(2)},
		transition.AttemptDecided{Task: tasks[1].ID, Number: 1, PodName: "p2", At: at(2)},
	)
	attempts := f.pods(run.ID)
	f.mustCommit(run.ID,
		transition.RunStopping{Reason: "UserCancelled"},
		transition.LiveStopped{Reason: "UserCancelled", Message: "asked for", Due: at(6)},
		transition.AttemptEnded{Attempt: attempts[0].ID, Phase: "Failed", Reason: "ExitCode", FinishedAt: at(5)},
		transition.TaskFailed{Task: tasks[0].ID, Reason: "RetriesSpent", ChildrenPending: true, At: at(6)},
		transition.UnstartedCancelled{Reason: "UserCancelled", Message: "asked for", At: at(6)},
	)
	var got []string
	for _, task := range f.tasks(run.ID, 0, 1, 2, 3, 4) {
		got = append(got, fmt.Sprintf("%s %s %t", task.Phase, task.Reason, task.ChildrenPending))
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

func TestNoTransitions(t *testing.T) {
	f := newFixture(t)
	run := f.admit(0)
	before := f.text(`SELECT count(*) FROM kontroler.changes`)
	f.mustCommit(run.ID)
	if after := f.text(`SELECT count(*) FROM kontroler.changes`); after != before {
		t.Error("a commit without transitions wrote something")
	}
}
