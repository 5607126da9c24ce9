package pod

import (
	stdcmp "cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/engine"
)

// readPod reads a Pod as a real cluster (Kubernetes 1.36, containerd) reported it.
func readPod(t testing.TB, file string) *corev1.Pod {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{}
	if err := yaml.UnmarshalStrict(data, pod); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return pod
}

// fixtures are the names of the Pods in testdata/pods.
func fixtures(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/pods/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	names := make([]string, len(files))
	for i, file := range files {
		names[i] = strings.TrimSuffix(filepath.Base(file), ".yaml")
	}
	return names
}

// podEdit changes a fixture to a state that is hard to produce in a real cluster.
type podEdit func(*corev1.Pod)

func withStatus(reason, message string) podEdit {
	return func(p *corev1.Pod) {
		p.Status.Phase, p.Status.Reason, p.Status.Message = corev1.PodFailed, reason, message
	}
}

func withDisruption(reason, message, at string) podEdit {
	return func(p *corev1.Pod) {
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{
			Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: reason, Message: message,
			LastTransitionTime: fixtureTime(at),
		})
	}
}

func withTaskState(s corev1.ContainerState) podEdit {
	return func(p *corev1.Pod) {
		ContainerStatus(p.Status.ContainerStatuses, v1alpha1.TaskContainer).State = s
	}
}

func withInitState(s corev1.ContainerState) podEdit {
	return func(p *corev1.Pod) { p.Status.InitContainerStatuses[0].State = s }
}

func waitingFor(reason, message string) corev1.ContainerState {
	return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
}

func endedState(code int32, reason, message string) corev1.ContainerState {
	return corev1.ContainerState{
		Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason, Message: message},
	}
}

func withDeletion(at string, grace int64) podEdit {
	return func(p *corev1.Pod) {
		end := fixtureTime(at)
		p.DeletionTimestamp, p.DeletionGracePeriodSeconds = &end, &grace
	}
}

// onOldCluster removes what clusters before 1.33 do not report.
func onOldCluster(p *corev1.Pod) {
	p.Generation, p.Status.ObservedGeneration = 0, 0
	for i := range p.Status.Conditions {
		p.Status.Conditions[i].ObservedGeneration = 0
	}
}

func fixtureTime(at string) metav1.Time {
	t, err := time.Parse(time.DateTime, "2026-11-23 "+at)
	if err != nil {
		panic(err)
	}
	return metav1.NewTime(t)
}

// factLines formats facts, one per line, without UID and node. Times are without the date of the fixtures.
func factLines(f *engine.Pod) []string {
	var out []string
	add := func(format string, args ...any) { out = append(out, strings.TrimSpace(fmt.Sprintf(format, args...))) }
	at := func(t time.Time) string {
		if t.IsZero() {
			return "?"
		}
		return t.Format(time.TimeOnly)
	}
	add("%s %s %s", f.Phase, f.Reason, f.Message)
	if f.Disrupted {
		add("disrupted")
	}
	if !f.Deletion.IsZero() {
		add("asked %s for %s", at(f.DeletionAsked), at(f.Deletion))
	}
	if f.Waits != nil {
		if f.Waits.IsRoutine {
			add("starts %s: %s", f.Waits.Reason, f.Waits.Message)
		} else {
			add("waits %s fails=%v never=%v: %s",
				f.Waits.Reason, f.Waits.IsFailure, f.Waits.IsPermanent, f.Waits.Message)
		}
	}
	if !f.Started.IsZero() {
		add("started %s", at(f.Started))
	}
	for what, t := range map[string]*engine.Termination{"ended": f.Terminated, "init failed": f.InitFailed} {
		if t != nil {
			add("%s %d %s %s-%s %s", what, t.ExitCode, t.Reason, at(t.Started), at(t.Finished), t.Message)
		}
	}
	return out
}

// verdictOf returns how the engine ends an attempt that nobody stopped.
func verdictOf(p *corev1.Pod) string {
	end, over := engine.FindEnd(
		engine.Attempt{Phase: engine.AttemptRunning, PodUID: string(p.UID)},
		Facts(p, StartEvent{}),
		fixtureTime("23:00:00").Time,
	)
	if !over {
		return "live"
	}
	return end.Phase + " " + end.Reason
}

const (
	pullError404 = `rpc error: code = NotFound desc = failed to pull and unpack image "nosuch.invalid/x:1": ` +
		`failed to resolve reference "nosuch.invalid/x:1": nosuch.invalid/x:1: not found`
	tagError404 = `rpc error: code = NotFound desc = ` +
		`failed to pull and unpack image "docker.io/library/busybox:nosuch": ` +
		`failed to resolve reference "docker.io/library/busybox:nosuch": docker.io/library/busybox:nosuch: not found`
	lostByKubelet = "The container could not be located when the pod was terminated"
	overDeadline  = "Pod was active on the node longer than the specified deadline"
)

