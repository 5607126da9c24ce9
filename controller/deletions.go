package controller

import (
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// clocksApart is how far the clocks of this process and of the API server may be apart.
const clocksApart = 10 * time.Minute

// deletions remembers when this process first saw that a Pod in the cache is being deleted. The deletionTimestamp is of the
// API server's clock: compared with this process's, a node could count as lost while its Pod still has its grace.
type deletions struct {
	mu   sync.Mutex
	seen map[types.UID]time.Time
}

func newDeletions() *deletions { return &deletions{seen: map[types.UID]time.Time{}} }

// graceOver is when the grace of a deleted Pod in the cache is over, by this process's clock: its grace after the deletion
// was first seen, and no later than latestGrace. After a restart that bound keeps a grace of hours from beginning again.
func (d *deletions) graceOver(pod *corev1.Pod, now time.Time) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	seen, known := d.seen[pod.UID]
	if !known {
		seen = now
		d.seen[pod.UID] = now
	}
	var grace time.Duration
	if seconds := pod.DeletionGracePeriodSeconds; seconds != nil {
		grace = time.Duration(*seconds) * time.Second
	}
	return earlier(seen.Add(grace), latestGrace(pod))
}

// latestGrace is when the grace of a deleted Pod is over if the API server's clock is as far behind as it may be.
func latestGrace(pod *corev1.Pod) time.Time { return utc(*pod.DeletionTimestamp).Add(clocksApart) }

// drop forgets a Pod that is gone.
func (d *deletions) drop(pod types.UID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.seen, pod)
}
