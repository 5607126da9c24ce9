package engine_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/dag"
	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/engine"
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
		"the first decision starts the run and what is ready": {graph: "a b", slice: func(s *engine.Snapshot) {
			s.Run.Phase = engine.RunPending
			ready(s, 0, 0, 1)
		}, want: []string{"run started", "active 10", "decided 10 1 a-1", "active 11", "decided 11 1 b-1", "> create 0#1 a-1", "> create 1#1 b-1"}},
		"not yet due": {graph: "a", slice: func(s *engine.Snapshot) { ready(s, 1, 0) }},
		"the number follows the attempts": {graph: "a", slice: func(s *engine.Snapshot) {
			ready(s, 0, 0)
			s.Tasks[0].Attempts = 3
		}, want: []string{"active 10", "decided 10 4 a-4", "> create 0#4 a-4"}},
		"oldest first, then as written": {graph: "a b c", spec: maxParallel(2), slice: func(s *engine.Snapshot) {
			ready(s, 0, 0, 1)
			ready(s, -1, 2)
		}, want: []string{"active 12", "decided 12 1 c-1", "active 10", "decided 10 1 a-1", "held MaxParallel", "> create 2#1 c-1", "> create 0#1 a-1"}},
		"maxParallel counts what is active": {graph: "a b c", spec: maxParallel(2), slice: func(s *engine.Snapshot) {
			is(s, engine.TaskActive, 0)
			ready(s, 0, 1, 2)
		}, want: []string{"active 11", "decided 11 1 b-1", "held MaxParallel", "> create 1#1 b-1"}},
		"maxParallel reached": {graph: "a b", spec: maxParallel(1), slice: func(s *engine.Snapshot) {
			is(s, engine.TaskActive, 0)
			ready(s, 0, 1)
		}, want: []string{"held MaxParallel"}},
		"maxParallel reached, said before": {graph: "a b", spec: maxParallel(1), slice: func(s *engine.Snapshot) {
			is(s, engine.TaskActive, 0)
			ready(s, 0, 1)
			s.Run.Hold = engine.HoldMaxParallel
		}},
		"a place that comes free is taken at once": {graph: "a b", spec: maxParallel(1), slice: func(s *engine.Snapshot) {
			ends(s, 0, 0)
			ready(s, 0, 1)
			s.Run.Hold = engine.HoldMaxParallel
		}, want: []string{"ended 100 Succeeded - 0 u n @-60 @0", "succeeded 10", "active 11", "decided 11 1 b-1", "held -", "> create 1#1 b-1", "> reap a-1", "> ended 1"}},
		"slots": {graph: "a b", slice: func(s *engine.Snapshot) {
			ready(s, 0, 0, 1)
			s.Slots = 1
		}, want: []string{"active 10", "decided 10 1 a-1", "held Throttled", "> create 0#1 a-1"}},
		"no slots, and fewer": {graph: "a", slice: func(s *engine.Snapshot) {
			ready(s, 0, 0)
			s.Slots = -3
		}, want: []string{"held Throttled"}},
		"slots below maxParallel": {graph: "a b c", spec: maxParallel(2), slice: func(s *engine.Snapshot) {
			ready(s, 0, 0, 1, 2)
			s.Slots = 1
		}, want: []string{"active 10", "decided 10 1 a-1", "held Throttled", "> create 0#1 a-1"}},
		"as many as a sync may start, then again": {graph: "a b", slice: func(s *engine.Snapshot) {
			ready(s, 0, 0, 1)
			s.Starts = 1
		}, want: []string{"active 10", "decided 10 1 a-1", "> create 0#1 a-1", "> again"}},
		"again for Ready tasks that the slice has not": {graph: "a b", slice: func(s *engine.Snapshot) {
			ready(s, 0, 0, 1)
			count(s)
			s.Tasks, s.Starts = s.Tasks[:1], 1
		}, want: []string{"active 10", "decided 10 1 a-1", "> create 0#1 a-1", "> again"}},
		"not again when nothing may be started": {graph: "a", slice: func(s *engine.Snapshot) {
			ready(s, 0, 0)
			s.Starts = 0
		}},
		"a namespace that refuses wants no slots": {graph: "a b", slice: func(s *engine.Snapshot) {
			ready(s, 0, 0, 1)
			s.Starts, s.StartsHeld, s.Slots = 0, "QuotaExceeded", 0
		}, want: []string{"held QuotaExceeded"}},
		"a task named twice is started once": {graph: "a", slice: func(s *engine.Snapshot) {
			ready(s, 0, 0)
			count(s)
			s.Tasks = append(s.Tasks, s.Tasks[0])
		}, want: []string{"active 10", "decided 10 1 a-1", "> create 0#1 a-1"}},
		"a hold ends with what was held": {graph: "a", slice: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptRunning)
			s.Run.Hold = engine.HoldThrottled
		}, want: []string{"held -"}},
	})
}

