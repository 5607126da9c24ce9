package engine_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/dag"
	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/engine"
	"kontroler/store/transition"
)

func ptr[T any](v T) *T { return &v }

func maxParallel(n int32) func(*v1alpha1.DAGSpec) {
	return func(s *v1alpha1.DAGSpec) { s.MaxParallel = &n }
}

func timeout(seconds int64) func(*v1alpha1.DAGSpec) {
	return func(s *v1alpha1.DAGSpec) { s.Task[0].TimeoutSeconds = &seconds }
}

func backoff(b v1alpha1.Backoff) func(*v1alpha1.DAGSpec) {
	return func(s *v1alpha1.DAGSpec) { s.Task[0].Backoff = &b }
}

func ready(s *engine.Snapshot, due int, positions ...int) {
	is(s, engine.TaskReady, positions...)
	for _, position := range positions {
		s.Tasks[position].Due = at(due)
	}
}

func TestStart(t *testing.T) {
	play(t, map[string]scene{
		"the first decision starts the run and what is ready": {graph: "a b", snapshot: func(s *engine.Snapshot) {
			s.Run.Phase = engine.RunPending
			ready(s, 0, 0, 1)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.RunStarted{At: at(0)},
				transition.TaskActive{Task: 10, At: at(0)},
				transition.AttemptDecided{Task: 10, Number: 1, PodName: "a-1", At: at(0)},
				transition.TaskActive{Task: 11, At: at(0)},
				transition.AttemptDecided{Task: 11, Number: 1, PodName: "b-1", At: at(0)},
			},
			Create: []engine.Create{{Task: 0, Number: 1, PodName: "a-1", Ready: at(0)}, {Task: 1, Number: 1, PodName: "b-1", Ready: at(0)}},
		}},
		"not yet due": {graph: "a", snapshot: func(s *engine.Snapshot) { ready(s, 1, 0) }},
		"the number follows the attempts": {graph: "a", snapshot: func(s *engine.Snapshot) {
			ready(s, 0, 0)
			s.Tasks[0].Attempts = 3
		}, want: engine.Decision{
			Transitions: transitions{
				transition.TaskActive{Task: 10, At: at(0)},
				transition.AttemptDecided{Task: 10, Number: 4, PodName: "a-4", At: at(0)},
			},
			Create: []engine.Create{{Task: 0, Number: 4, PodName: "a-4", Ready: at(0)}},
		}},
		"oldest first, then as written": {graph: "a b c", spec: maxParallel(2), snapshot: func(s *engine.Snapshot) {
			ready(s, 0, 0, 1)
			ready(s, -1, 2)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.TaskActive{Task: 12, At: at(0)},
				transition.AttemptDecided{Task: 12, Number: 1, PodName: "c-1", At: at(0)},
				transition.TaskActive{Task: 10, At: at(0)},
				transition.AttemptDecided{Task: 10, Number: 1, PodName: "a-1", At: at(0)},
				transition.RunHeld{Reason: "MaxParallel"},
			},
			Create: []engine.Create{{Task: 2, Number: 1, PodName: "c-1", Ready: at(-1)}, {Task: 0, Number: 1, PodName: "a-1", Ready: at(0)}},
		}},
		"maxParallel counts what is active": {graph: "a b c", spec: maxParallel(2), snapshot: func(s *engine.Snapshot) {
			is(s, engine.TaskActive, 0)
			ready(s, 0, 1, 2)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.TaskActive{Task: 11, At: at(0)},
				transition.AttemptDecided{Task: 11, Number: 1, PodName: "b-1", At: at(0)},
				transition.RunHeld{Reason: "MaxParallel"},
			},
			Create: []engine.Create{{Task: 1, Number: 1, PodName: "b-1", Ready: at(0)}},
		}},
		"maxParallel reached": {graph: "a b", spec: maxParallel(1), snapshot: func(s *engine.Snapshot) {
			is(s, engine.TaskActive, 0)
			ready(s, 0, 1)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.RunHeld{Reason: "MaxParallel"},
			},
		}},
		"maxParallel reached, said before": {graph: "a b", spec: maxParallel(1), snapshot: func(s *engine.Snapshot) {
			is(s, engine.TaskActive, 0)
			ready(s, 0, 1)
			s.Run.Hold = engine.HoldMaxParallel
		}},
		"a place that comes free is taken at once": {graph: "a b", spec: maxParallel(1), snapshot: func(s *engine.Snapshot) {
			ends(s, 0, 0)
			ready(s, 0, 1)
			s.Run.Hold = engine.HoldMaxParallel
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptEnded{Attempt: 100, Phase: "Succeeded", ExitCode: ptr[int32](0), PodUID: "u", Node: "n", StartedAt: at(-60), FinishedAt: at(0)},
				transition.TaskSucceeded{Task: 10, At: at(0)},
				transition.TaskActive{Task: 11, At: at(0)},
				transition.AttemptDecided{Task: 11, Number: 1, PodName: "b-1", At: at(0)},
				transition.RunHeld{},
			},
			Create: []engine.Create{{Task: 1, Number: 1, PodName: "b-1", Ready: at(0)}},
			Reap:   []string{"a-1"},
			Ended:  []string{"a-1"},
		}},
		"slots": {graph: "a b", snapshot: func(s *engine.Snapshot) {
			ready(s, 0, 0, 1)
			s.Slots = 1
		}, want: engine.Decision{
			Transitions: transitions{
				transition.TaskActive{Task: 10, At: at(0)},
				transition.AttemptDecided{Task: 10, Number: 1, PodName: "a-1", At: at(0)},
				transition.RunHeld{Reason: "Throttled"},
			},
			Create:    []engine.Create{{Task: 0, Number: 1, PodName: "a-1", Ready: at(0)}},
			Throttled: true,
		}},
		"no slots, and fewer": {graph: "a", snapshot: func(s *engine.Snapshot) {
			ready(s, 0, 0)
			s.Slots = -3
		}, want: engine.Decision{
			Transitions: transitions{
				transition.RunHeld{Reason: "Throttled"},
			},
			Throttled: true,
		}},
		"slots below maxParallel": {graph: "a b c", spec: maxParallel(2), snapshot: func(s *engine.Snapshot) {
			ready(s, 0, 0, 1, 2)
			s.Slots = 1
		}, want: engine.Decision{
			Transitions: transitions{
				transition.TaskActive{Task: 10, At: at(0)},
				transition.AttemptDecided{Task: 10, Number: 1, PodName: "a-1", At: at(0)},
				transition.RunHeld{Reason: "Throttled"},
			},
			Create:    []engine.Create{{Task: 0, Number: 1, PodName: "a-1", Ready: at(0)}},
			Throttled: true,
		}},
		"as many as a sync may start, then again": {graph: "a b", snapshot: func(s *engine.Snapshot) {
			ready(s, 0, 0, 1)
			s.MaxStarts = 1
		}, want: engine.Decision{
			Transitions: transitions{
				transition.TaskActive{Task: 10, At: at(0)},
				transition.AttemptDecided{Task: 10, Number: 1, PodName: "a-1", At: at(0)},
			},
			Create:  []engine.Create{{Task: 0, Number: 1, PodName: "a-1", Ready: at(0)}},
			Requeue: true,
		}},
		"again for Ready tasks that the snapshot has not": {graph: "a b", snapshot: func(s *engine.Snapshot) {
			ready(s, 0, 0, 1)
			count(s)
			s.Tasks, s.MaxStarts = s.Tasks[:1], 1
		}, want: engine.Decision{
			Transitions: transitions{
				transition.TaskActive{Task: 10, At: at(0)},
				transition.AttemptDecided{Task: 10, Number: 1, PodName: "a-1", At: at(0)},
			},
			Create:  []engine.Create{{Task: 0, Number: 1, PodName: "a-1", Ready: at(0)}},
			Requeue: true,
		}},
		"not again when nothing may be started": {graph: "a", snapshot: func(s *engine.Snapshot) {
			ready(s, 0, 0)
			s.MaxStarts = 0
		}},
		"a namespace that refuses wants no slots": {graph: "a b", snapshot: func(s *engine.Snapshot) {
			ready(s, 0, 0, 1)
			s.MaxStarts, s.StartHold, s.Slots = 0, "QuotaExceeded", 0
		}, want: engine.Decision{
			Transitions: transitions{
				transition.RunHeld{Reason: "QuotaExceeded"},
			},
		}},
		"a task named twice is started once": {graph: "a", snapshot: func(s *engine.Snapshot) {
			ready(s, 0, 0)
			count(s)
			s.Tasks = append(s.Tasks, s.Tasks[0])
		}, want: engine.Decision{
			Transitions: transitions{
				transition.TaskActive{Task: 10, At: at(0)},
				transition.AttemptDecided{Task: 10, Number: 1, PodName: "a-1", At: at(0)},
			},
			Create: []engine.Create{{Task: 0, Number: 1, PodName: "a-1", Ready: at(0)}},
		}},
		"a hold ends with what was held": {graph: "a", snapshot: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptRunning)
			s.Run.Hold = engine.HoldThrottled
		}, want: engine.Decision{
			Transitions: transitions{
				transition.RunHeld{},
			},
		}},
	})
}

