package quarters

import (
	"context"
	"errors"
	"time"
	"unsafe"

	"kontroler/store/view"
)

// The sizes and times that tests rely on.
const (
	MaxAge     = maxAge
	SweepEvery = sweepEvery
	BytesOfOne = unsafe.Sizeof(count{})
	MaxPause   = maxPause
	PollEvery  = pollEvery
)

// Pause returns how long to wait after a round.
var Pause = pause

// Follower reads the rows in rounds.
type Follower struct{ *follower }

// Follower returns a follower whose sweeps read a number of runs in a part.
func (c *Counts) Follower(runsOfPart int) Follower {
	f := c.follower()
	f.runsOfPart = runsOfPart
	return Follower{f}
}

// Round reads what has changed, and a part of a sweep. isDone means that nothing is left to read.
func (f Follower) Round(ctx context.Context) (isDone bool, err error) {
	err = f.round(ctx)
	return !f.isSweeping && !f.hasRemovals && len(f.touched) == 0, err
}

const maxRounds = 1000

// Rounds runs rounds until nothing is left to read, and returns how many.
func (f Follower) Rounds(ctx context.Context) (n int, err error) {
	for isDone := false; !isDone && err == nil; n++ {
		if n == maxRounds {
			return n, errors.New("the rounds do not end")
		}
		isDone, err = f.Round(ctx)
	}
	return n, err
}

// Move makes the follower read another database, as if the one that it read had been replaced.
func (f Follower) Move(to *view.DB) { f.views = to }

// Len returns the number of counts.
func (c *Counts) Len() (n int) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, counts := range c.byNamespace {
		n += len(counts)
	}
	return n
}

// Age returns how old the counts are.
func (c *Counts) Age() time.Duration {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.now().Sub(c.asOf)
}
