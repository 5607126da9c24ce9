package quarters

import (
	"cmp"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"kontroler/store/view"
)

// ErrCounting means that the runs have not been counted yet. A retry may succeed.
var ErrCounting = errors.New("the runs that have ended are being counted")

// maxAge is how old returned counts may be.
const maxAge = time.Minute

// Counts are the numbers of ended runs. Run keeps them up to date. It is safe for concurrent use.
type Counts struct {
	views *view.DB
	now   func() time.Time
	log   *slog.Logger

	mu sync.RWMutex
	// byNamespace has the counts of each namespace, sorted by quarter-hour.
	byNamespace map[string][]count
	// isComplete means that all runs were counted. The counts were equal to the rows at asOf.
	isComplete bool
	asOf       time.Time
	// fault is the error of the last round.
	fault error
}

// count has the numbers of runs that ended in a quarter-hour. quarter is the number of quarter-hours since 1970.
type count struct {
	quarter                      int32
	succeeded, failed, cancelled uint32
}

// New returns the counts of a database. They are not complete until Run has counted all runs.
func New(views *view.DB, now func() time.Time, log *slog.Logger) *Counts {
	return &Counts{views: views, now: now, log: log, byNamespace: map[string][]count{}}
}

// quarterOf returns the quarter-hour that contains a time.
func quarterOf(t time.Time) int32 {
	seconds, length := t.Unix(), int64(view.QuarterHour/time.Second)
	return int32((seconds - (seconds%length+length)%length) / length)
}

// timeOf returns the beginning of a quarter-hour.
func timeOf(quarter int32) time.Time {
	return time.Unix(int64(quarter)*int64(view.QuarterHour/time.Second), 0).UTC()
}

// Read returns the sums over the namespaces of a scope for each quarter-hour in [from, before). Both times must be the
// beginning of a quarter-hour. Quarter-hours without runs are omitted, and Namespace is empty. The error is
// ErrCounting, or that of the last round.
func (c *Counts) Read(scope view.Scope, from, before time.Time) ([]view.Quarter, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	switch isCurrent := c.isComplete && c.now().Sub(c.asOf) <= maxAge; {
	case isCurrent:
	case c.fault != nil:
		return nil, c.fault
	default:
		return nil, ErrCounting
	}
	first, end := quarterOf(from), quarterOf(before)
	sums := make([]view.Ended, max(0, end-first))
	for namespace, counts := range c.byNamespace {
		if !scope.Has(namespace) {
			continue
		}
		low, high := bounds(counts, first, end)
		for _, n := range counts[low:high] {
			sum := &sums[n.quarter-first]
			sum.Succeeded += int(n.succeeded)
			sum.Failed += int(n.failed)
			sum.Cancelled += int(n.cancelled)
		}
	}
	var quarters []view.Quarter
	for i, sum := range sums {
		if sum != (view.Ended{}) {
			quarters = append(quarters, view.Quarter{At: timeOf(first + int32(i)), Ended: sum})
		}
	}
	return quarters, nil
}

// bounds returns the indexes of the counts of the quarter-hours in [first, end).
func bounds(counts []count, first, end int32) (low, high int) {
	where := func(quarter int32) int {
		at, _ := slices.BinarySearchFunc(counts, quarter, func(n count, q int32) int {
			return cmp.Compare(n.quarter, q)
		})
		return at
	}
	return where(first), where(end)
}

// replace replaces the counts of all namespaces in [from, before).
func (c *Counts) replace(from, before time.Time, quarters []view.Quarter) {
	fresh := map[string][]count{}
	for _, q := range quarters {
		fresh[q.Namespace] = append(fresh[q.Namespace], count{
			quarterOf(q.At), uint32(q.Succeeded), uint32(q.Failed), uint32(q.Cancelled),
		})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for namespace := range c.byNamespace {
		if _, isThere := fresh[namespace]; !isThere {
			fresh[namespace] = nil
		}
	}
	for namespace, some := range fresh {
		slices.SortFunc(some, func(a, b count) int { return cmp.Compare(a.quarter, b.quarter) })
		counts := c.byNamespace[namespace]
		low, high := bounds(counts, quarterOf(from), quarterOf(before))
		counts = slices.Replace(counts, low, high, some...)
		if c.byNamespace[namespace] = counts; len(counts) == 0 {
			delete(c.byNamespace, namespace)
		}
	}
}

// forget drops all counts.
func (c *Counts) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byNamespace, c.isComplete = map[string][]count{}, false
}

// note records the result of a round. It logs when rounds begin to fail, and when they succeed again.
func (c *Counts) note(began time.Time, isComplete bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil && c.fault == nil:
		c.log.Warn("the runs for statistics cannot be counted", "error", err)
	case err == nil && c.fault != nil:
		c.log.Info("the runs for statistics can be counted")
	}
	if c.fault = err; err == nil {
		c.isComplete, c.asOf = isComplete, began
	}
}