func TestLive(t *testing.T) {
	play(t, map[string]scene{
		"decided: its Pod is created, again after a crash": {graph: "a", snapshot: func(s *engine.Snapshot) { live(s, 0, engine.AttemptDecided) },
			want: engine.Decision{
				Create: []engine.Create{{Task: 0, Number: 1, PodName: "a-1"}},
			}},
		"decided, a live read finds no Pod": {graph: "a", snapshot: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptDecided)
			s.Pods["a-1"] = goneFromCluster
		}, want: engine.Decision{
			Create: []engine.Create{{Task: 0, Number: 1, PodName: "a-1"}},
		}},
		"seen: pending": {graph: "a", snapshot: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptDecided)
			s.Pods["a-1"] = pod(unscheduled)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptPending{Attempt: 100, PodUID: "u", At: at(0), Due: at(5)},
			},
			RequeueAt: at(5),
		}},
		"seen: pending, and why": {graph: "a", snapshot: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptDecided)
			s.Pods["a-1"] = pod(unscheduled, waits("Unschedulable", "0/3 nodes"))
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptPending{Attempt: 100, PodUID: "u", At: at(0), Due: at(5)},
				transition.AttemptWaits{Attempt: 100, Reason: "Unschedulable", Message: "0/3 nodes", At: at(0)},
			},
		}},
		"seen when it runs": {graph: "a", snapshot: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptDecided)
			s.Pods["a-1"] = pod()
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptRunning{Attempt: 100, PodUID: "u", Node: "n", StartedAt: at(-60)},
			},
		}},
		"runs, with a timeout": {graph: "a", spec: timeout(99), snapshot: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptPending)
			s.Pods["a-1"] = pod()
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptRunning{Attempt: 100, PodUID: "u", Node: "n", StartedAt: at(-60), Due: at(99)},
			},
			RequeueAt: at(99),
		}},
		"runs, nothing new": {graph: "a", spec: timeout(99), snapshot: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptRunning).Due = at(40)
			s.Pods["a-1"] = pod()
		}, want: engine.Decision{
			RequeueAt: at(40),
		}},
		"runs, its Pod says nothing of it any more": {graph: "a", spec: timeout(99), snapshot: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptRunning).Due = at(40)
			s.Pods["a-1"] = pod(neverStarted, waits("ContainerCreating", ""))
		}, want: engine.Decision{
			RequeueAt: at(40),
		}},
		"a second before the timeout": {graph: "a", spec: timeout(99), now: 39, snapshot: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptRunning).Due = at(40)
			s.Pods["a-1"] = pod()
		}, want: engine.Decision{
			RequeueAt: at(40),
		}},
		"the timeout": {graph: "a", spec: timeout(99), now: 40, snapshot: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptRunning).Due = at(40)
			s.Pods["a-1"] = pod()
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptStopping{Attempt: 100, Reason: "Timeout", Message: "ran longer than timeoutSeconds (99)", Due: at(70)},
			},
			Delete:    []engine.Delete{{PodName: "a-1", PodUID: "u"}},
			RequeueAt: at(70),
		}},
		"the timeout of one not seen before counts from now": {graph: "a", spec: timeout(99), now: 40, snapshot: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptDecided)
			s.Pods["a-1"] = pod()
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptRunning{Attempt: 100, PodUID: "u", Node: "n", StartedAt: at(-60), Due: at(139)},
			},
			RequeueAt: at(139),
		}},
		"the timeout of one whose time is in no row": {graph: "a", spec: timeout(99), now: 40, snapshot: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptRunning)
			s.Pods["a-1"] = pod()
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptDue{Attempt: 100, Due: at(139)},
			},
			RequeueAt: at(139),
		}},
		"exit 0 before the timeout was noticed": {graph: "a", spec: timeout(10), now: 40, snapshot: func(s *engine.Snapshot) { ends(s, 0, 0) },
			want: engine.Decision{
				Transitions: transitions{
					transition.AttemptEnded{Attempt: 100, Phase: "Succeeded", ExitCode: ptr[int32](0), PodUID: "u", Node: "n", StartedAt: at(-60), FinishedAt: at(0)},
					transition.TaskSucceeded{Task: 10, At: at(40)},
					transition.RunEnded{Phase: "Succeeded", At: at(40)},
				},
				Reap:   []string{"a-1"},
				Ended:  []string{"a-1"},
				IsLast: true,
			}},
		"deleted by somebody: a look when its node may be lost": {graph: "a", snapshot: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptRunning)
			s.Pods["a-1"] = pod(deletedAt(0))
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptDue{Attempt: 100, Due: at(90)},
			},
			RequeueAt: at(90),
		}},
		"deleted by somebody past its timeout: it ends as it may": {graph: "a", spec: timeout(10), snapshot: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptRunning)
			s.Pods["a-1"] = pod(deletedAt(0))
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptDue{Attempt: 100, Due: at(90)},
			},
			RequeueAt: at(90),
		}},
		"still there, its node Ready: another look": {graph: "a", now: 90, snapshot: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptRunning).Due = at(90)
			s.Pods["a-1"] = pod(deletedAt(0))
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptDue{Attempt: 100, Due: at(150)},
			},
			RequeueAt: at(150),
		}},
		"deleted while pending": {graph: "a", snapshot: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptPending)
			s.Pods["a-1"] = pod(neverStarted, deletedAt(0))
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptWaits{Attempt: 100, At: at(0), Due: at(90)},
			},
			RequeueAt: at(90),
		}},
		"stopping: deleted, and again until it is": {graph: "a", snapshot: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptStopping).Stop = engine.ReasonTimeout
			s.Pods["a-1"] = pod()
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptDue{Attempt: 100, Due: at(30)},
			},
			Delete:    []engine.Delete{{PodName: "a-1", PodUID: "u"}},
			RequeueAt: at(30),
		}},
		"stopping, on its way": {graph: "a", snapshot: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptStopping).Stop = engine.ReasonTimeout
			s.Pods["a-1"] = pod(deletedAt(-5))
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptDue{Attempt: 100, Due: at(85)},
			},
			RequeueAt: at(85),
		}},
		"stopping, overdue": {graph: "a", now: 200, snapshot: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptStopping).Stop = engine.ReasonTimeout
			s.Pods["a-1"] = pod(deletedAt(0))
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptDue{Attempt: 100, Due: at(260)},
			},
			RequeueAt: at(260),
		}},
		"stopping, nothing known: asked later, not at once": {graph: "a", now: 200, snapshot: func(s *engine.Snapshot) {
			a := live(s, 0, engine.AttemptStopping)
			a.Stop, a.Due = engine.ReasonTimeout, at(30)
		}, want: engine.Decision{
			RequeueAt: at(201),
		}},
		"nothing known": {graph: "a", snapshot: func(s *engine.Snapshot) { live(s, 0, engine.AttemptRunning).Due = at(30) }, want: engine.Decision{
			RequeueAt: at(30),
		}},
		"the start is the row's when the Pod is gone": {graph: "a", now: 10, snapshot: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptRunning)
			s.Pods["a-1"] = goneFromCluster
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptEnded{Attempt: 100, Phase: "Lost", Reason: "PodDeleted", Message: "its Pod is gone", StartedAt: at(-60), FinishedAt: at(10)},
				transition.TaskBackedOff{Task: 10, Reason: "BackingOff", Message: "restart 1 of 10: PodDeleted: its Pod is gone", Due: at(11), Restarts: 1},
			},
			Ended:     []string{"a-1"},
			RequeueAt: at(11),
		}},
		"created before, nothing known: not again": {graph: "a", snapshot: func(s *engine.Snapshot) { live(s, 0, engine.AttemptDecided).PodUID = "u" }},
		"created before, gone: not again": {graph: "a", snapshot: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptDecided).PodUID = "u"
			s.Pods["a-1"] = goneFromCluster
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptEnded{Attempt: 100, Phase: "Lost", Reason: "PodDeleted", Message: "its Pod is gone", FinishedAt: at(0)},
				transition.TaskBackedOff{Task: 10, Reason: "BackingOff", Message: "restart 1 of 10: PodDeleted: its Pod is gone", Due: at(1), Restarts: 1},
			},
			Ended:     []string{"a-1"},
			RequeueAt: at(1),
		}},
	})
}

func waits(reason, message string) func(*engine.Pod) {
	return func(p *engine.Pod) { p.Waits = &engine.Wait{Reason: reason, Message: message} }
}

func cannot(reason, message string) func(*engine.Pod) {
	return func(p *engine.Pod) { p.Waits = &engine.Wait{Reason: reason, Message: message, IsFailure: true} }
}

// waiting is a pending attempt that has said why since second since, its text at second said.
func waiting(s *engine.Snapshot, reason, message string, since, said int) *engine.Attempt {
	a := live(s, 0, engine.AttemptPending)
	a.Reason, a.Message, a.ReasonAt, a.MessageAt = reason, message, at(since), at(said)
	return a
}

// usual is what every start goes through.
func usual(reason, message string) func(*engine.Pod) {
	return func(p *engine.Pod) { p.Waits = &engine.Wait{Reason: reason, Message: message, IsRoutine: true} }
}

