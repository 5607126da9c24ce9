package podevents

import (
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"kontroler/controller/engine"
	"kontroler/controller/names"
	"kontroler/store"
)

const (
	// batchSize is how many Events one transaction writes at most.
	batchSize = 500
	// backlogLimit is how many Events wait for the database at most.
	backlogLimit = 5000
	// unmatchedLimit is how many Events of unknown Pods are held at most. Beyond that, the oldest are dropped.
	unmatchedLimit = 1000
	// unmatchedHold is how long an Event of an unknown Pod is held. An Event may arrive before the watch shows its Pod.
	unmatchedHold = 5 * time.Second
)

// backlog holds the Events that wait for the database. It matches them to Pods and merges repeated ones.
type backlog struct {
	// find returns the Pod with a UID if this controller created it.
	find func(types.UID) (store.Pod, bool)
	// batchReady has an element when the backlog holds a full batch.
	batchReady chan struct{}

	mu sync.Mutex
	// waiting has the Events to write. Events with the same key are merged. order has the keys in the order of arrival.
	waiting   map[eventKey]store.PodEvent
	order     []eventKey
	unmatched []unmatchedEvent
}

// eventKey identifies Events that say the same about a Pod: it is an Event without counts and times.
type eventKey store.PodEvent

func eventKeyOf(e store.PodEvent) eventKey {
	e.Count, e.FirstAt, e.LastAt = 0, time.Time{}, time.Time{}
	return eventKey(e)
}

// unmatchedEvent is an Event of an unknown Pod.
type unmatchedEvent struct {
	podUID    types.UID
	event     store.PodEvent
	heldUntil time.Time
}

func newBacklog(find func(types.UID) (store.Pod, bool)) *backlog {
	return &backlog{find: find, batchReady: make(chan struct{}, 1), waiting: map[eventKey]store.PodEvent{}}
}

// offer takes an Event. It returns the Event with its Pod, or nil if the Pod is not known. accepted is false if the
// backlog is full; the Event must then be offered again.
func (b *backlog) offer(e *corev1.Event, now time.Time) (matched *store.PodEvent, accepted bool) {
	object := &e.InvolvedObject
	if object.UID == "" || !names.IsDerived(object.Name) {
		return nil, true
	}
	event := fromAPI(e)
	b.mu.Lock()
	defer b.mu.Unlock()
	pod, isKnown := b.find(object.UID)
	if !isKnown {
		if len(b.unmatched) == unmatchedLimit {
			b.unmatched = b.unmatched[1:]
		}
		held := unmatchedEvent{podUID: object.UID, event: event, heldUntil: now.Add(unmatchedHold)}
		b.unmatched = append(b.unmatched, held)
		return nil, true
	}
	if b.isFull() {
		return nil, false
	}
	event.Pod = pod
	b.add(event)
	return &event, true
}

func (b *backlog) isFull() bool { return len(b.order) >= backlogLimit }

// add merges an Event with the one that says the same, if there is one.
func (b *backlog) add(e store.PodEvent) {
	key := eventKeyOf(e)
	if other, ok := b.waiting[key]; ok {
		e.Count = max(e.Count, other.Count)
		e.FirstAt, e.LastAt = engine.Earlier(e.FirstAt, other.FirstAt), later(e.LastAt, other.LastAt)
	} else {
		b.order = append(b.order, key)
	}
	b.waiting[key] = e
	if len(b.order) >= batchSize {
		select {
		case b.batchReady <- struct{}{}:
		default:
		}
	}
}

// settle looks again for the Pods of unmatched Events. It returns the Events whose Pods are known now, and drops those
// that were held too long.
func (b *backlog) settle(now time.Time) (matched []store.PodEvent) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var unmatched []unmatchedEvent
	for _, held := range b.unmatched {
		pod, isKnown := b.find(held.podUID)
		switch {
		case isKnown && !b.isFull():
			held.event.Pod = pod
			b.add(held.event)
			matched = append(matched, held.event)
		case isKnown || now.Before(held.heldUntil):
			unmatched = append(unmatched, held)
		}
	}
	b.unmatched = unmatched
	return matched
}

// take removes and returns the Events that have waited longest, at most a batch.
func (b *backlog) take() []store.PodEvent {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := min(len(b.order), batchSize)
	batch := make([]store.PodEvent, n)
	for i, key := range b.order[:n] {
		batch[i] = b.waiting[key]
		delete(b.waiting, key)
	}
	b.order = append([]eventKey(nil), b.order[n:]...)
	return batch
}

// restore puts a batch back that could not be written. The backlog may then hold a batch more than its limit.
func (b *backlog) restore(batch []store.PodEvent) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range batch {
		b.add(e)
	}
}