func TestLive(t *testing.T) {
	play(t, map[string]scene{
		"decided: its Pod is created, again after a crash": {graph: "a", slice: func(s *engine.Snapshot) { live(s, 0, engine.AttemptDecided) },
			want: []string{"> create 0#1 a-1"}},
		"decided, a live read finds no Pod": {graph: "a", slice: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptDecided)
			s.Pods["a-1"] = goneFromCluster
		}, want: []string{"> create 0#1 a-1"}},
		"seen: pending": {graph: "a", slice: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptDecided)
			s.Pods["a-1"] = pod(unscheduled)
		}, want: []string{"pending 100 u -", "> wake @5"}},
		"seen: pending, and why": {graph: "a", slice: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptDecided)
			s.Pods["a-1"] = pod(unscheduled, waits("Unschedulable", "0/3 nodes"))
		}, want: []string{"pending 100 u -", "waits 100 Unschedulable 0/3 nodes never"}},
		"seen when it runs": {graph: "a", slice: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptDecided)
			s.Pods["a-1"] = pod()
		}, want: []string{"running 100 u n @-60 never"}},
		"runs, with a timeout": {graph: "a", spec: timeout(99), slice: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptPending)
			s.Pods["a-1"] = pod()
		}, want: []string{"running 100 u n @-60 @99", "> wake @99"}},
		"runs, nothing new": {graph: "a", spec: timeout(99), slice: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptRunning).Due = at(40)
			s.Pods["a-1"] = pod()
		}, want: []string{"> wake @40"}},
		"runs, its Pod says nothing of it any more": {graph: "a", spec: timeout(99), slice: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptRunning).Due = at(40)
			s.Pods["a-1"] = pod(neverStarted, waits("ContainerCreating", ""))
		}, want: []string{"> wake @40"}},
		"a second before the timeout": {graph: "a", spec: timeout(99), now: 39, slice: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptRunning).Due = at(40)
			s.Pods["a-1"] = pod()
		}, want: []string{"> wake @40"}},
		"the timeout": {graph: "a", spec: timeout(99), now: 40, slice: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptRunning).Due = at(40)
			s.Pods["a-1"] = pod()
		}, want: []string{"stopping 100 Timeout it ran longer than timeoutSeconds: 99 @70", "> delete a-1 u", "> wake @70"}},
		"the timeout of one not seen before counts from now": {graph: "a", spec: timeout(99), now: 40, slice: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptDecided)
			s.Pods["a-1"] = pod()
		}, want: []string{"running 100 u n @-60 @139", "> wake @139"}},
		"the timeout of one whose time is in no row": {graph: "a", spec: timeout(99), now: 40, slice: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptRunning)
			s.Pods["a-1"] = pod()
		}, want: []string{"due 100 @139", "> wake @139"}},
		"exit 0 before the timeout was noticed": {graph: "a", spec: timeout(10), now: 40, slice: func(s *engine.Snapshot) { ends(s, 0, 0) },
			want: []string{"ended 100 Succeeded - 0 u n @-60 @0", "succeeded 10", "run ended Succeeded - -", "> reap a-1", "> ended 1", "> run ended"}},
		"deleted by somebody: a look when its node may be lost": {graph: "a", slice: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptRunning)
			s.Pods["a-1"] = pod(deletedAt(0))
		}, want: []string{"due 100 @90", "> wake @90"}},
		"deleted by somebody past its timeout: it ends as it may": {graph: "a", spec: timeout(10), slice: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptRunning)
			s.Pods["a-1"] = pod(deletedAt(0))
		}, want: []string{"due 100 @90", "> wake @90"}},
		"still there, its node Ready: another look": {graph: "a", now: 90, slice: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptRunning).Due = at(90)
			s.Pods["a-1"] = pod(deletedAt(0))
		}, want: []string{"due 100 @150", "> wake @150"}},
		"deleted while pending": {graph: "a", slice: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptPending)
			s.Pods["a-1"] = pod(neverStarted, deletedAt(0))
		}, want: []string{"waits 100 - - @90", "> wake @90"}},
		"stopping: deleted, and again until it is": {graph: "a", slice: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptStopping).Stop = engine.ReasonTimeout
			s.Pods["a-1"] = pod()
		}, want: []string{"due 100 @30", "> delete a-1 u", "> wake @30"}},
		"stopping, on its way": {graph: "a", slice: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptStopping).Stop = engine.ReasonTimeout
			s.Pods["a-1"] = pod(deletedAt(-5))
		}, want: []string{"due 100 @85", "> wake @85"}},
		"stopping, overdue": {graph: "a", now: 200, slice: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptStopping).Stop = engine.ReasonTimeout
			s.Pods["a-1"] = pod(deletedAt(0))
		}, want: []string{"due 100 @260", "> wake @260"}},
		"stopping, nothing known: asked later, not at once": {graph: "a", now: 200, slice: func(s *engine.Snapshot) {
			a := live(s, 0, engine.AttemptStopping)
			a.Stop, a.Due = engine.ReasonTimeout, at(30)
		}, want: []string{"> wake @201"}},
		"nothing known": {graph: "a", slice: func(s *engine.Snapshot) { live(s, 0, engine.AttemptRunning).Due = at(30) }, want: []string{"> wake @30"}},
		"the start is the row's when the Pod is gone": {graph: "a", now: 10, slice: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptRunning)
			s.Pods["a-1"] = goneFromCluster
		}, want: []string{"ended 100 Lost PodDeleted - - - @-60 @10", "backed off 10 BackingOff @11 0 1 restart 1 of 10: PodDeleted: its Pod is gone",
			"> ended 1", "> wake @11"}},
		"created before, nothing known: not again": {graph: "a", slice: func(s *engine.Snapshot) { live(s, 0, engine.AttemptDecided).PodUID = "u" }},
		"created before, gone: not again": {graph: "a", slice: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptDecided).PodUID = "u"
			s.Pods["a-1"] = goneFromCluster
		}, want: []string{"ended 100 Lost PodDeleted - - - never @0", "backed off 10 BackingOff @1 0 1 restart 1 of 10: PodDeleted: its Pod is gone",
			"> ended 1", "> wake @1"}},
	})
}

func waits(reason, message string) func(*engine.Pod) {
	return func(p *engine.Pod) { p.Waits = &engine.Wait{Reason: reason, Message: message} }
}

func cannot(reason, message string) func(*engine.Pod) {
	return func(p *engine.Pod) { p.Waits = &engine.Wait{Reason: reason, Message: message, Fails: true} }
}

// waiting is a pending attempt that has said why since second since, its text at second said.
func waiting(s *engine.Snapshot, reason, message string, since, said int) *engine.Attempt {
	a := live(s, 0, engine.AttemptPending)
	a.Reason, a.Message, a.ReasonAt, a.MessageAt = reason, message, at(since), at(said)
	return a
}

// usual is what every start goes through.
func usual(reason, message string) func(*engine.Pod) {
	return func(p *engine.Pod) { p.Waits = &engine.Wait{Reason: reason, Message: message, Usual: true} }
}