// factCase has the facts of a fixture and the end that the engine derives. from is the name of the fixture. The
// default is the name of the case.
type factCase struct {
	from    string
	change  []podEdit
	want    []string
	verdict string
}

// endingFacts: tasks that end by themselves.
var endingFacts = map[string]factCase{
	"succeeded": {
		want:    []string{"Succeeded", "started 15:14:20", "ended 0 Completed 15:14:20-15:14:20"},
		verdict: "Succeeded ",
	},
	"exit-3": {
		want:    []string{"Failed", "started 15:14:21", "ended 3 Error 15:14:21-15:14:21 no input"},
		verdict: "Failed ExitCode",
	},
	"out-of-memory": {want: []string{"Failed", "started 15:14:19", "ended 137 OOMKilled 15:14:19-15:14:19"},
		verdict: "Failed OOMKilled"},
	"start-error": {
		want: []string{
			"Failed",
			"ended 128 StartError ?-15:14:22 failed to create containerd task: failed to create shim task: " +
				"OCI runtime create failed: runc create failed: unable to start container process: " +
				"exec: \"/no/such/file\": stat /no/such/file: no such file or directory: unknown",
		},
		verdict: "Failed StartFailed",
	},
	"storage-limit": {
		want: []string{"Failed Evicted Pod ephemeral local storage usage exceeds the total limit of containers 10Mi.",
			"started 15:27:26", "ended 137 Error 15:27:26-15:27:40"},
		verdict: "Failed StorageLimit",
	},
	"running": {want: []string{"Running", "started 15:14:22"}, verdict: "live"},
	"deadline-exceeded": {
		want: []string{
			"Failed DeadlineExceeded " + overDeadline, "started 15:14:21", "ended 137 Error 15:14:21-15:14:24",
		},
		verdict: "Failed Timeout",
	},
	"deadline-exceeded-unstarted": {
		want: []string{
			"Failed DeadlineExceeded " + overDeadline, "ended 137 ContainerStatusUnknown ?-? " + lostByKubelet,
		},
		verdict: "Failed Timeout",
	},
}

// deletionFacts: Pods that were deleted before or after their end.
var deletionFacts = map[string]factCase{
	"deleted-running": {want: []string{"Running", "asked 15:15:57 for 15:16:17", "started 15:14:21"}, verdict: "live"},
	"deleted-killed": {
		want: []string{
			"Failed", "asked 15:15:57 for 15:16:17", "started 15:14:21", "ended 143 Error 15:14:21-15:15:58",
		},
		verdict: "Lost PodDeleted",
	},
	"deleted-killed-final": {
		want: []string{
			"Failed", "asked 15:15:58 for 15:16:00", "started 15:14:21", "ended 143 Error 15:14:21-15:15:58",
		},
		verdict: "Lost PodDeleted",
	},
	"killed, old cluster": {from: "deleted-killed-final", change: []podEdit{onOldCluster},
		want: []string{
			"Failed", "asked 15:15:58 for 15:16:00", "started 15:14:21", "ended 143 Error 15:14:21-15:15:58",
		},
		verdict: "Lost PodDeleted"},
	"deleted-hard-final": {
		want: []string{
			"Failed", "asked 15:16:03 for 15:16:04", "started 15:14:21", "ended 137 Error 15:14:21-15:16:03",
		},
		verdict: "Lost PodDeleted",
	},
	"deleted-exit-1-final": {
		want: []string{
			"Failed", "asked 15:28:48 for 15:28:49", "started 15:27:26", "ended 1 Error 15:27:26-15:28:48",
		},
		verdict: "Lost PodDeleted",
	},
	"deleted-exit-0-final": {
		want: []string{
			"Succeeded",
			"asked 15:15:58 for 15:16:00",
			"started 15:14:21",
			"ended 0 Completed 15:14:21-15:15:58",
		},
		verdict: "Succeeded ",
	},
	"deleted-forced": {
		want: []string{
			"Failed", "asked 15:15:59 for 15:15:59", "started 15:14:22", "ended 137 Error 15:14:22-15:16:01",
		},
		verdict: "Lost PodDeleted",
	},
	"deleted-after-exit-3": {
		want: []string{
			"Failed",
			"asked 15:17:29 for 15:17:29",
			"started 15:14:21",
			"ended 3 Error 15:14:21-15:14:21 no input",
		},
		verdict: "Failed ExitCode",
	},
	"deleted a second after exit 3": {from: "deleted-after-exit-3", change: []podEdit{withDeletion("15:14:22", 0)},
		want: []string{
			"Failed",
			"asked 15:14:22 for 15:14:22",
			"started 15:14:21",
			"ended 3 Error 15:14:21-15:14:21 no input",
		},
		verdict: "Failed ExitCode"},
	"deleted after exit 3, old cluster": {from: "deleted-after-exit-3", change: []podEdit{onOldCluster},
		want: []string{
			"Failed",
			"asked 15:17:29 for 15:17:29",
			"started 15:14:21",
			"ended 3 Error 15:14:21-15:14:21 no input",
		},
		verdict: "Failed ExitCode"},
	"deleted-after-exit-3-node-restarted": {
		want: []string{
			"Failed", "asked 15:28:48 for 15:28:48", "started 15:27:26", "ended 3 Error 15:27:26-15:27:26",
		},
		verdict: "Failed ExitCode"},
	"the node's clock is behind": {from: "deleted-killed", change: []podEdit{withDeletion("15:16:21", 20)},
		want: []string{
			"Failed", "asked 15:15:58 for 15:16:21", "started 15:14:21", "ended 143 Error 15:14:21-15:15:58",
		},
		verdict: "Lost PodDeleted"},
	"deleted-unstarted": {
		want: []string{
			"Failed", "asked 15:17:30 for 15:17:30", "ended 137 ContainerStatusUnknown ?-? " + lostByKubelet,
		},
		verdict: "Lost PodDeleted",
	},
	"deleted-unstarted-init": {
		want:    []string{"Failed  the node lost track of init container prepare", "asked 15:17:31 for 15:17:31"},
		verdict: "Lost PodDeleted",
	},
	"deleted-unscheduled": {want: []string{"Failed", "asked 15:17:29 for 15:17:29"}, verdict: "Lost PodDeleted"},
	"deleted-beside-container": {
		want: []string{
			"Failed", "asked 15:18:01 for 15:18:01", "started 15:14:23", "ended 6 Error 15:14:23-15:14:23",
		},
		verdict: "Failed ExitCode",
	},
}

