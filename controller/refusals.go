package controller

import (
	"context"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/kontroler/v1alpha1"
)

const (
	// refusalRetry is when a schedule whose DagRun was refused is tried again, refusalRetryMax the longest such time.
	refusalRetry, refusalRetryMax = time.Second, 30 * time.Second
)

// refusals are the schedules whose DagRuns the API server refuses.
type refusals struct {
	mu    sync.Mutex
	byDAG map[cache.ObjectName]refusal
}

type refusal struct {
	delay time.Duration
	next  time.Time
}

func newRefusals() *refusals { return &refusals{byDAG: map[cache.ObjectName]refusal{}} }

// note notes a refusal and returns how long to wait before the next try: twice as long as the last time.
func (r *refusals) note(name cache.ObjectName, now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := r.byDAG[name]
	delay := min(max(2*last.delay, refusalRetry), refusalRetryMax)
	r.byDAG[name] = refusal{delay: delay, next: now.Add(delay)}
	return delay
}

// wait is how long it is until a schedule may be tried again.
func (r *refusals) wait(name cache.ObjectName, now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return min(r.byDAG[name].next.Sub(now), refusalRetryMax) // the clock may have gone back
}

// has reports whether the last DagRun of a schedule was refused.
func (r *refusals) has(name cache.ObjectName) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, refused := r.byDAG[name]
	return refused
}

func (r *refusals) drop(name cache.ObjectName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.byDAG, name)
}

// scheduleRefused tells a DAG that the API server refuses its DagRun, and tries again later.
func (t *term) scheduleRefused(ctx context.Context, name cache.ObjectName, why *createRefused) error {
	t.schedules.AddAfter(name, t.refusals.note(name, t.now()))
	return t.setDAGCondition(ctx, name, v1alpha1.DAGScheduled, &metav1.Condition{
		Status: metav1.ConditionFalse, Reason: "CreateRefused", Message: "the API server refuses the DagRun that is due: " + why.Error(),
	})
}

// scheduleAccepted takes back what scheduleRefused told, also in an earlier term.
func (t *term) scheduleAccepted(ctx context.Context, name cache.ObjectName) error {
	if err := t.setDAGCondition(ctx, name, v1alpha1.DAGScheduled, nil); err != nil {
		return err
	}
	t.refusals.drop(name)
	return nil
}
