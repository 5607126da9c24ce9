package schedule

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"kontroler/controller/kube"
)

// syncStatus patches the last and the next due time of a DAG if the cache shows others.
func (s *Scheduler) syncStatus(ctx context.Context, name cache.ObjectName) error {
	d, exists := s.cfg.CachedDAG(name)
	current, isSet := s.timers.get(name)
	if !exists || !isSet || current.uid != d.UID || d.Status.Controller != s.cfg.ControllerID {
		return nil
	}
	shown := &d.Status
	if isSameSecond(shown.LastScheduleTime, current.lastDue) && isSameSecond(shown.NextScheduleTime, current.nextDue) {
		return nil
	}
	_, err := kube.PatchStatus(ctx, s.cfg.Client.KontrolerV1alpha1().DAGs(name.Namespace), d, map[string]any{
		"lastScheduleTime": timeOrNull(current.lastDue), "nextScheduleTime": timeOrNull(current.nextDue),
	})
	if err = kube.IgnoreNotFound(err); err != nil {
		return fmt.Errorf("patching the due times of DAG %s: %w", name, err)
	}
	return nil
}

// isSameSecond reports whether a status shows a time. The API keeps whole seconds. Nil shows the zero time.
func isSameSecond(shown *metav1.Time, at time.Time) bool {
	if shown == nil || at.IsZero() {
		return shown == nil && at.IsZero()
	}
	return shown.Unix() == at.Unix()
}

// timeOrNull returns a time for a merge patch. Null removes the field.
func timeOrNull(at time.Time) any {
	if at.IsZero() {
		return nil
	}
	return metav1.NewTime(at)
}