// disruptionFacts: drains, preemptions, evictions.
var disruptionFacts = map[string]factCase{
	"drained": {
		want: []string{"Failed  Eviction API: evicting", "disrupted", "asked 15:16:02 for 15:16:03", "started 15:14:21",
			"ended 143 Error 15:14:21-15:16:02"},
		verdict: "Lost Disrupted",
	},
	"drained-after-exit-3": {
		want: []string{
			"Failed", "asked 15:27:37 for 15:27:37", "started 15:27:26", "ended 3 Error 15:27:26-15:27:26",
		},
		verdict: "Failed ExitCode",
	},
	"preempted": {
		want: []string{
			"Failed  default-scheduler: preempting to accommodate a higher priority pod", "disrupted",
			"asked 15:33:49 for 15:33:49", "started 15:33:44", "ended 143 Error 15:33:44-15:33:49",
		},
		verdict: "Lost Disrupted",
	},
	"tainted": {
		want: []string{
			"Failed  Taint manager: deleting due to NoExecute taint", "disrupted",
			"asked 15:33:55 for 15:33:56", "started 15:33:44", "ended 143 Error 15:33:44-15:33:55",
		},
		verdict: "Lost Disrupted",
	},
	"evicted under pressure": {
		from: "storage-limit",
		change: []podEdit{withStatus("Evicted", "The node was low on resource: memory."),
			withDisruption("TerminationByKubelet", "The node was low on resource: memory.", "15:27:59")},
		want: []string{"Failed Evicted The node was low on resource: memory.", "disrupted", "started 15:27:26",
			"ended 137 Error 15:27:26-15:27:40"},
		verdict: "Lost Evicted",
	},
	"node shut down": {
		from: "storage-limit",
		change: []podEdit{withStatus("Terminated", "Pod was terminated in response to imminent node shutdown."),
			withDisruption("TerminationByKubelet", "", "15:27:41")},
		want: []string{
			"Failed Terminated Pod was terminated in response to imminent node shutdown.",
			"disrupted",
			"started 15:27:26",
			"ended 137 Error 15:27:26-15:27:40",
		},
		verdict: "Lost Disrupted",
	},
	"node gone": {
		from: "running",
		change: []podEdit{
			withStatus("", ""),
			withDisruption("DeletionByPodGC", "PodGC: node no longer exists", "15:20:00"),
			withDeletion("15:20:00", 0),
		},
		want: []string{
			"Failed  PodGC: node no longer exists",
			"disrupted",
			"asked 15:20:00 for 15:20:00",
			"started 15:14:22",
		},
		verdict: "Lost Disrupted",
	},
	"disruption called off": {
		from: "running",
		change: []podEdit{withDisruption("PreemptionByScheduler", "x", "15:20:00"), func(p *corev1.Pod) {
			podCondition(p, corev1.DisruptionTarget).Status = corev1.ConditionFalse
		}},
		want:    []string{"Running", "started 15:14:22"},
		verdict: "live",
	},
}

