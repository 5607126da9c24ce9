package podevents

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"kontroler/store"
)

// podsRemembered is the least number of Pods that gonePods holds; it holds at most twice as many.
const podsRemembered = 5000

// gonePods remembers the latest Pods that no longer exist. Their Events may arrive after them.
type gonePods struct {
	mu sync.Mutex
	// When recent is full, it becomes older, and what was older is forgotten.
	recent, older map[types.UID]store.Pod
}

func newGonePods() *gonePods { return &gonePods{recent: map[types.UID]store.Pod{}} }

// add remembers Pods.
func (g *gonePods) add(pods ...store.Pod) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, pod := range pods {
		if len(g.recent) >= podsRemembered {
			g.recent, g.older = map[types.UID]store.Pod{}, g.recent
		}
		g.recent[types.UID(pod.UID)] = pod
	}
}

// get returns the Pod with a UID, if it is remembered.
func (g *gonePods) get(uid types.UID) (store.Pod, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if pod, ok := g.recent[uid]; ok {
		return pod, true
	}
	pod, ok := g.older[uid]
	return pod, ok
}
