package pod

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/text"
)

// StartEvent is an Event about the start of a Pod. A Pod's status says only ContainerCreating while a volume is missing,
// the sandbox fails or an image is pulled. The zero value: no Event is known.
type StartEvent struct {
	Reason, Message, Container string
	// Fails reports a failure, which the node tries to overcome.
	Fails bool
	At    time.Time
}

// StartEventOf returns what an Event says about the start of its Pod; false: nothing. An Event of progress takes an
// earlier failure back.
func StartEventOf(kind, reason, message, container string, at time.Time) (StartEvent, bool) {
	fails, tells := tellsOfStart(kind, reason)
	return StartEvent{Reason: reason, Message: message, Container: container, Fails: fails, At: at}, tells
}

// text is the Event as kubectl describe shows it, without the reason if that is shown beside it.
func (e StartEvent) text(shown string) string {
	if e.Reason == shown {
		return text.Clean(e.Message)
	}
	return text.Clean(e.Reason + ": " + e.Message)
}

// tellsOfStart sorts Events by Reason. Kubelets and controllers name failures Failed…; those left out say nothing about
// the start, or are in the Pod's status.
func tellsOfStart(kind, reason string) (fails, tells bool) {
	switch reason {
	case "FailedScheduling", "FailedToRetrieveImagePullSecret", "FailedKillPod", "FailedPreStopHook":
		return false, false
	case "Scheduled", "SuccessfulAttachVolume", "SuccessfulMountVolume", "Pulling", "Pulled", "Created", "Started",
		"Unhealthy", "NodeNotReady", "VolumePermissionChangeInProgress":
		return false, true
	}
	fails = kind == corev1.EventTypeWarning && (strings.HasPrefix(reason, "Failed") && reason != "Failed" || reason == "NetworkNotReady")
	return fails, fails
}

// startFailure is the reason under which a failure is shown. Failures that may alternate while the cause stays the same
// share one, because the start grace is counted from the first time that a reason is shown.
func startFailure(reason string) string {
	switch reason {
	case "FailedAttachVolume", "FailedMapVolume", "FailedMountOnFilesystemMismatch":
		return "FailedMount"
	case "NetworkNotReady", "FailedPodSandBoxStatus":
		return "FailedCreatePodSandBox"
	}
	return reason
}

// HasStarted reports whether the task's container has started, or never will.
func HasStarted(pod *corev1.Pod) bool {
	task := ContainerStatus(pod.Status.ContainerStatuses, v1alpha1.TaskContainer)
	return !IsLive(pod) || task != nil && task.State.Waiting == nil
}