func TestPending(t *testing.T) {
	const pull = "ImagePullBackOff"
	play(t, map[string]scene{
		"a start that is not slow has no reason": {graph: "a", now: 4, snapshot: func(s *engine.Snapshot) {
			a := live(s, 0, engine.AttemptPending)
			a.FirstSeen, a.Due = at(0), at(5)
			s.Pods["a-1"] = pod(neverStarted, usual("ContainerCreating", "Pulling"))
		}, want: engine.Decision{
			RequeueAt: at(5),
		}},
		"a slow start says what it is at, and looks again": {graph: "a", now: 5, snapshot: func(s *engine.Snapshot) {
			a := live(s, 0, engine.AttemptPending)
			a.FirstSeen, a.Due = at(0), at(5)
			s.Pods["a-1"] = pod(neverStarted, usual("ContainerCreating", "Pulling"))
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptWaits{Attempt: 100, Reason: "ContainerCreating", Message: "Pulling", At: at(5), Due: at(15)},
			},
			RequeueAt: at(15),
		}},
		"an init container that runs spends no grace": {graph: "a", now: 7200, snapshot: func(s *engine.Snapshot) {
			waiting(s, "PodInitializing", "init container wait is running", 5, 5).FirstSeen = at(0)
			s.Pods["a-1"] = pod(neverStarted, usual("PodInitializing", "init container wait is running"))
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptWaits{Attempt: 100, Reason: "PodInitializing", Message: "init container wait is running", At: at(7200), Due: at(7210)},
			},
			RequeueAt: at(7210),
		}},
		"a failure is told at once": {graph: "a", now: 1, snapshot: func(s *engine.Snapshot) {
			a := live(s, 0, engine.AttemptPending)
			a.FirstSeen, a.Due = at(0), at(5)
			s.Pods["a-1"] = pod(neverStarted, cannot("FailedMount", "no ConfigMap x"))
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptWaits{Attempt: 100, Reason: "FailedMount", Message: "no ConfigMap x", At: at(1), Due: at(301)},
			},
			RequeueAt: at(301),
		}},
		"nothing new": {graph: "a", snapshot: func(s *engine.Snapshot) {
			waiting(s, "Unschedulable", "0/3", 0, 0)
			s.Pods["a-1"] = pod(unscheduled, waits("Unschedulable", "0/3"))
		}},
		"another reason": {graph: "a", now: 1, snapshot: func(s *engine.Snapshot) {
			waiting(s, "Unschedulable", "0/3", 0, 0)
			s.Pods["a-1"] = pod(neverStarted, waits("ContainerCreating", ""))
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptWaits{Attempt: 100, Reason: "ContainerCreating", At: at(1)},
			},
		}},
		"no reason any more": {graph: "a", now: 1, snapshot: func(s *engine.Snapshot) {
			waiting(s, pull, "x", 0, 0).Due = at(300)
			s.Pods["a-1"] = pod(neverStarted)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptWaits{Attempt: 100, At: at(1)},
			},
		}},
		"another text, too soon: later": {graph: "a", now: 9, snapshot: func(s *engine.Snapshot) {
			waiting(s, "Unschedulable", "0/3", 0, 0)
			s.Pods["a-1"] = pod(unscheduled, waits("Unschedulable", "0/4"))
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptDue{Attempt: 100, Due: at(10)},
			},
			RequeueAt: at(10),
		}},
		"yet another, too soon: as decided": {graph: "a", now: 9, snapshot: func(s *engine.Snapshot) {
			waiting(s, "Unschedulable", "0/3", 0, 0).Due = at(10)
			s.Pods["a-1"] = pod(unscheduled, waits("Unschedulable", "0/5"))
		}, want: engine.Decision{
			RequeueAt: at(10),
		}},
		"another text after ten seconds": {graph: "a", now: 10, snapshot: func(s *engine.Snapshot) {
			waiting(s, "Unschedulable", "0/3", 0, 0).Due = at(10)
			s.Pods["a-1"] = pod(unscheduled, waits("Unschedulable", "0/4"))
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptWaits{Attempt: 100, Reason: "Unschedulable", Message: "0/4", At: at(10)},
			},
		}},
		"back to the text that is stored": {graph: "a", now: 9, snapshot: func(s *engine.Snapshot) {
			waiting(s, "Unschedulable", "0/3", 0, 0).Due = at(10)
			s.Pods["a-1"] = pod(unscheduled, waits("Unschedulable", "0/3"))
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptWaits{Attempt: 100, Reason: "Unschedulable", Message: "0/3", At: at(9)},
			},
		}},
		"cannot start: the grace begins": {graph: "a", snapshot: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptPending)
			s.Pods["a-1"] = pod(neverStarted, cannot(pull, "no such tag"))
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptWaits{Attempt: 100, Reason: "ImagePullBackOff", Message: "no such tag", At: at(0), Due: at(300)},
			},
			RequeueAt: at(300),
		}},
		"cannot start: within the grace": {graph: "a", now: 299, snapshot: func(s *engine.Snapshot) {
			waiting(s, pull, "x", 0, 0).Due = at(300)
			s.Pods["a-1"] = pod(neverStarted, cannot(pull, "x"))
		}, want: engine.Decision{
			RequeueAt: at(300),
		}},
		"cannot start: another text does not begin it anew": {graph: "a", now: 295, snapshot: func(s *engine.Snapshot) {
			waiting(s, pull, "x", 0, 290).Due = at(300)
			s.Pods["a-1"] = pod(neverStarted, cannot(pull, "y"))
		}, want: engine.Decision{
			RequeueAt: at(300),
		}},
		"cannot start: the grace is over": {graph: "a", now: 300, snapshot: func(s *engine.Snapshot) {
			waiting(s, pull, "x", 0, 0).Due = at(300)
			s.Pods["a-1"] = pod(neverStarted, cannot(pull, "x"))
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptStopping{Attempt: 100, Reason: "StartFailed", Message: "ImagePullBackOff: x", Due: at(330)},
			},
			Delete:    []engine.Delete{{PodName: "a-1", PodUID: "u"}},
			RequeueAt: at(330),
		}},
		"what does not fail has no grace": {graph: "a", now: 100000, snapshot: func(s *engine.Snapshot) {
			waiting(s, "Unschedulable", "0/3", 0, 0)
			s.Pods["a-1"] = pod(unscheduled, waits("Unschedulable", "0/3"))
		}},
		"never right: at once": {graph: "a", snapshot: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptDecided)
			s.Pods["a-1"] = pod(neverStarted, cannot("InvalidImageName", "A:B:C"), func(p *engine.Pod) { p.Waits.IsPermanent = true })
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptPending{Attempt: 100, PodUID: "u", Node: "n", At: at(0), Due: at(5)},
				transition.AttemptStopping{Attempt: 100, Reason: "StartFailed", Message: "InvalidImageName: A:B:C", Due: at(30)},
			},
			Delete:    []engine.Delete{{PodName: "a-1", PodUID: "u"}},
			RequeueAt: at(30),
		}},
		"the grace is the controller's": {graph: "a", snapshot: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptPending)
			s.StartGrace = time.Minute
			s.Pods["a-1"] = pod(neverStarted, cannot(pull, "x"))
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptWaits{Attempt: 100, Reason: "ImagePullBackOff", Message: "x", At: at(0), Due: at(60)},
			},
			RequeueAt: at(60),
		}},
		"being deleted already when it is stopped": {graph: "a", now: 300, snapshot: func(s *engine.Snapshot) {
			waiting(s, pull, "x", 0, 0).Due = at(300)
			s.Pods["a-1"] = pod(neverStarted, cannot(pull, "x"), deletedAt(290))
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptStopping{Attempt: 100, Reason: "StartFailed", Message: "ImagePullBackOff: x", Due: at(330)},
			},
			RequeueAt: at(330),
		}},
	})
}

func refuse(reason string, never bool) func(*engine.Snapshot) {
	return func(s *engine.Snapshot) {
		live(s, 0, engine.AttemptDecided)
		s.Refusals["a-1"] = engine.Refusal{Reason: reason, Message: "no", IsPermanent: never}
	}
}

func refusedSince(reason string, since, said, due int) func(*engine.Snapshot) {
	return func(s *engine.Snapshot) {
		refuse(reason, false)(s)
		a := &s.Attempts[0]
		a.Reason, a.Message, a.ReasonAt, a.MessageAt = reason, "no", at(since), at(said)
		if due != 0 {
			a.Due = at(due)
		}
	}
}

