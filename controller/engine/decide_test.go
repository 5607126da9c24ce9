package engine_test

import (
	"fmt"
	"math"
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
	setPhase(s, engine.TaskReady, positions...)
	for _, position := range positions {
		s.Tasks[position].Due = at(due)
	}
}

func TestStart(t *testing.T) {
	runScenes(t, map[string]scene{
		"the first decision starts the run and its Ready tasks": {graph: "a b", snapshot: func(s *engine.Snapshot) {
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
			Create: []engine.Create{
				{Task: 0, Number: 1, PodName: "a-1", Ready: at(0)},
				{Task: 1, Number: 1, PodName: "b-1", Ready: at(0)},
			},
		}},
		"a task that is not due does not start": {graph: "a", snapshot: func(s *engine.Snapshot) { ready(s, 1, 0) }},
		"an attempt number follows the earlier attempts": {graph: "a", snapshot: func(s *engine.Snapshot) {
			ready(s, 0, 0)
			s.Tasks[0].Attempts = 3
		}, want: engine.Decision{
			Transitions: transitions{
				transition.TaskActive{Task: 10, At: at(0)},
				transition.AttemptDecided{Task: 10, Number: 4, PodName: "a-4", At: at(0)},
			},
			Create: []engine.Create{{Task: 0, Number: 4, PodName: "a-4", Ready: at(0)}},
		}},
		"tasks start oldest first, then in the order of the spec": {
			graph: "a b c",
			spec:  maxParallel(2),
			snapshot: func(s *engine.Snapshot) {
				ready(s, 0, 0, 1)
				ready(s, -1, 2)
			},
			want: engine.Decision{
				Transitions: transitions{
					transition.TaskActive{Task: 12, At: at(0)},
					transition.AttemptDecided{Task: 12, Number: 1, PodName: "c-1", At: at(0)},
					transition.TaskActive{Task: 10, At: at(0)},
					transition.AttemptDecided{Task: 10, Number: 1, PodName: "a-1", At: at(0)},
					transition.RunHeld{Reason: "MaxParallel"},
				},
				Create: []engine.Create{
					{Task: 2, Number: 1, PodName: "c-1", Ready: at(-1)},
					{Task: 0, Number: 1, PodName: "a-1", Ready: at(0)},
				},
			},
		},
		"maxParallel counts active tasks": {graph: "a b c", spec: maxParallel(2), snapshot: func(s *engine.Snapshot) {
			setPhase(s, engine.TaskActive, 0)
			ready(s, 0, 1, 2)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.TaskActive{Task: 11, At: at(0)},
				transition.AttemptDecided{Task: 11, Number: 1, PodName: "b-1", At: at(0)},
				transition.RunHeld{Reason: "MaxParallel"},
			},
			Create: []engine.Create{{Task: 1, Number: 1, PodName: "b-1", Ready: at(0)}},
		}},
		"a run at maxParallel is held": {graph: "a b", spec: maxParallel(1), snapshot: func(s *engine.Snapshot) {
			setPhase(s, engine.TaskActive, 0)
			ready(s, 0, 1)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.RunHeld{Reason: "MaxParallel"},
			},
		}},
		"a hold that is already recorded is not written again": {
			graph: "a b",
			spec:  maxParallel(1),
			snapshot: func(s *engine.Snapshot) {
				setPhase(s, engine.TaskActive, 0)
				ready(s, 0, 1)
				s.Run.Hold = engine.HoldMaxParallel
			},
		},
		"a place that becomes free is used in the same decision": {
			graph: "a b",
			spec:  maxParallel(1),
			snapshot: func(s *engine.Snapshot) {
				addExited(s, 0, 0)
				ready(s, 0, 1)
				s.Run.Hold = engine.HoldMaxParallel
			},
			want: engine.Decision{
				Transitions: transitions{
					transition.AttemptEnded{
						Attempt:    100,
						Phase:      "Succeeded",
						ExitCode:   ptr[int32](0),
						PodUID:     "u",
						Node:       "n",
						StartedAt:  at(-60),
						FinishedAt: at(0),
					},
					transition.TaskSucceeded{Task: 10, At: at(0)},
					transition.TaskActive{Task: 11, At: at(0)},
					transition.AttemptDecided{Task: 11, Number: 1, PodName: "b-1", At: at(0)},
					transition.RunHeld{},
				},
				Create: []engine.Create{{Task: 1, Number: 1, PodName: "b-1", Ready: at(0)}},
				Reap:   []string{"a-1"},
				Ended:  []string{"a-1"},
			},
		},
		"slots limit the starts": {graph: "a b", snapshot: func(s *engine.Snapshot) {
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
		"a run with fewer than no slots starts nothing": {graph: "a", snapshot: func(s *engine.Snapshot) {
			ready(s, 0, 0)
			s.Slots = -3
		}, want: engine.Decision{
			Transitions: transitions{
				transition.RunHeld{Reason: "Throttled"},
			},
			Throttled: true,
		}},
		"slots below maxParallel hold the run as Throttled": {
			graph: "a b c",
			spec:  maxParallel(2),
			snapshot: func(s *engine.Snapshot) {
				ready(s, 0, 0, 1, 2)
				s.Slots = 1
			},
			want: engine.Decision{
				Transitions: transitions{
					transition.TaskActive{Task: 10, At: at(0)},
					transition.AttemptDecided{Task: 10, Number: 1, PodName: "a-1", At: at(0)},
					transition.RunHeld{Reason: "Throttled"},
				},
				Create:    []engine.Create{{Task: 0, Number: 1, PodName: "a-1", Ready: at(0)}},
				Throttled: true,
			},
		},
		"after MaxStarts starts the run is requeued": {graph: "a b", snapshot: func(s *engine.Snapshot) {
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
		"Ready tasks beyond the snapshot requeue the run": {graph: "a b", snapshot: func(s *engine.Snapshot) {
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
		"a run that may start nothing is not requeued": {graph: "a", snapshot: func(s *engine.Snapshot) {
			ready(s, 0, 0)
			s.MaxStarts = 0
		}},
		"a namespace that rejects Pods needs no slots": {graph: "a b", snapshot: func(s *engine.Snapshot) {
			ready(s, 0, 0, 1)
			s.MaxStarts, s.StartHold, s.Slots = 0, "QuotaExceeded", 0
		}, want: engine.Decision{
			Transitions: transitions{
				transition.RunHeld{Reason: "QuotaExceeded"},
			},
		}},
		"an attempt with a Pod makes room in a namespace that rejects Pods": {
			graph: "a b",
			snapshot: func(s *engine.Snapshot) {
				a := addAttempt(s, 0, engine.AttemptDecided)
				ready(s, 0, 1)
				s.Pods[a.PodName] = &engine.Pod{UID: "u", Phase: "Pending"}
				s.MaxStarts, s.StartHold, s.Run.Hold = 0, "QuotaExceeded", "QuotaExceeded"
			},
			want: engine.Decision{
				Transitions: transitions{
					transition.AttemptPending{Attempt: 100, PodUID: "u", At: at(0), Due: at(5)},
					transition.TaskActive{Task: 11, At: at(0)},
					transition.AttemptDecided{Task: 11, Number: 1, PodName: "b-1", At: at(0)},
					transition.RunHeld{},
				},
				Create:    []engine.Create{{Task: 1, Number: 1, PodName: "b-1", Ready: at(0)}},
				RequeueAt: at(5),
			},
		},
		"a task that is in the snapshot twice starts once": {graph: "a", snapshot: func(s *engine.Snapshot) {
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
		"a hold ends with the tasks that it held": {graph: "a", snapshot: func(s *engine.Snapshot) {
			addAttempt(s, 0, engine.AttemptRunning)
			s.Run.Hold = engine.HoldThrottled
		}, want: engine.Decision{
			Transitions: transitions{
				transition.RunHeld{},
			},
		}},
	})
}

func TestLive(t *testing.T) {
	runScenes(t, map[string]scene{
		"the Pod of a Decided attempt is created, also after a crash": {
			graph:    "a",
			snapshot: func(s *engine.Snapshot) { addAttempt(s, 0, engine.AttemptDecided) },
			want: engine.Decision{
				Create: []engine.Create{{Task: 0, Number: 1, PodName: "a-1"}},
			},
		},
		"a Decided attempt whose Pod a live read does not find is created": {
			graph: "a",
			snapshot: func(s *engine.Snapshot) {
				addAttempt(s, 0, engine.AttemptDecided)
				s.Pods["a-1"] = goneFromCluster
			},
			want: engine.Decision{
				Create: []engine.Create{{Task: 0, Number: 1, PodName: "a-1"}},
			},
		},
		"an attempt whose Pod is seen is Pending": {graph: "a", snapshot: func(s *engine.Snapshot) {
			addAttempt(s, 0, engine.AttemptDecided)
			s.Pods["a-1"] = pod(unscheduled)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptPending{Attempt: 100, PodUID: "u", At: at(0), Due: at(5)},
			},
			RequeueAt: at(5),
		}},
		"an attempt whose Pod is seen is Pending and says why": {graph: "a", snapshot: func(s *engine.Snapshot) {
			addAttempt(s, 0, engine.AttemptDecided)
			s.Pods["a-1"] = pod(unscheduled, waits("Unschedulable", "0/3 nodes"))
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptPending{Attempt: 100, PodUID: "u", At: at(0), Due: at(5)},
				transition.AttemptWaits{Attempt: 100, Reason: "Unschedulable", Message: "0/3 nodes", At: at(0)},
			},
		}},
		"an attempt first seen while it runs is Running": {graph: "a", snapshot: func(s *engine.Snapshot) {
			addAttempt(s, 0, engine.AttemptDecided)
			s.Pods["a-1"] = pod()
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptRunning{Attempt: 100, PodUID: "u", Node: "n", StartedAt: at(-60)},
			},
		}},
		"a running attempt with a timeout has a due time": {
			graph: "a",
			spec:  timeout(99),
			snapshot: func(s *engine.Snapshot) {
				addAttempt(s, 0, engine.AttemptPending)
				s.Pods["a-1"] = pod()
			},
			want: engine.Decision{
				Transitions: transitions{
					transition.AttemptRunning{Attempt: 100, PodUID: "u", Node: "n", StartedAt: at(-60), Due: at(99)},
				},
				RequeueAt: at(99),
			},
		},
		"a running attempt without news changes nothing": {
			graph: "a", spec: timeout(99),
			snapshot: func(s *engine.Snapshot) {
				addAttempt(s, 0, engine.AttemptRunning).Due = at(40)
				s.Pods["a-1"] = pod()
			},
			want: engine.Decision{
				RequeueAt: at(40),
			},
		},
		"an attempt stays Running when its Pod no longer reports a start": {
			graph: "a",
			spec:  timeout(99),
			snapshot: func(s *engine.Snapshot) {
				addAttempt(s, 0, engine.AttemptRunning).Due = at(40)
				s.Pods["a-1"] = pod(neverStarted, waits("ContainerCreating", ""))
			},
			want: engine.Decision{
				RequeueAt: at(40),
			},
		},
		"an attempt is not stopped a second before its timeout": {
			graph: "a",
			spec:  timeout(99),
			now:   39,
			snapshot: func(s *engine.Snapshot) {
				addAttempt(s, 0, engine.AttemptRunning).Due = at(40)
				s.Pods["a-1"] = pod()
			},
			want: engine.Decision{
				RequeueAt: at(40),
			},
		},
		"an attempt is stopped at its timeout": {
			graph: "a", spec: timeout(99), now: 40,
			snapshot: func(s *engine.Snapshot) {
				addAttempt(s, 0, engine.AttemptRunning).Due = at(40)
				s.Pods["a-1"] = pod()
			},
			want: engine.Decision{
				Transitions: transitions{
					transition.AttemptStopping{
						Attempt: 100,
						Reason:  "Timeout",
						Message: "ran longer than timeoutSeconds (99)",
						Due:     at(70),
					},
				},
				Delete:    []engine.Delete{{PodName: "a-1", PodUID: "u"}},
				RequeueAt: at(70),
			},
		},
		"the timeout of an attempt first seen while it runs counts from now": {
			graph: "a",
			spec:  timeout(99),
			now:   40,
			snapshot: func(s *engine.Snapshot) {
				addAttempt(s, 0, engine.AttemptDecided)
				s.Pods["a-1"] = pod()
			},
			want: engine.Decision{
				Transitions: transitions{
					transition.AttemptRunning{Attempt: 100, PodUID: "u", Node: "n", StartedAt: at(-60), Due: at(139)},
				},
				RequeueAt: at(139),
			},
		},
		"the timeout of a running attempt without a due time counts from now": {
			graph: "a",
			spec:  timeout(99),
			now:   40,
			snapshot: func(s *engine.Snapshot) {
				addAttempt(s, 0, engine.AttemptRunning)
				s.Pods["a-1"] = pod()
			},
			want: engine.Decision{
				Transitions: transitions{
					transition.AttemptDue{Attempt: 100, Due: at(139)},
				},
				RequeueAt: at(139),
			},
		},
		"an attempt that exits 0 before its timeout is noticed succeeds": {
			graph:    "a",
			spec:     timeout(10),
			now:      40,
			snapshot: func(s *engine.Snapshot) { addExited(s, 0, 0) },
			want: engine.Decision{
				Transitions: transitions{
					transition.AttemptEnded{
						Attempt:    100,
						Phase:      "Succeeded",
						ExitCode:   ptr[int32](0),
						PodUID:     "u",
						Node:       "n",
						StartedAt:  at(-60),
						FinishedAt: at(0),
					},
					transition.TaskSucceeded{Task: 10, At: at(40)},
					transition.RunEnded{Phase: "Succeeded", At: at(40)},
				},
				Reap:   []string{"a-1"},
				Ended:  []string{"a-1"},
				IsLast: true,
			},
		},
		"a deleted Pod is checked when its node may be lost": {graph: "a", snapshot: func(s *engine.Snapshot) {
			addAttempt(s, 0, engine.AttemptRunning)
			s.Pods["a-1"] = pod(deletedAt(0))
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptDue{Attempt: 100, Due: at(90)},
			},
			RequeueAt: at(90),
		}},
		"a deleted Pod past its timeout is not stopped": {
			graph: "a", spec: timeout(10),
			snapshot: func(s *engine.Snapshot) {
				addAttempt(s, 0, engine.AttemptRunning)
				s.Pods["a-1"] = pod(deletedAt(0))
			},
			want: engine.Decision{
				Transitions: transitions{
					transition.AttemptDue{Attempt: 100, Due: at(90)},
				},
				RequeueAt: at(90),
			},
		},
		"a deleted Pod on a Ready node is checked again": {graph: "a", now: 90, snapshot: func(s *engine.Snapshot) {
			addAttempt(s, 0, engine.AttemptRunning).Due = at(90)
			s.Pods["a-1"] = pod(deletedAt(0))
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptDue{Attempt: 100, Due: at(150)},
			},
			RequeueAt: at(150),
		}},
		"a Pod deleted while Pending is checked when its node may be lost": {
			graph: "a",
			snapshot: func(s *engine.Snapshot) {
				addAttempt(s, 0, engine.AttemptPending)
				s.Pods["a-1"] = pod(neverStarted, deletedAt(0))
			},
			want: engine.Decision{
				Transitions: transitions{
					transition.AttemptWaits{Attempt: 100, At: at(0), Due: at(90)},
				},
				RequeueAt: at(90),
			},
		},
		"the Pod of a stopping attempt is deleted, and again later": {graph: "a", snapshot: func(s *engine.Snapshot) {
			addAttempt(s, 0, engine.AttemptStopping).Stop = engine.ReasonTimeout
			s.Pods["a-1"] = pod()
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptDue{Attempt: 100, Node: "n", Due: at(30)},
			},
			Delete:    []engine.Delete{{PodName: "a-1", PodUID: "u"}},
			RequeueAt: at(30),
		}},
		"a stopping attempt with a deleted Pod waits for its end": {graph: "a", snapshot: func(s *engine.Snapshot) {
			addAttempt(s, 0, engine.AttemptStopping).Stop = engine.ReasonTimeout
			s.Pods["a-1"] = pod(deletedAt(-5))
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptDue{Attempt: 100, Node: "n", Due: at(85)},
			},
			RequeueAt: at(85),
		}},
		"an overdue stopping attempt on a Ready node is checked again": {
			graph: "a",
			now:   200,
			snapshot: func(s *engine.Snapshot) {
				addAttempt(s, 0, engine.AttemptStopping).Stop = engine.ReasonTimeout
				s.Pods["a-1"] = pod(deletedAt(0))
			},
			want: engine.Decision{
				Transitions: transitions{
					transition.AttemptDue{Attempt: 100, Node: "n", Due: at(260)},
				},
				RequeueAt: at(260),
			},
		},
		"an overdue stopping attempt without facts is requeued later": {
			graph: "a",
			now:   200,
			snapshot: func(s *engine.Snapshot) {
				a := addAttempt(s, 0, engine.AttemptStopping)
				a.Stop, a.Due = engine.ReasonTimeout, at(30)
			},
			want: engine.Decision{
				RequeueAt: at(201),
			},
		},
		"an attempt without facts keeps its due time": {
			graph:    "a",
			snapshot: func(s *engine.Snapshot) { addAttempt(s, 0, engine.AttemptRunning).Due = at(30) },
			want: engine.Decision{
				RequeueAt: at(30),
			},
		},
		"the start of an attempt whose Pod is gone comes from its row": {
			graph: "a",
			now:   10,
			snapshot: func(s *engine.Snapshot) {
				addAttempt(s, 0, engine.AttemptRunning)
				s.Pods["a-1"] = goneFromCluster
			},
			want: engine.Decision{
				Transitions: transitions{
					transition.AttemptEnded{
						Attempt:    100,
						Phase:      "Lost",
						Reason:     "PodDeleted",
						Message:    "its Pod is gone",
						StartedAt:  at(-60),
						FinishedAt: at(10),
					},
					transition.TaskBackedOff{
						Task:     10,
						Reason:   "BackingOff",
						Message:  "restart 1 of 10: PodDeleted: its Pod is gone",
						Due:      at(11),
						Restarts: 1,
					},
				},
				Ended:     []string{"a-1"},
				RequeueAt: at(11),
			},
		},
		"a Pod that was created and is not known is not created again": {
			graph:    "a",
			snapshot: func(s *engine.Snapshot) { addAttempt(s, 0, engine.AttemptDecided).PodUID = "u" },
		},
		"a Pod that was created and is gone is not created again": {graph: "a", snapshot: func(s *engine.Snapshot) {
			addAttempt(s, 0, engine.AttemptDecided).PodUID = "u"
			s.Pods["a-1"] = goneFromCluster
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptEnded{
					Attempt:    100,
					Phase:      "Lost",
					Reason:     "PodDeleted",
					Message:    "its Pod is gone",
					FinishedAt: at(0),
				},
				transition.TaskBackedOff{
					Task:     10,
					Reason:   "BackingOff",
					Message:  "restart 1 of 10: PodDeleted: its Pod is gone",
					Due:      at(1),
					Restarts: 1,
				},
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

// waiting adds a Pending attempt with a reason since second reasonAt and a message since second messageAt.
func waiting(s *engine.Snapshot, reason, message string, reasonAt, messageAt int) *engine.Attempt {
	a := addAttempt(s, 0, engine.AttemptPending)
	a.Reason, a.Message, a.ReasonAt, a.MessageAt = reason, message, at(reasonAt), at(messageAt)
	return a
}

// routine is a step that every start passes through.
func routine(reason, message string) func(*engine.Pod) {
	return func(p *engine.Pod) { p.Waits = &engine.Wait{Reason: reason, Message: message, IsRoutine: true} }
}

func TestPending(t *testing.T) {
	const pull = "ImagePullBackOff"
	runScenes(t, map[string]scene{
		"a start that is not slow has no reason": {graph: "a", now: 4, snapshot: func(s *engine.Snapshot) {
			a := addAttempt(s, 0, engine.AttemptPending)
			a.FirstSeen, a.Due = at(0), at(5)
			s.Pods["a-1"] = pod(neverStarted, routine("ContainerCreating", "Pulling"))
		}, want: engine.Decision{
			RequeueAt: at(5),
		}},
		"a slow start reports its step and is checked again": {graph: "a", now: 5, snapshot: func(s *engine.Snapshot) {
			a := addAttempt(s, 0, engine.AttemptPending)
			a.FirstSeen, a.Due = at(0), at(5)
			s.Pods["a-1"] = pod(neverStarted, routine("ContainerCreating", "Pulling"))
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptWaits{
					Attempt: 100, Reason: "ContainerCreating", Message: "Pulling", At: at(5), Due: at(15),
				},
			},
			RequeueAt: at(15),
		}},
		"a running init container spends no start grace": {graph: "a", now: 7200, snapshot: func(s *engine.Snapshot) {
			waiting(s, "PodInitializing", "init container wait is running", 5, 5).FirstSeen = at(0)
			s.Pods["a-1"] = pod(neverStarted, routine("PodInitializing", "init container wait is running"))
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptWaits{
					Attempt: 100,
					Reason:  "PodInitializing",
					Message: "init container wait is running",
					At:      at(7200),
					Due:     at(7210),
				},
			},
			RequeueAt: at(7210),
		}},
		"a failure is reported immediately": {graph: "a", now: 1, snapshot: func(s *engine.Snapshot) {
			a := addAttempt(s, 0, engine.AttemptPending)
			a.FirstSeen, a.Due = at(0), at(5)
			s.Pods["a-1"] = pod(neverStarted, cannot("FailedMount", "no ConfigMap x"))
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptWaits{
					Attempt: 100, Reason: "FailedMount", Message: "no ConfigMap x", At: at(1), Due: at(301),
				},
			},
			RequeueAt: at(301),
		}},
		"a volume that another node has spends no grace": {graph: "a", now: 600, snapshot: func(s *engine.Snapshot) {
			waiting(s, "FailedAttachVolume", "Multi-Attach error", 0, 0)
			s.Pods["a-1"] = pod(neverStarted, waits("FailedAttachVolume", "Multi-Attach error"))
		}},
		"a failure after that has the whole grace": {graph: "a", now: 600, snapshot: func(s *engine.Snapshot) {
			waiting(s, "FailedAttachVolume", "Multi-Attach error", 0, 0)
			s.Pods["a-1"] = pod(neverStarted, cannot("FailedMount", "wrong file system"))
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptWaits{
					Attempt: 100, Reason: "FailedMount", Message: "wrong file system", At: at(600), Due: at(900),
				},
			},
			RequeueAt: at(900),
		}},
		"the same reason and message change nothing": {graph: "a", snapshot: func(s *engine.Snapshot) {
			waiting(s, "Unschedulable", "0/3", 0, 0)
			s.Pods["a-1"] = pod(unscheduled, waits("Unschedulable", "0/3"))
		}},
		"another reason is written immediately": {graph: "a", now: 1, snapshot: func(s *engine.Snapshot) {
			waiting(s, "Unschedulable", "0/3", 0, 0)
			s.Pods["a-1"] = pod(neverStarted, waits("ContainerCreating", ""))
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptWaits{Attempt: 100, Reason: "ContainerCreating", At: at(1)},
			},
		}},
		"a reason that no longer applies is cleared": {graph: "a", now: 1, snapshot: func(s *engine.Snapshot) {
			waiting(s, pull, "x", 0, 0).Due = at(300)
			s.Pods["a-1"] = pod(neverStarted)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptWaits{Attempt: 100, At: at(1)},
			},
		}},
		"another message within ten seconds is written later": {graph: "a", now: 9, snapshot: func(s *engine.Snapshot) {
			waiting(s, "Unschedulable", "0/3", 0, 0)
			s.Pods["a-1"] = pod(unscheduled, waits("Unschedulable", "0/4"))
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptDue{Attempt: 100, Due: at(10)},
			},
			RequeueAt: at(10),
		}},
		"a further message within ten seconds keeps the due time": {
			graph: "a", now: 9,
			snapshot: func(s *engine.Snapshot) {
				waiting(s, "Unschedulable", "0/3", 0, 0).Due = at(10)
				s.Pods["a-1"] = pod(unscheduled, waits("Unschedulable", "0/5"))
			},
			want: engine.Decision{
				RequeueAt: at(10),
			},
		},
		"another message after ten seconds is written": {graph: "a", now: 10, snapshot: func(s *engine.Snapshot) {
			waiting(s, "Unschedulable", "0/3", 0, 0).Due = at(10)
			s.Pods["a-1"] = pod(unscheduled, waits("Unschedulable", "0/4"))
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptWaits{Attempt: 100, Reason: "Unschedulable", Message: "0/4", At: at(10)},
			},
		}},
		"a message that returns to the stored one clears the due time": {
			graph: "a",
			now:   9,
			snapshot: func(s *engine.Snapshot) {
				waiting(s, "Unschedulable", "0/3", 0, 0).Due = at(10)
				s.Pods["a-1"] = pod(unscheduled, waits("Unschedulable", "0/3"))
			},
			want: engine.Decision{
				Transitions: transitions{
					transition.AttemptWaits{Attempt: 100, Reason: "Unschedulable", Message: "0/3", At: at(9)},
				},
			},
		},
		"a failure begins the start grace": {graph: "a", snapshot: func(s *engine.Snapshot) {
			addAttempt(s, 0, engine.AttemptPending)
			s.Pods["a-1"] = pod(neverStarted, cannot(pull, "no such tag"))
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptWaits{
					Attempt: 100, Reason: "ImagePullBackOff", Message: "no such tag", At: at(0), Due: at(300),
				},
			},
			RequeueAt: at(300),
		}},
		"a failure within the start grace waits": {graph: "a", now: 299, snapshot: func(s *engine.Snapshot) {
			waiting(s, pull, "x", 0, 0).Due = at(300)
			s.Pods["a-1"] = pod(neverStarted, cannot(pull, "x"))
		}, want: engine.Decision{
			RequeueAt: at(300),
		}},
		"another message does not restart the grace": {graph: "a", now: 295, snapshot: func(s *engine.Snapshot) {
			waiting(s, pull, "x", 0, 290).Due = at(300)
			s.Pods["a-1"] = pod(neverStarted, cannot(pull, "y"))
		}, want: engine.Decision{
			RequeueAt: at(300),
		}},
		"a failure past the start grace stops the attempt": {graph: "a", now: 300, snapshot: func(s *engine.Snapshot) {
			waiting(s, pull, "x", 0, 0).Due = at(300)
			s.Pods["a-1"] = pod(neverStarted, cannot(pull, "x"))
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptStopping{
					Attempt: 100, Reason: "StartFailed", Message: "ImagePullBackOff: x", Due: at(330),
				},
			},
			Delete:    []engine.Delete{{PodName: "a-1", PodUID: "u"}},
			RequeueAt: at(330),
		}},
		"a wait that is no failure has no grace": {graph: "a", now: 100000, snapshot: func(s *engine.Snapshot) {
			waiting(s, "Unschedulable", "0/3", 0, 0)
			s.Pods["a-1"] = pod(unscheduled, waits("Unschedulable", "0/3"))
		}},
		"a permanent failure stops the attempt immediately": {graph: "a", snapshot: func(s *engine.Snapshot) {
			addAttempt(s, 0, engine.AttemptDecided)
			s.Pods["a-1"] = pod(
				neverStarted,
				cannot("InvalidImageName", "A:B:C"),
				func(p *engine.Pod) { p.Waits.IsPermanent = true },
			)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptPending{Attempt: 100, PodUID: "u", Node: "n", At: at(0), Due: at(5)},
				transition.AttemptStopping{
					Attempt: 100, Reason: "StartFailed", Message: "InvalidImageName: A:B:C", Due: at(30),
				},
			},
			Delete:    []engine.Delete{{PodName: "a-1", PodUID: "u"}},
			RequeueAt: at(30),
		}},
		"the grace is that of the controller": {graph: "a", snapshot: func(s *engine.Snapshot) {
			addAttempt(s, 0, engine.AttemptPending)
			s.StartGrace = time.Minute
			s.Pods["a-1"] = pod(neverStarted, cannot(pull, "x"))
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptWaits{Attempt: 100, Reason: "ImagePullBackOff", Message: "x", At: at(0), Due: at(60)},
			},
			RequeueAt: at(60),
		}},
		"a Pod that is being deleted is not deleted again": {graph: "a", now: 300, snapshot: func(s *engine.Snapshot) {
			waiting(s, pull, "x", 0, 0).Due = at(300)
			s.Pods["a-1"] = pod(neverStarted, cannot(pull, "x"), deletedAt(290))
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptStopping{
					Attempt: 100, Reason: "StartFailed", Message: "ImagePullBackOff: x", Due: at(330),
				},
			},
			RequeueAt: at(330),
		}},
	})
}

