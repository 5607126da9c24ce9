package schedule

import (
	"context"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/kontroler/v1alpha1"
)

// A schedule whose DagRun was refused is retried after minRetry, then after twice as long each time, up to maxRetry.
const minRetry, maxRetry = time.Second, 30 * time.Second

// refusals are the schedules whose last DagRun the API server refused.
type refusals struct {
	mu    sync.Mutex
	byDAG map[cache.ObjectName]refusal
}

type refusal struct {
	delay   time.Duration
	retryAt time.Time
}

func newRefusals() *refusals { return &refusals{byDAG: map[cache.ObjectName]refusal{}} }

// add records a refusal and returns the delay before the next try.
func (r *refusals) add(name cache.ObjectName, now time.Time) (delay time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delay = min(max(2*r.byDAG[name].delay, minRetry), maxRetry)
	r.byDAG[name] = refusal{delay: delay, retryAt: now.Add(delay)}
	return delay
}

// wait returns how long a schedule must still wait for its next try. Zero or less means that it need not wait.
func (r *refusals) wait(name cache.ObjectName, now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return min(r.byDAG[name].retryAt.Sub(now), maxRetry) // the clock may have been set back
}

// has reports whether the last DagRun of a schedule was refused.
func (r *refusals) has(name cache.ObjectName) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, isRefused := r.byDAG[name]
	return isRefused
}

func (r *refusals) drop(name cache.ObjectName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.byDAG, name)
}

// reportRefused shows the answer of the API server in a condition of the DAG, and enqueues the schedule for its next
// try.
func (s *Scheduler) reportRefused(ctx context.Context, name cache.ObjectName, refused *refusedError) error {
	s.schedules.AddAfter(name, s.refusals.add(name, s.cfg.Now()))
	return s.cfg.SetCondition(ctx, name, v1alpha1.DAGScheduled, &metav1.Condition{
		Status: metav1.ConditionFalse, Reason: "CreateRefused",
		Message: "the API server refuses the DagRun that is due: " + refused.Error(),
	})
}

// reportAccepted removes the condition that reportRefused set, in this term or in an earlier one.
func (s *Scheduler) reportAccepted(ctx context.Context, name cache.ObjectName) error {
	if err := s.cfg.SetCondition(ctx, name, v1alpha1.DAGScheduled, nil); err != nil {
		return err
	}
	s.refusals.drop(name)
	return nil
}
