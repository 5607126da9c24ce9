package controller

import (
	"context"
	"sync"
	"time"

	"kontroler/controller/wait"
)

const (
	// rushLasts is how long less urgent work waits after a rush began.
	rushLasts = time.Minute
	// rushBacklog is how much of it may wait. Kubernetes deletes ended Pods itself once there are 12,500.
	rushBacklog = 10_000
	rushEvery   = 50 * time.Millisecond
	// rushCalm is how long queues must be short before another rush can begin.
	rushCalm = 10 * time.Second
)

// rush delays less urgent work while more schedules and runs wait than there are workers, as when many are due in the same
// minute. Final statuses, deletions of ended Pods and due times in the status of DAGs are written a little later. Outcomes
// are counted without delay.
type rush struct {
	// isBusy reports whether more schedules and runs wait than there are workers.
	isBusy func() bool

	mu    sync.Mutex
	since time.Time // it began
	last  time.Time // it was seen
}

// on records whether there is a rush, and reports whether it began less than rushLasts ago.
func (r *rush) on(is bool, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !is {
		return false
	}
	if now.Sub(r.last) > rushCalm {
		r.since = now
	}
	r.last = now
	return now.Sub(r.since) < rushLasts
}

// rushed reports whether work with this backlog should wait.
func (r *rush) rushed(backlog func() int) bool {
	return r.on(r.isBusy(), time.Now()) && backlog() < rushBacklog
}

// makeWay blocks until the rush is over or has lasted too long.
func (r *rush) makeWay(ctx context.Context, backlog func() int) {
	for r.rushed(backlog) && wait.For(ctx, rushEvery) {
	}
}
