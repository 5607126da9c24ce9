package controller

import (
	"context"
	"sync"
	"time"

	"kontroler/controller/fault"
)

const (
	// clockTolerance is the smallest difference from the database's clock that a reading corrects. Less may be latency.
	clockTolerance = time.Second
	// clockWarning is the smallest difference between the clocks of machine and database that is logged.
	clockWarning = 30 * time.Second
)

// clock tells the database's time, which all leaders share: a due time that one leader wrote means the same to the
// next, whatever the clocks of their machines say. Between two readings it follows this process's monotonic clock, so a
// step of the machine's clock has no effect.
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

// set adopts a reading of the database's clock, if it differs from this one. asked and answered are the times of the
// query by this process's clock.
func (c *clock) set(asked, answered, database time.Time) (adopted bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	read := asked.Add(answered.Sub(asked) / 2)
	if off := database.Sub(c.at(read)); off.Abs() <= clockTolerance {
		return false
	}
	c.read, c.database = read, database
	return true
}

// readClock sets the term's clock by the database's.
func (c *core) readClock(ctx context.Context) error {
	asked := fault.Now()
	database, err := c.db.Clock(ctx)
	if err != nil {
		return err
	}
	answered := fault.Now()
	ahead := answered.Round(0).Sub(database)
	if c.clock.set(asked, answered, database) && ahead.Abs() > clockWarning+answered.Sub(asked) {
		c.cfg.Log.Warn("the clock of this machine differs from the database's clock, which is used",
			"ahead", ahead.Round(time.Second).String())
	}
	return nil
}

// now is the database's time, by which everything is due.
func (c *core) now() time.Time { return c.clock.now() }
