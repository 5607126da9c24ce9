package controller

import (
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/store"
)

// startEvents remembers, of each Pod whose container has not started, the newest Event that tells how the start goes. A
// Pod's status says only ContainerCreating while a volume is missing, the sandbox fails or an image is pulled.
type startEvents struct {
	mu    sync.Mutex
	byPod map[types.UID]startEvent
}

// startEvent is such an Event. fails: it tells of a failure, which the node tries to overcome.
type startEvent struct {
	reason, message, container string
	fails                      bool
	at                         time.Time
}

func newStartEvents() *startEvents { return &startEvents{byPod: map[types.UID]startEvent{}} }

// text is the Event as kubectl describe shows it, without the reason where that is told beside it.
func (e startEvent) text(told string) string {
	if e.reason == told {
		return cleanText(e.message)
	}
	return cleanText(e.reason + ": " + e.message)
}

// note takes in an Event and reports whether it tells of a failure that was not known.
func (s *startEvents) note(pod types.UID, e *store.PodEvent) bool {
	fails, tells := tellsOfStart(e.Type, e.Reason)
	if !tells {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.byPod[pod]
	if e.LastAt.Before(known.at) {
		return false // a list is in no order
	}
	s.byPod[pod] = startEvent{reason: e.Reason, message: e.Message, container: e.Container, fails: fails, at: e.LastAt}
	return fails && (known.reason != e.Reason || known.message != e.Message)
}

// newest is the newest Event of a Pod's start; its zero value: none is known.
func (s *startEvents) newest(pod types.UID) startEvent {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byPod[pod]
}

// drop forgets a Pod that has started or is gone.
func (s *startEvents) drop(pod types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byPod, pod)
}

// tellsOfStart sorts Events by their reason. Failures are named Failed… by kubelets and controllers; those left out say
// nothing of the start, or are in the Pod's status. Of the others only progress counts: it takes a failure back.
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

// startFailure is the reason under which a failure is told: one for all that may take turns while the cause stays the
// same, as the start grace is counted from the first telling.
func startFailure(reason string) string {
	switch reason {
	case "FailedAttachVolume", "FailedMapVolume", "FailedMountOnFilesystemMismatch":
		return "FailedMount"
	case "NetworkNotReady", "FailedPodSandBoxStatus":
		return "FailedCreatePodSandBox"
	}
	return reason
}

// noteStart takes in an Event of a Pod of this term.
func (t *term) noteStart(pod store.Pod, e *store.PodEvent) {
	for _, cached := range t.podSource.by(byUID, pod.UID) {
		if hasStarted(cached) {
			return
		}
		if t.starts.note(cached.UID, e) {
			t.touched(pod.RunUID, pod.Name)
		}
	}
}

// hasStarted reports that the task's container has started, or never will.
func hasStarted(pod *corev1.Pod) bool {
	task := containerStatus(pod.Status.ContainerStatuses, v1alpha1.TaskContainer)
	return !isLive(pod) || task != nil && task.State.Waiting == nil
}