func TestRefused(t *testing.T) {
	play(t, map[string]scene{
		"quota: told, and asked again": {graph: "a", snapshot: refuse("QuotaExceeded", false),
			want: engine.Decision{
				Transitions: transitions{
					transition.AttemptWaits{Attempt: 100, Reason: "QuotaExceeded", Message: "no", At: at(0)},
				},
				Create: []engine.Create{{Task: 0, Number: 1, PodName: "a-1", Reason: "QuotaExceeded"}},
			}},
		"quota: waits forever": {graph: "a", now: 100000, snapshot: refusedSince("QuotaExceeded", 0, 0, 0), want: engine.Decision{
			Create: []engine.Create{{Task: 0, Number: 1, PodName: "a-1", Reason: "QuotaExceeded"}},
		}},
		"quota: asked again": {graph: "a", now: 60, snapshot: func(s *engine.Snapshot) { refusedSince("QuotaExceeded", 0, 0, 0)(s); clear(s.Refusals) }, want: engine.Decision{
			Create: []engine.Create{{Task: 0, Number: 1, PodName: "a-1", Reason: "QuotaExceeded"}},
		}},
		"quota: no slot to ask with": {graph: "a", now: 60, snapshot: func(s *engine.Snapshot) {
			refusedSince("QuotaExceeded", 0, 0, 0)(s)
			clear(s.Refusals)
			s.Slots = 0
		}, want: engine.Decision{
			Transitions: transitions{
				transition.RunHeld{Reason: "Throttled"},
			},
			Throttled: true,
		}},
		"quota: blocked, told, and no slot taken": {graph: "a b", snapshot: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptDecided)
			live(s, 1, engine.AttemptDecided)
			s.Blocked, s.Slots = map[int]engine.Refusal{0: {Reason: "QuotaExceeded", Message: "no"}}, 1
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptWaits{Attempt: 100, Reason: "QuotaExceeded", Message: "no", At: at(0)},
			},
			Create: []engine.Create{{Task: 1, Number: 1, PodName: "b-1"}},
		}},
		"quota: blocked, and no slot missed": {graph: "a", now: 60, snapshot: func(s *engine.Snapshot) {
			refusedSince("QuotaExceeded", 0, 0, 0)(s)
			clear(s.Refusals)
			s.Blocked, s.Slots = map[int]engine.Refusal{0: {Reason: "QuotaExceeded", Message: "no"}}, 0
		}},
		"quota: refused just now, and blocked": {graph: "a", snapshot: func(s *engine.Snapshot) {
			refuse("QuotaExceeded", false)(s)
			s.Blocked = map[int]engine.Refusal{0: {Reason: "QuotaExceeded", Message: "no, as another"}}
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptWaits{Attempt: 100, Reason: "QuotaExceeded", Message: "no", At: at(0)},
			},
		}},
		"a policy: blocked for the whole grace": {graph: "a", now: 300, snapshot: func(s *engine.Snapshot) {
			refusedSince("CreateRefused", 0, 290, 300)(s)
			clear(s.Refusals)
			s.Blocked = map[int]engine.Refusal{0: {Reason: "CreateRefused", Message: "no"}}
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptEnded{Attempt: 100, Phase: "Failed", Reason: "StartFailed", Message: "no", FinishedAt: at(300)},
				transition.TaskFailed{Task: 10, Reason: "RetriesSpent", Message: "StartFailed: no", At: at(300)},
				transition.RunEnded{Phase: "Failed", Reason: "TaskFailed", Message: "1 task failed", At: at(300)},
			},
			Ended:  []string{"a-1"},
			IsLast: true,
		}},
		"terminating namespace: waits": {graph: "a", snapshot: refuse("NamespaceTerminating", false),
			want: engine.Decision{
				Transitions: transitions{
					transition.AttemptWaits{Attempt: 100, Reason: "NamespaceTerminating", Message: "no", At: at(0)},
				},
				Create: []engine.Create{{Task: 0, Number: 1, PodName: "a-1", Reason: "NamespaceTerminating"}},
			}},
		"a policy: the start grace begins": {graph: "a", snapshot: refuse("CreateRefused", false),
			want: engine.Decision{
				Transitions: transitions{
					transition.AttemptWaits{Attempt: 100, Reason: "CreateRefused", Message: "no", At: at(0), Due: at(300)},
				},
				Create:    []engine.Create{{Task: 0, Number: 1, PodName: "a-1", Reason: "CreateRefused"}},
				RequeueAt: at(300),
			}},
		"a policy: asked again within the grace": {graph: "a", now: 299, snapshot: func(s *engine.Snapshot) {
			refusedSince("CreateRefused", 0, 0, 300)(s)
			clear(s.Refusals)
		}, want: engine.Decision{
			Create:    []engine.Create{{Task: 0, Number: 1, PodName: "a-1", Reason: "CreateRefused"}},
			RequeueAt: at(300),
		}},
		"a policy: the grace is over, and nobody has asked again": {graph: "a", now: 300, snapshot: func(s *engine.Snapshot) {
			refusedSince("CreateRefused", 0, 0, 300)(s)
			clear(s.Refusals)
			s.Attempts[0].Message = "no"
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptEnded{Attempt: 100, Phase: "Failed", Reason: "StartFailed", Message: "no", FinishedAt: at(300)},
				transition.TaskFailed{Task: 10, Reason: "RetriesSpent", Message: "StartFailed: no", At: at(300)},
				transition.RunEnded{Phase: "Failed", Reason: "TaskFailed", Message: "1 task failed", At: at(300)},
			},
			Ended:  []string{"a-1"},
			IsLast: true,
		}},
		"refused again": {graph: "a", now: 299, snapshot: refusedSince("CreateRefused", 0, 0, 300), want: engine.Decision{
			Create:    []engine.Create{{Task: 0, Number: 1, PodName: "a-1", Reason: "CreateRefused"}},
			RequeueAt: at(300),
		}},
		"refused for the whole grace": {graph: "a", now: 300, snapshot: refusedSince("CreateRefused", 0, 290, 300), want: engine.Decision{
			Transitions: transitions{
				transition.AttemptEnded{Attempt: 100, Phase: "Failed", Reason: "StartFailed", Message: "no", FinishedAt: at(300)},
				transition.TaskFailed{Task: 10, Reason: "RetriesSpent", Message: "StartFailed: no", At: at(300)},
				transition.RunEnded{Phase: "Failed", Reason: "TaskFailed", Message: "1 task failed", At: at(300)},
			},
			Ended:  []string{"a-1"},
			IsLast: true,
		}},
		"a quota before does not count": {graph: "a", now: 300, snapshot: func(s *engine.Snapshot) {
			refusedSince("QuotaExceeded", 0, 0, 0)(s)
			s.Refusals["a-1"] = engine.Refusal{Reason: "CreateRefused", Message: "no"}
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptWaits{Attempt: 100, Reason: "CreateRefused", Message: "no", At: at(300), Due: at(600)},
			},
			Create:    []engine.Create{{Task: 0, Number: 1, PodName: "a-1", Reason: "CreateRefused"}},
			RequeueAt: at(600),
		}},
		"never right: at once": {graph: "a", now: 300, snapshot: refuse("CreateRefused", true), want: engine.Decision{
			Transitions: transitions{
				transition.AttemptEnded{Attempt: 100, Phase: "Failed", Reason: "StartFailed", Message: "no", FinishedAt: at(300)},
				transition.TaskFailed{Task: 10, Reason: "RetriesSpent", Message: "StartFailed: no", At: at(300)},
				transition.RunEnded{Phase: "Failed", Reason: "TaskFailed", Message: "1 task failed", At: at(300)},
			},
			Ended:  []string{"a-1"},
			IsLast: true,
		}},
		"name taken: at once": {graph: "a", snapshot: refuse("NameTaken", true), want: engine.Decision{
			Transitions: transitions{
				transition.AttemptEnded{Attempt: 100, Phase: "Failed", Reason: "NameTaken", Message: "no", FinishedAt: at(0)},
				transition.TaskFailed{Task: 10, Reason: "RetriesSpent", Message: "NameTaken: no", At: at(0)},
				transition.RunEnded{Phase: "Failed", Reason: "TaskFailed", Message: "1 task failed", At: at(0)},
			},
			Ended:  []string{"a-1"},
			IsLast: true,
		}},
		"name taken, with retries": {graph: "a", spec: backoff(v1alpha1.Backoff{Limit: new(int64(1))}), snapshot: refuse("NameTaken", true), want: engine.Decision{
			Transitions: transitions{
				transition.AttemptEnded{Attempt: 100, Phase: "Failed", Reason: "NameTaken", Message: "no", FinishedAt: at(0)},
				transition.TaskBackedOff{Task: 10, Reason: "BackingOff", Message: "retry 1 of 1: NameTaken: no", Due: at(10), Retries: 1},
			},
			Ended:     []string{"a-1"},
			RequeueAt: at(10),
		}},
		"its children are told later": {graph: "a b<a", snapshot: func(s *engine.Snapshot) {
			refuse("NameTaken", true)(s)
			count(s)
			s.Tasks = s.Tasks[:1]
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptEnded{Attempt: 100, Phase: "Failed", Reason: "NameTaken", Message: "no", FinishedAt: at(0)},
				transition.TaskFailed{Task: 10, Reason: "RetriesSpent", Message: "NameTaken: no", ChildrenPending: true, At: at(0)},
			},
			Ended:   []string{"a-1"},
			Requeue: true,
		}},
		"a Pod that is there after all": {graph: "a", snapshot: func(s *engine.Snapshot) {
			refuse("CreateRefused", true)(s)
			s.Pods["a-1"] = pod()
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptRunning{Attempt: 100, PodUID: "u", Node: "n", StartedAt: at(-60)},
			},
		}},
		"in a run that stops": {graph: "a", snapshot: func(s *engine.Snapshot) {
			refuse("CreateRefused", true)(s)
			s.Run.Stop = engine.ReasonUserCancelled
		}},
	})
}

// A run whose version cannot be read is stopped, with a graph of which nothing is known.
func TestUnreadableVersion(t *testing.T) {
	const why = "the DAG version of this run cannot be read from the database: bad JSON"
	unreadable := func(s *engine.Snapshot) { s.Graph, s.Unreadable = dag.Blank(s.Graph.Len()), "bad JSON" }
	play(t, map[string]scene{
		"nothing starts, what runs is stopped": {graph: "a b<a c", snapshot: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptRunning)
			s.Pods["a-1"] = pod()
			ready(s, 0, 2)
			unreadable(s)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.RunStopping{Reason: "VersionUnreadable"},
				transition.UnstartedCancelled{Reason: "VersionUnreadable", Message: "the DAG version of this run cannot be read from the database: bad JSON", At: at(0)},
				transition.LiveStopped{Reason: "VersionUnreadable", Message: "the DAG version of this run cannot be read from the database: bad JSON", Due: at(0)},
				transition.AttemptDue{Attempt: 100, Due: at(30)},
			},
			Delete:    []engine.Delete{{PodName: "a-1", PodUID: "u"}},
			RequeueAt: at(30),
			Requeue:   true,
		}},
		"a run without attempts fails": {graph: "a b<a", snapshot: func(s *engine.Snapshot) {
			ready(s, 0, 0)
			unreadable(s)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.RunStopping{Reason: "VersionUnreadable"},
				transition.UnstartedCancelled{Reason: "VersionUnreadable", Message: "the DAG version of this run cannot be read from the database: bad JSON", At: at(0)},
				transition.LiveStopped{Reason: "VersionUnreadable", Message: "the DAG version of this run cannot be read from the database: bad JSON", Due: at(0)},
				transition.RunEnded{Phase: "Failed", Reason: "VersionUnreadable", Message: "the DAG version of this run cannot be read from the database: bad JSON", At: at(0)},
			},
			IsLast: true,
		}},
		"it fails when its last Pod has ended": {graph: "a", snapshot: func(s *engine.Snapshot) {
			s.Run.Stop = engine.ReasonVersionUnreadable
			a := live(s, 0, engine.AttemptStopping)
			a.Stop = s.Run.Stop
			s.Pods["a-1"] = goneFromCluster
			unreadable(s)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptEnded{Attempt: 100, Phase: "Cancelled", Reason: "VersionUnreadable", FinishedAt: at(0)},
				transition.TaskCancelled{Task: 10, Reason: "VersionUnreadable", Message: "the DAG version of this run cannot be read from the database: bad JSON", At: at(0)},
				transition.RunEnded{Phase: "Failed", Reason: "VersionUnreadable", Message: "the DAG version of this run cannot be read from the database: bad JSON", At: at(0)},
			},
			Ended:  []string{"a-1"},
			IsLast: true,
		}},
		"what succeeds in the same decision counts, its children do not start": {graph: "a b<a", snapshot: func(s *engine.Snapshot) {
			ends(s, 0, 0)
			unreadable(s)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.RunStopping{Reason: "VersionUnreadable"},
				transition.UnstartedCancelled{Reason: "VersionUnreadable", Message: "the DAG version of this run cannot be read from the database: bad JSON", At: at(0)},
				transition.LiveStopped{Reason: "VersionUnreadable", Message: "the DAG version of this run cannot be read from the database: bad JSON", Due: at(0)},
				transition.AttemptEnded{Attempt: 100, Phase: "Succeeded", ExitCode: ptr[int32](0), PodUID: "u", Node: "n", StartedAt: at(-60), FinishedAt: at(0)},
				transition.TaskSucceeded{Task: 10, At: at(0)},
				transition.RunEnded{Phase: "Failed", Reason: "VersionUnreadable", Message: "the DAG version of this run cannot be read from the database: bad JSON", At: at(0)},
			},
			Reap:   []string{"a-1"},
			Ended:  []string{"a-1"},
			IsLast: true,
		}},
		"the last task had succeeded": {graph: "a", snapshot: func(s *engine.Snapshot) {
			ends(s, 0, 0)
			unreadable(s)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.RunStopping{Reason: "VersionUnreadable"},
				transition.UnstartedCancelled{Reason: "VersionUnreadable", Message: "the DAG version of this run cannot be read from the database: bad JSON", At: at(0)},
				transition.LiveStopped{Reason: "VersionUnreadable", Message: "the DAG version of this run cannot be read from the database: bad JSON", Due: at(0)},
				transition.AttemptEnded{Attempt: 100, Phase: "Succeeded", ExitCode: ptr[int32](0), PodUID: "u", Node: "n", StartedAt: at(-60), FinishedAt: at(0)},
				transition.TaskSucceeded{Task: 10, At: at(0)},
				transition.RunEnded{Phase: "Succeeded", At: at(0)},
			},
			Reap:   []string{"a-1"},
			Ended:  []string{"a-1"},
			IsLast: true,
		}},
		"children that were to be skipped are cancelled": {graph: "a b<a", snapshot: func(s *engine.Snapshot) {
			is(s, engine.TaskFailed, 0)
			s.Tasks[0].ChildrenPending = true
			unreadable(s)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.RunStopping{Reason: "VersionUnreadable"},
				transition.UnstartedCancelled{Reason: "VersionUnreadable", Message: "the DAG version of this run cannot be read from the database: bad JSON", At: at(0)},
				transition.LiveStopped{Reason: "VersionUnreadable", Message: "the DAG version of this run cannot be read from the database: bad JSON", Due: at(0)},
				transition.RunEnded{Phase: "Failed", Reason: "VersionUnreadable", Message: "the DAG version of this run cannot be read from the database: bad JSON", At: at(0)},
			},
			IsLast: true,
		}},
		"cancel comes first": {graph: "a", snapshot: func(s *engine.Snapshot) {
			ready(s, 0, 0)
			unreadable(s)
			s.CancelRequested = true
		}, want: engine.Decision{
			Transitions: transitions{
				transition.RunStopping{Reason: "UserCancelled"},
				transition.UnstartedCancelled{Reason: "UserCancelled", Message: "cancelled by spec.cancel", At: at(0)},
				transition.LiveStopped{Reason: "UserCancelled", Message: "cancelled by spec.cancel", Due: at(0)},
				transition.RunEnded{Phase: "Cancelled", Reason: "UserCancelled", Message: "cancelled by spec.cancel", At: at(0)},
			},
			IsLast: true,
		}},
		"so does the deadline": {graph: "a", now: 10, snapshot: func(s *engine.Snapshot) {
			ready(s, 0, 0)
			unreadable(s)
			s.Run.Deadline = at(10)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.RunStopping{Reason: "DeadlineExceeded"},
				transition.UnstartedCancelled{Reason: "DeadlineExceeded", Message: "the run took longer than activeDeadlineSeconds", At: at(10)},
				transition.LiveStopped{Reason: "DeadlineExceeded", Message: "the run took longer than activeDeadlineSeconds", Due: at(10)},
				transition.RunEnded{Phase: "Failed", Reason: "DeadlineExceeded", Message: "the run took longer than activeDeadlineSeconds", At: at(10)},
			},
			IsLast: true,
		}},
	})
}

