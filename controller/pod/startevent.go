package pod

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/text"
)

const (
	reasonFailedAttach = "FailedAttachVolume"
	reasonFailedMount  = "FailedMount"
)

// StartEvent is an Event about the start of a Pod. The status of a Pod says only ContainerCreating while a volume is
// missing, the sandbox fails or an image is pulled. The zero value means that no Event is known.
type StartEvent struct {
	Reason, Message, Container string
	// Fails reports that a step failed. The node retries it.
	Fails bool
	// AwaitsDetach reports that a volume is still attached to another node. Kubernetes detaches it, from a lost node
	// after six minutes.
	AwaitsDetach bool
	// Volume is the volume that the message names. It is empty if the message names none.
	Volume string
	At     time.Time
}

// StartEventOf converts an Event. It reports whether the Event is about the start of its Pod. An Event that reports
// progress clears an earlier failure.
func StartEventOf(kind, reason, message, container string, at time.Time) (StartEvent, bool) {
	fails, isRelevant := classifyEvent(kind, reason)
	return StartEvent{
		Reason: reason, Message: message, Container: container, Fails: fails, Volume: volumeOf(message), At: at,
		// Only the text distinguishes this failure to attach from others.
		AwaitsDetach: reason == reasonFailedAttach && strings.HasPrefix(message, "Multi-Attach error"),
	}, isRelevant
}

// volumeOf returns the volume that a message names, as in: MountVolume.SetUp failed for volume "pv-1" : no such device.
func volumeOf(message string) string {
	_, after, _ := strings.Cut(message, `for volume "`)
	volume, _, _ := strings.Cut(after, `"`)
	return volume
}

// Outlasts reports whether the volume of e still awaits its detach after a later Event. The attach/detach controller
// reports the cause once; afterwards the kubelet keeps reporting that it cannot mount volumes, and other volumes may be
// attached and mounted. The kubelet names a volume only when it is attached.
func (e StartEvent) Outlasts(later StartEvent) bool {
	switch later.Reason {
	case reasonFailedMount, "SuccessfulAttachVolume", "SuccessfulMountVolume", "VolumePermissionChangeInProgress":
		return e.AwaitsDetach && later.Volume != e.Volume
	}
	return false
}

// text returns the Event as kubectl describe shows it, without its reason if that is shown already.
func (e StartEvent) text(shown string) string {
	if e.Reason == shown {
		return text.Clean(e.Message)
	}
	return text.Clean(e.Reason + ": " + e.Message)
}

// classifyEvent classifies an Event by its reason. Kubelets and controllers name failures Failed…. The exceptions have
// nothing to do with the start, come before the Pod has a node, or are also in the status of the Pod.
//
// Scheduled does not count as progress. Its time has a fraction and other Events have whole seconds, so it may seem to
// follow an error that it precedes.
func classifyEvent(kind, reason string) (fails, isRelevant bool) {
	switch reason {
	case "FailedScheduling", "FailedResourceClaimCreation", "FailedToRetrieveImagePullSecret", "FailedKillPod",
		"FailedPreStopHook":
		return false, false
	case "SuccessfulAttachVolume", "SuccessfulMountVolume", "Pulling", "Pulled", "Created", "Started", "Unhealthy",
		"NodeNotReady", "VolumePermissionChangeInProgress":
		return false, true
	}
	fails = kind == corev1.EventTypeWarning &&
		(strings.HasPrefix(reason, "Failed") && reason != "Failed" || reason == "NetworkNotReady")
	return fails, fails
}

// startFailure returns the reason under which a failure is reported. Failures that may alternate while the cause
// stays the same share one, because the start grace begins when a reason first appears.
func startFailure(reason string) string {
	switch reason {
	case reasonFailedAttach, "FailedMapVolume", "FailedMountOnFilesystemMismatch":
		return reasonFailedMount
	case "NetworkNotReady", "FailedPodSandBoxStatus":
		return "FailedCreatePodSandBox"
	}
	return reason
}

// HasStarted reports whether the task's container has started or never will.
func HasStarted(pod *corev1.Pod) bool {
	task := ContainerStatus(pod.Status.ContainerStatuses, v1alpha1.TaskContainer)
	return !IsLive(pod) || task != nil && task.State.Waiting == nil
}