func refuse(reason string, isPermanent bool) func(*engine.Snapshot) {
	return func(s *engine.Snapshot) {
		addAttempt(s, 0, engine.AttemptDecided)
		s.Refusals["a-1"] = engine.Refusal{Reason: reason, Message: "no", IsPermanent: isPermanent}
	}
}

func refusedSince(reason string, reasonAt, messageAt, due int) func(*engine.Snapshot) {
	return func(s *engine.Snapshot) {
		refuse(reason, false)(s)
		a := &s.Attempts[0]
		a.Reason, a.Message, a.ReasonAt, a.MessageAt = reason, "no", at(reasonAt), at(messageAt)
		if due != 0 {
			a.Due = at(due)
		}
	}
}

func TestRefused(t *testing.T) {
	runScenes(t, map[string]scene{
		"a quota is reported and the create is requested again": {graph: "a", snapshot: refuse("QuotaExceeded", false),
			want: engine.Decision{
				Transitions: transitions{
					transition.AttemptWaits{Attempt: 100, Reason: "QuotaExceeded", Message: "no", At: at(0)},
				},
				Create: []engine.Create{{Task: 0, Number: 1, PodName: "a-1", Reason: "QuotaExceeded"}},
			}},
		"a quota is waited out without limit": {
			graph:    "a",
			now:      100000,
			snapshot: refusedSince("QuotaExceeded", 0, 0, 0),
			want: engine.Decision{
				Create: []engine.Create{{Task: 0, Number: 1, PodName: "a-1", Reason: "QuotaExceeded"}},
			},
		},
		"a create that a quota refused is requested again": {
			graph:    "a",
			now:      60,
			snapshot: func(s *engine.Snapshot) { refusedSince("QuotaExceeded", 0, 0, 0)(s); clear(s.Refusals) },
			want: engine.Decision{
				Create: []engine.Create{{Task: 0, Number: 1, PodName: "a-1", Reason: "QuotaExceeded"}},
			},
		},
		"a create that a quota refused needs a slot": {graph: "a", now: 60, snapshot: func(s *engine.Snapshot) {
			refusedSince("QuotaExceeded", 0, 0, 0)(s)
			clear(s.Refusals)
			s.Slots = 0
		}, want: engine.Decision{
			Transitions: transitions{
				transition.RunHeld{Reason: "Throttled"},
			},
			Throttled: true,
		}},
		"a blocked task reports its reason and takes no slot": {graph: "a b", snapshot: func(s *engine.Snapshot) {
			addAttempt(s, 0, engine.AttemptDecided)
			addAttempt(s, 1, engine.AttemptDecided)
			s.Blocked, s.Slots = map[int]engine.Refusal{0: {Reason: "QuotaExceeded", Message: "no"}}, 1
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptWaits{Attempt: 100, Reason: "QuotaExceeded", Message: "no", At: at(0)},
			},
			Create: []engine.Create{{Task: 1, Number: 1, PodName: "b-1"}},
		}},
		"a blocked task does not miss a slot": {graph: "a", now: 60, snapshot: func(s *engine.Snapshot) {
			refusedSince("QuotaExceeded", 0, 0, 0)(s)
			clear(s.Refusals)
			s.Blocked, s.Slots = map[int]engine.Refusal{0: {Reason: "QuotaExceeded", Message: "no"}}, 0
		}},
		"a refusal beside a block is reported": {graph: "a", snapshot: func(s *engine.Snapshot) {
			refuse("QuotaExceeded", false)(s)
			s.Blocked = map[int]engine.Refusal{0: {Reason: "QuotaExceeded", Message: "no, as another"}}
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptWaits{Attempt: 100, Reason: "QuotaExceeded", Message: "no", At: at(0)},
			},
		}},
		"a policy that blocks for the whole grace fails the attempt": {
			graph: "a",
			now:   300,
			snapshot: func(s *engine.Snapshot) {
				refusedSince("CreateRefused", 0, 290, 300)(s)
				clear(s.Refusals)
				s.Blocked = map[int]engine.Refusal{0: {Reason: "CreateRefused", Message: "no"}}
			},
			want: engine.Decision{
				Transitions: transitions{
					transition.AttemptEnded{
						Attempt: 100, Phase: "Failed", Reason: "StartFailed", Message: "no", FinishedAt: at(300),
					},
					transition.TaskFailed{Task: 10, Reason: "RetriesSpent", Message: "StartFailed: no", At: at(300)},
					transition.RunEnded{Phase: "Failed", Reason: "TaskFailed", Message: "1 task failed", At: at(300)},
				},
				Ended:  []string{"a-1"},
				IsLast: true,
			},
		},
		"a terminating namespace is waited out": {graph: "a", snapshot: refuse("NamespaceTerminating", false),
			want: engine.Decision{
				Transitions: transitions{
					transition.AttemptWaits{Attempt: 100, Reason: "NamespaceTerminating", Message: "no", At: at(0)},
				},
				Create: []engine.Create{{Task: 0, Number: 1, PodName: "a-1", Reason: "NamespaceTerminating"}},
			}},
		"a policy begins the start grace": {graph: "a", snapshot: refuse("CreateRefused", false),
			want: engine.Decision{
				Transitions: transitions{
					transition.AttemptWaits{
						Attempt: 100, Reason: "CreateRefused", Message: "no", At: at(0), Due: at(300),
					},
				},
				Create:    []engine.Create{{Task: 0, Number: 1, PodName: "a-1", Reason: "CreateRefused"}},
				RequeueAt: at(300),
			}},
		"a create that a policy refused is requested again within the grace": {
			graph: "a",
			now:   299,
			snapshot: func(s *engine.Snapshot) {
				refusedSince("CreateRefused", 0, 0, 300)(s)
				clear(s.Refusals)
			},
			want: engine.Decision{
				Create:    []engine.Create{{Task: 0, Number: 1, PodName: "a-1", Reason: "CreateRefused"}},
				RequeueAt: at(300),
			},
		},
		"a policy fails the attempt after the grace without another refusal": {
			graph: "a",
			now:   300,
			snapshot: func(s *engine.Snapshot) {
				refusedSince("CreateRefused", 0, 0, 300)(s)
				clear(s.Refusals)
				s.Attempts[0].Message = "no"
			},
			want: engine.Decision{
				Transitions: transitions{
					transition.AttemptEnded{
						Attempt: 100, Phase: "Failed", Reason: "StartFailed", Message: "no", FinishedAt: at(300),
					},
					transition.TaskFailed{Task: 10, Reason: "RetriesSpent", Message: "StartFailed: no", At: at(300)},
					transition.RunEnded{Phase: "Failed", Reason: "TaskFailed", Message: "1 task failed", At: at(300)},
				},
				Ended:  []string{"a-1"},
				IsLast: true,
			},
		},
		"a second refusal within the grace changes nothing": {
			graph:    "a",
			now:      299,
			snapshot: refusedSince("CreateRefused", 0, 0, 300),
			want: engine.Decision{
				Create:    []engine.Create{{Task: 0, Number: 1, PodName: "a-1", Reason: "CreateRefused"}},
				RequeueAt: at(300),
			},
		},
		"a refusal after the whole grace fails the attempt": {
			graph:    "a",
			now:      300,
			snapshot: refusedSince("CreateRefused", 0, 290, 300),
			want: engine.Decision{
				Transitions: transitions{
					transition.AttemptEnded{
						Attempt: 100, Phase: "Failed", Reason: "StartFailed", Message: "no", FinishedAt: at(300),
					},
					transition.TaskFailed{Task: 10, Reason: "RetriesSpent", Message: "StartFailed: no", At: at(300)},
					transition.RunEnded{Phase: "Failed", Reason: "TaskFailed", Message: "1 task failed", At: at(300)},
				},
				Ended:  []string{"a-1"},
				IsLast: true,
			},
		},
		"an earlier quota does not count towards the grace": {graph: "a", now: 300, snapshot: func(s *engine.Snapshot) {
			refusedSince("QuotaExceeded", 0, 0, 0)(s)
			s.Refusals["a-1"] = engine.Refusal{Reason: "CreateRefused", Message: "no"}
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptWaits{
					Attempt: 100, Reason: "CreateRefused", Message: "no", At: at(300), Due: at(600),
				},
			},
			Create:    []engine.Create{{Task: 0, Number: 1, PodName: "a-1", Reason: "CreateRefused"}},
			RequeueAt: at(600),
		}},
		"a permanent refusal fails the attempt immediately": {
			graph:    "a",
			now:      300,
			snapshot: refuse("CreateRefused", true),
			want: engine.Decision{
				Transitions: transitions{
					transition.AttemptEnded{
						Attempt: 100, Phase: "Failed", Reason: "StartFailed", Message: "no", FinishedAt: at(300),
					},
					transition.TaskFailed{Task: 10, Reason: "RetriesSpent", Message: "StartFailed: no", At: at(300)},
					transition.RunEnded{Phase: "Failed", Reason: "TaskFailed", Message: "1 task failed", At: at(300)},
				},
				Ended:  []string{"a-1"},
				IsLast: true,
			},
		},
		"a taken name fails the attempt immediately": {
			graph: "a", snapshot: refuse("NameTaken", true),
			want: engine.Decision{
				Transitions: transitions{
					transition.AttemptEnded{
						Attempt: 100, Phase: "Failed", Reason: "NameTaken", Message: "no", FinishedAt: at(0),
					},
					transition.TaskFailed{Task: 10, Reason: "RetriesSpent", Message: "NameTaken: no", At: at(0)},
					transition.RunEnded{Phase: "Failed", Reason: "TaskFailed", Message: "1 task failed", At: at(0)},
				},
				Ended:  []string{"a-1"},
				IsLast: true,
			},
		},
		"a taken name spends a retry": {
			graph:    "a",
			spec:     backoff(v1alpha1.Backoff{Limit: new(int64(1))}),
			snapshot: refuse("NameTaken", true),
			want: engine.Decision{
				Transitions: transitions{
					transition.AttemptEnded{
						Attempt: 100, Phase: "Failed", Reason: "NameTaken", Message: "no", FinishedAt: at(0),
					},
					transition.TaskBackedOff{
						Task:    10,
						Reason:  "BackingOff",
						Message: "retry 1 of 1: NameTaken: no",
						Due:     at(10),
						Retries: 1,
					},
				},
				Ended:     []string{"a-1"},
				RequeueAt: at(10),
			},
		},
		"the children of a failed task that the snapshot lacks are skipped later": {
			graph: "a b<a",
			snapshot: func(s *engine.Snapshot) {
				refuse("NameTaken", true)(s)
				count(s)
				s.Tasks = s.Tasks[:1]
			},
			want: engine.Decision{
				Transitions: transitions{
					transition.AttemptEnded{
						Attempt: 100, Phase: "Failed", Reason: "NameTaken", Message: "no", FinishedAt: at(0),
					},
					transition.TaskFailed{
						Task:            10,
						Reason:          "RetriesSpent",
						Message:         "NameTaken: no",
						ChildrenPending: true,
						At:              at(0),
					},
				},
				Ended:   []string{"a-1"},
				Requeue: true,
			},
		},
		"a Pod that exists in spite of a refusal counts": {graph: "a", snapshot: func(s *engine.Snapshot) {
			refuse("CreateRefused", true)(s)
			s.Pods["a-1"] = pod()
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptRunning{Attempt: 100, PodUID: "u", Node: "n", StartedAt: at(-60)},
			},
		}},
		"a refusal in a run that is being stopped is ignored": {graph: "a", snapshot: func(s *engine.Snapshot) {
			refuse("CreateRefused", true)(s)
			s.Run.Stop = engine.ReasonUserCancelled
		}},
	})
}

