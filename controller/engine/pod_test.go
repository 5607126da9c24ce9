package engine_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kontroler/controller/engine"
)

// t0 is the time of these tests; at counts seconds from it.
var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(seconds int) time.Time { return t0.Add(time.Duration(seconds) * time.Second) }

// seen is a running attempt whose Pod the controller has seen.
var seen = engine.Attempt{ID: 1, Number: 1, Phase: engine.AttemptRunning, PodName: "p", PodUID: "u", Started: at(-60)}

// exit returns the termination of a container at second 0.
func exit(code int32) *engine.Termination {
	reason := "Error"
	if code == 0 {
		reason = "Completed"
	}
	return &engine.Termination{ExitCode: code, Reason: reason, Started: at(-60), Finished: at(0)}
}

func exitBecause(code int32, reason, message string) *engine.Termination {
	t := exit(code)
	t.Reason, t.Message = reason, message
	return t
}

// stoppedBy returns an attempt whose stop is committed.
func stoppedBy(stop string) engine.Attempt {
	a := seen
	a.Phase, a.Stop, a.Message = engine.AttemptStopping, stop, "the message of the stop"
	return a
}

// pod returns the facts of a running Pod with changes.
func pod(changes ...func(*engine.Pod)) *engine.Pod {
	p := &engine.Pod{UID: "u", Node: "n", Phase: "Running", Started: at(-60)}
	for _, change := range changes {
		change(p)
	}
	return p
}

func ended(t *engine.Termination) func(*engine.Pod) {
	return func(p *engine.Pod) {
		p.Terminated, p.Phase = t, "Failed"
		if t.ExitCode == 0 {
			p.Phase = "Succeeded"
		}
	}
}

// deletedAt deletes the Pod at a second, with a grace period of 30 s.
func deletedAt(asked int) func(*engine.Pod) {
	return func(p *engine.Pod) { p.DeletionAsked, p.Deletion = at(asked), at(asked+30) }
}

func disrupted(p *engine.Pod) { p.Disrupted = true }

func podFailed(reason string) func(*engine.Pod) {
	return func(p *engine.Pod) { p.Phase, p.Reason = "Failed", reason }
}

func withReason(reason string) func(*engine.Pod) { return func(p *engine.Pod) { p.Reason = reason } }

func neverStarted(p *engine.Pod) { p.Started, p.Phase = time.Time{}, "Pending" }

func unscheduled(p *engine.Pod) { neverStarted(p); p.Node = "" }

func onLostNode(p *engine.Pod) { p.NodeLost = true }

func initFailed(p *engine.Pod) {
	p.Started, p.InitFailed, p.Phase = time.Time{}, &engine.Termination{ExitCode: 3, Message: "no such table"}, "Failed"
}

func withMessage(message string) func(*engine.Pod) {
	return func(p *engine.Pod) { p.Message = message }
}

var goneFromCluster = &engine.Pod{Gone: true}

