package logs

import (
	"slices"
	"sync"
	"time"

	"k8s.io/client-go/tools/cache"
)

const (
	// ReadsAtOnce bounds the logs that are captured at the same time, and with them the memory: at most the limit of a
	// log for each. A capture blocks a call of Keep.
	ReadsAtOnce = 16
	// readsPerNode is the same for one node. A node that does not answer must not take all turns.
	readsPerNode = 4
	// turnRetry is the delay after which a waiting Pod is enqueued even if it got no turn, because the turn may have
	// gone to a Pod that no longer exists.
	turnRetry = 10 * time.Second
)

// turns is a semaphore for captures. A Pod that must wait is enqueued when it may have its turn.
type turns struct {
	enqueue func(cache.ObjectName)

	mu          sync.Mutex
	taken       int
	byNode      map[string]int                // taken
	byNamespace map[string]int                // taken
	waiting     map[string][]cache.ObjectName // by node, in the order in which they came
}

func newTurns(enqueue func(cache.ObjectName)) *turns {
	return &turns{
		enqueue: enqueue, byNode: map[string]int{}, byNamespace: map[string]int{},
		waiting: map[string][]cache.ObjectName{},
	}
}

// take reports whether the log of a Pod on a node may be read now. If so, giveBack must follow; if not, the Pod
// waits.
func (t *turns) take(node string, pod cache.ObjectName) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.taken >= ReadsAtOnce || t.byNode[node] >= readsPerNode {
		if !slices.Contains(t.waiting[node], pod) {
			t.waiting[node] = append(t.waiting[node], pod)
		}
		return false
	}
	t.taken++
	t.byNode[node]++
	t.byNamespace[pod.Namespace]++
	t.stopWaiting(node, pod)
	return true
}

// forget removes a Pod that is gone, so that no turn is given to it.
func (t *turns) forget(node string, pod cache.ObjectName) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stopWaiting(node, pod)
}

// stopWaiting removes a Pod from those that wait. The caller holds mu.
func (t *turns) stopWaiting(node string, pod cache.ObjectName) {
	others := slices.DeleteFunc(t.waiting[node], func(waiting cache.ObjectName) bool { return waiting == pod })
	if t.waiting[node] = others; len(others) == 0 {
		delete(t.waiting, node)
	}
}

// giveBack ends the turn of a Pod. It enqueues a waiting Pod of any node that has a turn left. Among the Pods of that
// node, one of the namespace with the fewest turns comes first.
func (t *turns) giveBack(node string, pod cache.ObjectName) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.taken--
	if t.byNode[node]--; t.byNode[node] == 0 {
		delete(t.byNode, node)
	}
	if t.byNamespace[pod.Namespace]--; t.byNamespace[pod.Namespace] == 0 {
		delete(t.byNamespace, pod.Namespace)
	}
	for other, pods := range t.waiting {
		if t.byNode[other] >= readsPerNode {
			continue
		}
		next := slices.MinFunc(pods, func(a, b cache.ObjectName) int {
			return t.byNamespace[a.Namespace] - t.byNamespace[b.Namespace]
		})
		t.stopWaiting(other, next)
		t.enqueue(next)
		return
	}
}