func TestPending(t *testing.T) {
	const pull = "ImagePullBackOff"
	play(t, map[string]scene{
		"a start that is not slow has no reason": {graph: "a", now: 4, slice: func(s *engine.Snapshot) {
			a := live(s, 0, engine.AttemptPending)
			a.Seen, a.Due = at(0), at(5)
			s.Pods["a-1"] = pod(neverStarted, usual("ContainerCreating", "Pulling"))
		}, want: []string{"> wake @5"}},
		"a slow start says what it is at, and looks again": {graph: "a", now: 5, slice: func(s *engine.Snapshot) {
			a := live(s, 0, engine.AttemptPending)
			a.Seen, a.Due = at(0), at(5)
			s.Pods["a-1"] = pod(neverStarted, usual("ContainerCreating", "Pulling"))
		}, want: []string{"waits 100 ContainerCreating Pulling @15", "> wake @15"}},
		"an init container that runs spends no grace": {graph: "a", now: 7200, slice: func(s *engine.Snapshot) {
			waiting(s, "PodInitializing", "init container wait is running", 5, 5).Seen = at(0)
			s.Pods["a-1"] = pod(neverStarted, usual("PodInitializing", "init container wait is running"))
		}, want: []string{"waits 100 PodInitializing init container wait is running @7210", "> wake @7210"}},
		"a failure is told at once": {graph: "a", now: 1, slice: func(s *engine.Snapshot) {
			a := live(s, 0, engine.AttemptPending)
			a.Seen, a.Due = at(0), at(5)
			s.Pods["a-1"] = pod(neverStarted, cannot("FailedMount", "no ConfigMap x"))
		}, want: []string{"waits 100 FailedMount no ConfigMap x @301", "> wake @301"}},
		"nothing new": {graph: "a", slice: func(s *engine.Snapshot) {
			waiting(s, "Unschedulable", "0/3", 0, 0)
			s.Pods["a-1"] = pod(unscheduled, waits("Unschedulable", "0/3"))
		}},
		"another reason": {graph: "a", now: 1, slice: func(s *engine.Snapshot) {
			waiting(s, "Unschedulable", "0/3", 0, 0)
			s.Pods["a-1"] = pod(neverStarted, waits("ContainerCreating", ""))
		}, want: []string{"waits 100 ContainerCreating - never"}},
		"no reason any more": {graph: "a", now: 1, slice: func(s *engine.Snapshot) {
			waiting(s, pull, "x", 0, 0).Due = at(300)
			s.Pods["a-1"] = pod(neverStarted)
		}, want: []string{"waits 100 - - never"}},
		"another text, too soon: later": {graph: "a", now: 9, slice: func(s *engine.Snapshot) {
			waiting(s, "Unschedulable", "0/3", 0, 0)
			s.Pods["a-1"] = pod(unscheduled, waits("Unschedulable", "0/4"))
		}, want: []string{"due 100 @10", "> wake @10"}},
		"yet another, too soon: as decided": {graph: "a", now: 9, slice: func(s *engine.Snapshot) {
			waiting(s, "Unschedulable", "0/3", 0, 0).Due = at(10)
			s.Pods["a-1"] = pod(unscheduled, waits("Unschedulable", "0/5"))
		}, want: []string{"> wake @10"}},
		"another text after ten seconds": {graph: "a", now: 10, slice: func(s *engine.Snapshot) {
			waiting(s, "Unschedulable", "0/3", 0, 0).Due = at(10)
			s.Pods["a-1"] = pod(unscheduled, waits("Unschedulable", "0/4"))
		}, want: []string{"waits 100 Unschedulable 0/4 never"}},
		"back to the text that is stored": {graph: "a", now: 9, slice: func(s *engine.Snapshot) {
			waiting(s, "Unschedulable", "0/3", 0, 0).Due = at(10)
			s.Pods["a-1"] = pod(unscheduled, waits("Unschedulable", "0/3"))
		}, want: []string{"waits 100 Unschedulable 0/3 never"}},
		"cannot start: the grace begins": {graph: "a", slice: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptPending)
			s.Pods["a-1"] = pod(neverStarted, cannot(pull, "no such tag"))
		}, want: []string{"waits 100 ImagePullBackOff no such tag @300", "> wake @300"}},
		"cannot start: within the grace": {graph: "a", now: 299, slice: func(s *engine.Snapshot) {
			waiting(s, pull, "x", 0, 0).Due = at(300)
			s.Pods["a-1"] = pod(neverStarted, cannot(pull, "x"))
		}, want: []string{"> wake @300"}},
		"cannot start: another text does not begin it anew": {graph: "a", now: 295, slice: func(s *engine.Snapshot) {
			waiting(s, pull, "x", 0, 290).Due = at(300)
			s.Pods["a-1"] = pod(neverStarted, cannot(pull, "y"))
		}, want: []string{"> wake @300"}},
		"cannot start: the grace is over": {graph: "a", now: 300, slice: func(s *engine.Snapshot) {
			waiting(s, pull, "x", 0, 0).Due = at(300)
			s.Pods["a-1"] = pod(neverStarted, cannot(pull, "x"))
		}, want: []string{"stopping 100 StartFailed ImagePullBackOff: x @330", "> delete a-1 u", "> wake @330"}},
		"what does not fail has no grace": {graph: "a", now: 100000, slice: func(s *engine.Snapshot) {
			waiting(s, "Unschedulable", "0/3", 0, 0)
			s.Pods["a-1"] = pod(unscheduled, waits("Unschedulable", "0/3"))
		}},
		"never right: at once": {graph: "a", slice: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptDecided)
			s.Pods["a-1"] = pod(neverStarted, cannot("InvalidImageName", "A:B:C"), func(p *engine.Pod) { p.Waits.Never = true })
		}, want: []string{"pending 100 u n", "stopping 100 StartFailed InvalidImageName: A:B:C @30", "> delete a-1 u", "> wake @30"}},
		"the grace is the controller's": {graph: "a", slice: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptPending)
			s.StartGrace = time.Minute
			s.Pods["a-1"] = pod(neverStarted, cannot(pull, "x"))
		}, want: []string{"waits 100 ImagePullBackOff x @60", "> wake @60"}},
		"being deleted already when it is stopped": {graph: "a", now: 300, slice: func(s *engine.Snapshot) {
			waiting(s, pull, "x", 0, 0).Due = at(300)
			s.Pods["a-1"] = pod(neverStarted, cannot(pull, "x"), deletedAt(290))
		}, want: []string{"stopping 100 StartFailed ImagePullBackOff: x @330", "> wake @330"}},
	})
}