// refusalFacts: Pods that a kubelet rejected.
var refusalFacts = map[string]factCase{
	"refused-node-affinity": {
		want: []string{
			"Failed NodeAffinity Pod was rejected: Predicate NodeAffinity failed: " +
				"node(s) didn't match Pod's node affinity/selector",
		},
		verdict: "Lost Refused",
	},
	"refused-deleted": {
		want: []string{
			"Failed NodeAffinity Pod was rejected: Predicate NodeAffinity failed: " +
				"node(s) didn't match Pod's node affinity/selector",
			"asked 15:17:29 for 15:17:29",
			"ended 137 ContainerStatusUnknown ?-? " + lostByKubelet,
		},
		verdict: "Lost PodDeleted",
	},
	"refused-out-of-cpu": {
		want: []string{
			"Failed OutOfcpu Pod was rejected: Node didn't have enough resource: cpu, " +
				"requested: 900000, used: 1500, capacity: 2000",
		},
		verdict: "Lost Refused",
	},
	"refused at admission": {
		from:    "refused-out-of-cpu",
		change:  []podEdit{withStatus("UnexpectedAdmissionError", "Allocate failed")},
		want:    []string{"Failed UnexpectedAdmissionError Allocate failed"},
		verdict: "Lost Refused",
	},
}

// initFacts: init containers, sidecars, and containers that the node lost track of.
var initFacts = map[string]factCase{
	"init-failed": {
		want:    []string{"Failed", "init failed 4 Error 15:14:21-15:14:21 prepare: cannot"},
		verdict: "Failed StartFailed",
	},
	"initializing": {
		want:    []string{"Pending", "starts PodInitializing: init container prepare is running"},
		verdict: "live",
	},
	"init lost with its node": {from: "init-failed", change: []podEdit{withInitState(endedState(255, "Unknown", ""))},
		want: []string{"Failed  the node lost track of init container prepare"}, verdict: "Lost Refused"},
	"sidecar-running": {
		want:    []string{"Running", "started 15:33:45", "ended 7 Error 15:33:45-15:33:45"},
		verdict: "Failed ExitCode",
	},
	"sidecar-ended": {
		want:    []string{"Failed", "started 15:14:23", "ended 5 Error 15:14:23-15:14:23"},
		verdict: "Failed ExitCode",
	},
	"other-container-first": {want: []string{"Running", "started 15:14:23", "ended 6 Error 15:14:23-15:14:23"},
		verdict: "Failed ExitCode"},
	"node-restarted": {
		want:    []string{"Failed", "started 15:27:26", "ended 255 Unknown 15:27:26-15:29:01"},
		verdict: "Lost NodeLost",
	},
	"lost beside a sidecar that runs": {
		from:    "sidecar-running",
		change:  []podEdit{withTaskState(endedState(137, "ContainerStatusUnknown", lostByKubelet))},
		want:    []string{"Running", "ended 137 ContainerStatusUnknown ?-? " + lostByKubelet},
		verdict: "Lost NodeLost",
	},
	"a last state is no end": {from: "running", change: []podEdit{func(p *corev1.Pod) {
		p.Status.ContainerStatuses[0].LastTerminationState = endedState(1, "Error", "")
	}}, want: []string{"Running", "started 15:14:22"}, verdict: "live"},
	"no container of that name": {
		from:    "exit-3",
		change:  []podEdit{func(p *corev1.Pod) { p.Status.ContainerStatuses[0].Name = "other" }},
		want:    []string{"Failed"},
		verdict: "Lost Refused",
	},
}