func TestStop(t *testing.T) {
	play(t, map[string]scene{
		"cancel: what has not started, at once": {graph: "a b<a c", snapshot: func(s *engine.Snapshot) {
			s.CancelRequested = true
			ready(s, 0, 0, 2)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.RunStopping{Reason: "UserCancelled"},
				transition.UnstartedCancelled{Reason: "UserCancelled", Message: "cancelled by spec.cancel", At: at(0)},
				transition.LiveStopped{Reason: "UserCancelled", Message: "cancelled by spec.cancel", Due: at(0)},
				transition.RunEnded{Phase: "Cancelled", Reason: "UserCancelled", Message: "cancelled by spec.cancel", At: at(0)},
			},
			IsLast: true,
		}},
		"deleted": {graph: "a", snapshot: func(s *engine.Snapshot) {
			s.DagRunDeleted, s.CancelRequested = true, true
			ready(s, 0, 0)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.RunStopping{Reason: "Deleted"},
				transition.UnstartedCancelled{Reason: "Deleted", Message: "the DagRun was deleted", At: at(0)},
				transition.LiveStopped{Reason: "Deleted", Message: "the DagRun was deleted", Due: at(0)},
				transition.RunEnded{Phase: "Cancelled", Reason: "Deleted", Message: "the DagRun was deleted", At: at(0)},
			},
			IsLast: true,
		}},
		"before it began": {graph: "a", snapshot: func(s *engine.Snapshot) {
			s.CancelRequested, s.Run.Phase = true, engine.RunPending
			ready(s, 0, 0)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.RunStarted{At: at(0)},
				transition.RunStopping{Reason: "UserCancelled"},
				transition.UnstartedCancelled{Reason: "UserCancelled", Message: "cancelled by spec.cancel", At: at(0)},
				transition.LiveStopped{Reason: "UserCancelled", Message: "cancelled by spec.cancel", Due: at(0)},
				transition.RunEnded{Phase: "Cancelled", Reason: "UserCancelled", Message: "cancelled by spec.cancel", At: at(0)},
			},
			IsLast: true,
		}},
		"unstarted beyond the snapshot": {graph: "a b c", snapshot: func(s *engine.Snapshot) {
			s.CancelRequested = true
			live(s, 0, engine.AttemptRunning)
			ready(s, 0, 1)
			count(s)
			s.Tasks, s.Attempts = nil, nil
		}, want: engine.Decision{
			Transitions: transitions{
				transition.RunStopping{Reason: "UserCancelled"},
				transition.UnstartedCancelled{Reason: "UserCancelled", Message: "cancelled by spec.cancel", At: at(0)},
				transition.LiveStopped{Reason: "UserCancelled", Message: "cancelled by spec.cancel", Due: at(0)},
			},
			Requeue: true,
		}},
		"a deadline ahead": {graph: "a", now: 9, snapshot: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptRunning)
			s.Run.Deadline = at(10)
		}, want: engine.Decision{
			RequeueAt: at(10),
		}},
		"a deadline": {graph: "a b<a", now: 10, snapshot: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptRunning)
			s.Pods["a-1"] = pod()
			s.Run.Deadline = at(10)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.RunStopping{Reason: "DeadlineExceeded"},
				transition.UnstartedCancelled{Reason: "DeadlineExceeded", Message: "the run took longer than activeDeadlineSeconds", At: at(10)},
				transition.LiveStopped{Reason: "DeadlineExceeded", Message: "the run took longer than activeDeadlineSeconds", Due: at(10)},
				transition.AttemptDue{Attempt: 100, Due: at(40)},
			},
			Delete:    []engine.Delete{{PodName: "a-1", PodUID: "u"}},
			RequeueAt: at(40),
			Requeue:   true,
		}},
		"what ends in the same decision ends as it did": {graph: "a b<a", snapshot: func(s *engine.Snapshot) {
			s.CancelRequested = true
			ends(s, 0, 0)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.RunStopping{Reason: "UserCancelled"},
				transition.UnstartedCancelled{Reason: "UserCancelled", Message: "cancelled by spec.cancel", At: at(0)},
				transition.LiveStopped{Reason: "UserCancelled", Message: "cancelled by spec.cancel", Due: at(0)},
				transition.AttemptEnded{Attempt: 100, Phase: "Succeeded", ExitCode: ptr[int32](0), PodUID: "u", Node: "n", StartedAt: at(-60), FinishedAt: at(0)},
				transition.TaskSucceeded{Task: 10, At: at(0)},
				transition.RunEnded{Phase: "Cancelled", Reason: "UserCancelled", Message: "cancelled by spec.cancel", At: at(0)},
			},
			Reap:   []string{"a-1"},
			Ended:  []string{"a-1"},
			IsLast: true,
		}},
		"all had succeeded": {graph: "a", snapshot: func(s *engine.Snapshot) {
			s.CancelRequested = true
			ends(s, 0, 0)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.RunStopping{Reason: "UserCancelled"},
				transition.UnstartedCancelled{Reason: "UserCancelled", Message: "cancelled by spec.cancel", At: at(0)},
				transition.LiveStopped{Reason: "UserCancelled", Message: "cancelled by spec.cancel", Due: at(0)},
				transition.AttemptEnded{Attempt: 100, Phase: "Succeeded", ExitCode: ptr[int32](0), PodUID: "u", Node: "n", StartedAt: at(-60), FinishedAt: at(0)},
				transition.TaskSucceeded{Task: 10, At: at(0)},
				transition.RunEnded{Phase: "Succeeded", At: at(0)},
			},
			Reap:   []string{"a-1"},
			Ended:  []string{"a-1"},
			IsLast: true,
		}},
		"no retry of what failed": {graph: "a", spec: backoff(v1alpha1.Backoff{Limit: new(int64(3))}), snapshot: func(s *engine.Snapshot) {
			s.CancelRequested = true
			ends(s, 0, 1)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.RunStopping{Reason: "UserCancelled"},
				transition.UnstartedCancelled{Reason: "UserCancelled", Message: "cancelled by spec.cancel", At: at(0)},
				transition.LiveStopped{Reason: "UserCancelled", Message: "cancelled by spec.cancel", Due: at(0)},
				transition.AttemptEnded{Attempt: 100, Phase: "Failed", Reason: "ExitCode", Message: "exit code 1", ExitCode: ptr[int32](1), PodUID: "u", Node: "n", StartedAt: at(-60), FinishedAt: at(0)},
				transition.TaskCancelled{Task: 10, Reason: "UserCancelled", Message: "cancelled by spec.cancel", At: at(0)},
				transition.RunEnded{Phase: "Cancelled", Reason: "UserCancelled", Message: "cancelled by spec.cancel", At: at(0)},
			},
			Reap:   []string{"a-1"},
			Ended:  []string{"a-1"},
			IsLast: true,
		}},
		"no restart of what is lost": {graph: "a", snapshot: func(s *engine.Snapshot) {
			s.Run.Stop = engine.ReasonDeadlineExceeded
			live(s, 0, engine.AttemptRunning)
			s.Pods["a-1"] = goneFromCluster
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptEnded{Attempt: 100, Phase: "Lost", Reason: "PodDeleted", Message: "its Pod is gone", StartedAt: at(-60), FinishedAt: at(0)},
				transition.TaskCancelled{Task: 10, Reason: "DeadlineExceeded", Message: "the run took longer than activeDeadlineSeconds", At: at(0)},
				transition.RunEnded{Phase: "Failed", Reason: "DeadlineExceeded", Message: "the run took longer than activeDeadlineSeconds", At: at(0)},
			},
			Ended:  []string{"a-1"},
			IsLast: true,
		}},
		"said once": {graph: "a b", snapshot: func(s *engine.Snapshot) {
			s.CancelRequested, s.DagRunDeleted, s.Run.Stop, s.Run.Deadline = true, true, engine.ReasonUserCancelled, at(-1)
			live(s, 0, engine.AttemptRunning)
			is(s, engine.TaskCancelled, 1)
		}},
		"decided, no Pod known: it is not born": {graph: "a", snapshot: func(s *engine.Snapshot) {
			s.CancelRequested = true
			live(s, 0, engine.AttemptDecided)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.RunStopping{Reason: "UserCancelled"},
				transition.UnstartedCancelled{Reason: "UserCancelled", Message: "cancelled by spec.cancel", At: at(0)},
				transition.LiveStopped{Reason: "UserCancelled", Message: "cancelled by spec.cancel", Due: at(0)},
			},
			Requeue: true,
		}},
		"stopping, never born: cancelled": {graph: "a", snapshot: func(s *engine.Snapshot) {
			s.Run.Stop = engine.ReasonUserCancelled
			a := live(s, 0, engine.AttemptStopping)
			a.Stop, a.PodUID, a.Due = engine.ReasonUserCancelled, "", at(0)
			s.Pods["a-1"] = goneFromCluster
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptEnded{Attempt: 100, Phase: "Cancelled", Reason: "UserCancelled", FinishedAt: at(0)},
				transition.TaskCancelled{Task: 10, Reason: "UserCancelled", Message: "cancelled by spec.cancel", At: at(0)},
				transition.RunEnded{Phase: "Cancelled", Reason: "UserCancelled", Message: "cancelled by spec.cancel", At: at(0)},
			},
			Ended:  []string{"a-1"},
			IsLast: true,
		}},
		"stopping, its Pod appeared after all": {graph: "a", snapshot: func(s *engine.Snapshot) {
			s.Run.Stop = engine.ReasonUserCancelled
			a := live(s, 0, engine.AttemptStopping)
			a.Stop, a.PodUID, a.Due = engine.ReasonUserCancelled, "", at(0)
			s.Pods["a-1"] = pod(neverStarted)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptDue{Attempt: 100, Due: at(30)},
			},
			Delete:    []engine.Delete{{PodName: "a-1", PodUID: "u"}},
			RequeueAt: at(30),
		}},
		"no child of a stopped run starts": {graph: "a b<a", snapshot: func(s *engine.Snapshot) {
			s.Run.Stop = engine.ReasonUserCancelled
			ends(s, 0, 0)
			is(s, engine.TaskCancelled, 1)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptEnded{Attempt: 100, Phase: "Succeeded", ExitCode: ptr[int32](0), PodUID: "u", Node: "n", StartedAt: at(-60), FinishedAt: at(0)},
				transition.TaskSucceeded{Task: 10, At: at(0)},
				transition.RunEnded{Phase: "Cancelled", Reason: "UserCancelled", Message: "cancelled by spec.cancel", At: at(0)},
			},
			Reap:   []string{"a-1"},
			Ended:  []string{"a-1"},
			IsLast: true,
		}},
		"failed before, stopped with nothing left to cancel": {graph: "a b", snapshot: func(s *engine.Snapshot) {
			s.CancelRequested = true
			is(s, engine.TaskFailed, 0)
			ends(s, 1, 0)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.RunStopping{Reason: "UserCancelled"},
				transition.UnstartedCancelled{Reason: "UserCancelled", Message: "cancelled by spec.cancel", At: at(0)},
				transition.LiveStopped{Reason: "UserCancelled", Message: "cancelled by spec.cancel", Due: at(0)},
				transition.AttemptEnded{Attempt: 101, Phase: "Succeeded", ExitCode: ptr[int32](0), PodUID: "u", Node: "n", StartedAt: at(-60), FinishedAt: at(0)},
				transition.TaskSucceeded{Task: 11, At: at(0)},
				transition.RunEnded{Phase: "Failed", Reason: "TaskFailed", Message: "1 task failed", At: at(0)},
			},
			Reap:   []string{"b-1"},
			Ended:  []string{"b-1"},
			IsLast: true,
		}},
		"a cascade ends with the stop": {graph: "a b<a c", snapshot: func(s *engine.Snapshot) {
			s.Run.Stop = engine.ReasonUserCancelled
			is(s, engine.TaskFailed, 0)
			s.Tasks[0].ChildrenPending = true
			is(s, engine.TaskCancelled, 1)
			live(s, 2, engine.AttemptRunning)
		}},
		"the hold ends with the stop": {graph: "a b", spec: maxParallel(1), snapshot: func(s *engine.Snapshot) {
			s.CancelRequested, s.Run.Hold = true, engine.HoldMaxParallel
			is(s, engine.TaskActive, 0)
			ready(s, 0, 1)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.RunStopping{Reason: "UserCancelled"},
				transition.UnstartedCancelled{Reason: "UserCancelled", Message: "cancelled by spec.cancel", At: at(0)},
				transition.LiveStopped{Reason: "UserCancelled", Message: "cancelled by spec.cancel", Due: at(0)},
				transition.RunHeld{},
			},
			Requeue: true,
		}},
	})
}

