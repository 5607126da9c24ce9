package pod

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/engine"
)

// startingPod returns a Pod with a node whose container has not started.
func startingPod(inits ...corev1.ContainerStatus) *corev1.Pod {
	waiting := func(reason string) corev1.ContainerState {
		return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}}
	}
	pod := &corev1.Pod{Spec: corev1.PodSpec{NodeName: "n1"}, Status: corev1.PodStatus{Phase: corev1.PodPending,
		ContainerStatuses: []corev1.ContainerStatus{
			{Name: v1alpha1.TaskContainer, State: waiting("ContainerCreating")},
		},
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
	event := func(kind, reason, message, container string) StartEvent {
		e, tells := StartEventOf(kind, reason, message, container, fixtureTime("10:00:00").Time)
		if !tells {
			return StartEvent{}
		}
		return e
	}
	warning := func(reason, message string) StartEvent { return event("Warning", reason, message, "") }
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	done := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}
	initializing := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "PodInitializing"}}
	const mount = `MountVolume.SetUp failed for volume "settings" : configmap "settings" not found`
	for name, c := range map[string]struct {
		pod   *corev1.Pod
		event StartEvent
		want  *engine.Wait
	}{
		"a missing ConfigMap": {startingPod(), warning("FailedMount", mount),
			&engine.Wait{Reason: "FailedMount", Message: mount, IsFailure: true}},
		"a volume that cannot be attached is of the same kind": {
			startingPod(), warning("FailedAttachVolume", "no such disk"),
			&engine.Wait{Reason: "FailedMount", Message: "FailedAttachVolume: no such disk", IsFailure: true},
		},
		"a volume that another node still has is no failure": {
			startingPod(), warning("FailedAttachVolume", `Multi-Attach error for volume "pv-1" Volume is already used`),
			&engine.Wait{
				Reason: "FailedAttachVolume", Message: `Multi-Attach error for volume "pv-1" Volume is already used`,
			},
		},
		"a runtime that the node lacks": {
			startingPod(), warning("FailedCreatePodSandBox", `no runtime for "kata" is configured`),
			&engine.Wait{
				Reason: "FailedCreatePodSandBox", Message: `no runtime for "kata" is configured`, IsFailure: true,
			},
		},
		"a pull that takes long": {startingPod(), event("Normal", "Pulling", `Pulling image "x"`, ""),
			&engine.Wait{Reason: "ContainerCreating", Message: `Pulling: Pulling image "x"`, IsRoutine: true}},
		"a warning that says nothing of the start": {startingPod(), warning("DNSConfigForming", "limits exceeded"),
			&engine.Wait{Reason: "ContainerCreating", Message: `node "n1" is setting up the Pod`, IsRoutine: true}},
		"pull secrets that may not be needed": {startingPod(), warning("FailedToRetrieveImagePullSecret", "some"),
			&engine.Wait{Reason: "ContainerCreating", Message: `node "n1" is setting up the Pod`, IsRoutine: true}},
		"a node that is silent": {&corev1.Pod{Spec: corev1.PodSpec{NodeName: "n1"}}, StartEvent{}, &engine.Wait{
			Reason: "ContainerCreating", Message: `node "n1" has not reported the Pod yet`, IsRoutine: true,
		}},
		"a scheduler that is silent": {&corev1.Pod{}, StartEvent{},
			&engine.Wait{Reason: "Unschedulable", Message: "no scheduler has considered the Pod yet", IsRoutine: true}},
		"an init container that runs": {startingPod(corev1.ContainerStatus{Name: "first", State: done},
			corev1.ContainerStatus{Name: "wait", State: running}), StartEvent{},
			&engine.Wait{Reason: "PodInitializing", Message: "init container wait is running", IsRoutine: true}},
		"an init container that is set up": {startingPod(corev1.ContainerStatus{
			Name: "wait", State: initializing,
		}), warning("FailedMount", "x"),
			&engine.Wait{Reason: "FailedMount", Message: "x", IsFailure: true}},
		"a sidecar that is not ready": {startingPod(corev1.ContainerStatus{Name: "proxy", State: running}),
			event("Warning", "Unhealthy", "Startup probe failed", "proxy"),
			&engine.Wait{
				Reason:  "PodInitializing",
				Message: "sidecar proxy has not passed its startup probe: Startup probe failed", IsRoutine: true,
			}},
		"a sidecar that runs again after a crash fails as in the back-off": {
			startingPod(corev1.ContainerStatus{Name: "proxy", State: running, RestartCount: 1}), StartEvent{},
			&engine.Wait{
				Reason: "CrashLoopBackOff", IsFailure: true,
				Message: "init container proxy: ended before it had passed its startup probe",
			},
		},
		"a sidecar that has just crashed": {
			startingPod(corev1.ContainerStatus{Name: "proxy", State: done}), StartEvent{},
			&engine.Wait{
				Reason: "CrashLoopBackOff", IsFailure: true,
				Message: "init container proxy: ended before it had passed its startup probe",
			},
		},
		"a sidecar in the back-off": {
			startingPod(corev1.ContainerStatus{Name: "proxy", RestartCount: 1, State: corev1.ContainerState{
				Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off 10s"},
			}}), StartEvent{},
			&engine.Wait{
				Reason: "CrashLoopBackOff", Message: "init container proxy: back-off 10s", IsFailure: true,
			},
		},
		"a sidecar that has started after a crash": {
			startingPod(corev1.ContainerStatus{
				Name: "proxy", State: running, RestartCount: 1, Started: new(true),
			}), StartEvent{},
			&engine.Wait{Reason: "ContainerCreating", Message: `node "n1" is setting up the Pod`, IsRoutine: true},
		},
		"an init container that runs again, as after a reboot": {
			startingPod(corev1.ContainerStatus{Name: "wait", State: running, RestartCount: 1}), StartEvent{},
			&engine.Wait{Reason: "PodInitializing", Message: "init container wait is running", IsRoutine: true},
		},
		"a sidecar that is ready": {startingPod(corev1.ContainerStatus{
			Name: "proxy", State: running, Started: new(true),
		}), StartEvent{},
			&engine.Wait{Reason: "ContainerCreating", Message: `node "n1" is setting up the Pod`, IsRoutine: true}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, Facts(c.pod, c.event).Waits); diff != "" {
				t.Errorf("waits (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.want, Facts(trimmedPod(t, c.pod), c.event).Waits); diff != "" {
				t.Errorf("waits of the trimmed Pod (-want +got):\n%s", diff)
			}
		})
	}
}
