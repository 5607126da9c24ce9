package controller

import (
	"maps"
	"time"
)

// pauseAfterFailure is how long no request is sent to a namespace after one has failed there. A webhook may hang, so
// that each request takes all of its time.
const pauseAfterFailure = time.Minute

// pauses says in which namespaces a request has just failed, so that one goroutine that sends requests to all
// namespaces goes on with the others. It has the end of the pause of each. Only that goroutine uses it.
type pauses map[string]time.Time

// skips reports whether a namespace is paused at a time.
func (p pauses) skips(namespace string, now time.Time) bool { return now.Before(p[namespace]) }

// failed pauses a namespace in which a request failed at a time. It drops the pauses that are over.
func (p pauses) failed(namespace string, now time.Time) {
	maps.DeleteFunc(p, func(_ string, until time.Time) bool { return !now.Before(until) })
	p[namespace] = now.Add(pauseAfterFailure)
}
