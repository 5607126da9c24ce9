package podevents

import (
	"context"
	"errors"
	"time"

	"kontroler/controller/fault"
	"kontroler/controller/wait"
	"kontroler/store"
)

const (
	// writeInterval is how long an Event waits for a batch to fill, at most.
	writeInterval = time.Second
	// writeRetry is the pause after a failed write.
	writeRetry = time.Second
)

// loadRecentPods remembers the Pods of the newest attempts. It retries until the database answers, and returns false
// when ctx ends before.
func (k *Keeper) loadRecentPods(ctx context.Context) bool {
	for {
		pods, err := k.cfg.Database.RecentPods(ctx, podsRemembered)
		if err == nil {
			k.gone.add(pods...)
			return true
		}
		if !k.pauseAfter(ctx, err, "reading recent Pods from the database failed; will be retried") {
			return false
		}
	}
}

// write writes the backlog to the database until ctx ends.
func (k *Keeper) write(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.backlog.batchReady:
		case <-time.After(writeInterval):
		}
		matched := k.backlog.settle(k.cfg.Now())
		for i := range matched {
			k.noteStart(&matched[i])
		}
		for k.writeBatch(ctx) {
		}
	}
}

// writeBatch writes one batch and reports whether another full one may wait. A batch that the database rejects is
// dropped; one that fails otherwise returns to the backlog.
func (k *Keeper) writeBatch(ctx context.Context) (mayHaveMore bool) {
	batch := k.backlog.take()
	if len(batch) == 0 {
		return false
	}
	fault.Point("pod-events-keep")
	kept, err := k.cfg.Database.KeepPodEvents(ctx, batch)
	switch {
	case err == nil:
		fault.Point("pod-events-kept")
		k.cfg.Metrics.PodEvents("kept", kept)
		return len(batch) == batchSize
	case errors.Is(err, store.ErrRejected):
		k.cfg.Metrics.PodEvents("dropped", len(batch))
		k.pauseAfter(ctx, err, "Events of Pods were dropped: the database rejects them")
	default:
		k.backlog.restore(batch)
		k.pauseAfter(ctx, err, "storing Events of Pods failed; will be retried")
	}
	return false
}

// pauseAfter reports a failure of the database and waits before the next attempt. It returns false when ctx ends
// before. It does not log that the database is away: the controller does.
func (k *Keeper) pauseAfter(ctx context.Context, err error, message string) bool {
	switch {
	case errors.Is(err, store.ErrFenced):
		k.cfg.Fenced(err)
	case ctx.Err() == nil && !store.IsUnavailable(err):
		k.cfg.Log.Warn(message, "error", err)
	}
	return wait.For(ctx, writeRetry)
}
