package controller

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/google/go-cmp/cmp"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/engine"
	"kontroler/store"
)

// startingPod is a Pod with a node whose container has not started.
func startingPod(inits ...corev1.ContainerStatus) *corev1.Pod {
	waiting := func(reason string) corev1.ContainerState {
		return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}}
	}
	pod := &corev1.Pod{Spec: corev1.PodSpec{NodeName: "n1"}, Status: corev1.PodStatus{Phase: corev1.PodPending,
		ContainerStatuses:     []corev1.ContainerStatus{{Name: v1alpha1.TaskContainer, State: waiting("ContainerCreating")}},
		InitContainerStatuses: inits,
	}}
	always := corev1.ContainerRestartPolicyAlways
	for i := range inits {
		c := corev1.Container{Name: inits[i].Name}
		if inits[i].Name == "proxy" {
			c.RestartPolicy = &always
		}
		pod.Spec.InitContainers = append(pod.Spec.InitContainers, c)
	}
	return pod
}

func TestWhatAPodThatDoesNotStartWaitsFor(t *testing.T) {
	warning := func(reason, message string) *store.PodEvent {
		return &store.PodEvent{Type: "Warning", Reason: reason, Message: message, LastAt: fixtureTime("10:00:00").Time}
	}
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	done := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}
	initializing := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "PodInitializing"}}
	const mount = `MountVolume.SetUp failed for volume "settings" : configmap "settings" not found`
	for name, c := range map[string]struct {
		pod   *corev1.Pod
		event *store.PodEvent
		want  *engine.Wait
	}{
		"a missing ConfigMap": {startingPod(), warning("FailedMount", mount),
			&engine.Wait{Reason: "FailedMount", Message: mount, Fails: true}},
		"a volume that cannot be attached is of the same kind": {startingPod(), warning("FailedAttachVolume", "no such disk"),
			&engine.Wait{Reason: "FailedMount", Message: "FailedAttachVolume: no such disk", Fails: true}},
		"a runtime that the node lacks": {startingPod(), warning("FailedCreatePodSandBox", `no runtime for "kata" is configured`),
			&engine.Wait{Reason: "FailedCreatePodSandBox", Message: `no runtime for "kata" is configured`, Fails: true}},
		"a pull that takes long": {startingPod(), &store.PodEvent{Type: "Normal", Reason: "Pulling", Message: `Pulling image "x"`},
			&engine.Wait{Reason: "ContainerCreating", Message: `Pulling: Pulling image "x"`, Usual: true}},
		"a warning that says nothing of the start": {startingPod(), warning("DNSConfigForming", "limits exceeded"),
			&engine.Wait{Reason: "ContainerCreating", Message: `node "n1" sets the Pod up`, Usual: true}},
		"pull secrets that may not be needed": {startingPod(), warning("FailedToRetrieveImagePullSecret", "some"),
			&engine.Wait{Reason: "ContainerCreating", Message: `node "n1" sets the Pod up`, Usual: true}},
		"a node that is silent": {&corev1.Pod{Spec: corev1.PodSpec{NodeName: "n1"}}, nil,
			&engine.Wait{Reason: "ContainerCreating", Message: `node "n1" has not reported the Pod yet`, Usual: true}},
		"a scheduler that is silent": {&corev1.Pod{}, nil,
			&engine.Wait{Reason: "Unschedulable", Message: "no scheduler has considered the Pod yet", Usual: true}},
		"an init container that runs": {startingPod(corev1.ContainerStatus{Name: "first", State: done}, corev1.ContainerStatus{Name: "wait", State: running}), nil,
			&engine.Wait{Reason: "PodInitializing", Message: "init container wait is running", Usual: true}},
		"an init container that is set up": {startingPod(corev1.ContainerStatus{Name: "wait", State: initializing}), warning("FailedMount", "x"),
			&engine.Wait{Reason: "FailedMount", Message: "x", Fails: true}},
		"a sidecar that is not ready": {startingPod(corev1.ContainerStatus{Name: "proxy", State: running}),
			&store.PodEvent{Type: "Warning", Reason: "Unhealthy", Message: "Startup probe failed", Container: "proxy"},
			&engine.Wait{Reason: "PodInitializing", Message: "sidecar proxy has not passed its startup probe: Startup probe failed", Usual: true}},
		"a sidecar that is ready": {startingPod(corev1.ContainerStatus{Name: "proxy", State: running, Started: new(true)}), nil,
			&engine.Wait{Reason: "ContainerCreating", Message: `node "n1" sets the Pod up`, Usual: true}},
	} {
		t.Run(name, func(t *testing.T) {
			events := newStartEvents()
			if c.event != nil {
				events.note("u", c.event)
			}
			if diff := cmp.Diff(c.want, podFacts(c.pod, events.newest("u")).Waits); diff != "" {
				t.Errorf("waits (-want +got):\n%s", diff)
			}
		})
	}
}

func TestProgressTakesAFailureBack(t *testing.T) {
	at := fixtureTime("10:00:00").Time
	event := func(kind, reason string, seconds int) *store.PodEvent {
		return &store.PodEvent{Type: kind, Reason: reason, Message: "m", LastAt: at.Add(time.Duration(seconds) * time.Second)}
	}
	events := newStartEvents()
	if !events.note("u", event("Warning", "FailedMount", 0)) {
		t.Error("a new failure is no news")
	}
	if events.note("u", event("Warning", "FailedMount", 2)) {
		t.Error("the same failure is news again")
	}
	events.note("u", event("Normal", "SandboxChanged", 3))
	events.note("u", event("Normal", "Pulling", 1)) // of a list, which is in no order
	if !events.newest("u").fails {
		t.Error("the failure is taken back by what is no progress, or by what came before")
	}
	events.note("u", event("Normal", "Pulling", 4))
	if events.newest("u").fails {
		t.Error("the failure is not taken back by progress")
	}
	events.drop("u")
	if len(events.byPod) > 0 {
		t.Error("a Pod that started is remembered")
	}
}
