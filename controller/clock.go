package controller

import (
	"context"
	"sync"
	"time"

	"kontroler/controller/fault"
)

const (
	// clockTolerance is how far the clock may be from the database's before it is set again: less is the way of the answer.
	clockTolerance = time.Second
	// clockOff is how far the machine's clock may be from the database's before that is worth a word.
	clockOff = 30 * time.Second
)

// clock tells the database's time, which all leaders have in common: what one wrote down as due is due for the next,
// whatever the clocks of their machines say. Between two readings it goes by this process's monotonic clock, so that a step
// of the machine's clock changes nothing.
type clock struct {
	mu             sync.Mutex
	read, database time.Time // the last reading, by this process's clock and by the database's
}

// newClock makes a clock that tells the machine's time until it is set.
func newClock() *clock {
	now := fault.Now()
	return &clock{read: now, database: now}
}

// now is the time as PostgreSQL keeps it: UTC, microseconds.
func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at(fault.Now())
}

func (c *clock) at(local time.Time) time.Time {
	return c.database.Add(local.Sub(c.read)).UTC().Truncate(time.Microsecond)
}

// set takes over a reading of the database's clock that was asked for and answered at these times of this process's clock.
func (c *clock) set(asked, answered, database time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	read := asked.Add(answered.Sub(asked) / 2)
	if off := database.Sub(c.at(read)); off.Abs() > clockTolerance {
		c.read, c.database = read, database
	}
}

// readClock sets the term's clock by the database's.
func (t *term) readClock(ctx context.Context) error {
	asked := fault.Now()
	database, err := t.db.Clock(ctx)
	if err != nil {
		return err
	}
	answered := fault.Now()
	t.clock.set(asked, answered, database)
	if off := answered.Round(0).Sub(database); off.Abs() > clockOff+answered.Sub(asked) {
		t.Log.Warn("the clock of this machine is not the database's, which counts", "ahead", off.Round(time.Second).String())
	}
	return nil
}

// now is the time by which everything is due: the database's.
func (t *term) now() time.Time { return t.clock.now() }