func refuse(reason string, never bool) func(*engine.Snapshot) {
	return func(s *engine.Snapshot) {
		live(s, 0, engine.AttemptDecided)
		s.Refusals["a-1"] = engine.Refusal{Reason: reason, Message: "no", Never: never}
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
	startFailed := []string{"ended 100 Failed StartFailed - - - never @300", "failed 10 RetriesSpent StartFailed: no", "run ended Failed TaskFailed 1 task failed", "> ended 1", "> run ended"}
	play(t, map[string]scene{
		"quota: told, and asked again": {graph: "a", slice: refuse("QuotaExceeded", false),
			want: []string{"waits 100 QuotaExceeded no never", "> create 0#1 a-1"}},
		"quota: waits forever": {graph: "a", now: 100000, slice: refusedSince("QuotaExceeded", 0, 0, 0), want: []string{"> create 0#1 a-1"}},
		"quota: asked again":   {graph: "a", now: 60, slice: func(s *engine.Snapshot) { refusedSince("QuotaExceeded", 0, 0, 0)(s); clear(s.Refusals) }, want: []string{"> create 0#1 a-1"}},
		"quota: no slot to ask with": {graph: "a", now: 60, slice: func(s *engine.Snapshot) {
			refusedSince("QuotaExceeded", 0, 0, 0)(s)
			clear(s.Refusals)
			s.Slots = 0
		}, want: []string{"held Throttled"}},
		"quota: blocked, told, and no slot taken": {graph: "a b", slice: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptDecided)
			live(s, 1, engine.AttemptDecided)
			s.Blocked, s.Slots = map[int]engine.Refusal{0: {Reason: "QuotaExceeded", Message: "no"}}, 1
		}, want: []string{"waits 100 QuotaExceeded no never", "> create 1#1 b-1"}},
		"quota: blocked, and no slot missed": {graph: "a", now: 60, slice: func(s *engine.Snapshot) {
			refusedSince("QuotaExceeded", 0, 0, 0)(s)
			clear(s.Refusals)
			s.Blocked, s.Slots = map[int]engine.Refusal{0: {Reason: "QuotaExceeded", Message: "no"}}, 0
		}},
		"quota: refused just now, and blocked": {graph: "a", slice: func(s *engine.Snapshot) {
			refuse("QuotaExceeded", false)(s)
			s.Blocked = map[int]engine.Refusal{0: {Reason: "QuotaExceeded", Message: "no, as another"}}
		}, want: []string{"waits 100 QuotaExceeded no never"}},
		"a policy: blocked for the whole grace": {graph: "a", now: 300, slice: func(s *engine.Snapshot) {
			refusedSince("CreateRefused", 0, 290, 300)(s)
			clear(s.Refusals)
			s.Blocked = map[int]engine.Refusal{0: {Reason: "CreateRefused", Message: "no"}}
		}, want: startFailed},
		"terminating namespace: waits": {graph: "a", slice: refuse("NamespaceTerminating", false),
			want: []string{"waits 100 NamespaceTerminating no never", "> create 0#1 a-1"}},
		"a policy: the start grace begins": {graph: "a", slice: refuse("CreateRefused", false),
			want: []string{"waits 100 CreateRefused no @300", "> create 0#1 a-1", "> wake @300"}},
		"a policy: asked again within the grace": {graph: "a", now: 299, slice: func(s *engine.Snapshot) {
			refusedSince("CreateRefused", 0, 0, 300)(s)
			clear(s.Refusals)
		}, want: []string{"> create 0#1 a-1", "> wake @300"}},
		"a policy: the grace is over, and nobody has asked again": {graph: "a", now: 300, slice: func(s *engine.Snapshot) {
			refusedSince("CreateRefused", 0, 0, 300)(s)
			clear(s.Refusals)
			s.Attempts[0].Message = "no"
		}, want: startFailed},
		"refused again":               {graph: "a", now: 299, slice: refusedSince("CreateRefused", 0, 0, 300), want: []string{"> create 0#1 a-1", "> wake @300"}},
		"refused for the whole grace": {graph: "a", now: 300, slice: refusedSince("CreateRefused", 0, 290, 300), want: startFailed},
		"a quota before does not count": {graph: "a", now: 300, slice: func(s *engine.Snapshot) {
			refusedSince("QuotaExceeded", 0, 0, 0)(s)
			s.Refusals["a-1"] = engine.Refusal{Reason: "CreateRefused", Message: "no"}
		}, want: []string{"waits 100 CreateRefused no @600", "> create 0#1 a-1", "> wake @600"}},
		"never right: at once": {graph: "a", now: 300, slice: refuse("CreateRefused", true), want: startFailed},
		"name taken: at once": {graph: "a", slice: refuse("NameTaken", true), want: []string{"ended 100 Failed NameTaken - - - never @0",
			"failed 10 RetriesSpent NameTaken: no", "run ended Failed TaskFailed 1 task failed", "> ended 1", "> run ended"}},
		"name taken, with retries": {graph: "a", spec: backoff(v1alpha1.Backoff{Limit: new(int64(1))}), slice: refuse("NameTaken", true), want: []string{"ended 100 Failed NameTaken - - - never @0",
			"backed off 10 BackingOff @10 1 0 retry 1 of 1: NameTaken: no", "> ended 1", "> wake @10"}},
		"its children are told later": {graph: "a b<a", slice: func(s *engine.Snapshot) {
			refuse("NameTaken", true)(s)
			count(s)
			s.Tasks = s.Tasks[:1]
		}, want: []string{"ended 100 Failed NameTaken - - - never @0", "failed 10 RetriesSpent NameTaken: no (cascade)", "> ended 1", "> again"}},
		"a Pod that is there after all": {graph: "a", slice: func(s *engine.Snapshot) {
			refuse("CreateRefused", true)(s)
			s.Pods["a-1"] = pod()
		}, want: []string{"running 100 u n @-60 never"}},
		"in a run that stops": {graph: "a", slice: func(s *engine.Snapshot) {
			refuse("CreateRefused", true)(s)
			s.Run.Stop = engine.ReasonUserCancelled
		}},
	})
}