// waitFacts: containers that have not started.
var waitFacts = map[string]factCase{
	"image-pull-error": {
		want:    []string{"Pending", "waits ImagePullBackOff fails=true never=false: " + pullError404},
		verdict: "live",
	},
	"image-registry-unknown": {
		want:    []string{"Pending", "waits ImagePullBackOff fails=true never=false: " + pullError404},
		verdict: "live",
	},
	"image-pull-back-off": {
		want:    []string{"Pending", "waits ImagePullBackOff fails=true never=false: " + tagError404},
		verdict: "live",
	},
	"registry unavailable": {
		from:    "image-pull-error",
		change:  []podEdit{withTaskState(waitingFor("RegistryUnavailable", "down"))},
		want:    []string{"Pending", "waits ImagePullBackOff fails=true never=false: down"},
		verdict: "live",
	},
	"back-off of an older kubelet": {
		from:   "image-pull-error",
		change: []podEdit{withTaskState(waitingFor("ImagePullBackOff", `Back-off pulling image "x"`))},
		want: []string{
			"Pending",
			`waits ImagePullBackOff fails=true never=false: Back-off pulling image "x"`,
		},
		verdict: "live",
	},
	"image-name-invalid": {
		want: []string{
			"Pending",
			`waits InvalidImageName fails=true never=true: Failed to apply default image tag "Not A:Valid//Image": ` +
				`couldn't parse image name "Not A:Valid//Image": invalid reference format: ` +
				"repository name (/Image) must be lowercase",
		},
		verdict: "live",
	},
	"image-never-pull": {
		want: []string{
			"Pending", "waits ErrImageNeverPull fails=true never=false: " +
				`Container image "busybox:other" is not present with pull policy of Never`,
		},
		verdict: "live",
	},
	"config-missing-secret": {
		want: []string{
			"Pending", `waits CreateContainerConfigError fails=true never=false: secret "nosuch" not found`,
		},
		verdict: "live",
	},
	"config-missing-key": {
		want: []string{
			"Pending", "waits CreateContainerConfigError fails=true never=false: " +
				"couldn't find key nokey in Secret default/some",
		},
		verdict: "live",
	},
	"config-non-root": {
		want: []string{
			"Pending", "waits CreateContainerConfigError fails=true never=false: " +
				"container has runAsNonRoot and image will run as root " +
				`(pod: "non-root_default(a41eb7f2-82ff-47ea-9bd8-b0161b6e59cb)", container: task)`,
		},
		verdict: "live",
	},
	"container not run": {
		from:    "config-missing-key",
		change:  []podEdit{withTaskState(waitingFor("RunContainerError", ""))},
		want:    []string{"Pending", "waits CreateContainerError fails=true never=false: RunContainerError"},
		verdict: "live",
	},
	"an unknown error": {from: "config-missing-key", change: []podEdit{withTaskState(waitingFor("FooError", "foo"))},
		want: []string{"Pending", "waits FooError fails=true never=false: foo"}, verdict: "live"},
	"an unknown state": {
		from:    "config-missing-key",
		change:  []podEdit{withTaskState(waitingFor("Provisioning", "a machine"))},
		want:    []string{"Pending", "waits Provisioning fails=false never=false: a machine"},
		verdict: "live",
	},
	"created, not yet running": {from: "config-missing-key", change: []podEdit{withTaskState(waitingFor("", ""))},
		want: []string{"Pending", `starts ContainerCreating: node "node1" is setting up the Pod`}, verdict: "live"},
	"init-image": {
		want: []string{
			"Pending", "waits ImagePullBackOff fails=true never=false: init container prepare: " + tagError404,
		},
		verdict: "live",
	},
	"init-missing-secret": {
		want: []string{
			"Pending", "waits CreateContainerConfigError fails=true never=false: " +
				`init container prepare: secret "nosuch" not found`,
		},
		verdict: "live",
	},
	"sidecar-image": {
		want: []string{
			"Pending", "waits ImagePullBackOff fails=true never=false: init container proxy: " + tagError404,
		},
		verdict: "live",
	},
	"sidecar-crash-loop": {
		want: []string{
			"Pending", "waits CrashLoopBackOff fails=true never=false: init container proxy: back-off 1m20s " +
				"restarting failed container=proxy pod=sidecar-crash_default(72958767-2381-4964-95fa-c7ee3097b6f3)",
		},
		verdict: "live",
	},
	"volume-missing": {
		want:    []string{"Pending", `starts ContainerCreating: node "node1" is setting up the Pod`},
		verdict: "live",
	},
	"unschedulable": {
		want: []string{
			"Pending", "waits Unschedulable fails=false never=false: " +
				"0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. " +
				"no new claims to deallocate, preemption: " +
				"0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
		},
		verdict: "live",
	},
	"gated": {
		want: []string{
			"Pending",
			"waits Unschedulable fails=false never=false: Scheduling is blocked due to non-empty scheduling gates",
		},
		verdict: "live",
	},
}

