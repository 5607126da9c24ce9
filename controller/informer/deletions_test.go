package informer

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The grace of a deleted Pod is over by this process's clock, however far the API server's is from it.
func TestGraceIsOverByOneClock(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, c := range map[string]struct{ ahead, grace, seenAgo, want time.Duration }{
		"clocks agree": {grace: 30 * time.Second, want: 30 * time.Second},
		"the API server is ten minutes ahead": {
			ahead: 10 * time.Minute, grace: 30 * time.Second, want: 30 * time.Second,
		},
		"the API server is ten minutes behind": {
			ahead: -10 * time.Minute, grace: 30 * time.Second, want: 30 * time.Second,
		},
		"seen before": {grace: 30 * time.Second, seenAgo: 20 * time.Second, want: 10 * time.Second},
		"deleted long before this process began": {ahead: -time.Hour, grace: 30 * time.Minute,
			want: -20 * time.Minute}, // an hour ago, a grace of half of one, ten minutes for the clocks
	} {
		t.Run(name, func(t *testing.T) {
			d, seen := new(Deletions), now.Add(-c.seenAgo)
			deleted := metav1.NewTime(seen.Add(c.ahead + c.grace))
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
				UID: "u", DeletionTimestamp: &deleted, DeletionGracePeriodSeconds: new(int64(c.grace / time.Second)),
			}}
			d.GraceOver(pod, seen)
			if got := d.GraceOver(pod, now).Sub(now); got != c.want {
				t.Errorf("the grace is over in %s, want in %s", got, c.want)
			}
			d.Drop("u")
			if _, isRemembered := d.seen.Load(pod.UID); isRemembered {
				t.Error("a Pod that is gone is remembered")
			}
		})
	}
}
