package retention

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"kontroler/controller/fault"
	"kontroler/controller/queue"
	"kontroler/controller/wait"
	"kontroler/store"
)

const (
	// trimInterval is the time between two passes.
	trimInterval = 10 * time.Minute
	// outageRetry is the delay before a pass that a database outage ended is repeated.
	outageRetry = time.Minute
	// trimPause is the pause after a batch, as a multiple of the time that the batch took. Trimming thus uses a fifth
	// of the time of one connection.
	trimPause = 4
)

// trim removes old history, immediately and then at every trimInterval, until ctx ends. A pass that fails because the
// database is unavailable is repeated after outageRetry. If it fails again for that reason, the error is reported: a
// real outage would have ended the term, so a statement of the pass is probably timing out.
func (c *Cleaner) trim(ctx context.Context) {
	wasAway := false
	for {
		err := c.trimOnce(ctx)
		isAway, next := store.IsUnavailable(err), trimInterval
		switch {
		case isAway && !wasAway:
			next = outageRetry
		case isAway && ctx.Err() == nil:
			// %v hides the kind of the error, so that it counts as a fault of this pass and not as an outage.
			c.Failed(fmt.Errorf("next try in %s: %v", trimInterval, err))
		case err != nil && ctx.Err() == nil:
			c.Failed(fmt.Errorf("next try in %s: %w", trimInterval, err))
		}
		if wasAway = isAway; !wait.For(ctx, next) {
			return
		}
	}
}

// trimOnce removes changes that are older than two days, and history that is older than HistoryRetention. It trims
// history even if the trimming of changes fails.
func (c *Cleaner) trimOnce(ctx context.Context) error {
	total, log := store.Removed{}, []any{}
	retention := store.Retention{
		// This is the machine's time and not Now. Trim compares it with the database's time, and removes nothing that
		// is too young by either clock.
		Now: fault.Now(), Keep: c.HistoryRetention, Retain: c.isRetained,
		AfterBatch: func(removed store.Removed, took time.Duration) error {
			fault.Point("history-trimmed")
			for kind, n := range removed {
				c.Metrics.HistoryRemoved(kind, n)
				if n > 0 {
					total[kind] += n
				}
			}
			wait.For(ctx, trimPause*took)
			return ctx.Err()
		},
	}
	err := c.History.TrimChanges(ctx, retention)
	if c.HistoryRetention > 0 {
		err = errors.Join(err, c.History.Trim(ctx, retention))
	}
	for _, kind := range slices.Sorted(maps.Keys(total)) {
		log = append(log, kind+"s", total[kind])
	}
	if len(log) > 0 {
		c.Log.Info("history trimmed", log...)
	}
	return err
}

// isRetained reports whether the rows of an ended run are still needed: the status of its DagRun is not final yet, or
// it has Pods.
func (c *Cleaner) isRetained(uid string) bool {
	run := c.cachedRun(queue.RunKey(uid))
	return run != nil && !run.Status.Phase.Ended() || c.hasPods(types.UID(uid))
}
