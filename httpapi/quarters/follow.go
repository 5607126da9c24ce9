package quarters

import (
	"context"
	"maps"
	"slices"
	"time"

	"kontroler/store/view"
)

const (
	// pollEvery is the shortest pause between two rounds, maxPause the longest.
	pollEvery = 2 * time.Second
	maxPause  = 10 * time.Second
	// restRatio is how many times longer than a round the pause after it is.
	restRatio = 19
	// roundTimeout bounds a round.
	roundTimeout = 30 * time.Second
	// sweepEvery is the time from the end of a sweep to the next one, if no run is removed.
	sweepEvery = time.Hour
	// maxChanges is how many changes a round reads. If there are more, it reads all rows again.
	maxChanges = 10_000
	// runsOfPart is how many runs a part of a sweep reads, before it completes the last quarter-hour. That took 0.7 s
	// on a machine with ten times the load that it could handle. The statement timeout is 5 s.
	runsOfPart = 50_000
	// maxNeighbours is how many touched quarter-hours one statement reads.
	maxNeighbours = 16
)

// The bounds of all quarter-hours. Times from Kubernetes are within them.
var (
	earliest = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	latest   = time.Date(9999, 12, 31, 23, 45, 0, 0, time.UTC)
)

// follower reads the rows. It belongs to one goroutine.
type follower struct {
	*Counts
	// snapshot is the end of the changes that were read. It is empty until the first round.
	snapshot view.Snapshot
	// touched are quarter-hours to read again.
	touched map[int32]bool
	// While isSweeping, the sweep has read the quarter-hours before sweptTo.
	isSweeping bool
	sweptTo    time.Time
	// hasRemovals means that a run was removed since the last sweep began.
	hasRemovals bool
	// hasSwept means that a sweep has completed since all counts were dropped. The last one began its last part at
	// sweptAt.
	hasSwept bool
	sweptAt  time.Time
	// isReset means that the last round dropped all counts because it could not read the changes since the snapshot.
	isReset    bool
	runsOfPart int
}

func (c *Counts) follower() *follower {
	return &follower{Counts: c, touched: map[int32]bool{}, runsOfPart: runsOfPart}
}

// Run keeps the counts up to date until ctx ends, and then returns nil. It retries while the database is unavailable.
// It must be called only once.
func (c *Counts) Run(ctx context.Context) error {
	f := c.follower()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		began := time.Now()
		err := f.round(ctx)
		timer.Reset(pause(time.Since(began), err == nil && !f.hasSwept && !f.isReset))
	}
}

// pause returns how long to wait after a round.
func pause(took time.Duration, isUrgent bool) time.Duration {
	if isUrgent {
		return 0
	}
	return min(max(restRatio*took, pollEvery), maxPause)
}

// round reads the changed quarter-hours, and a part of a sweep.
func (f *follower) round(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	began := f.now()
	err := f.read(bounded, began)
	if ctx.Err() == nil {
		f.note(began, f.hasSwept, err)
	}
	return err
}

func (f *follower) read(ctx context.Context, began time.Time) error {
	if err := f.follow(ctx); err != nil {
		return err
	}
	if err := f.readTouched(ctx); err != nil {
		return err
	}
	if !f.isSweeping && (f.hasRemovals || began.Sub(f.sweptAt) >= sweepEvery) {
		f.beginSweep()
	}
	if !f.isSweeping {
		return nil
	}
	return f.sweep(ctx, began)
}

// follow reads the changes since the snapshot, and marks the quarter-hours that they touch. The snapshot advances only
// afterwards, so that an error loses no change.
func (f *follower) follow(ctx context.Context) error {
	if f.snapshot == "" {
		snapshot, err := f.views.Snapshot(ctx)
		if err != nil {
			return err
		}
		f.restart(snapshot)
		return nil
	}
	changes, next, isReset, err := f.views.Changes(ctx, f.snapshot, maxChanges)
	if err != nil {
		return err
	}
	if f.isReset = isReset; isReset {
		f.restart(next)
		return nil
	}
	var runs []int64
	for _, c := range changes {
		if c.RunID != 0 {
			runs = append(runs, c.RunID)
		}
	}
	slices.Sort(runs)
	ends, hasRemovals, err := f.views.EndsOfRuns(ctx, slices.Compact(runs))
	if err != nil {
		return err
	}
	for _, at := range ends {
		f.touched[quarterOf(at)] = true
	}
	f.hasRemovals = f.hasRemovals || hasRemovals
	f.snapshot = next
	return nil
}

// restart drops all counts, and begins a sweep at a snapshot.
func (f *follower) restart(snapshot view.Snapshot) {
	f.forget()
	f.snapshot, f.hasSwept = snapshot, false
	clear(f.touched)
	f.beginSweep()
}

func (f *follower) beginSweep() { f.isSweeping, f.sweptTo, f.hasRemovals = true, earliest, false }

// readTouched reads the touched quarter-hours again, adjacent ones with one statement.
func (f *follower) readTouched(ctx context.Context) error {
	quarters := slices.Sorted(maps.Keys(f.touched))
	for len(quarters) > 0 {
		n := 1
		for n < min(len(quarters), maxNeighbours) && quarters[n] == quarters[n-1]+1 {
			n++
		}
		if err := f.readQuarters(ctx, timeOf(quarters[0]), timeOf(quarters[n-1]+1)); err != nil {
			return err
		}
		for _, quarter := range quarters[:n] {
			delete(f.touched, quarter)
		}
		quarters = quarters[n:]
	}
	return nil
}

// sweep reads the next part of a sweep: quarter-hours with at least runsOfPart runs, or the rest.
func (f *follower) sweep(ctx context.Context, began time.Time) error {
	end, hasMore, err := f.views.LaterEnd(ctx, f.sweptTo, f.runsOfPart)
	if err != nil {
		return err
	}
	before := latest
	if hasMore {
		before = timeOf(quarterOf(end) + 1)
	}
	if err := f.readQuarters(ctx, f.sweptTo, before); err != nil {
		return err
	}
	f.sweptTo = before
	if !hasMore {
		f.isSweeping, f.hasSwept, f.sweptAt = false, true, began
	}
	return nil
}

func (f *follower) readQuarters(ctx context.Context, from, before time.Time) error {
	quarters, err := f.views.Quarters(ctx, from, before)
	if err != nil {
		return err
	}
	f.replace(from, before, quarters)
	return nil
}
