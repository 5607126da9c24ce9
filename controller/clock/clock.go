package clock

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"kontroler/controller/fault"
)

const (
	// tolerance is the smallest difference from the database's clock that a reading corrects. Less may be latency.
	tolerance = time.Second
	// warnFrom is the smallest difference between the clocks of machine and database that is logged.
	warnFrom = 30 * time.Second
)

// Clock tells the time of the database. Between two readings it follows the monotonic clock of this process, so a step
// of the machine's clock has no effect.
type Clock struct {
	local          func() time.Time // this process's clock
	mu             sync.Mutex
	read, database time.Time // the last reading, by this process's clock and by the database's
}

// New makes a clock that tells the machine's time until it is read from the database.
func New() *Clock { return Following(fault.Now) }

// Following makes a clock that follows local, in place of this process's clock. Tests use it to stop the time.
func Following(local func() time.Time) *Clock {
	now := local()
	return &Clock{local: local, read: now, database: now}
}

// Now returns the time as PostgreSQL stores it: in UTC, with microseconds.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at(c.local())
}

func (c *Clock) at(local time.Time) time.Time {
	return c.database.Add(local.Sub(c.read)).UTC().Truncate(time.Microsecond)
}

// Set adopts a reading of the database's clock, if it differs. asked and answered are the times of the query by the
// clock of this process.
func (c *Clock) Set(asked, answered, database time.Time) (adopted bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	uncertain := answered.Sub(asked) / 2 // the database may have read its clock at any time in between
	read := asked.Add(uncertain)
	if off := database.Sub(c.at(read)); off.Abs() <= tolerance+uncertain {
		return false
	}
	c.read, c.database = read, database
	return true
}

// ReadFrom sets the clock to the database's time, which read returns. It logs a large difference when it adopts one. It
// returns the error of read.
func (c *Clock) ReadFrom(ctx context.Context, read func(context.Context) (time.Time, error), log *slog.Logger) error {
	asked := c.local()
	reading, err := read(ctx)
	if err != nil {
		return err
	}
	answered := c.local()
	ahead := answered.Round(0).Sub(reading)
	if c.Set(asked, answered, reading) && ahead.Abs() > warnFrom+answered.Sub(asked) {
		log.Warn("the clock of this machine differs from the database's clock, which is used",
			"ahead", ahead.Round(time.Second).String())
	}
	return nil
}