// TestPodFacts also checks that every fixture has a case.
func TestPodFacts(t *testing.T) {
	cases := map[string]factCase{}
	for _, group := range []map[string]factCase{
		endingFacts, deletionFacts, disruptionFacts, refusalFacts, initFacts, waitFacts,
	} {
		maps.Copy(cases, group)
	}
	for _, name := range fixtures(t) {
		if _, ok := cases[name]; !ok {
			t.Errorf("fixture %s is in no case", name)
		}
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			from := c.from
			if from == "" {
				from = name
			}
			pod := readPod(t, "pods/"+from+".yaml")
			for _, change := range c.change {
				change(pod)
			}
			before := pod.DeepCopy()
			facts := Facts(pod, StartEvent{})
			if diff := cmp.Diff(c.want, factLines(facts)); diff != "" {
				t.Errorf("facts (-want +got):\n%s", diff)
			}
			if got := verdictOf(pod); got != c.verdict {
				t.Errorf("verdict = %q, want %q", got, c.verdict)
			}
			if facts.UID != string(pod.UID) || facts.Node != pod.Spec.NodeName {
				t.Errorf("UID %q, node %q", facts.UID, facts.Node)
			}
			if diff := cmp.Diff(before, pod); diff != "" {
				t.Errorf("the Pod was changed (-before +after):\n%s", diff)
			}
		})
	}
}

// withSkew returns a Pod as the cluster would report it if the clock of its node were ahead. It moves the times that
// a kubelet writes, and not those that the API server and other clients write.
func withSkew(skew time.Duration) podEdit {
	return func(p *corev1.Pod) {
		last := metav1.Time{} // what the kubelet reported last, before the skew
		shift := func(t *metav1.Time) {
			if t != nil && !t.IsZero() {
				if t.After(last.Time) {
					last = *t
				}
				*t = metav1.NewTime(t.Add(skew))
			}
		}
		shift(p.Status.StartTime)
		for i := range p.Status.Conditions {
			if c := &p.Status.Conditions[i]; c.Type != corev1.PodScheduled && c.Type != corev1.DisruptionTarget {
				shift(&c.LastTransitionTime)
			}
		}
		for _, statuses := range [][]corev1.ContainerStatus{
			p.Status.InitContainerStatuses, p.Status.ContainerStatuses,
		} {
			for i := range statuses {
				if running := statuses[i].State.Running; running != nil {
					shift(&running.StartedAt)
				}
				if ended := statuses[i].State.Terminated; ended != nil {
					shift(&ended.StartedAt)
					shift(&ended.FinishedAt)
				}
			}
		}
		reported := metav1.NewTime(last.Add(time.Second))
		p.ManagedFields = append(
			p.ManagedFields,
			metav1.ManagedFieldsEntry{Manager: "kubelet", Subresource: "status", Time: &reported},
		)
	}
}

// Clocks that differ by up to ten minutes change no result.
func TestVerdictsOfSkewedClocks(t *testing.T) {
	cases := map[string]factCase{}
	for _, group := range []map[string]factCase{
		endingFacts, deletionFacts, disruptionFacts, refusalFacts, initFacts, waitFacts,
	} {
		maps.Copy(cases, group)
	}
	delete(cases, "the node's clock is behind") // by three seconds, which is not skewed further
	old := map[string]factCase{}
	for name, c := range cases {
		c.from = stdcmp.Or(c.from, name)
		cases[name] = c
		c.change = append(slices.Clone(c.change), onOldCluster)
		// On an old cluster, a deletion soon after the end cannot be distinguished from a deletion that caused it.
		pod := readPod(t, "pods/"+c.from+".yaml")
		for _, change := range c.change {
			change(pod)
		}
		c.verdict = verdictOf(pod)
		old[name+", old cluster"] = c
	}
	maps.Copy(cases, old)
	for name, c := range cases {
		for _, skew := range []time.Duration{
			-10 * time.Minute, -5 * time.Minute, -time.Minute, 0, time.Minute, 5 * time.Minute, 10 * time.Minute,
		} {
			t.Run(fmt.Sprintf("%s, %v ahead", name, skew), func(t *testing.T) {
				pod := readPod(t, "pods/"+c.from+".yaml")
				for _, change := range c.change {
					change(pod)
				}
				withSkew(skew)(pod)
				if got := verdictOf(trimmedPod(t, pod)); got != c.verdict {
					t.Errorf("verdict = %q, want %q", got, c.verdict)
				}
			})
		}
	}
}

// TestTrimPod: Trim keeps everything that is used, and trimming twice changes nothing.
func TestTrimPod(t *testing.T) {
	for _, name := range fixtures(t) {
		t.Run(name, func(t *testing.T) {
			pod := readPod(t, "pods/"+name+".yaml")
			trimmed := trimmedPod(t, pod)
			if diff := cmp.Diff(Facts(pod, StartEvent{}), Facts(trimmed, StartEvent{})); diff != "" {
				t.Errorf("facts (-before +after):\n%s", diff)
			}
			if !SameFacts(pod, trimmed) {
				t.Error("sameFacts is false")
			}
			if diff := cmp.Diff(trimmed, trimmedPod(t, trimmed)); diff != "" {
				t.Errorf("trimmed twice (-once +twice):\n%s", diff)
			}
		})
	}
}

