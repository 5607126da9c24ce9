package controller

import (
	"maps"
	"time"
)

// pauseAfterFailure is how long no request is sent to a namespace after one has failed there. If an admission webhook
// hangs, each further request would run into its timeout.
const pauseAfterFailure = time.Minute

// pauses maps each namespace in which a request has just failed to the end of its pause. A goroutine that sends
// requests to all namespaces skips these. It is not safe for concurrent use.
type pauses map[string]time.Time

// skips reports whether a namespace is paused at a time.
func (p pauses) skips(namespace string, now time.Time) bool { return now.Before(p[namespace]) }

// failed pauses a namespace in which a request failed at now. It drops the pauses that are over.
func (p pauses) failed(namespace string, now time.Time) {
	maps.DeleteFunc(p, func(_ string, until time.Time) bool { return !now.Before(until) })
	p[namespace] = now.Add(pauseAfterFailure)
}
