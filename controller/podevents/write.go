package podevents

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"kontroler/controller/fault"
	"kontroler/controller/wait"
	"kontroler/store"
)

const (
	// writeInterval is how long an Event waits for a batch to fill, at most.
	writeInterval = time.Second
	// writeRetry is the pause after a failed write.
	writeRetry = time.Second
	// recentPods is how many Pods are loaded when a term begins. Twice as many are remembered.
	recentPods = 5000
)

// loadRecentPods remembers the Pods of the newest attempts. It retries until the database answers, and returns false
// when ctx ends before.
func (k *Keeper) loadRecentPods(ctx context.Context) bool {
	for {
		pods, err := k.cfg.Database.RecentPods(ctx, recentPods)
		if err == nil {
			for _, p := range pods {
				k.gone.Add(types.UID(p.UID), p)
			}
			return true
		}
		if !k.pauseAfter(ctx, err, "reading recent Pods from the database") {
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

// writeBatch writes one batch and reports whether another full one may wait. Events that could not be written return to
// the backlog.
func (k *Keeper) writeBatch(ctx context.Context) (mayHaveMore bool) {
	batch := k.backlog.take()
	if len(batch) == 0 {
		return false
	}
	if left, err := k.store(ctx, batch); err != nil {
		k.backlog.restore(left)
		k.pauseAfter(ctx, err, "storing Events of Pods")
		return false
	}
	return len(batch) == batchSize
}

// store writes Events. If the database rejects a batch, store bisects it to find the Events at fault, and drops these.
// With an error, it returns the Events that it did not write.
func (k *Keeper) store(ctx context.Context, events []store.PodEvent) (left []store.PodEvent, err error) {
	fault.Point("pod-events-keep")
	kept, err := k.cfg.Database.Save(ctx, events)
	half := len(events) / 2
	switch {
	case err == nil:
		fault.Point("pod-events-kept")
		k.cfg.Metrics.PodEvents("kept", kept)
		return nil, nil
	case !errors.Is(err, store.ErrRejected):
		return events, err
	case half == 0:
		k.cfg.Metrics.PodEvents("dropped", 1)
		k.cfg.Log.Warn("Event of a Pod was dropped: the database rejects it", "error", err)
		return nil, nil
	}
	if left, err = k.store(ctx, events[:half]); err != nil {
		return append(left, events[half:]...), err
	}
	return k.store(ctx, events[half:])
}

// pauseAfter reports an error of the database and what failed with it, and waits before the next attempt. It returns
// false when ctx ends before.
func (k *Keeper) pauseAfter(ctx context.Context, err error, failed string) bool {
	if ctx.Err() == nil {
		k.cfg.Failed(fmt.Errorf("%s: %w", failed, err))
	}
	return wait.For(ctx, writeRetry)
}
