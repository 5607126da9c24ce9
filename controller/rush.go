package controller

import (
	"context"
	"sync"
	"time"

	"kontroler/controller/wait"
)

const (
	// rushLasts is how long what can wait makes way for starts, from when more of them wait than there are workers.
	rushLasts = time.Minute
	// rushBacklog is how much makes way at once. Ended Pods are among it: from 12,500 on Kubernetes deletes them itself.
	rushBacklog = 10_000
	rushEvery   = 50 * time.Millisecond
	// rushCalm is how long there must be none for the next one to be another: queues run empty for moments.
	rushCalm = 10 * time.Second
)

// rush is a time in which more schedules and runs are to be started than there are workers, as when many are due in one
// minute. What can wait then does: ends are told, ended Pods deleted, due times shown a little later. Nobody else is kept
// waiting for that, and an outcome is counted as ever.
type rush struct {
	// isBusy reports whether more schedules and runs wait than there are workers.
	isBusy func() bool

	mu    sync.Mutex
	since time.Time // it began
	last  time.Time // it was seen
}

// on notes whether there is a rush and reports whether it is still young.
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

// rushed reports whether what can wait should, of which there is a backlog.
func (r *rush) rushed(backlog func() int) bool {
	return r.on(r.isBusy(), time.Now()) && backlog() < rushBacklog
}

// makeWay returns when the rush is over, or has lasted too long.
func (r *rush) makeWay(ctx context.Context, backlog func() int) {
	for r.rushed(backlog) && wait.For(ctx, rushEvery) {
	}
}