// TestFindEnd checks each rule alone and against the rules after it. The names begin with the numbers of the rules.
// want is "phase reason code", or "live" for an attempt that has not ended.
func TestFindEnd(t *testing.T) {
	decided := engine.Attempt{ID: 1, Number: 1, Phase: engine.AttemptDecided, PodName: "p"}
	stoppedWithoutPod := decided
	stoppedWithoutPod.Phase, stoppedWithoutPod.Stop = engine.AttemptStopping, engine.ReasonUserCancelled
	cases := map[string]struct {
		attempt engine.Attempt
		pod     *engine.Pod
		now     int
		want    string
	}{
		"a Pod without facts":                 {seen, nil, 0, "live"},
		"a stopping attempt without facts":    {stoppedBy(engine.ReasonTimeout), nil, 0, "live"},
		"pending":                             {seen, pod(neverStarted), 0, "live"},
		"running":                             {seen, pod(), 0, "live"},
		"running, being deleted":              {seen, pod(deletedAt(-5)), 0, "live"},
		"running, disrupted":                  {seen, pod(disrupted), 0, "live"},
		"scheduled, deleted, has not started": {seen, pod(neverStarted, deletedAt(-5)), 0, "live"},
		"being stopped, still running": {
			stoppedBy(engine.ReasonUserCancelled), pod(deletedAt(-5)), 0, "live",
		},
		"decided, no such Pod":                    {decided, goneFromCluster, 0, "live"},
		"init container failed, Pod not yet over": {seen, pod(initFailed, neverStarted), 0, "live"},

		"1 timeout": {
			stoppedBy(engine.ReasonTimeout),
			pod(ended(exit(137)), deletedAt(-5)),
			0,
			"Failed Timeout 137",
		},
		"1 timeout, no code": {stoppedBy(engine.ReasonTimeout), goneFromCluster, 0, "Failed Timeout"},
		"1 start failed":     {stoppedBy(engine.ReasonStartFailed), goneFromCluster, 0, "Failed StartFailed"},
		"1 start failed, never scheduled": {
			stoppedBy(engine.ReasonStartFailed),
			pod(unscheduled, deletedAt(0)),
			0,
			"Failed StartFailed",
		},
		"1 user cancelled": {
			stoppedBy(engine.ReasonUserCancelled),
			pod(ended(exit(143)), deletedAt(-5)),
			0,
			"Cancelled UserCancelled 143",
		},
		"1 deleted": {stoppedBy(engine.ReasonDeleted), goneFromCluster, 0, "Cancelled Deleted"},
		"1 run deadline": {
			stoppedBy(engine.ReasonDeadlineExceeded),
			goneFromCluster,
			0,
			"Cancelled DeadlineExceeded",
		},
		"1 stopped before it had a Pod":  {stoppedWithoutPod, goneFromCluster, 0, "Cancelled UserCancelled"},
		"1 over 2: timeout, then exit 0": {stoppedBy(engine.ReasonTimeout), pod(ended(exit(0))), 0, "Failed Timeout 0"},
		"1 over 2: cancelled, then exit 0": {
			stoppedBy(engine.ReasonUserCancelled),
			pod(ended(exit(0))),
			0,
			"Cancelled UserCancelled 0",
		},
		"1 over 3: timeout, disrupted": {
			stoppedBy(engine.ReasonTimeout),
			pod(ended(exit(137)), disrupted),
			0,
			"Failed Timeout 137",
		},
		"1 over 3: cancelled, node lost": {
			stoppedBy(engine.ReasonUserCancelled),
			pod(deletedAt(0), onLostNode),
			90,
			"Cancelled UserCancelled",
		},
		"1 over 4: cancelled, out of memory": {stoppedBy(engine.ReasonUserCancelled),
			pod(ended(exitBecause(137, "OOMKilled", ""))), 0, "Cancelled UserCancelled 137"},
		"1 over 5: cancelled, Pod deadline": {
			stoppedBy(engine.ReasonUserCancelled),
			pod(podFailed("DeadlineExceeded")),
			0,
			"Cancelled UserCancelled",
		},
		"1 over 6: start failed, gone": {stoppedBy(engine.ReasonStartFailed), goneFromCluster, 0, "Failed StartFailed"},

		"2 exit 0": {seen, pod(ended(exit(0))), 0, "Succeeded 0"},
		"2 exit 0 beside a running sidecar": {
			seen,
			pod(func(p *engine.Pod) { p.Terminated = exit(0) }),
			0,
			"Succeeded 0",
		},
		"2 over 3: deletion asked before": {seen, pod(ended(exit(0)), deletedAt(-20)), 0, "Succeeded 0"},
		"2 over 3: disrupted":             {seen, pod(ended(exit(0)), disrupted), 0, "Succeeded 0"},
		"2 over 3: evicted": {
			seen,
			pod(ended(exit(0)), disrupted, withReason("Evicted")),
			0,
			"Succeeded 0",
		},
		"2 over 3: node lost after": {
			seen,
			pod(ended(exit(0)), deletedAt(0), onLostNode),
			90,
			"Succeeded 0",
		},
		"2 over 4: storage limit": {seen, pod(ended(exit(0)), withReason("Evicted")), 0, "Succeeded 0"},
		"2 over 5: Pod failed, the task did not": {
			seen,
			pod(ended(exit(0)), podFailed("DeadlineExceeded")),
			0,
			"Succeeded 0",
		},
		"2 exit 0, first seen at its end": {decided, pod(ended(exit(0))), 0, "Succeeded 0"},
		"3 disrupted":                     {seen, pod(ended(exit(143)), disrupted), 0, "Lost Disrupted 143"},
		"3 evicted by its node": {
			seen,
			pod(ended(exit(137)), disrupted, withReason("Evicted")),
			0,
			"Lost Evicted 137",
		},
		"3 evicted before it ran": {
			seen,
			pod(neverStarted, disrupted, podFailed("Evicted")),
			0,
			"Lost Evicted",
		},
		"3 deleted before it ended": {
			seen,
			pod(ended(exit(143)), deletedAt(-30)),
			0,
			"Lost PodDeleted 143",
		},
		"3 deleted in the second it ended": {seen, pod(ended(exit(1)), deletedAt(0)), 0, "Lost PodDeleted 1"},
		"3 deleted a second after its end": {seen, pod(ended(exit(1)), deletedAt(1)), 0, "Failed ExitCode 1"},
		"3 deleted, end unknown": {
			seen,
			pod(ended(&engine.Termination{ExitCode: 137}), deletedAt(1)),
			5,
			"Lost PodDeleted 137",
		},
		"3 deleted before it was scheduled":         {seen, pod(unscheduled, deletedAt(0)), 0, "Lost PodDeleted"},
		"3 deleted before it was scheduled, unseen": {decided, pod(unscheduled, deletedAt(0)), 0, "Lost PodDeleted"},
		"3 deleted before it was scheduled, disrupted": {
			seen,
			pod(unscheduled, deletedAt(0), disrupted),
			0,
			"Lost Disrupted",
		},
		"3 node lost": {seen, pod(deletedAt(0), onLostNode), 90, "Lost NodeLost"},
		"3 node lost, a second before the minute": {seen, pod(deletedAt(0), onLostNode), 89, "live"},
		"3 node lost, not deleted":                {seen, pod(onLostNode), 1000, "live"},
		"3 node Ready, long past its deletion":    {seen, pod(deletedAt(0)), 1000, "live"},
		"3 node lost, never started": {
			seen,
			pod(neverStarted, deletedAt(0), onLostNode),
			90,
			"Lost NodeLost",
		},
		"3 node lost, disrupted": {seen, pod(disrupted, deletedAt(0), onLostNode), 90, "Lost NodeLost"},
		"3 over 4: disrupted, out of memory": {
			seen,
			pod(ended(exitBecause(137, "OOMKilled", "")), disrupted),
			0,
			"Lost Disrupted 137",
		},
		"3 over 4: deleted, Pod deadline": {
			seen,
			pod(ended(exit(137)), withReason("DeadlineExceeded"), deletedAt(-1)),
			0,
			"Lost PodDeleted 137",
		},
		"3 over 5: disrupted, refused": {
			seen,
			pod(neverStarted, podFailed("NodeAffinity"), disrupted),
			0,
			"Lost Disrupted",
		},
		"3 over 5: deleted, init container failed": {seen, pod(initFailed, deletedAt(-1)), 0, "Lost PodDeleted"},

		"4 exit code": {seen, pod(ended(exit(42))), 0, "Failed ExitCode 42"},
		"4 out of memory": {
			seen,
			pod(ended(exitBecause(137, "OOMKilled", ""))),
			0,
			"Failed OOMKilled 137",
		},
		"4 out of memory, deleted later": {
			seen,
			pod(ended(exitBecause(137, "OOMKilled", "")), deletedAt(1)),
			0,
			"Failed OOMKilled 137",
		},
		"4 storage limit": {
			seen,
			pod(ended(exit(137)), podFailed("Evicted")),
			0,
			"Failed StorageLimit 137",
		},
		"4 storage limit, end unknown":       {seen, pod(podFailed("Evicted")), 0, "Failed StorageLimit"},
		"4 storage limit, in init container": {seen, pod(initFailed, withReason("Evicted")), 0, "Failed StorageLimit"},
		"4 Pod deadline, terminated": {
			seen,
			pod(ended(exit(137)), withReason("DeadlineExceeded")),
			0,
			"Failed Timeout 137",
		},
		"4 command not found": {
			seen,
			pod(ended(exitBecause(128, "StartError", "exec: no such file"))),
			0,
			"Failed StartFailed 128",
		},
		"4 not run": {
			seen,
			pod(ended(exitBecause(127, "ContainerCannotRun", "no such file"))),
			0,
			"Failed StartFailed 127",
		},
		"4 kubelet lost track of the container": {
			seen,
			pod(ended(&engine.Termination{ExitCode: 137, Reason: "ContainerStatusUnknown"})),
			0,
			"Lost NodeLost",
		},
		"4 runtime lost the container, as after a reboot": {
			seen,
			pod(ended(exitBecause(255, "Unknown", ""))),
			0,
			"Lost NodeLost",
		},
		"4 exit 255 of its own": {seen, pod(ended(exit(255))), 0, "Failed ExitCode 255"},
		"4 over 5: init container failed once": {seen, pod(ended(exit(1)), func(p *engine.Pod) {
			p.InitFailed = &engine.Termination{ExitCode: 3}
		}), 0, "Failed ExitCode 1"},
		"4 exit 1 beside a running sidecar": {
			seen,
			pod(func(p *engine.Pod) { p.Terminated = exit(1) }),
			0,
			"Failed ExitCode 1",
		},

		"5 Pod deadline": {
			seen,
			pod(neverStarted, podFailed("DeadlineExceeded")),
			0,
			"Failed Timeout",
		},
		"5 Pod deadline over init container": {
			seen,
			pod(initFailed, withReason("DeadlineExceeded")),
			0,
			"Failed Timeout",
		},
		"5 init container failed": {seen, pod(initFailed), 0, "Failed StartFailed"},
		"5 refused by a kubelet": {
			seen,
			pod(neverStarted, podFailed("OutOfcpu")),
			0,
			"Lost Refused",
		},
		"5 refused by a kubelet under pressure": {
			seen,
			pod(neverStarted, podFailed("Evicted")),
			0,
			"Lost Refused",
		},
		"5 refused, first seen at its end": {
			decided,
			pod(neverStarted, podFailed("NodeAffinity")),
			0,
			"Lost Refused",
		},
		"5 Pod succeeded without a termination of the task": {
			seen,
			pod(neverStarted, func(p *engine.Pod) { p.Phase = "Succeeded" }),
			0,
			"Lost Refused",
		},
		"6 gone": {seen, goneFromCluster, 0, "Lost PodDeleted"},
		"6 another Pod has its name": {
			seen, &engine.Pod{UID: "other", Node: "n", Phase: "Running"}, 0, "Lost PodDeleted",
		},
		"6 another Pod of its name has succeeded": {
			seen,
			&engine.Pod{UID: "other", Phase: "Succeeded", Terminated: exit(0)},
			0,
			"Lost PodDeleted",
		},
		"6 another Pod, the attempt stopped": {
			stoppedBy(engine.ReasonTimeout),
			&engine.Pod{UID: "other", Phase: "Running"},
			0,
			"Failed Timeout",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			end, over := engine.FindEnd(c.attempt, c.pod, at(c.now))
			got := "live"
			if over {
				got = strings.Join(strings.Fields(end.Phase+" "+end.Reason+" "+code(end.ExitCode)), " ")
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// TestFindEndDetails checks messages and times.
func TestFindEndDetails(t *testing.T) {
	zero, seven := int32(0), int32(7)
	cases := map[string]struct {
		attempt engine.Attempt
		pod     *engine.Pod
		now     int
		want    engine.End
	}{
		"start and end come from the container": {seen, pod(ended(exit(0))), 100,
			engine.End{Phase: "Succeeded", ExitCode: &zero, Started: at(-60), Finished: at(0)}},
		"the message says that a Pod was deleted although its task succeeded": {
			seen, pod(ended(exit(0)), deletedAt(-20)), 100,
			engine.End{
				Phase: "Succeeded", Message: "exit code 0; its Pod was deleted before the task ended",
				ExitCode: &zero, Started: at(-60), Finished: at(0),
			},
		},
		"the message says that a Pod was evicted although its task succeeded": {
			seen, pod(ended(exit(0)), disrupted, withReason("Evicted"), withMessage("the node lacks memory")), 100,
			engine.End{
				Phase: "Succeeded", Message: "exit code 0; the node lacks memory",
				ExitCode: &zero, Started: at(-60), Finished: at(0),
			},
		},
		"the message says that a Pod was over its deadline although its task succeeded": {
			seen, pod(ended(exit(0)), podFailed("DeadlineExceeded")), 100,
			engine.End{
				Phase: "Succeeded", Message: "exit code 0; DeadlineExceeded",
				ExitCode: &zero, Started: at(-60), Finished: at(0),
			},
		},
		"the message of the container follows the exit code": {
			seen,
			pod(ended(exitBecause(7, "Error", "disk not found"))),
			100,
			engine.End{
				Phase:    "Failed",
				Reason:   "ExitCode",
				Message:  "exit code 7: disk not found",
				ExitCode: &seven,
				Started:  at(-60),
				Finished: at(0),
			},
		},
		"an attempt whose Pod is gone ends now, without a start": {seen, goneFromCluster, 100,
			engine.End{Phase: "Lost", Reason: "PodDeleted", Message: "its Pod is gone", Finished: at(100)}},
		"an attempt without a termination ends now and starts with its Pod": {
			seen,
			pod(podFailed("Evicted"), withMessage("used 2Gi")),
			100,
			engine.End{
				Phase: "Failed", Reason: "StorageLimit", Message: "used 2Gi", Started: at(-60), Finished: at(100),
			},
		},
		"the message warns that a lost node may still run the container": {seen, pod(deletedAt(0), onLostNode), 100,
			engine.End{
				Phase:    "Lost",
				Reason:   "NodeLost",
				Message:  `node "n" is lost; the container may still run there`,
				Started:  at(-60),
				Finished: at(100),
			}},
		"the message warns also if the attempt was being stopped": {
			stoppedBy(engine.ReasonTimeout),
			pod(deletedAt(0), onLostNode),
			100,
			engine.End{
				Phase:    "Failed",
				Reason:   "Timeout",
				Message:  "the message of the stop; the container may still run there",
				Started:  at(-60),
				Finished: at(100),
			},
		},
		"a failed init container is named by its message": {seen, pod(initFailed), 100,
			engine.End{
				Phase:    "Failed",
				Reason:   "StartFailed",
				Message:  "an init container failed with exit code 3: no such table",
				Finished: at(100),
			}},
		"a refusal has the message of the kubelet": {
			seen,
			pod(neverStarted, podFailed("OutOfcpu"), withMessage("node has too little cpu")),
			100,
			engine.End{Phase: "Lost", Reason: "Refused", Message: "node has too little cpu", Finished: at(100)},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, hasEnded := engine.FindEnd(c.attempt, c.pod, at(c.now))
			if !hasEnded {
				t.Fatal("the attempt has not ended")
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// code returns an exit code as text, or an empty string if there is none.
func code(c *int32) string {
	if c == nil {
		return ""
	}
	return strconv.Itoa(int(*c))
}