// A run whose version cannot be read is stopped, with a graph of which nothing is known.
func TestUnreadableVersion(t *testing.T) {
	const why = "the version of its DAG cannot be read from the database: bad JSON"
	unreadable := func(s *engine.Snapshot) { s.Graph, s.Unreadable = dag.Blank(s.Graph.Len()), "bad JSON" }
	play(t, map[string]scene{
		"nothing starts, what runs is stopped": {graph: "a b<a c", slice: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptRunning)
			s.Pods["a-1"] = pod()
			ready(s, 0, 2)
			unreadable(s)
		}, want: []string{"run stopping VersionUnreadable", "unstarted cancelled VersionUnreadable " + why, "live stopped VersionUnreadable", "due 100 @30",
			"> delete a-1 u", "> again", "> wake @30"}},
		"a run without attempts fails": {graph: "a b<a", slice: func(s *engine.Snapshot) {
			ready(s, 0, 0)
			unreadable(s)
		}, want: []string{"run stopping VersionUnreadable", "unstarted cancelled VersionUnreadable " + why, "live stopped VersionUnreadable",
			"run ended Failed VersionUnreadable " + why, "> run ended"}},
		"it fails when its last Pod has ended": {graph: "a", slice: func(s *engine.Snapshot) {
			s.Run.Stop = engine.ReasonVersionUnreadable
			a := live(s, 0, engine.AttemptStopping)
			a.Stop = s.Run.Stop
			s.Pods["a-1"] = goneFromCluster
			unreadable(s)
		}, want: []string{"ended 100 Cancelled VersionUnreadable - - - never @0", "cancelled 10 VersionUnreadable " + why, "run ended Failed VersionUnreadable " + why, "> ended 1", "> run ended"}},
		"what succeeds in the same decision counts, its children do not start": {graph: "a b<a", slice: func(s *engine.Snapshot) {
			ends(s, 0, 0)
			unreadable(s)
		}, want: []string{"run stopping VersionUnreadable", "unstarted cancelled VersionUnreadable " + why, "live stopped VersionUnreadable",
			"ended 100 Succeeded - 0 u n @-60 @0", "succeeded 10", "run ended Failed VersionUnreadable " + why,
			"> reap a-1", "> ended 1", "> run ended"}},
		"the last task had succeeded": {graph: "a", slice: func(s *engine.Snapshot) {
			ends(s, 0, 0)
			unreadable(s)
		}, want: []string{"run stopping VersionUnreadable", "unstarted cancelled VersionUnreadable " + why, "live stopped VersionUnreadable",
			"ended 100 Succeeded - 0 u n @-60 @0", "succeeded 10", "run ended Succeeded - -", "> reap a-1", "> ended 1", "> run ended"}},
		"children that were to be skipped are cancelled": {graph: "a b<a", slice: func(s *engine.Snapshot) {
			is(s, engine.TaskFailed, 0)
			s.Tasks[0].Cascade = true
			unreadable(s)
		}, want: []string{"run stopping VersionUnreadable", "unstarted cancelled VersionUnreadable " + why, "live stopped VersionUnreadable",
			"run ended Failed VersionUnreadable " + why, "> run ended"}},
		"cancel comes first": {graph: "a", slice: func(s *engine.Snapshot) {
			ready(s, 0, 0)
			unreadable(s)
			s.CancelRequested = true
		}, want: []string{"run stopping UserCancelled", "unstarted cancelled UserCancelled cancelled by spec.cancel", "live stopped UserCancelled",
			"run ended Cancelled UserCancelled cancelled by spec.cancel", "> run ended"}},
		"so does the deadline": {graph: "a", now: 10, slice: func(s *engine.Snapshot) {
			ready(s, 0, 0)
			unreadable(s)
			s.Run.Deadline = at(10)
		}, want: []string{"run stopping DeadlineExceeded", "unstarted cancelled DeadlineExceeded the run took longer than activeDeadlineSeconds",
			"live stopped DeadlineExceeded", "run ended Failed DeadlineExceeded the run took longer than activeDeadlineSeconds", "> run ended"}},
	})
}