// TestUnreadableVersion: a run whose version cannot be read has a blank graph and is stopped.
func TestUnreadableVersion(t *testing.T) {
	unreadable := func(s *engine.Snapshot) { s.Graph, s.Unreadable = dag.Blank(s.Graph.Len()), "bad JSON" }
	runScenes(t, map[string]scene{
		"nothing starts and running attempts are stopped": {graph: "a b<a c", snapshot: func(s *engine.Snapshot) {
			addAttempt(s, 0, engine.AttemptRunning)
			s.Pods["a-1"] = pod()
			ready(s, 0, 2)
			unreadable(s)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.RunStopping{Reason: "VersionUnreadable"},
				transition.UnstartedCancelled{
					Reason:  "VersionUnreadable",
					Message: "the DAG version of this run cannot be read from the database: bad JSON",
					At:      at(0),
				},
				transition.LiveStopped{
					Reason:  "VersionUnreadable",
					Message: "the DAG version of this run cannot be read from the database: bad JSON",
					Due:     at(0),
				},
				transition.AttemptDue{Attempt: 100, Node: "n", Due: at(30)},
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
				transition.UnstartedCancelled{
					Reason:  "VersionUnreadable",
					Message: "the DAG version of this run cannot be read from the database: bad JSON",
					At:      at(0),
				},
				transition.LiveStopped{
					Reason:  "VersionUnreadable",
					Message: "the DAG version of this run cannot be read from the database: bad JSON",
					Due:     at(0),
				},
				transition.RunEnded{
					Phase:   "Failed",
					Reason:  "VersionUnreadable",
					Message: "the DAG version of this run cannot be read from the database: bad JSON",
					At:      at(0),
				},
			},
			IsLast: true,
		}},
		"the run fails when its last Pod has ended": {graph: "a", snapshot: func(s *engine.Snapshot) {
			s.Run.Stop = engine.ReasonVersionUnreadable
			a := addAttempt(s, 0, engine.AttemptStopping)
			a.Stop = s.Run.Stop
			s.Pods["a-1"] = goneFromCluster
			unreadable(s)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptEnded{
					Attempt: 100, Phase: "Cancelled", Reason: "VersionUnreadable", FinishedAt: at(0),
				},
				transition.TaskCancelled{
					Task:    10,
					Reason:  "VersionUnreadable",
					Message: "the DAG version of this run cannot be read from the database: bad JSON",
					At:      at(0),
				},
				transition.RunEnded{
					Phase:   "Failed",
					Reason:  "VersionUnreadable",
					Message: "the DAG version of this run cannot be read from the database: bad JSON",
					At:      at(0),
				},
			},
			Ended:  []string{"a-1"},
			IsLast: true,
		}},
		"a task that succeeds in the same decision counts and its children do not start": {
			graph: "a b<a",
			snapshot: func(s *engine.Snapshot) {
				addExited(s, 0, 0)
				unreadable(s)
			},
			want: engine.Decision{
				Transitions: transitions{
					transition.RunStopping{Reason: "VersionUnreadable"},
					transition.UnstartedCancelled{
						Reason:  "VersionUnreadable",
						Message: "the DAG version of this run cannot be read from the database: bad JSON",
						At:      at(0),
					},
					transition.LiveStopped{
						Reason:  "VersionUnreadable",
						Message: "the DAG version of this run cannot be read from the database: bad JSON",
						Due:     at(0),
					},
					transition.AttemptEnded{
						Attempt:    100,
						Phase:      "Succeeded",
						ExitCode:   ptr[int32](0),
						PodUID:     "u",
						Node:       "n",
						StartedAt:  at(-60),
						FinishedAt: at(0),
					},
					transition.TaskSucceeded{Task: 10, At: at(0)},
					transition.RunEnded{
						Phase:   "Failed",
						Reason:  "VersionUnreadable",
						Message: "the DAG version of this run cannot be read from the database: bad JSON",
						At:      at(0),
					},
				},
				Reap:   []string{"a-1"},
				Ended:  []string{"a-1"},
				IsLast: true,
			},
		},
		"a run whose last task succeeds in the same decision succeeds": {
			graph: "a",
			snapshot: func(s *engine.Snapshot) {
				addExited(s, 0, 0)
				unreadable(s)
			},
			want: engine.Decision{
				Transitions: transitions{
					transition.RunStopping{Reason: "VersionUnreadable"},
					transition.UnstartedCancelled{
						Reason:  "VersionUnreadable",
						Message: "the DAG version of this run cannot be read from the database: bad JSON",
						At:      at(0),
					},
					transition.LiveStopped{
						Reason:  "VersionUnreadable",
						Message: "the DAG version of this run cannot be read from the database: bad JSON",
						Due:     at(0),
					},
					transition.AttemptEnded{
						Attempt:    100,
						Phase:      "Succeeded",
						ExitCode:   ptr[int32](0),
						PodUID:     "u",
						Node:       "n",
						StartedAt:  at(-60),
						FinishedAt: at(0),
					},
					transition.TaskSucceeded{Task: 10, At: at(0)},
					transition.RunEnded{Phase: "Succeeded", At: at(0)},
				},
				Reap:   []string{"a-1"},
				Ended:  []string{"a-1"},
				IsLast: true,
			},
		},
		"children that were to be skipped are cancelled": {graph: "a b<a", snapshot: func(s *engine.Snapshot) {
			setPhase(s, engine.TaskFailed, 0)
			s.Tasks[0].ChildrenPending = true
			unreadable(s)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.RunStopping{Reason: "VersionUnreadable"},
				transition.UnstartedCancelled{
					Reason:  "VersionUnreadable",
					Message: "the DAG version of this run cannot be read from the database: bad JSON",
					At:      at(0),
				},
				transition.LiveStopped{
					Reason:  "VersionUnreadable",
					Message: "the DAG version of this run cannot be read from the database: bad JSON",
					Due:     at(0),
				},
				transition.RunEnded{
					Phase:   "Failed",
					Reason:  "VersionUnreadable",
					Message: "the DAG version of this run cannot be read from the database: bad JSON",
					At:      at(0),
				},
			},
			IsLast: true,
		}},
		"a cancel takes precedence": {graph: "a", snapshot: func(s *engine.Snapshot) {
			ready(s, 0, 0)
			unreadable(s)
			s.CancelRequested = true
		}, want: engine.Decision{
			Transitions: transitions{
				transition.RunStopping{Reason: "UserCancelled"},
				transition.UnstartedCancelled{Reason: "UserCancelled", Message: "cancelled by spec.cancel", At: at(0)},
				transition.LiveStopped{Reason: "UserCancelled", Message: "cancelled by spec.cancel", Due: at(0)},
				transition.RunEnded{
					Phase: "Cancelled", Reason: "UserCancelled", Message: "cancelled by spec.cancel", At: at(0),
				},
			},
			IsLast: true,
		}},
		"a deadline takes precedence": {graph: "a", now: 10, snapshot: func(s *engine.Snapshot) {
			ready(s, 0, 0)
			unreadable(s)
			s.Run.Deadline = at(10)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.RunStopping{Reason: "DeadlineExceeded"},
				transition.UnstartedCancelled{
					Reason:  "DeadlineExceeded",
					Message: "the run took longer than activeDeadlineSeconds",
					At:      at(10),
				},
				transition.LiveStopped{
					Reason:  "DeadlineExceeded",
					Message: "the run took longer than activeDeadlineSeconds",
					Due:     at(10),
				},
				transition.RunEnded{
					Phase:   "Failed",
					Reason:  "DeadlineExceeded",
					Message: "the run took longer than activeDeadlineSeconds",
					At:      at(10),
				},
			},
			IsLast: true,
		}},
	})
}