// failing is one outcome of a task a: retries spent before, exit code, and what its task becomes.
func TestRetry(t *testing.T) {
	conditional := func(limit int64, codes ...int64) func(*v1alpha1.DAGSpec) {
		return func(s *v1alpha1.DAGSpec) {
			s.Task[0].Backoff = &v1alpha1.Backoff{Limit: new(limit)}
			s.Task[0].Conditional = &v1alpha1.Conditional{Enabled: new(true), RetryCodes: codes}
		}
	}
	slow := backoff(v1alpha1.Backoff{Limit: new(int64(9)), Duration: &metav1.Duration{Duration: time.Second}, Factor: ptr(int32(3)), MaxDuration: &metav1.Duration{Duration: 20 * time.Second}})
	cases := map[string]struct {
		spec    func(*v1alpha1.DAGSpec)
		retries int
		pod     *engine.Pod
		want    transition.Transition
	}{
		"no retries":              {nil, 0, pod(ended(exit(1))), transition.TaskFailed{Task: 10, Reason: "RetriesSpent", Message: "ExitCode: exit code 1", At: at(0)}},
		"the first":               {backoff(v1alpha1.Backoff{Limit: new(int64(2))}), 0, pod(ended(exit(1))), transition.TaskBackedOff{Task: 10, Reason: "BackingOff", Message: "retry 1 of 2: ExitCode: exit code 1", Due: at(10), Retries: 1, Restarts: 4}},
		"the second, twice later": {backoff(v1alpha1.Backoff{Limit: new(int64(2))}), 1, pod(ended(exit(1))), transition.TaskBackedOff{Task: 10, Reason: "BackingOff", Message: "retry 2 of 2: ExitCode: exit code 1", Due: at(20), Retries: 2, Restarts: 4}},
		"spent":                   {backoff(v1alpha1.Backoff{Limit: new(int64(2))}), 2, pod(ended(exit(1))), transition.TaskFailed{Task: 10, Reason: "RetriesSpent", Message: "failed 3 times; last: ExitCode: exit code 1", At: at(0)}},
		"its own policy":          {slow, 2, pod(ended(exit(1))), transition.TaskBackedOff{Task: 10, Reason: "BackingOff", Message: "retry 3 of 9: ExitCode: exit code 1", Due: at(9), Retries: 3, Restarts: 4}},
		"its own bound":           {slow, 5, pod(ended(exit(1))), transition.TaskBackedOff{Task: 10, Reason: "BackingOff", Message: "retry 6 of 9: ExitCode: exit code 1", Due: at(20), Retries: 6, Restarts: 4}},
		"a code worth a retry":    {conditional(1, 3, 4), 0, pod(ended(exit(4))), transition.TaskBackedOff{Task: 10, Reason: "BackingOff", Message: "retry 1 of 1: ExitCode: exit code 4", Due: at(10), Retries: 1, Restarts: 4}},
		"a code not worth one":    {conditional(1, 3, 4), 0, pod(ended(exit(5))), transition.TaskFailed{Task: 10, Reason: "NotRetryable", Message: "ExitCode: exit code 5; not among conditional.retryCodes", At: at(0)}},
		"137 of the kernel":       {conditional(1, 137), 0, pod(ended(exitBecause(137, "OOMKilled", ""))), transition.TaskBackedOff{Task: 10, Reason: "BackingOff", Message: "retry 1 of 1: OOMKilled: exit code 137: out of memory", Due: at(10), Retries: 1, Restarts: 4}},
		"no code, conditional":    {conditional(1, 137), 0, pod(initFailed), transition.TaskFailed{Task: 10, Reason: "NotRetryable", Message: "StartFailed: an init container failed: exit code 3 no such table; not among conditional.retryCodes", At: at(0)}},
		"no code":                 {backoff(v1alpha1.Backoff{Limit: new(int64(1))}), 0, pod(initFailed), transition.TaskBackedOff{Task: 10, Reason: "BackingOff", Message: "retry 1 of 1: StartFailed: an init container failed: exit code 3 no such table", Due: at(10), Retries: 1, Restarts: 4}},
		"lost is another budget":  {nil, 0, pod(ended(exit(1)), disrupted), transition.TaskBackedOff{Task: 10, Reason: "BackingOff", Message: "restart 5 of 10: Disrupted: its Pod was disrupted (drain, preemption or taint)", Due: at(16), Restarts: 5}},
		"conditional lost":        {conditional(1, 3), 0, goneFromCluster, transition.TaskBackedOff{Task: 10, Reason: "BackingOff", Message: "restart 5 of 10: PodDeleted: its Pod is gone", Due: at(16), Restarts: 5}},
		"ten minutes of running give the other budget back": {backoff(v1alpha1.Backoff{Limit: new(int64(2))}), 0,
			pod(ended(&engine.Termination{ExitCode: 1, Started: at(-600), Finished: at(0)})), transition.TaskBackedOff{Task: 10, Reason: "BackingOff", Message: "retry 1 of 2: ExitCode: exit code 1", Due: at(10), Retries: 1}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := newSnapshot(compile(t, "a", c.spec))
			s.Pods[live(s, 0, engine.AttemptRunning).PodName] = c.pod
			s.Tasks[0].Retries, s.Tasks[0].Restarts = c.retries, 4
			count(s)
			got, err := engine.Decide(*s, at(0))
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Transitions) < 2 {
				t.Fatalf("transitions %+v", got.Transitions)
			}
			if diff := cmp.Diff(c.want, got.Transitions[1]); diff != "" {
				t.Errorf("what follows for the task (-want +got):\n%s", diff)
			}
		})
	}
}