func TestStop(t *testing.T) {
	play(t, map[string]scene{
		"cancel: what has not started, at once": {graph: "a b<a c", slice: func(s *engine.Snapshot) {
			s.CancelRequested = true
			ready(s, 0, 0, 2)
		}, want: []string{"run stopping UserCancelled", "unstarted cancelled UserCancelled cancelled by spec.cancel", "live stopped UserCancelled",
			"run ended Cancelled UserCancelled cancelled by spec.cancel", "> run ended"}},
		"deleted": {graph: "a", slice: func(s *engine.Snapshot) {
			s.DagRunDeleted, s.CancelRequested = true, true
			ready(s, 0, 0)
		}, want: []string{"run stopping Deleted", "unstarted cancelled Deleted its DagRun was deleted", "live stopped Deleted",
			"run ended Cancelled Deleted its DagRun was deleted", "> run ended"}},
		"before it began": {graph: "a", slice: func(s *engine.Snapshot) {
			s.CancelRequested, s.Run.Phase = true, engine.RunPending
			ready(s, 0, 0)
		}, want: []string{"run started", "run stopping UserCancelled", "unstarted cancelled UserCancelled cancelled by spec.cancel", "live stopped UserCancelled",
			"run ended Cancelled UserCancelled cancelled by spec.cancel", "> run ended"}},
		"unstarted beyond the slice": {graph: "a b c", slice: func(s *engine.Snapshot) {
			s.CancelRequested = true
			live(s, 0, engine.AttemptRunning)
			ready(s, 0, 1)
			count(s)
			s.Tasks, s.Attempts = nil, nil
		}, want: []string{"run stopping UserCancelled", "unstarted cancelled UserCancelled cancelled by spec.cancel", "live stopped UserCancelled",
			"> again"}},
		"a deadline ahead": {graph: "a", now: 9, slice: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptRunning)
			s.Run.Deadline = at(10)
		}, want: []string{"> wake @10"}},
		"a deadline": {graph: "a b<a", now: 10, slice: func(s *engine.Snapshot) {
			live(s, 0, engine.AttemptRunning)
			s.Pods["a-1"] = pod()
			s.Run.Deadline = at(10)
		}, want: []string{"run stopping DeadlineExceeded", "unstarted cancelled DeadlineExceeded the run took longer than activeDeadlineSeconds",
			"live stopped DeadlineExceeded", "due 100 @40", "> delete a-1 u", "> again", "> wake @40"}},
		"what ends in the same decision ends as it did": {graph: "a b<a", slice: func(s *engine.Snapshot) {
			s.CancelRequested = true
			ends(s, 0, 0)
		}, want: []string{"run stopping UserCancelled", "unstarted cancelled UserCancelled cancelled by spec.cancel", "live stopped UserCancelled",
			"ended 100 Succeeded - 0 u n @-60 @0", "succeeded 10", "run ended Cancelled UserCancelled cancelled by spec.cancel", "> reap a-1", "> ended 1", "> run ended"}},
		"all had succeeded": {graph: "a", slice: func(s *engine.Snapshot) {
			s.CancelRequested = true
			ends(s, 0, 0)
		}, want: []string{"run stopping UserCancelled", "unstarted cancelled UserCancelled cancelled by spec.cancel", "live stopped UserCancelled",
			"ended 100 Succeeded - 0 u n @-60 @0", "succeeded 10", "run ended Succeeded - -", "> reap a-1", "> ended 1", "> run ended"}},
		"no retry of what failed": {graph: "a", spec: backoff(v1alpha1.Backoff{Limit: new(int64(3))}), slice: func(s *engine.Snapshot) {
			s.CancelRequested = true
			ends(s, 0, 1)
		}, want: []string{"run stopping UserCancelled", "unstarted cancelled UserCancelled cancelled by spec.cancel", "live stopped UserCancelled",
			"ended 100 Failed ExitCode 1 u n @-60 @0", "cancelled 10 UserCancelled cancelled by spec.cancel", "run ended Cancelled UserCancelled cancelled by spec.cancel", "> reap a-1", "> ended 1", "> run ended"}},
		"no restart of what is lost": {graph: "a", slice: func(s *engine.Snapshot) {
			s.Run.Stop = engine.ReasonDeadlineExceeded
			live(s, 0, engine.AttemptRunning)
			s.Pods["a-1"] = goneFromCluster
		}, want: []string{"ended 100 Lost PodDeleted - - - @-60 @0", "cancelled 10 DeadlineExceeded the run took longer than activeDeadlineSeconds", "run ended Failed DeadlineExceeded the run took longer than activeDeadlineSeconds", "> ended 1", "> run ended"}},
		"said once": {graph: "a b", slice: func(s *engine.Snapshot) {
			s.CancelRequested, s.DagRunDeleted, s.Run.Stop, s.Run.Deadline = true, true, engine.ReasonUserCancelled, at(-1)
			live(s, 0, engine.AttemptRunning)
			is(s, engine.TaskCancelled, 1)
		}},
		"decided, no Pod known: it is not born": {graph: "a", slice: func(s *engine.Snapshot) {
			s.CancelRequested = true
			live(s, 0, engine.AttemptDecided)
		}, want: []string{"run stopping UserCancelled", "unstarted cancelled UserCancelled cancelled by spec.cancel", "live stopped UserCancelled", "> again"}},
		"stopping, never born: cancelled": {graph: "a", slice: func(s *engine.Snapshot) {
			s.Run.Stop = engine.ReasonUserCancelled
			a := live(s, 0, engine.AttemptStopping)
			a.Stop, a.PodUID, a.Due = engine.ReasonUserCancelled, "", at(0)
			s.Pods["a-1"] = goneFromCluster
		}, want: []string{"ended 100 Cancelled UserCancelled - - - never @0", "cancelled 10 UserCancelled cancelled by spec.cancel", "run ended Cancelled UserCancelled cancelled by spec.cancel", "> ended 1", "> run ended"}},
		"stopping, its Pod appeared after all": {graph: "a", slice: func(s *engine.Snapshot) {
			s.Run.Stop = engine.ReasonUserCancelled
			a := live(s, 0, engine.AttemptStopping)
			a.Stop, a.PodUID, a.Due = engine.ReasonUserCancelled, "", at(0)
			s.Pods["a-1"] = pod(neverStarted)
		}, want: []string{"due 100 @30", "> delete a-1 u", "> wake @30"}},
		"no child of a stopped run starts": {graph: "a b<a", slice: func(s *engine.Snapshot) {
			s.Run.Stop = engine.ReasonUserCancelled
			ends(s, 0, 0)
			is(s, engine.TaskCancelled, 1)
		}, want: []string{"ended 100 Succeeded - 0 u n @-60 @0", "succeeded 10", "run ended Cancelled UserCancelled cancelled by spec.cancel", "> reap a-1", "> ended 1", "> run ended"}},
		"failed before, stopped with nothing left to cancel": {graph: "a b", slice: func(s *engine.Snapshot) {
			s.CancelRequested = true
			is(s, engine.TaskFailed, 0)
			ends(s, 1, 0)
		}, want: []string{"run stopping UserCancelled", "unstarted cancelled UserCancelled cancelled by spec.cancel", "live stopped UserCancelled",
			"ended 101 Succeeded - 0 u n @-60 @0", "succeeded 11", "run ended Failed TaskFailed 1 task failed", "> reap b-1", "> ended 1", "> run ended"}},
		"a cascade ends with the stop": {graph: "a b<a c", slice: func(s *engine.Snapshot) {
			s.Run.Stop = engine.ReasonUserCancelled
			is(s, engine.TaskFailed, 0)
			s.Tasks[0].Cascade = true
			is(s, engine.TaskCancelled, 1)
			live(s, 2, engine.AttemptRunning)
		}},
		"the hold ends with the stop": {graph: "a b", spec: maxParallel(1), slice: func(s *engine.Snapshot) {
			s.CancelRequested, s.Run.Hold = true, engine.HoldMaxParallel
			is(s, engine.TaskActive, 0)
			ready(s, 0, 1)
		}, want: []string{"run stopping UserCancelled", "unstarted cancelled UserCancelled cancelled by spec.cancel", "live stopped UserCancelled", "held -",
			"> again"}},
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
		want    string
	}{
		"no retries":              {nil, 0, pod(ended(exit(1))), "failed 10 RetriesSpent ExitCode: exit code 1"},
		"the first":               {backoff(v1alpha1.Backoff{Limit: new(int64(2))}), 0, pod(ended(exit(1))), "backed off 10 BackingOff @10 1 4 retry 1 of 2: ExitCode: exit code 1"},
		"the second, twice later": {backoff(v1alpha1.Backoff{Limit: new(int64(2))}), 1, pod(ended(exit(1))), "backed off 10 BackingOff @20 2 4 retry 2 of 2: ExitCode: exit code 1"},
		"spent":                   {backoff(v1alpha1.Backoff{Limit: new(int64(2))}), 2, pod(ended(exit(1))), "failed 10 RetriesSpent failed 3 times; the last: ExitCode: exit code 1"},
		"its own policy":          {slow, 2, pod(ended(exit(1))), "backed off 10 BackingOff @9 3 4 retry 3 of 9: ExitCode: exit code 1"},
		"its own bound":           {slow, 5, pod(ended(exit(1))), "backed off 10 BackingOff @20 6 4 retry 6 of 9: ExitCode: exit code 1"},
		"a code worth a retry":    {conditional(1, 3, 4), 0, pod(ended(exit(4))), "backed off 10 BackingOff @10 1 4 retry 1 of 1: ExitCode: exit code 4"},
		"a code not worth one":    {conditional(1, 3, 4), 0, pod(ended(exit(5))), "failed 10 NotRetryable ExitCode: exit code 5; not among conditional.retryCodes"},
		"137 of the kernel":       {conditional(1, 137), 0, pod(ended(exitBecause(137, "OOMKilled", ""))), "backed off 10 BackingOff @10 1 4 retry 1 of 1: OOMKilled: exit code 137: out of memory"},
		"no code, conditional":    {conditional(1, 137), 0, pod(initFailed), "failed 10 NotRetryable StartFailed: an init container failed: exit code 3 no such table; not among conditional.retryCodes"},
		"no code":                 {backoff(v1alpha1.Backoff{Limit: new(int64(1))}), 0, pod(initFailed), "backed off 10 BackingOff @10 1 4 retry 1 of 1: StartFailed: an init container failed: exit code 3 no such table"},
		"lost is another budget":  {nil, 0, pod(ended(exit(1)), disrupted), "backed off 10 BackingOff @16 0 5 restart 5 of 10: Disrupted: its Pod was disrupted (drain, preemption or taint)"},
		"conditional lost":        {conditional(1, 3), 0, goneFromCluster, "backed off 10 BackingOff @16 0 5 restart 5 of 10: PodDeleted: its Pod is gone"},
		"ten minutes of running give the other budget back": {backoff(v1alpha1.Backoff{Limit: new(int64(2))}), 0,
			pod(ended(&engine.Termination{ExitCode: 1, Started: at(-600), Finished: at(0)})), "backed off 10 BackingOff @10 1 0 retry 1 of 2: ExitCode: exit code 1"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := newSlice(compile(t, "a", c.spec))
			s.Pods[live(s, 0, engine.AttemptRunning).PodName] = c.pod
			s.Tasks[0].Retries, s.Tasks[0].Restarts = c.retries, 4
			count(s)
			ledger, _, err := decide(*s, at(0))
			if err != nil {
				t.Fatal(err)
			}
			if len(ledger.lines) < 2 || ledger.lines[1] != c.want {
				t.Errorf("want %q in %q", c.want, ledger.lines)
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
		"retried": {graph: "a", slice: stop, spec: func(s *v1alpha1.DAGSpec) {
			s.Task[0].Backoff = &v1alpha1.Backoff{Limit: new(int64(1))}
			s.Task[0].Conditional = &v1alpha1.Conditional{Enabled: new(true), RetryCodes: []int64{137}}
		}, want: []string{"ended 100 Failed Timeout 137 u n @-60 @0", "backed off 10 BackingOff @10 1 0 retry 1 of 1: Timeout: too long",
			"> reap a-1", "> ended 1", "> wake @10"}},
		"not retried": {graph: "a", slice: stop, want: []string{"ended 100 Failed Timeout 137 u n @-60 @0", "failed 10 RetriesSpent Timeout: too long",
			"run ended Failed TaskFailed 1 task failed", "> reap a-1", "> ended 1", "> run ended"}},
	})
}