func TestStop(t *testing.T) {
	runScenes(t, map[string]scene{
		"a cancel ends unstarted tasks immediately": {graph: "a b<a c", snapshot: func(s *engine.Snapshot) {
			s.CancelRequested = true
			ready(s, 0, 0, 2)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.RunStopping{Reason: "UserCancelled"},
				transition.UnstartedCancelled{Reason: "UserCancelled", Message: "cancelled by spec.cancel", At: at(0)},
				transition.LiveStopped{Reason: "UserCancelled", Message: "cancelled by spec.cancel", Due: at(0)},
				transition.RunEnded{
					Phase: "Cancelled", Reason: "UserCancelled", Message: "cancelled by spec.cancel", At: at(0),
				},
			},
			IsLast: true,
		}},
		"a deleted DagRun cancels the run": {graph: "a", snapshot: func(s *engine.Snapshot) {
			s.DagRunDeleted, s.CancelRequested = true, true
			ready(s, 0, 0)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.RunStopping{Reason: "Deleted"},
				transition.UnstartedCancelled{Reason: "Deleted", Message: "the DagRun was deleted", At: at(0)},
				transition.LiveStopped{Reason: "Deleted", Message: "the DagRun was deleted", Due: at(0)},
				transition.RunEnded{
					Phase: "Cancelled", Reason: "Deleted", Message: "the DagRun was deleted", At: at(0),
				},
			},
			IsLast: true,
		}},
		"a run is cancelled before it starts": {graph: "a", snapshot: func(s *engine.Snapshot) {
			s.CancelRequested, s.Run.Phase = true, engine.RunPending
			ready(s, 0, 0)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.RunStarted{At: at(0)},
				transition.RunStopping{Reason: "UserCancelled"},
				transition.UnstartedCancelled{Reason: "UserCancelled", Message: "cancelled by spec.cancel", At: at(0)},
				transition.LiveStopped{Reason: "UserCancelled", Message: "cancelled by spec.cancel", Due: at(0)},
				transition.RunEnded{
					Phase: "Cancelled", Reason: "UserCancelled", Message: "cancelled by spec.cancel", At: at(0),
				},
			},
			IsLast: true,
		}},
		"unstarted tasks beyond the snapshot are cancelled": {graph: "a b c", snapshot: func(s *engine.Snapshot) {
			s.CancelRequested = true
			addAttempt(s, 0, engine.AttemptRunning)
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
		"a deadline in the future requeues the run": {graph: "a", now: 9, snapshot: func(s *engine.Snapshot) {
			addAttempt(s, 0, engine.AttemptRunning)
			s.Run.Deadline = at(10)
		}, want: engine.Decision{
			RequeueAt: at(10),
		}},
		"a deadline in the past stops the run": {graph: "a b<a", now: 10, snapshot: func(s *engine.Snapshot) {
			addAttempt(s, 0, engine.AttemptRunning)
			s.Pods["a-1"] = pod()
			s.Run.Deadline = at(10)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.RunStopping{Reason: "DeadlineExceeded"},
				transition.UnstartedCancelled{
					Reason:  "DeadlineExceeded",
					Message: "the run took longer than activeDeadlineSeconds",
					At:      at(10),
				},
				transition.LiveStopped{
					Reason:  "DeadlineExceeded",
					Message: "the run took longer than activeDeadlineSeconds",
					Due:     at(10),
				},
				transition.AttemptDue{Attempt: 100, Node: "n", Due: at(40)},
			},
			Delete:    []engine.Delete{{PodName: "a-1", PodUID: "u"}},
			RequeueAt: at(40),
			Requeue:   true,
		}},
		"an attempt that ends in the same decision keeps its outcome": {
			graph: "a b<a",
			snapshot: func(s *engine.Snapshot) {
				s.CancelRequested = true
				addExited(s, 0, 0)
			},
			want: engine.Decision{
				Transitions: transitions{
					transition.RunStopping{Reason: "UserCancelled"},
					transition.UnstartedCancelled{
						Reason: "UserCancelled", Message: "cancelled by spec.cancel", At: at(0),
					},
					transition.LiveStopped{Reason: "UserCancelled", Message: "cancelled by spec.cancel", Due: at(0)},
					transition.AttemptEnded{
						Attempt:    100,
						Phase:      "Succeeded",
						ExitCode:   ptr[int32](0),
						PodUID:     "u",
						Node:       "n",
						StartedAt:  at(-60),
						FinishedAt: at(0),
					},
					transition.TaskSucceeded{Task: 10, At: at(0)},
					transition.RunEnded{
						Phase: "Cancelled", Reason: "UserCancelled", Message: "cancelled by spec.cancel", At: at(0),
					},
				},
				Reap:   []string{"a-1"},
				Ended:  []string{"a-1"},
				IsLast: true,
			},
		},
		"a run whose tasks all succeeded is not cancelled": {graph: "a", snapshot: func(s *engine.Snapshot) {
			s.CancelRequested = true
			addExited(s, 0, 0)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.RunStopping{Reason: "UserCancelled"},
				transition.UnstartedCancelled{Reason: "UserCancelled", Message: "cancelled by spec.cancel", At: at(0)},
				transition.LiveStopped{Reason: "UserCancelled", Message: "cancelled by spec.cancel", Due: at(0)},
				transition.AttemptEnded{
					Attempt:    100,
					Phase:      "Succeeded",
					ExitCode:   ptr[int32](0),
					PodUID:     "u",
					Node:       "n",
					StartedAt:  at(-60),
					FinishedAt: at(0),
				},
				transition.TaskSucceeded{Task: 10, At: at(0)},
				transition.RunEnded{Phase: "Succeeded", At: at(0)},
			},
			Reap:   []string{"a-1"},
			Ended:  []string{"a-1"},
			IsLast: true,
		}},
		"a failed attempt of a stopped run is not retried": {
			graph: "a",
			spec:  backoff(v1alpha1.Backoff{Limit: new(int64(3))}),
			snapshot: func(s *engine.Snapshot) {
				s.CancelRequested = true
				addExited(s, 0, 1)
			},
			want: engine.Decision{
				Transitions: transitions{
					transition.RunStopping{Reason: "UserCancelled"},
					transition.UnstartedCancelled{
						Reason: "UserCancelled", Message: "cancelled by spec.cancel", At: at(0),
					},
					transition.LiveStopped{Reason: "UserCancelled", Message: "cancelled by spec.cancel", Due: at(0)},
					transition.AttemptEnded{
						Attempt:    100,
						Phase:      "Failed",
						Reason:     "ExitCode",
						Message:    "exit code 1",
						ExitCode:   ptr[int32](1),
						PodUID:     "u",
						Node:       "n",
						StartedAt:  at(-60),
						FinishedAt: at(0),
					},
					transition.TaskCancelled{
						Task: 10, Reason: "UserCancelled", Message: "cancelled by spec.cancel", At: at(0),
					},
					transition.RunEnded{
						Phase: "Cancelled", Reason: "UserCancelled", Message: "cancelled by spec.cancel", At: at(0),
					},
				},
				Reap:   []string{"a-1"},
				Ended:  []string{"a-1"},
				IsLast: true,
			},
		},
		"a lost attempt of a stopped run is not restarted": {graph: "a", snapshot: func(s *engine.Snapshot) {
			s.Run.Stop = engine.ReasonDeadlineExceeded
			addAttempt(s, 0, engine.AttemptRunning)
			s.Pods["a-1"] = goneFromCluster
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptEnded{
					Attempt:    100,
					Phase:      "Lost",
					Reason:     "PodDeleted",
					Message:    "its Pod is gone",
					StartedAt:  at(-60),
					FinishedAt: at(0),
				},
				transition.TaskCancelled{
					Task:    10,
					Reason:  "DeadlineExceeded",
					Message: "the run took longer than activeDeadlineSeconds",
					At:      at(0),
				},
				transition.RunEnded{
					Phase:   "Failed",
					Reason:  "DeadlineExceeded",
					Message: "the run took longer than activeDeadlineSeconds",
					At:      at(0),
				},
			},
			Ended:  []string{"a-1"},
			IsLast: true,
		}},
		"a stop is recorded once": {graph: "a b", snapshot: func(s *engine.Snapshot) {
			s.CancelRequested, s.DagRunDeleted, s.Run.Stop, s.Run.Deadline =
				true, true, engine.ReasonUserCancelled, at(-1)
			addAttempt(s, 0, engine.AttemptRunning)
			setPhase(s, engine.TaskCancelled, 1)
		}},
		"a Decided attempt of a stopped run gets no Pod": {graph: "a", snapshot: func(s *engine.Snapshot) {
			s.CancelRequested = true
			addAttempt(s, 0, engine.AttemptDecided)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.RunStopping{Reason: "UserCancelled"},
				transition.UnstartedCancelled{Reason: "UserCancelled", Message: "cancelled by spec.cancel", At: at(0)},
				transition.LiveStopped{Reason: "UserCancelled", Message: "cancelled by spec.cancel", Due: at(0)},
			},
			Requeue: true,
		}},
		"a stopping attempt that never had a Pod is cancelled": {graph: "a", snapshot: func(s *engine.Snapshot) {
			s.Run.Stop = engine.ReasonUserCancelled
			a := addAttempt(s, 0, engine.AttemptStopping)
			a.Stop, a.PodUID, a.Due = engine.ReasonUserCancelled, "", at(0)
			s.Pods["a-1"] = goneFromCluster
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptEnded{Attempt: 100, Phase: "Cancelled", Reason: "UserCancelled", FinishedAt: at(0)},
				transition.TaskCancelled{
					Task: 10, Reason: "UserCancelled", Message: "cancelled by spec.cancel", At: at(0),
				},
				transition.RunEnded{
					Phase: "Cancelled", Reason: "UserCancelled", Message: "cancelled by spec.cancel", At: at(0),
				},
			},
			Ended:  []string{"a-1"},
			IsLast: true,
		}},
		"a stopping attempt whose Pod appears is deleted": {graph: "a", snapshot: func(s *engine.Snapshot) {
			s.Run.Stop = engine.ReasonUserCancelled
			a := addAttempt(s, 0, engine.AttemptStopping)
			a.Stop, a.PodUID, a.Due = engine.ReasonUserCancelled, "", at(0)
			s.Pods["a-1"] = pod(neverStarted)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptDue{Attempt: 100, Node: "n", Due: at(30)},
			},
			Delete:    []engine.Delete{{PodName: "a-1", PodUID: "u"}},
			RequeueAt: at(30),
		}},
		"children of a stopped run do not start": {graph: "a b<a", snapshot: func(s *engine.Snapshot) {
			s.Run.Stop = engine.ReasonUserCancelled
			addExited(s, 0, 0)
			setPhase(s, engine.TaskCancelled, 1)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptEnded{
					Attempt:    100,
					Phase:      "Succeeded",
					ExitCode:   ptr[int32](0),
					PodUID:     "u",
					Node:       "n",
					StartedAt:  at(-60),
					FinishedAt: at(0),
				},
				transition.TaskSucceeded{Task: 10, At: at(0)},
				transition.RunEnded{
					Phase: "Cancelled", Reason: "UserCancelled", Message: "cancelled by spec.cancel", At: at(0),
				},
			},
			Reap:   []string{"a-1"},
			Ended:  []string{"a-1"},
			IsLast: true,
		}},
		"a stopped run with failures and nothing to cancel is Failed": {
			graph: "a b",
			snapshot: func(s *engine.Snapshot) {
				s.CancelRequested = true
				setPhase(s, engine.TaskFailed, 0)
				addExited(s, 1, 0)
			},
			want: engine.Decision{
				Transitions: transitions{
					transition.RunStopping{Reason: "UserCancelled"},
					transition.UnstartedCancelled{
						Reason: "UserCancelled", Message: "cancelled by spec.cancel", At: at(0),
					},
					transition.LiveStopped{Reason: "UserCancelled", Message: "cancelled by spec.cancel", Due: at(0)},
					transition.AttemptEnded{
						Attempt:    101,
						Phase:      "Succeeded",
						ExitCode:   ptr[int32](0),
						PodUID:     "u",
						Node:       "n",
						StartedAt:  at(-60),
						FinishedAt: at(0),
					},
					transition.TaskSucceeded{Task: 11, At: at(0)},
					transition.RunEnded{Phase: "Failed", Reason: "TaskFailed", Message: "1 task failed", At: at(0)},
				},
				Reap:   []string{"b-1"},
				Ended:  []string{"b-1"},
				IsLast: true,
			},
		},
		"pending skips end with the stop": {graph: "a b<a c", snapshot: func(s *engine.Snapshot) {
			s.Run.Stop = engine.ReasonUserCancelled
			setPhase(s, engine.TaskFailed, 0)
			s.Tasks[0].ChildrenPending = true
			setPhase(s, engine.TaskCancelled, 1)
			addAttempt(s, 2, engine.AttemptRunning)
		}},
		"a hold ends with the stop": {graph: "a b", spec: maxParallel(1), snapshot: func(s *engine.Snapshot) {
			s.CancelRequested, s.Run.Hold = true, engine.HoldMaxParallel
			setPhase(s, engine.TaskActive, 0)
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

// TestRetry checks what follows for a task whose attempt ended, given the retries it has spent.
func TestRetry(t *testing.T) {
	conditional := func(limit int64, codes ...int64) func(*v1alpha1.DAGSpec) {
		return func(s *v1alpha1.DAGSpec) {
			s.Task[0].Backoff = &v1alpha1.Backoff{Limit: new(limit)}
			s.Task[0].Conditional = &v1alpha1.Conditional{Enabled: new(true), RetryCodes: codes}
		}
	}
	slow := backoff(
		v1alpha1.Backoff{
			Limit:       new(int64(9)),
			Duration:    &metav1.Duration{Duration: time.Second},
			Factor:      ptr(int32(3)),
			MaxDuration: &metav1.Duration{Duration: 20 * time.Second},
		},
	)
	cases := map[string]struct {
		spec    func(*v1alpha1.DAGSpec)
		retries int
		pod     *engine.Pod
		want    transition.Transition
	}{
		"a task without retries fails": {
			nil,
			0,
			pod(ended(exit(1))),
			transition.TaskFailed{Task: 10, Reason: "RetriesSpent", Message: "ExitCode: exit code 1", At: at(0)},
		},
		"the first retry waits for the duration": {
			backoff(v1alpha1.Backoff{Limit: new(int64(2))}),
			0,
			pod(ended(exit(1))),
			transition.TaskBackedOff{
				Task:     10,
				Reason:   "BackingOff",
				Message:  "retry 1 of 2: ExitCode: exit code 1",
				Due:      at(10),
				Retries:  1,
				Restarts: 4,
			},
		},
		"the second retry waits twice as long": {
			backoff(v1alpha1.Backoff{Limit: new(int64(2))}),
			1,
			pod(ended(exit(1))),
			transition.TaskBackedOff{
				Task:     10,
				Reason:   "BackingOff",
				Message:  "retry 2 of 2: ExitCode: exit code 1",
				Due:      at(20),
				Retries:  2,
				Restarts: 4,
			},
		},
		"a task that has spent its retries fails": {
			backoff(v1alpha1.Backoff{Limit: new(int64(2))}),
			2,
			pod(ended(exit(1))),
			transition.TaskFailed{
				Task:    10,
				Reason:  "RetriesSpent",
				Message: "failed 3 times; last: ExitCode: exit code 1",
				At:      at(0),
			},
		},
		"the delay follows the policy of the task": {
			slow,
			2,
			pod(ended(exit(1))),
			transition.TaskBackedOff{
				Task:     10,
				Reason:   "BackingOff",
				Message:  "retry 3 of 9: ExitCode: exit code 1",
				Due:      at(9),
				Retries:  3,
				Restarts: 4,
			},
		},
		"the delay is at most maxDuration": {
			slow,
			5,
			pod(ended(exit(1))),
			transition.TaskBackedOff{
				Task:     10,
				Reason:   "BackingOff",
				Message:  "retry 6 of 9: ExitCode: exit code 1",
				Due:      at(20),
				Retries:  6,
				Restarts: 4,
			},
		},
		"an exit code among retryCodes is retried": {
			conditional(1, 3, 4),
			0,
			pod(ended(exit(4))),
			transition.TaskBackedOff{
				Task:     10,
				Reason:   "BackingOff",
				Message:  "retry 1 of 1: ExitCode: exit code 4",
				Due:      at(10),
				Retries:  1,
				Restarts: 4,
			},
		},
		"an exit code not among retryCodes fails the task": {
			conditional(1, 3, 4),
			0,
			pod(ended(exit(5))),
			transition.TaskFailed{
				Task:    10,
				Reason:  "NotRetryable",
				Message: "ExitCode: exit code 5; not among conditional.retryCodes",
				At:      at(0),
			},
		},
		"exit code 137 of the kernel is retried if listed": {
			conditional(1, 137),
			0,
			pod(ended(exitBecause(137, "OOMKilled", ""))),
			transition.TaskBackedOff{
				Task:     10,
				Reason:   "BackingOff",
				Message:  "retry 1 of 1: OOMKilled: exit code 137: out of memory",
				Due:      at(10),
				Retries:  1,
				Restarts: 4,
			},
		},
		"an end without exit code fails a task with retryCodes": {
			conditional(1, 137),
			0,
			pod(initFailed),
			transition.TaskFailed{
				Task:   10,
				Reason: "NotRetryable",
				Message: "StartFailed: an init container failed with exit code 3: no such table; " +
					"not among conditional.retryCodes",
				At: at(0),
			},
		},
		"an end without exit code is retried": {
			backoff(v1alpha1.Backoff{Limit: new(int64(1))}),
			0,
			pod(initFailed),
			transition.TaskBackedOff{
				Task:     10,
				Reason:   "BackingOff",
				Message:  "retry 1 of 1: StartFailed: an init container failed with exit code 3: no such table",
				Due:      at(10),
				Retries:  1,
				Restarts: 4,
			},
		},
		"a lost attempt spends a restart": {
			nil,
			0,
			pod(ended(exit(1)), disrupted),
			transition.TaskBackedOff{
				Task:     10,
				Reason:   "BackingOff",
				Message:  "restart 5 of 10: Disrupted: its Pod was disrupted (drain, preemption or taint)",
				Due:      at(16),
				Restarts: 5,
			},
		},
		"a lost attempt is restarted whatever retryCodes says": {
			conditional(1, 3),
			0,
			goneFromCluster,
			transition.TaskBackedOff{
				Task:     10,
				Reason:   "BackingOff",
				Message:  "restart 5 of 10: PodDeleted: its Pod is gone",
				Due:      at(16),
				Restarts: 5,
			},
		},
		"ten minutes of running reset the restarts": {backoff(v1alpha1.Backoff{Limit: new(int64(2))}), 0,
			pod(
				ended(&engine.Termination{ExitCode: 1, Started: at(-600), Finished: at(0)}),
			), transition.TaskBackedOff{
				Task: 10, Reason: "BackingOff", Message: "retry 1 of 2: ExitCode: exit code 1", Due: at(10), Retries: 1,
			}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := newSnapshot(compile(t, "a", c.spec))
			s.Pods[addAttempt(s, 0, engine.AttemptRunning).PodName] = c.pod
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
				t.Errorf("transition of the task (-want +got):\n%s", diff)
			}
		})
	}
}