// TestTimeoutRetries: a timeout is the user's to retry, by the code that the deadline left.
func TestTimeoutRetries(t *testing.T) {
	stop := func(s *engine.Snapshot) {
		a := live(s, 0, engine.AttemptStopping)
		a.Stop, a.Message = engine.ReasonTimeout, "too long"
		s.Pods["a-1"] = pod(ended(exit(137)), deletedAt(-5))
	}
	play(t, map[string]scene{
		"retried": {graph: "a", snapshot: stop, spec: func(s *v1alpha1.DAGSpec) {
			s.Task[0].Backoff = &v1alpha1.Backoff{Limit: new(int64(1))}
			s.Task[0].Conditional = &v1alpha1.Conditional{Enabled: new(true), RetryCodes: []int64{137}}
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptEnded{Attempt: 100, Phase: "Failed", Reason: "Timeout", Message: "too long", ExitCode: ptr[int32](137), PodUID: "u", Node: "n", StartedAt: at(-60), FinishedAt: at(0)},
				transition.TaskBackedOff{Task: 10, Reason: "BackingOff", Message: "retry 1 of 1: Timeout: too long", Due: at(10), Retries: 1},
			},
			Reap:      []string{"a-1"},
			Ended:     []string{"a-1"},
			RequeueAt: at(10),
		}},
		"not retried": {graph: "a", snapshot: stop, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptEnded{Attempt: 100, Phase: "Failed", Reason: "Timeout", Message: "too long", ExitCode: ptr[int32](137), PodUID: "u", Node: "n", StartedAt: at(-60), FinishedAt: at(0)},
				transition.TaskFailed{Task: 10, Reason: "RetriesSpent", Message: "Timeout: too long", At: at(0)},
				transition.RunEnded{Phase: "Failed", Reason: "TaskFailed", Message: "1 task failed", At: at(0)},
			},
			Reap:   []string{"a-1"},
			Ended:  []string{"a-1"},
			IsLast: true,
		}},
	})
}

// A timeout runs out when it does, whatever the clock of the node says: never early, and as late as the Pod was seen.
func TestTimeoutOfSkewedClocks(t *testing.T) {
	for _, skew := range []int{-600, -300, 0, 300, 600} {
		t.Run(fmt.Sprintf("the node's clock is %d seconds ahead", skew), func(t *testing.T) {
			s := newSnapshot(compile(t, "a", timeout(300)))
			a := live(s, 0, engine.AttemptPending)
			a.FirstSeen = at(0)
			count(s)
			s.Pods["a-1"] = pod(func(p *engine.Pod) { p.Started = at(skew) })
			next, err := engine.Decide(*s, at(1))
			if err != nil {
				t.Fatal(err)
			}
			if !next.RequeueAt.Equal(at(301)) || len(next.Delete) > 0 {
				t.Fatalf("first seen running: wake %v, deletes %v; %+v", next.RequeueAt.Sub(t0), next.Delete, next.Transitions)
			}
			a.Phase, a.Started, a.Due = engine.AttemptRunning, at(skew), at(301)
			for second, stops := range map[int]bool{2: false, 300: false, 301: true, 900: true} {
				next, err := engine.Decide(*s, at(second))
				if err != nil {
					t.Fatal(err)
				}
				if (len(next.Delete) > 0) != stops {
					t.Errorf("at second %d: deletes %v, want %t", second, next.Delete, stops)
				}
			}
		})
	}
}

// TestRestart spends the budget of infrastructure failures.
func TestRestart(t *testing.T) {
	// lose ends an attempt that ran for so long, on a node whose clock is behind by skew, with its Pod gone.
	lose := func(restarts int, ran, skew time.Duration) transition.Transition {
		s := newSnapshot(compile(t, "a", nil))
		a := live(s, 0, engine.AttemptRunning)
		a.Started, a.FirstSeen = at(0).Add(-ran-skew), at(0).Add(-ran)
		s.Pods["a-1"] = goneFromCluster
		s.Tasks[0].Restarts, s.Tasks[0].Retries = restarts, 0
		count(s)
		got, err := engine.Decide(*s, at(0))
		if err != nil || len(got.Transitions) < 2 {
			t.Fatalf("transitions %+v, %v", got.Transitions, err)
		}
		return got.Transitions[1]
	}
	restarted := func(restart, delay int) transition.Transition {
		return transition.TaskBackedOff{Task: 10, Reason: "BackingOff", Due: at(delay), Restarts: restart,
			Message: fmt.Sprintf("restart %d of 10: PodDeleted: its Pod is gone", restart)}
	}
	for i, delay := range []int{1, 2, 4, 8, 16, 32, 64, 128, 256, 300} {
		if diff := cmp.Diff(restarted(i+1, delay), lose(i, time.Minute, 0)); diff != "" {
			t.Errorf("restart %d (-want +got):\n%s", i+1, diff)
		}
	}
	spent := transition.TaskFailed{Task: 10, Reason: "InfrastructureRetriesSpent", At: at(0),
		Message: "restarted 10 times after infrastructure failures; last: PodDeleted: its Pod is gone"}
	for _, skew := range []time.Duration{0, 10 * time.Minute, -10 * time.Minute} {
		for _, ran := range []time.Duration{time.Minute, 10*time.Minute - time.Microsecond} {
			if diff := cmp.Diff(transition.Transition(spent), lose(10, ran, skew)); diff != "" {
				t.Errorf("after %v, clocks %v apart (-want +got):\n%s", ran, skew, diff)
			}
		}
		if diff := cmp.Diff(restarted(1, 1), lose(10, 10*time.Minute, skew)); diff != "" {
			t.Errorf("after ten minutes, clocks %v apart (-want +got):\n%s", skew, diff)
		}
	}
}

func TestChildren(t *testing.T) {
	play(t, map[string]scene{
		"the last parent succeeded": {graph: "a b c<a,b", snapshot: func(s *engine.Snapshot) {
			ends(s, 0, 0)
			is(s, engine.TaskSucceeded, 1)
			s.Tasks[2].Unmet = 1
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptEnded{Attempt: 100, Phase: "Succeeded", ExitCode: ptr[int32](0), PodUID: "u", Node: "n", StartedAt: at(-60), FinishedAt: at(0)},
				transition.TaskSucceeded{Task: 10, At: at(0)},
				transition.TaskReady{Task: 12, At: at(0)},
				transition.TaskActive{Task: 12, At: at(0)},
				transition.AttemptDecided{Task: 12, Number: 1, PodName: "c-1", At: at(0)},
			},
			Create: []engine.Create{{Task: 2, Number: 1, PodName: "c-1", Ready: at(0)}},
			Reap:   []string{"a-1"},
			Ended:  []string{"a-1"},
		}},
		"one parent of two": {graph: "a b c<a,b", snapshot: func(s *engine.Snapshot) {
			ends(s, 0, 0)
			is(s, engine.TaskActive, 1)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptEnded{Attempt: 100, Phase: "Succeeded", ExitCode: ptr[int32](0), PodUID: "u", Node: "n", StartedAt: at(-60), FinishedAt: at(0)},
				transition.TaskSucceeded{Task: 10, At: at(0)},
				transition.TaskUnblocked{Task: 12, Met: 1},
			},
			Reap:  []string{"a-1"},
			Ended: []string{"a-1"},
		}},
		"both parents at once": {graph: "a b c<a,b", snapshot: func(s *engine.Snapshot) {
			ends(s, 0, 0)
			ends(s, 1, 0)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptEnded{Attempt: 100, Phase: "Succeeded", ExitCode: ptr[int32](0), PodUID: "u", Node: "n", StartedAt: at(-60), FinishedAt: at(0)},
				transition.TaskSucceeded{Task: 10, At: at(0)},
				transition.AttemptEnded{Attempt: 101, Phase: "Succeeded", ExitCode: ptr[int32](0), PodUID: "u", Node: "n", StartedAt: at(-60), FinishedAt: at(0)},
				transition.TaskSucceeded{Task: 11, At: at(0)},
				transition.TaskReady{Task: 12, At: at(0)},
				transition.TaskActive{Task: 12, At: at(0)},
				transition.AttemptDecided{Task: 12, Number: 1, PodName: "c-1", At: at(0)},
			},
			Create: []engine.Create{{Task: 2, Number: 1, PodName: "c-1", Ready: at(0)}},
			Reap:   []string{"a-1", "b-1"},
			Ended:  []string{"a-1", "b-1"},
		}},
		"one succeeds, one fails, at once": {graph: "a b c<a,b", snapshot: func(s *engine.Snapshot) {
			ends(s, 0, 0)
			ends(s, 1, 1)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptEnded{Attempt: 100, Phase: "Succeeded", ExitCode: ptr[int32](0), PodUID: "u", Node: "n", StartedAt: at(-60), FinishedAt: at(0)},
				transition.TaskSucceeded{Task: 10, At: at(0)},
				transition.AttemptEnded{Attempt: 101, Phase: "Failed", Reason: "ExitCode", Message: "exit code 1", ExitCode: ptr[int32](1), PodUID: "u", Node: "n", StartedAt: at(-60), FinishedAt: at(0)},
				transition.TaskFailed{Task: 11, Reason: "RetriesSpent", Message: "ExitCode: exit code 1", At: at(0)},
				transition.TaskSkipped{Task: 12, Message: "parent b failed", At: at(0)},
				transition.RunEnded{Phase: "Failed", Reason: "TaskFailed", Message: "1 task failed", At: at(0)},
			},
			Reap:   []string{"a-1", "b-1"},
			Ended:  []string{"a-1", "b-1"},
			IsLast: true,
		}},
		"ready, but no room": {graph: "a b<a c<a", spec: maxParallel(1), snapshot: func(s *engine.Snapshot) { ends(s, 0, 0) },
			want: engine.Decision{
				Transitions: transitions{
					transition.AttemptEnded{Attempt: 100, Phase: "Succeeded", ExitCode: ptr[int32](0), PodUID: "u", Node: "n", StartedAt: at(-60), FinishedAt: at(0)},
					transition.TaskSucceeded{Task: 10, At: at(0)},
					transition.TaskReady{Task: 11, At: at(0)},
					transition.TaskReady{Task: 12, At: at(0)},
					transition.TaskActive{Task: 11, At: at(0)},
					transition.AttemptDecided{Task: 11, Number: 1, PodName: "b-1", At: at(0)},
					transition.RunHeld{Reason: "MaxParallel"},
				},
				Create: []engine.Create{{Task: 1, Number: 1, PodName: "b-1", Ready: at(0)}},
				Reap:   []string{"a-1"},
				Ended:  []string{"a-1"},
			}},
		"other branches go on": {graph: "a b c<a d<b", snapshot: func(s *engine.Snapshot) {
			ends(s, 0, 1)
			is(s, engine.TaskActive, 1)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptEnded{Attempt: 100, Phase: "Failed", Reason: "ExitCode", Message: "exit code 1", ExitCode: ptr[int32](1), PodUID: "u", Node: "n", StartedAt: at(-60), FinishedAt: at(0)},
				transition.TaskFailed{Task: 10, Reason: "RetriesSpent", Message: "ExitCode: exit code 1", At: at(0)},
				transition.TaskSkipped{Task: 12, Message: "parent a failed", At: at(0)},
			},
			Reap:  []string{"a-1"},
			Ended: []string{"a-1"},
		}},
		"the last one ends the run": {graph: "a b", snapshot: func(s *engine.Snapshot) {
			ends(s, 0, 0)
			is(s, engine.TaskSucceeded, 1)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptEnded{Attempt: 100, Phase: "Succeeded", ExitCode: ptr[int32](0), PodUID: "u", Node: "n", StartedAt: at(-60), FinishedAt: at(0)},
				transition.TaskSucceeded{Task: 10, At: at(0)},
				transition.RunEnded{Phase: "Succeeded", At: at(0)},
			},
			Reap:   []string{"a-1"},
			Ended:  []string{"a-1"},
			IsLast: true,
		}},
		"failures are counted": {graph: "a b c", snapshot: func(s *engine.Snapshot) {
			ends(s, 0, 0)
			is(s, engine.TaskFailed, 1, 2)
			s.Run.Deadline = at(9)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptEnded{Attempt: 100, Phase: "Succeeded", ExitCode: ptr[int32](0), PodUID: "u", Node: "n", StartedAt: at(-60), FinishedAt: at(0)},
				transition.TaskSucceeded{Task: 10, At: at(0)},
				transition.RunEnded{Phase: "Failed", Reason: "TaskFailed", Message: "2 tasks failed", At: at(0)},
			},
			Reap:   []string{"a-1"},
			Ended:  []string{"a-1"},
			IsLast: true,
		}},
	})
}