func trimmedPod(t testing.TB, pod *corev1.Pod) *corev1.Pod {
	t.Helper()
	got, err := Trim(pod)
	if err != nil {
		t.Fatal(err)
	}
	return got.(*corev1.Pod)
}

// TestTrimPodWhole checks a whole trimmed Pod.
func TestTrimPodWhole(t *testing.T) {
	pod := readPod(t, "pod-full.yaml")
	pod.OwnerReferences = []metav1.OwnerReference{ownerOf(Run{Name: "nightly", UID: runA})}
	always := corev1.ContainerRestartPolicyAlways
	want := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "default", Name: pod.Name, UID: pod.UID, ResourceVersion: pod.ResourceVersion, Generation: 1,
			ManagedFields: []metav1.ManagedFieldsEntry{
				{Manager: "kubelet", Subresource: "status", Time: &metav1.Time{Time: reportedAt(pod)}},
			},
			CreationTimestamp: pod.CreationTimestamp, Finalizers: []string{v1alpha1.Finalizer},
			OwnerReferences: pod.OwnerReferences,
			Labels: map[string]string{
				v1alpha1.LabelController: "c1", v1alpha1.LabelDAG: "nightly",
				v1alpha1.LabelRun:  "01234567-89ab-cdef-0123-456789abcdef",
				v1alpha1.LabelTask: "extract", v1alpha1.LabelAttempt: "1",
			},
			Annotations: map[string]string{v1alpha1.AnnotationRun: "nightly.run-1"},
		},
		Spec: corev1.PodSpec{
			NodeName: "node1", TerminationGracePeriodSeconds: pod.Spec.TerminationGracePeriodSeconds,
			ActiveDeadlineSeconds: pod.Spec.ActiveDeadlineSeconds,
			InitContainers: []corev1.Container{
				{Name: "proxy", RestartPolicy: &always},
			}, Containers: []corev1.Container{{Name: "task"}},
		},
		Status: corev1.PodStatus{
			ObservedGeneration: 1, Phase: corev1.PodRunning, StartTime: pod.Status.StartTime,
			Conditions: []corev1.PodCondition{*podCondition(pod, corev1.PodScheduled)},
			InitContainerStatuses: []corev1.ContainerStatus{
				{Name: "proxy", State: pod.Status.InitContainerStatuses[0].State, Started: new(true)},
			},
			ContainerStatuses: []corev1.ContainerStatus{
				{Name: "task", State: pod.Status.ContainerStatuses[0].State, Started: new(false)},
			},
		},
	}
	got := trimmedPod(t, pod)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if other, err := Trim("not a Pod"); err != nil || other != "not a Pod" {
		t.Errorf("another object: %v, %v", other, err)
	}
}

const (
	runA = "11111111-2222-3333-4444-555555555555"
	runB = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
)

// ownedPod returns a Pod with labels and an owner.
func ownedPod(controllerID, labelUID string, owner metav1.OwnerReference) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Labels:          map[string]string{v1alpha1.LabelController: controllerID, v1alpha1.LabelRun: labelUID},
		OwnerReferences: []metav1.OwnerReference{owner},
	}}
}

func ownerLike(change func(*metav1.OwnerReference)) metav1.OwnerReference {
	owner := ownerOf(Run{Name: "r", UID: runA})
	if change != nil {
		change(&owner)
	}
	return owner
}

