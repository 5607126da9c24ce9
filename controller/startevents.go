package controller

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"kontroler/controller/pod"
	"kontroler/store"
)

// startEvents remembers, of each Pod whose container has not started, the newest Event that tells how the start goes. A
// Pod's status says only ContainerCreating while a volume is missing, the sandbox fails or an image is pulled.
type startEvents struct {
	mu    sync.Mutex
	byPod map[types.UID]pod.StartEvent
}

func newStartEvents() *startEvents { return &startEvents{byPod: map[types.UID]pod.StartEvent{}} }

// note takes in an Event and reports whether it is about a failure that was not known.
func (s *startEvents) note(p types.UID, e *store.PodEvent) bool {
	event, tells := pod.StartEventOf(e.Type, e.Reason, e.Message, e.Container, e.LastAt)
	if !tells {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.byPod[p]
	if event.At.Before(known.At) {
		return false // a list is in no order
	}
	s.byPod[p] = event
	return event.Fails && (known.Reason != event.Reason || known.Message != event.Message)
}

// newest is the newest Event of a Pod's start; its zero value: none is known.
func (s *startEvents) newest(pod types.UID) pod.StartEvent {
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

// noteStart takes in an Event of a Pod of this term.
func (t *term) noteStart(p store.Pod, e *store.PodEvent) {
	for _, cached := range t.podSource.By(byUID, p.UID) {
		if pod.HasStarted(cached) {
			return
		}
		if t.starts.note(cached.UID, e) {
			t.touched(p.RunUID, p.Name)
		}
	}
}