// The Pod of a running attempt with a timeout gets a deadline, which counts from when the kubelet accepted the Pod.
func TestDeadlineOfThePod(t *testing.T) {
	limit := func(seconds int64) []engine.Limit {
		return []engine.Limit{{PodName: "a-1", PodUID: "u", Seconds: seconds}}
	}
	accepted := func(at time.Time) func(*engine.Pod) { return func(p *engine.Pod) { p.Accepted = at } }
	deadline := func(seconds int64) func(*engine.Pod) { return func(p *engine.Pod) { p.Deadline = seconds } }
	tests := map[string]struct {
		timeout int64 // none if 0
		grace   time.Duration
		pod     *engine.Pod // that has started at -60
		isOver  bool
		want    []engine.Limit
	}{
		"timeout and start grace count from the start of the container": {
			timeout: 99, grace: time.Minute, pod: pod(accepted(at(-60))), want: limit(159),
		},
		"the time before the start of the container does not count": {
			timeout: 99, grace: time.Minute, pod: pod(accepted(at(-4060))), want: limit(4159),
		},
		"a part of a second is rounded up": {
			timeout: 1, grace: 1500 * time.Millisecond, pod: pod(accepted(at(-60))), want: limit(3),
		},
		"the deadline is at most what a Pod may have": {
			timeout: 31536000, grace: math.MaxInt64, pod: pod(accepted(at(-60))), want: limit(math.MaxInt32),
		},
		"a Pod that has the deadline keeps it": {
			timeout: 99, grace: time.Minute, pod: pod(accepted(at(-60)), deadline(159)),
		},
		"a Pod with an earlier deadline keeps it": {
			timeout: 99, grace: time.Minute, pod: pod(accepted(at(-60)), deadline(7)),
		},
		"a later deadline is replaced": {
			timeout: 99, grace: time.Minute, pod: pod(accepted(at(-60)), deadline(900)), want: limit(159),
		},
		"the deadline that a Pod is created with is replaced": {
			timeout: 99, grace: time.Minute, pod: pod(accepted(at(-60)), deadline(math.MaxInt32)), want: limit(159),
		},
		"without a timeout there is no deadline": {grace: time.Minute, pod: pod(accepted(at(-60)))},
		"a Pod whose container has not started gets none": {
			timeout: 99, grace: time.Minute, pod: pod(accepted(at(-60)), neverStarted),
		},
		"a Pod that is being deleted gets none": {
			timeout: 99, grace: time.Minute, pod: pod(accepted(at(-60)), deletedAt(-1)),
		},
		"a Pod that is stopped now gets none": {
			timeout: 99, grace: time.Minute, pod: pod(accepted(at(-60))), isOver: true,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var spec func(*v1alpha1.DAGSpec)
			if test.timeout > 0 {
				spec = timeout(test.timeout)
			}
			s := newSnapshot(compile(t, "a", spec))
			s.StartGrace = test.grace
			a := addAttempt(s, 0, engine.AttemptRunning)
			a.Due = at(40)
			if test.isOver {
				a.Due = at(-1)
			}
			s.Pods["a-1"] = test.pod
			got, err := engine.Decide(*s, at(0))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got.Limit); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestTimeoutRetries: a timeout spends a retry, and retryCodes applies to the exit code after the kill.
func TestTimeoutRetries(t *testing.T) {
	stop := func(s *engine.Snapshot) {
		a := addAttempt(s, 0, engine.AttemptStopping)
		a.Stop, a.Message = engine.ReasonTimeout, "too long"
		s.Pods["a-1"] = pod(ended(exit(137)), deletedAt(-5))
	}
	runScenes(t, map[string]scene{
		"a timeout is retried": {graph: "a", snapshot: stop, spec: func(s *v1alpha1.DAGSpec) {
			s.Task[0].Backoff = &v1alpha1.Backoff{Limit: new(int64(1))}
			s.Task[0].Conditional = &v1alpha1.Conditional{Enabled: new(true), RetryCodes: []int64{137}}
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptEnded{
					Attempt:    100,
					Phase:      "Failed",
					Reason:     "Timeout",
					Message:    "too long",
					ExitCode:   ptr[int32](137),
					PodUID:     "u",
					Node:       "n",
					StartedAt:  at(-60),
					FinishedAt: at(0),
				},
				transition.TaskBackedOff{
					Task:    10,
					Reason:  "BackingOff",
					Message: "retry 1 of 1: Timeout: too long",
					Due:     at(10),
					Retries: 1,
				},
			},
			Reap:      []string{"a-1"},
			Ended:     []string{"a-1"},
			RequeueAt: at(10),
		}},
		"a timeout without retries fails the task": {graph: "a", snapshot: stop, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptEnded{
					Attempt:    100,
					Phase:      "Failed",
					Reason:     "Timeout",
					Message:    "too long",
					ExitCode:   ptr[int32](137),
					PodUID:     "u",
					Node:       "n",
					StartedAt:  at(-60),
					FinishedAt: at(0),
				},
				transition.TaskFailed{Task: 10, Reason: "RetriesSpent", Message: "Timeout: too long", At: at(0)},
				transition.RunEnded{Phase: "Failed", Reason: "TaskFailed", Message: "1 task failed", At: at(0)},
			},
			Reap:   []string{"a-1"},
			Ended:  []string{"a-1"},
			IsLast: true,
		}},
	})
}