func TestOwnership(t *testing.T) {
	mine := ownerLike(nil)
	cases := map[string]struct {
		pod  *corev1.Pod
		ours bool
		uid  string
	}{
		"ours":                     {ownedPod("c", runA, mine), true, runA},
		"of another controller":    {ownedPod("d", runA, mine), false, runA},
		"the label of another run": {ownedPod("c", runB, mine), false, runA},
		"no label":                 {ownedPod("c", "", mine), false, runA},
		"a label that is no UUID":  {ownedPod("c", "x' or 1=1", mine), false, runA},
		"a label in capitals":      {ownedPod("c", strings.ToUpper(runB), mine), false, runA},
		"no owner": {
			&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: ownedPod("c", runA, mine).Labels}},
			false,
			runA,
		},
		"owned by something else": {
			ownedPod("c", "", ownerLike(func(o *metav1.OwnerReference) { o.Kind = "Job" })),
			false,
			"",
		},
		"a DagRun of another group": {
			ownedPod("c", "", ownerLike(func(o *metav1.OwnerReference) { o.APIVersion = "example.com/v1" })),
			false,
			"",
		},
		"owner in another version": {
			ownedPod("c", runA, ownerLike(func(o *metav1.OwnerReference) {
				o.APIVersion = v1alpha1.GroupName + "/v2"
			})),
			true,
			runA,
		},
		"owned but not controlled": {
			ownedPod("c", "", ownerLike(func(o *metav1.OwnerReference) { o.Controller = nil })),
			false,
			"",
		},
		"an owner whose UID is no UUID": {
			ownedPod("c", "", ownerLike(func(o *metav1.OwnerReference) { o.UID = "12" })),
			false,
			"",
		},
		"nothing": {&corev1.Pod{}, false, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := IsOurs(c.pod, "c", runA); got != c.ours {
				t.Errorf("ours = %v, want %v", got, c.ours)
			}
			uid, ok := RunUID(c.pod)
			if uid != c.uid || ok != (c.uid != "") {
				t.Errorf("podRunUID = %q, %v, want %q", uid, ok, c.uid)
			}
		})
	}
}

func TestIsUUID(t *testing.T) {
	cases := map[string]bool{
		runA: true, runB: true, "": false, strings.ToUpper(runB): false, runA[:35]: false, runA + "0": false,
		"11111111-2222-3333-4444-55555555555g": false, "111111112222-3333-4444-5555555555555": false,
		"1111111--2222-3333-4444-555555555555": false, "{1111111-2222-3333-4444-55555555555}": false,
	}
	for uid, want := range cases {
		if got := isUUID(uid); got != want {
			t.Errorf("isUUID(%q) = %v", uid, got)
		}
	}
}

func TestSameFacts(t *testing.T) {
	cases := map[string]struct {
		change podEdit
		want   bool
	}{
		"nothing":          {func(*corev1.Pod) {}, true},
		"resourceVersion":  {func(p *corev1.Pod) { p.ResourceVersion = "9" }, true},
		"deadline":         {func(p *corev1.Pod) { p.Spec.ActiveDeadlineSeconds = new(int64(9)) }, true},
		"somebody's label": {func(p *corev1.Pod) { p.Labels = map[string]string{"a": "b"} }, true},
		"readiness": {
			func(p *corev1.Pod) { podCondition(p, corev1.PodReady).Status = corev1.ConditionFalse },
			true,
		},
		"sidecar": {
			func(p *corev1.Pod) { p.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "x"}} },
			true,
		},
		"our label": {func(p *corev1.Pod) { p.Labels = map[string]string{v1alpha1.LabelRun: runB} }, false},
		"owner": {
			func(p *corev1.Pod) { p.OwnerReferences = []metav1.OwnerReference{ownerLike(nil)} },
			false,
		},
		"another Pod":        {func(p *corev1.Pod) { p.UID = types.UID(runB) }, false},
		"finalizer":          {func(p *corev1.Pod) { p.Finalizers = nil }, false},
		"deleted":            {withDeletion("15:30:00", 30), false},
		"phase":              {func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }, false},
		"node":               {func(p *corev1.Pod) { p.Spec.NodeName = "other" }, false},
		"disrupted":          {withDisruption("PreemptionByScheduler", "", "15:30:00"), false},
		"the container ends": {withTaskState(endedState(1, "Error", "")), false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			a, b := readPod(t, "pods/running.yaml"), readPod(t, "pods/running.yaml")
			c.change(b)
			if got := SameFacts(a, b); got != c.want {
				t.Errorf("sameFacts = %v, want %v", got, c.want)
			}
			if got := SameFacts(trimmedPod(t, a), trimmedPod(t, b)); got != c.want {
				t.Errorf("sameFacts of trimmed Pods = %v, want %v", got, c.want)
			}
		})
	}
}

// BenchmarkTrimPod also reports the size of a Pod before and after, as JSON.
func BenchmarkTrimPod(b *testing.B) {
	pod := readPod(b, "pod-full.yaml")
	size := func(p *corev1.Pod) float64 {
		data, err := json.Marshal(p)
		if err != nil {
			b.Fatal(err)
		}
		return float64(len(data))
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Trim(pod); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(size(pod), "B-before")
	b.ReportMetric(size(trimmedPod(b, pod)), "B-after")
}

func BenchmarkSameFacts(b *testing.B) {
	x, y := trimmedPod(b, readPod(b, "pod-full.yaml")), trimmedPod(b, readPod(b, "pod-full.yaml"))
	b.ReportAllocs()
	for b.Loop() {
		SameFacts(x, y)
	}
}
