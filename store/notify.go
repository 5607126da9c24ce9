package store

import (
	"context"
	"strconv"
	"time"
)

// NotifyChannel is the channel on which the highest committed change id is told.
const NotifyChannel = "kontroler_changes"

// notifyEvery is the shortest time between two notifications.
const notifyEvery = 100 * time.Millisecond

const sqlNotify = `SELECT pg_notify('` + NotifyChannel + `', $1)`

// committed tells Notify that a change has been committed; 0 is none. It does not block.
func (l *Leader) committed(change int64) {
	if change == 0 {
		return
	}
	for highest := l.highest.Load(); change > highest && !l.highest.CompareAndSwap(highest, change); {
		highest = l.highest.Load()
	}
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// Notify tells listeners the highest change id that this leader has committed, when there is a new one, at most ten
// times a second, until ctx ends. It runs apart from the commits: NOTIFY in their transactions would make them queue. A
// notification is a hint; when the database does not take one the next one says as much.
func (l *Leader) Notify(ctx context.Context) {
	told := int64(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.changed:
		}
		if highest := l.highest.Load(); highest > told {
			if _, err := l.pool.ExecContext(ctx, sqlNotify, strconv.FormatInt(highest, 10)); err == nil {
				told = highest
			} else {
				l.committed(highest)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(notifyEvery):
		}
	}
}