// TestTimeoutOfSkewedClocks: a timeout counts by the controller's clock from when the container was first seen running.
func TestTimeoutOfSkewedClocks(t *testing.T) {
	for _, skew := range []int{-600, -300, 0, 300, 600} {
		t.Run(fmt.Sprintf("the node's clock is %d seconds ahead", skew), func(t *testing.T) {
			s := newSnapshot(compile(t, "a", timeout(300)))
			a := addAttempt(s, 0, engine.AttemptPending)
			a.FirstSeen = at(0)
			count(s)
			s.Pods["a-1"] = pod(func(p *engine.Pod) { p.Started = at(skew) })
			next, err := engine.Decide(*s, at(1))
			if err != nil {
				t.Fatal(err)
			}
			if !next.RequeueAt.Equal(at(301)) || len(next.Delete) > 0 {
				t.Fatalf(
					"first seen running: requeue after %v, deletes %v; %+v",
					next.RequeueAt.Sub(t0),
					next.Delete,
					next.Transitions,
				)
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

// TestRestart: a lost attempt is restarted up to RestartLimit times, and a long run resets the count.
func TestRestart(t *testing.T) {
	// lose ends an attempt after ran. Its Pod is gone, and the clock of its node is behind by skew.
	lose := func(restarts int, ran, skew time.Duration) transition.Transition {
		s := newSnapshot(compile(t, "a", nil))
		a := addAttempt(s, 0, engine.AttemptRunning)
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
	runScenes(t, map[string]scene{
		"a child is Ready when its last parent succeeded": {graph: "a b c<a,b", snapshot: func(s *engine.Snapshot) {
			addExited(s, 0, 0)
			setPhase(s, engine.TaskSucceeded, 1)
			s.Tasks[2].Unmet = 1
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptEnded{
					Attempt:    100,
					Phase:      "Succeeded",
					ExitCode:   ptr[int32](0),
					PodUID:     "u",
					Node:       "n",
					StartedAt:  at(-60),
					FinishedAt: at(0),
				},
				transition.TaskSucceeded{Task: 10, At: at(0)},
				transition.TaskReady{Task: 12, At: at(0)},
				transition.TaskActive{Task: 12, At: at(0)},
				transition.AttemptDecided{Task: 12, Number: 1, PodName: "c-1", At: at(0)},
			},
			Create: []engine.Create{{Task: 2, Number: 1, PodName: "c-1", Ready: at(0)}},
			Reap:   []string{"a-1"},
			Ended:  []string{"a-1"},
		}},
		"a child with another parent stays Waiting": {graph: "a b c<a,b", snapshot: func(s *engine.Snapshot) {
			addExited(s, 0, 0)
			setPhase(s, engine.TaskActive, 1)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptEnded{
					Attempt:    100,
					Phase:      "Succeeded",
					ExitCode:   ptr[int32](0),
					PodUID:     "u",
					Node:       "n",
					StartedAt:  at(-60),
					FinishedAt: at(0),
				},
				transition.TaskSucceeded{Task: 10, At: at(0)},
				transition.TaskUnblocked{Task: 12, Met: 1},
			},
			Reap:  []string{"a-1"},
			Ended: []string{"a-1"},
		}},
		"a child whose two parents succeed together starts": {graph: "a b c<a,b", snapshot: func(s *engine.Snapshot) {
			addExited(s, 0, 0)
			addExited(s, 1, 0)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptEnded{
					Attempt:    100,
					Phase:      "Succeeded",
					ExitCode:   ptr[int32](0),
					PodUID:     "u",
					Node:       "n",
					StartedAt:  at(-60),
					FinishedAt: at(0),
				},
				transition.TaskSucceeded{Task: 10, At: at(0)},
				transition.AttemptEnded{
					Attempt:    101,
					Phase:      "Succeeded",
					ExitCode:   ptr[int32](0),
					PodUID:     "u",
					Node:       "n",
					StartedAt:  at(-60),
					FinishedAt: at(0),
				},
				transition.TaskSucceeded{Task: 11, At: at(0)},
				transition.TaskReady{Task: 12, At: at(0)},
				transition.TaskActive{Task: 12, At: at(0)},
				transition.AttemptDecided{Task: 12, Number: 1, PodName: "c-1", At: at(0)},
			},
			Create: []engine.Create{{Task: 2, Number: 1, PodName: "c-1", Ready: at(0)}},
			Reap:   []string{"a-1", "b-1"},
			Ended:  []string{"a-1", "b-1"},
		}},
		"a child with one failed parent is skipped": {graph: "a b c<a,b", snapshot: func(s *engine.Snapshot) {
			addExited(s, 0, 0)
			addExited(s, 1, 1)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptEnded{
					Attempt:    100,
					Phase:      "Succeeded",
					ExitCode:   ptr[int32](0),
					PodUID:     "u",
					Node:       "n",
					StartedAt:  at(-60),
					FinishedAt: at(0),
				},
				transition.TaskSucceeded{Task: 10, At: at(0)},
				transition.AttemptEnded{
					Attempt:    101,
					Phase:      "Failed",
					Reason:     "ExitCode",
					Message:    "exit code 1",
					ExitCode:   ptr[int32](1),
					PodUID:     "u",
					Node:       "n",
					StartedAt:  at(-60),
					FinishedAt: at(0),
				},
				transition.TaskFailed{Task: 11, Reason: "RetriesSpent", Message: "ExitCode: exit code 1", At: at(0)},
				transition.TaskSkipped{Task: 12, Message: "parent b failed", At: at(0)},
				transition.RunEnded{Phase: "Failed", Reason: "TaskFailed", Message: "1 task failed", At: at(0)},
			},
			Reap:   []string{"a-1", "b-1"},
			Ended:  []string{"a-1", "b-1"},
			IsLast: true,
		}},
		"a child that is Ready waits for a place": {
			graph:    "a b<a c<a",
			spec:     maxParallel(1),
			snapshot: func(s *engine.Snapshot) { addExited(s, 0, 0) },
			want: engine.Decision{
				Transitions: transitions{
					transition.AttemptEnded{
						Attempt:    100,
						Phase:      "Succeeded",
						ExitCode:   ptr[int32](0),
						PodUID:     "u",
						Node:       "n",
						StartedAt:  at(-60),
						FinishedAt: at(0),
					},
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
			},
		},
		"other branches continue after a failure": {graph: "a b c<a d<b", snapshot: func(s *engine.Snapshot) {
			addExited(s, 0, 1)
			setPhase(s, engine.TaskActive, 1)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptEnded{
					Attempt:    100,
					Phase:      "Failed",
					Reason:     "ExitCode",
					Message:    "exit code 1",
					ExitCode:   ptr[int32](1),
					PodUID:     "u",
					Node:       "n",
					StartedAt:  at(-60),
					FinishedAt: at(0),
				},
				transition.TaskFailed{Task: 10, Reason: "RetriesSpent", Message: "ExitCode: exit code 1", At: at(0)},
				transition.TaskSkipped{Task: 12, Message: "parent a failed", At: at(0)},
			},
			Reap:  []string{"a-1"},
			Ended: []string{"a-1"},
		}},
		"the last task ends the run": {graph: "a b", snapshot: func(s *engine.Snapshot) {
			addExited(s, 0, 0)
			setPhase(s, engine.TaskSucceeded, 1)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptEnded{
					Attempt:    100,
					Phase:      "Succeeded",
					ExitCode:   ptr[int32](0),
					PodUID:     "u",
					Node:       "n",
					StartedAt:  at(-60),
					FinishedAt: at(0),
				},
				transition.TaskSucceeded{Task: 10, At: at(0)},
				transition.RunEnded{Phase: "Succeeded", At: at(0)},
			},
			Reap:   []string{"a-1"},
			Ended:  []string{"a-1"},
			IsLast: true,
		}},
		"the message of the run counts the failures": {graph: "a b c", snapshot: func(s *engine.Snapshot) {
			addExited(s, 0, 0)
			setPhase(s, engine.TaskFailed, 1, 2)
			s.Run.Deadline = at(9)
		}, want: engine.Decision{
			Transitions: transitions{
				transition.AttemptEnded{
					Attempt:    100,
					Phase:      "Succeeded",
					ExitCode:   ptr[int32](0),
					PodUID:     "u",
					Node:       "n",
					StartedAt:  at(-60),
					FinishedAt: at(0),
				},
				transition.TaskSucceeded{Task: 10, At: at(0)},
				transition.RunEnded{Phase: "Failed", Reason: "TaskFailed", Message: "2 tasks failed", At: at(0)},
			},
			Reap:   []string{"a-1"},
			Ended:  []string{"a-1"},
			IsLast: true,
		}},
	})
}

// TestSkip: the descendants of a failed task are skipped as far as the snapshot reaches, then from ChildrenPending on.
func TestSkip(t *testing.T) {
	const chain = "a b<a c<b d<c e<d"
	only := func(n int, s *engine.Snapshot) {
		count(s)
		s.Tasks = s.Tasks[:n]
	}
	runScenes(t, map[string]scene{
		"all descendants in the snapshot are skipped": {
			graph:    chain,
			snapshot: func(s *engine.Snapshot) { addExited(s, 0, 1) },
			want: engine.Decision{
				Transitions: transitions{
					transition.AttemptEnded{
						Attempt:    100,
						Phase:      "Failed",
						Reason:     "ExitCode",
						Message:    "exit code 1",
						ExitCode:   ptr[int32](1),
						PodUID:     "u",
						Node:       "n",
						StartedAt:  at(-60),
						FinishedAt: at(0),
					},
					transition.TaskFailed{
						Task: 10, Reason: "RetriesSpent", Message: "ExitCode: exit code 1", At: at(0),
					},
					transition.TaskSkipped{Task: 11, Message: "parent a failed", At: at(0)},
					transition.TaskSkipped{Task: 12, Message: "parent b was skipped", At: at(0)},
					transition.TaskSkipped{Task: 13, Message: "parent c was skipped", At: at(0)},
					transition.TaskSkipped{Task: 14, Message: "parent d was skipped", At: at(0)},
					transition.RunEnded{Phase: "Failed", Reason: "TaskFailed", Message: "1 task failed", At: at(0)},
				},
				Reap:   []string{"a-1"},
				Ended:  []string{"a-1"},
				IsLast: true,
			},
		},
		"two of four descendants in the snapshot are skipped": {
			graph:    chain,
			snapshot: func(s *engine.Snapshot) { addExited(s, 0, 1); only(3, s) },
			want: engine.Decision{
				Transitions: transitions{
					transition.AttemptEnded{
						Attempt:    100,
						Phase:      "Failed",
						Reason:     "ExitCode",
						Message:    "exit code 1",
						ExitCode:   ptr[int32](1),
						PodUID:     "u",
						Node:       "n",
						StartedAt:  at(-60),
						FinishedAt: at(0),
					},
					transition.TaskFailed{
						Task: 10, Reason: "RetriesSpent", Message: "ExitCode: exit code 1", At: at(0),
					},
					transition.TaskSkipped{Task: 11, Message: "parent a failed", At: at(0)},
					transition.TaskSkipped{Task: 12, Message: "parent b was skipped", ChildrenPending: true, At: at(0)},
				},
				Reap:    []string{"a-1"},
				Ended:   []string{"a-1"},
				Requeue: true,
			},
		},
		"a failed task without its children has ChildrenPending": {
			graph:    chain,
			snapshot: func(s *engine.Snapshot) { addExited(s, 0, 1); only(1, s) },
			want: engine.Decision{
				Transitions: transitions{
					transition.AttemptEnded{
						Attempt:    100,
						Phase:      "Failed",
						Reason:     "ExitCode",
						Message:    "exit code 1",
						ExitCode:   ptr[int32](1),
						PodUID:     "u",
						Node:       "n",
						StartedAt:  at(-60),
						FinishedAt: at(0),
					},
					transition.TaskFailed{
						Task:            10,
						Reason:          "RetriesSpent",
						Message:         "ExitCode: exit code 1",
						ChildrenPending: true,
						At:              at(0),
					},
				},
				Reap:    []string{"a-1"},
				Ended:   []string{"a-1"},
				Requeue: true,
			},
		},
		"skipping continues from ChildrenPending": {graph: chain, snapshot: func(s *engine.Snapshot) {
			setPhase(s, engine.TaskFailed, 0)
			setPhase(s, engine.TaskSkipped, 1)
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
		"skipping continues from a failed task and ends the run": {graph: "a b<a", snapshot: func(s *engine.Snapshot) {
			setPhase(s, engine.TaskFailed, 0)
			s.Tasks[0].ChildrenPending = true
		}, want: engine.Decision{
			Transitions: transitions{
				transition.TaskSkipped{Task: 11, Message: "parent a failed", At: at(0)},
				transition.TaskChildrenSkipped{Task: 10},
				transition.RunEnded{Phase: "Failed", Reason: "TaskFailed", Message: "1 task failed", At: at(0)},
			},
			IsLast: true,
		}},
		"ChildrenPending without Waiting children is cleared": {graph: "a b<a c", snapshot: func(s *engine.Snapshot) {
			setPhase(s, engine.TaskFailed, 0)
			setPhase(s, engine.TaskSkipped, 1)
			s.Tasks[0].ChildrenPending = true
		}, want: engine.Decision{
			Transitions: transitions{
				transition.TaskChildrenSkipped{Task: 10},
			},
			Requeue: true,
		}},
		"a diamond is skipped once": {graph: "a b<a c<a d<b,c",
			snapshot: func(s *engine.Snapshot) { addExited(s, 0, 1) },
			want: engine.Decision{
				Transitions: transitions{
					transition.AttemptEnded{
						Attempt:    100,
						Phase:      "Failed",
						Reason:     "ExitCode",
						Message:    "exit code 1",
						ExitCode:   ptr[int32](1),
						PodUID:     "u",
						Node:       "n",
						StartedAt:  at(-60),
						FinishedAt: at(0),
					},
					transition.TaskFailed{
						Task: 10, Reason: "RetriesSpent", Message: "ExitCode: exit code 1", At: at(0),
					},
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

// TestSnapshotFaults: a snapshot that contradicts itself is an error.
func TestSnapshotFaults(t *testing.T) {
	cases := map[string]struct {
		graph    string
		snapshot func(*engine.Snapshot)
		want     string
	}{
		"an attempt without its task": {
			"a",
			func(s *engine.Snapshot) { addAttempt(s, 0, engine.AttemptRunning); s.Tasks = nil },
			"lacks its task",
		},
		"a succeeded task without its child": {
			"a b<a",
			func(s *engine.Snapshot) { addExited(s, 0, 0); s.Tasks = s.Tasks[:1] },
			"lacks the task at position 1",
		},
		"more succeeded parents than unmet ones": {
			"a b c<a,b",
			func(s *engine.Snapshot) { addExited(s, 0, 0); addExited(s, 1, 0); s.Tasks[2].Unmet = 1 },
			"waits for 1 parents, 2 succeeded",
		},
		"an attempt twice": {
			"a",
			func(s *engine.Snapshot) { addExited(s, 0, 0); s.Attempts = append(s.Attempts, s.Attempts[0]) },
			"which is Succeeded",
		},
		"a live attempt of an ended task": {
			"a",
			func(s *engine.Snapshot) { addExited(s, 0, 0); setPhase(s, engine.TaskFailed, 0) },
			"which is Failed",
		},
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