// TestCascade skips what comes after a failure, as far as the snapshot reaches and then from its Cascade flags.
func TestCascade(t *testing.T) {
	const chain = "a b<a c<b d<c e<d"
	only := func(n int, s *engine.Snapshot) {
		count(s)
		s.Tasks = s.Tasks[:n]
	}
	play(t, map[string]scene{
		"all of it in one": {graph: chain, snapshot: func(s *engine.Snapshot) { ends(s, 0, 1) },
			want: engine.Decision{
				Transitions: transitions{
					transition.AttemptEnded{Attempt: 100, Phase: "Failed", Reason: "ExitCode", Message: "exit code 1", ExitCode: ptr[int32](1), PodUID: "u", Node: "n", StartedAt: at(-60), FinishedAt: at(0)},
					transition.TaskFailed{Task: 10, Reason: "RetriesSpent", Message: "ExitCode: exit code 1", At: at(0)},
					transition.TaskSkipped{Task: 11, Message: "parent a failed", At: at(0)},
					transition.TaskSkipped{Task: 12, Message: "parent b was skipped", At: at(0)},
					transition.TaskSkipped{Task: 13, Message: "parent c was skipped", At: at(0)},
					transition.TaskSkipped{Task: 14, Message: "parent d was skipped", At: at(0)},
					transition.RunEnded{Phase: "Failed", Reason: "TaskFailed", Message: "1 task failed", At: at(0)},
				},
				Reap:   []string{"a-1"},
				Ended:  []string{"a-1"},
				IsLast: true,
			}},
		"two levels in the snapshot": {graph: chain, snapshot: func(s *engine.Snapshot) { ends(s, 0, 1); only(3, s) },
			want: engine.Decision{
				Transitions: transitions{
					transition.AttemptEnded{Attempt: 100, Phase: "Failed", Reason: "ExitCode", Message: "exit code 1", ExitCode: ptr[int32](1), PodUID: "u", Node: "n", StartedAt: at(-60), FinishedAt: at(0)},
					transition.TaskFailed{Task: 10, Reason: "RetriesSpent", Message: "ExitCode: exit code 1", At: at(0)},
					transition.TaskSkipped{Task: 11, Message: "parent a failed", At: at(0)},
					transition.TaskSkipped{Task: 12, Message: "parent b was skipped", ChildrenPending: true, At: at(0)},
				},
				Reap:    []string{"a-1"},
				Ended:   []string{"a-1"},
				Requeue: true,
			}},
		"none": {graph: chain, snapshot: func(s *engine.Snapshot) { ends(s, 0, 1); only(1, s) },
			want: engine.Decision{
				Transitions: transitions{
					transition.AttemptEnded{Attempt: 100, Phase: "Failed", Reason: "ExitCode", Message: "exit code 1", ExitCode: ptr[int32](1), PodUID: "u", Node: "n", StartedAt: at(-60), FinishedAt: at(0)},
					transition.TaskFailed{Task: 10, Reason: "RetriesSpent", Message: "ExitCode: exit code 1", ChildrenPending: true, At: at(0)},
				},
				Reap:    []string{"a-1"},
				Ended:   []string{"a-1"},
				Requeue: true,
			}},
		"goes on from a flag": {graph: chain, snapshot: func(s *engine.Snapshot) {
			is(s, engine.TaskFailed, 0)
			is(s, engine.TaskSkipped, 1)
			s.Tasks[1].ChildrenPending = true
			count(s)
			s.Tasks = s.Tasks[1:3]
		}, want: engine.Decision{
			Transitions: transitions{
				transition.TaskSkipped{Task: 12, Message: "parent b was skipped", ChildrenPending: true, At: at(0)},
				transition.TaskChildrenSkipped{Task: 11},
			},
			Requeue: true,
		}},
		"goes on from a failed task, and ends the run": {graph: "a b<a", snapshot: func(s *engine.Snapshot) {
			is(s, engine.TaskFailed, 0)
			s.Tasks[0].ChildrenPending = true
		}, want: engine.Decision{
			Transitions: transitions{
				transition.TaskSkipped{Task: 11, Message: "parent a failed", At: at(0)},
				transition.TaskChildrenSkipped{Task: 10},
				transition.RunEnded{Phase: "Failed", Reason: "TaskFailed", Message: "1 task failed", At: at(0)},
			},
			IsLast: true,
		}},
		"its children knew: again, there may be more flags": {graph: "a b<a c", snapshot: func(s *engine.Snapshot) {
			is(s, engine.TaskFailed, 0)
			is(s, engine.TaskSkipped, 1)
			s.Tasks[0].ChildrenPending = true
		}, want: engine.Decision{
			Transitions: transitions{
				transition.TaskChildrenSkipped{Task: 10},
			},
			Requeue: true,
		}},
		"a diamond is skipped once": {graph: "a b<a c<a d<b,c", snapshot: func(s *engine.Snapshot) { ends(s, 0, 1) },
			want: engine.Decision{
				Transitions: transitions{
					transition.AttemptEnded{Attempt: 100, Phase: "Failed", Reason: "ExitCode", Message: "exit code 1", ExitCode: ptr[int32](1), PodUID: "u", Node: "n", StartedAt: at(-60), FinishedAt: at(0)},
					transition.TaskFailed{Task: 10, Reason: "RetriesSpent", Message: "ExitCode: exit code 1", At: at(0)},
					transition.TaskSkipped{Task: 11, Message: "parent a failed", At: at(0)},
					transition.TaskSkipped{Task: 12, Message: "parent a failed", At: at(0)},
					transition.TaskSkipped{Task: 13, Message: "parent b was skipped", At: at(0)},
					transition.RunEnded{Phase: "Failed", Reason: "TaskFailed", Message: "1 task failed", At: at(0)},
				},
				Reap:   []string{"a-1"},
				Ended:  []string{"a-1"},
				IsLast: true,
			}},
	})
}

// TestSnapshotFaults: a snapshot that contradicts itself is an error, never a guess.
func TestSnapshotFaults(t *testing.T) {
	cases := map[string]struct {
		graph    string
		snapshot func(*engine.Snapshot)
		want     string
	}{
		"an attempt without its task":     {"a", func(s *engine.Snapshot) { live(s, 0, engine.AttemptRunning); s.Tasks = nil }, "lacks its task"},
		"a child of one that succeeded":   {"a b<a", func(s *engine.Snapshot) { ends(s, 0, 0); s.Tasks = s.Tasks[:1] }, "lacks the task at position 1"},
		"more parents than it waits for":  {"a b c<a,b", func(s *engine.Snapshot) { ends(s, 0, 0); ends(s, 1, 0); s.Tasks[2].Unmet = 1 }, "waits for 1 parents, 2 succeeded"},
		"an attempt twice":                {"a", func(s *engine.Snapshot) { ends(s, 0, 0); s.Attempts = append(s.Attempts, s.Attempts[0]) }, "which is Succeeded"},
		"a live attempt of an ended task": {"a", func(s *engine.Snapshot) { ends(s, 0, 0); is(s, engine.TaskFailed, 0) }, "which is Failed"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := newSnapshot(compile(t, c.graph, nil))
			c.snapshot(s)
			count(s)
			if _, err := engine.Decide(*s, at(0)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("want an error with %q, got %v", c.want, err)
			}
		})
	}
}
