package podevents

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"kontroler/controller/pod"
	"kontroler/store"
)

// startEvents holds, for each Pod whose container has not started, the newest Event about its start. The status of such
// a Pod says only ContainerCreating while a volume is missing, the sandbox fails or an image is pulled.
type startEvents struct {
	mu    sync.Mutex
	byPod map[types.UID]pod.StartEvent
}

func newStartEvents() *startEvents { return &startEvents{byPod: map[types.UID]pod.StartEvent{}} }

// note takes an Event and reports whether it changes why the Pod does not start: a failure begins, changes or ends.
// Events arrive in any order. note ignores an Event that is older than the newest one, or that the newest one outlasts.
func (s *startEvents) note(e *store.PodEvent) (changesReason bool) {
	event, isAboutStart := pod.StartEventOf(e.Type, e.Reason, e.Message, e.Container, e.LastAt)
	if !isAboutStart {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	uid := types.UID(e.Pod.UID)
	known := s.byPod[uid]
	if event.At.Before(known.At) || known.Outlasts(event) {
		return false
	}
	s.byPod[uid] = event
	return event.Fails != known.Fails || event.Fails && (event.Reason != known.Reason || event.Message != known.Message)
}

// newest returns the newest Event about the start of a Pod, or the zero value if none is known.
func (s *startEvents) newest(podUID types.UID) pod.StartEvent {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byPod[podUID]
}

// forget removes a Pod that has started or no longer exists.
func (s *startEvents) forget(podUID types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byPod, podUID)
}
