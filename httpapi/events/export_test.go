package events

import "time"

// MaxPending is how many batches wait for a subscriber; MaxReplayed how many changes it may have missed.
const (
	MaxPending  = maxPending
	MaxReplayed = maxReplayed
)

// ReadEvery makes a feed that does not run yet read more often.
func (f *Feed) ReadEvery(d time.Duration) { f.readEvery = d }

// ParseID parses an ID.
var ParseID = parseID
