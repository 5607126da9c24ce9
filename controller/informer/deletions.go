package informer

import (
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"kontroler/controller/kube"
)

// clocksApart is the largest tolerated difference between the clocks of this process and of the API server.
const clocksApart = 10 * time.Minute

// Deletions remembers when this process first saw that a cached Pod is being deleted. The API server's clock sets the
// deletionTimestamp. Compared with this process's clock, it could make a node count as lost during its Pod's grace
// period. The zero value remembers none.
type Deletions struct {
	seen sync.Map // time.Time, by UID
}

// GraceOver returns when the grace period of a deleted, cached Pod ends by this process's clock: one grace period after
// the deletion was first seen, but no later than LatestGrace. That bound keeps a grace period of hours from starting
// again after a restart. The result is zero if the Pod is not deleted.
func (d *Deletions) GraceOver(pod *corev1.Pod, now time.Time) time.Time {
	if pod.DeletionTimestamp == nil {
		return time.Time{}
	}
	seen, _ := d.seen.LoadOrStore(pod.UID, now)
	var grace time.Duration
	if seconds := pod.DeletionGracePeriodSeconds; seconds != nil {
		grace = time.Duration(*seconds) * time.Second
	}
	over := seen.(time.Time).Add(grace)
	if latest := LatestGrace(pod); latest.Before(over) {
		return latest
	}
	return over
}

// LatestGrace returns when the grace period of a deleted Pod ends if the API server's clock is clocksApart behind. It
// is zero if the Pod is not deleted.
func LatestGrace(pod *corev1.Pod) time.Time {
	if pod.DeletionTimestamp == nil {
		return time.Time{}
	}
	return kube.UTC(*pod.DeletionTimestamp).Add(clocksApart)
}

// Drop forgets a Pod that is gone.
func (d *Deletions) Drop(pod types.UID) { d.seen.Delete(pod) }