// A timeout runs out when it does, whatever the clock of the node says: never early, and as late as the Pod was seen.
func TestTimeoutOfSkewedClocks(t *testing.T) {
	for _, skew := range []int{-600, -300, 0, 300, 600} {
		t.Run(fmt.Sprintf("the node's clock is %d seconds ahead", skew), func(t *testing.T) {
			s := newSlice(compile(t, "a", timeout(300)))
			a := live(s, 0, engine.AttemptPending)
			a.Seen = at(0)
			count(s)
			s.Pods["a-1"] = pod(func(p *engine.Pod) { p.Started = at(skew) })
			ledger, next, err := decide(*s, at(1))
			if err != nil {
				t.Fatal(err)
			}
			if !next.Wake.Equal(at(301)) || len(next.Delete) > 0 {
				t.Fatalf("first seen running: wake %v, deletes %v; %q", next.Wake.Sub(t0), next.Delete, ledger.lines)
			}
			a.Phase, a.Started, a.Due = engine.AttemptRunning, at(skew), at(301)
			for second, stops := range map[int]bool{2: false, 300: false, 301: true, 900: true} {
				_, next, err := decide(*s, at(second))
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
	delays := []int{1, 2, 4, 8, 16, 32, 64, 128, 256, 300}
	skew := time.Duration(0) // by which the node's clock is behind
	lose := func(restarts int, ran time.Duration) []string {
		s := newSlice(compile(t, "a", nil))
		a := live(s, 0, engine.AttemptRunning)
		a.Started, a.Seen = at(0).Add(-ran-skew), at(0).Add(-ran)
		s.Pods["a-1"] = goneFromCluster
		s.Tasks[0].Restarts, s.Tasks[0].Retries = restarts, 0
		count(s)
		ledger, _, err := decide(*s, at(0))
		if err != nil {
			t.Fatal(err)
		}
		return ledger.lines
	}
	for restarts, delay := range delays {
		want := fmt.Sprintf("backed off 10 BackingOff @%d 0 %d restart %d of 10: PodDeleted: its Pod is gone", delay, restarts+1, restarts+1)
		if got := lose(restarts, time.Minute); got[1] != want {
			t.Errorf("restart %d: want %q, got %q", restarts+1, want, got[1])
		}
	}
	want := "failed 10 InfrastructureRetriesSpent restarted 10 times after infrastructure failures; the last: PodDeleted: its Pod is gone"
	for _, skew = range []time.Duration{0, 10 * time.Minute, -10 * time.Minute} {
		want = "failed 10 InfrastructureRetriesSpent restarted 10 times after infrastructure failures; the last: PodDeleted: its Pod is gone"
		for _, ran := range []time.Duration{time.Minute, 10*time.Minute - time.Microsecond} {
			if got := lose(10, ran); got[1] != want {
				t.Errorf("after %v, clocks %v apart: want %q, got %q", ran, skew, want, got[1])
			}
		}
		want = "backed off 10 BackingOff @1 0 1 restart 1 of 10: PodDeleted: its Pod is gone"
		if got := lose(10, 10*time.Minute); got[1] != want {
			t.Errorf("after ten minutes, clocks %v apart: want %q, got %q", skew, want, got[1])
		}
	}
}

func TestChildren(t *testing.T) {
	done := "ended 100 Succeeded - 0 u n @-60 @0"
	play(t, map[string]scene{
		"the last parent succeeded": {graph: "a b c<a,b", slice: func(s *engine.Snapshot) {
			ends(s, 0, 0)
			is(s, engine.TaskSucceeded, 1)
			s.Tasks[2].Unmet = 1
		}, want: []string{done, "succeeded 10", "ready 12", "active 12", "decided 12 1 c-1", "> create 2#1 c-1", "> reap a-1", "> ended 1"}},
		"one parent of two": {graph: "a b c<a,b", slice: func(s *engine.Snapshot) {
			ends(s, 0, 0)
			is(s, engine.TaskActive, 1)
		}, want: []string{done, "succeeded 10", "unblocked 12 1", "> reap a-1", "> ended 1"}},
		"both parents at once": {graph: "a b c<a,b", slice: func(s *engine.Snapshot) {
			ends(s, 0, 0)
			ends(s, 1, 0)
		}, want: []string{done, "succeeded 10", "ended 101 Succeeded - 0 u n @-60 @0", "succeeded 11", "ready 12", "active 12", "decided 12 1 c-1",
			"> create 2#1 c-1", "> reap a-1", "> reap b-1", "> ended 2"}},
		"one succeeds, one fails, at once": {graph: "a b c<a,b", slice: func(s *engine.Snapshot) {
			ends(s, 0, 0)
			ends(s, 1, 1)
		}, want: []string{done, "succeeded 10", "ended 101 Failed ExitCode 1 u n @-60 @0", "failed 11 RetriesSpent ExitCode: exit code 1",
			"skipped 12 needs b, failed", "run ended Failed TaskFailed 1 task failed",
			"> reap a-1", "> reap b-1", "> ended 2", "> run ended"}},
		"ready, but no room": {graph: "a b<a c<a", spec: maxParallel(1), slice: func(s *engine.Snapshot) { ends(s, 0, 0) },
			want: []string{done, "succeeded 10", "ready 11", "ready 12", "active 11", "decided 11 1 b-1", "held MaxParallel", "> create 1#1 b-1", "> reap a-1", "> ended 1"}},
		"other branches go on": {graph: "a b c<a d<b", slice: func(s *engine.Snapshot) {
			ends(s, 0, 1)
			is(s, engine.TaskActive, 1)
		}, want: []string{"ended 100 Failed ExitCode 1 u n @-60 @0", "failed 10 RetriesSpent ExitCode: exit code 1", "skipped 12 needs a, failed",
			"> reap a-1", "> ended 1"}},
		"the last one ends the run": {graph: "a b", slice: func(s *engine.Snapshot) {
			ends(s, 0, 0)
			is(s, engine.TaskSucceeded, 1)
		}, want: []string{done, "succeeded 10", "run ended Succeeded - -", "> reap a-1", "> ended 1", "> run ended"}},
		"failures are counted": {graph: "a b c", slice: func(s *engine.Snapshot) {
			ends(s, 0, 0)
			is(s, engine.TaskFailed, 1, 2)
			s.Run.Deadline = at(9)
		}, want: []string{done, "succeeded 10", "run ended Failed TaskFailed 2 tasks failed", "> reap a-1", "> ended 1", "> run ended"}},
	})
}

// TestCascade skips what comes after a failure, as far as the slice reaches and then from its Cascade flags.
func TestCascade(t *testing.T) {
	const chain = "a b<a c<b d<c e<d"
	failed := []string{"ended 100 Failed ExitCode 1 u n @-60 @0"}
	last := []string{"> reap a-1", "> ended 1"}
	only := func(n int, s *engine.Snapshot) {
		count(s)
		s.Tasks = s.Tasks[:n]
	}
	play(t, map[string]scene{
		"all of it in one": {graph: chain, slice: func(s *engine.Snapshot) { ends(s, 0, 1) },
			want: append(append(append([]string{}, failed...), "failed 10 RetriesSpent ExitCode: exit code 1", "skipped 11 needs a, failed",
				"skipped 12 needs b, skipped", "skipped 13 needs c, skipped", "skipped 14 needs d, skipped", "run ended Failed TaskFailed 1 task failed"), append(last, "> run ended")...)},
		"two levels in the slice": {graph: chain, slice: func(s *engine.Snapshot) { ends(s, 0, 1); only(3, s) },
			want: append(append(append([]string{}, failed...), "failed 10 RetriesSpent ExitCode: exit code 1", "skipped 11 needs a, failed",
				"skipped 12 needs b, skipped (cascade)"), append(last, "> again")...)},
		"none": {graph: chain, slice: func(s *engine.Snapshot) { ends(s, 0, 1); only(1, s) },
			want: append(append(append([]string{}, failed...), "failed 10 RetriesSpent ExitCode: exit code 1 (cascade)"), append(last, "> again")...)},
		"goes on from a flag": {graph: chain, slice: func(s *engine.Snapshot) {
			is(s, engine.TaskFailed, 0)
			is(s, engine.TaskSkipped, 1)
			s.Tasks[1].Cascade = true
			count(s)
			s.Tasks = s.Tasks[1:3]
		}, want: []string{"skipped 12 needs b, skipped (cascade)", "cascaded 11", "> again"}},
		"goes on from a failed task, and ends the run": {graph: "a b<a", slice: func(s *engine.Snapshot) {
			is(s, engine.TaskFailed, 0)
			s.Tasks[0].Cascade = true
		}, want: []string{"skipped 11 needs a, failed", "cascaded 10", "run ended Failed TaskFailed 1 task failed", "> run ended"}},
		"its children knew: again, there may be more flags": {graph: "a b<a c", slice: func(s *engine.Snapshot) {
			is(s, engine.TaskFailed, 0)
			is(s, engine.TaskSkipped, 1)
			s.Tasks[0].Cascade = true
		}, want: []string{"cascaded 10", "> again"}},
		"a diamond is skipped once": {graph: "a b<a c<a d<b,c", slice: func(s *engine.Snapshot) { ends(s, 0, 1) },
			want: append(append(append([]string{}, failed...), "failed 10 RetriesSpent ExitCode: exit code 1", "skipped 11 needs a, failed",
				"skipped 12 needs a, failed", "skipped 13 needs b, skipped", "run ended Failed TaskFailed 1 task failed"), append(last, "> run ended")...)},
	})
}

// TestSliceFaults: a slice that contradicts itself is an error, never a guess.
func TestSliceFaults(t *testing.T) {
	cases := map[string]struct {
		graph string
		slice func(*engine.Snapshot)
		want  string
	}{
		"an attempt without its task":     {"a", func(s *engine.Snapshot) { live(s, 0, engine.AttemptRunning); s.Tasks = nil }, "lacks its task"},
		"a child of one that succeeded":   {"a b<a", func(s *engine.Snapshot) { ends(s, 0, 0); s.Tasks = s.Tasks[:1] }, "lacks the task at position 1"},
		"more parents than it waits for":  {"a b c<a,b", func(s *engine.Snapshot) { ends(s, 0, 0); ends(s, 1, 0); s.Tasks[2].Unmet = 1 }, "waits for 1 parents, 2 succeeded"},
		"an attempt twice":                {"a", func(s *engine.Snapshot) { ends(s, 0, 0); s.Attempts = append(s.Attempts, s.Attempts[0]) }, "which is Succeeded"},
		"a live attempt of an ended task": {"a", func(s *engine.Snapshot) { ends(s, 0, 0); is(s, engine.TaskFailed, 0) }, "which is Failed"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := newSlice(compile(t, c.graph, nil))
			c.slice(s)
			count(s)
			if _, _, err := decide(*s, at(0)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("want an error with %q, got %v", c.want, err)
			}
		})
	}
}
