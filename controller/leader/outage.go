package leader

import (
	"context"
	"fmt"
	"sync"
	"time"

	"kontroler/controller/wait"
)

// pingTimeout is how long the database may take to answer.
func (e *Elector) pingTimeout() time.Duration { return e.LeaseDuration / 5 }

// watchDatabase pings the database ten times per lease duration.
func (e *Elector) watchDatabase(ctx context.Context) {
	for {
		e.ping(ctx)
		if !wait.For(ctx, e.LeaseDuration/10) {
			return
		}
	}
}

// ping pings the database once. It waits for the answer however long that takes, because a driver may ignore its
// context. After pingTimeout it records and logs an outage.
func (e *Elector) ping(ctx context.Context) {
	sent := time.Now()
	pinging, cancel := context.WithTimeout(ctx, e.pingTimeout())
	defer cancel()
	answer := make(chan error, 1)
	go func() { answer <- e.Epochs.Ping(pinging) }()
	select {
	case err := <-answer:
		e.recordAnswer(ctx, sent, err)
	case <-pinging.Done():
		e.recordAnswer(ctx, sent, fmt.Errorf("no answer within %s", e.pingTimeout()))
		select {
		case err := <-answer:
			e.recordAnswer(ctx, sent, err)
		case <-ctx.Done():
		}
	}
}

// recordAnswer records the result of a ping, and logs a change.
func (e *Elector) recordAnswer(ctx context.Context, sent time.Time, err error) {
	if ctx.Err() != nil {
		return
	}
	awaySince, changed := e.database.record(sent, err)
	e.Metrics.DatabaseUp(err == nil)
	switch {
	case changed && err != nil:
		e.Log.Warn("the database does not answer", "error", err)
	case changed:
		e.Log.Info("the database answers again", "away", time.Since(awaySince).Round(time.Millisecond).String())
	}
}

// awaitDatabase waits until the database answers. It reports whether that happened before ctx ended.
func (e *Elector) awaitDatabase(ctx context.Context) bool {
	for ctx.Err() == nil {
		if e.database.isUp() {
			return true
		}
		wait.For(ctx, 50*time.Millisecond)
	}
	return false
}

// outage is the availability of the database.
type outage struct {
	mu      sync.Mutex
	isKnown bool      // a ping has succeeded or failed
	since   time.Time // when the first unanswered ping was sent; zero if the last ping was answered
}

// record records the result of a ping. It returns since when the database was unavailable before the ping, and whether
// the ping has changed that.
func (o *outage) record(sent time.Time, err error) (awaySince time.Time, changed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	awaySince, o.isKnown = o.since, true
	switch {
	case err == nil:
		o.since = time.Time{}
	case awaySince.IsZero():
		o.since = sent
	}
	return awaySince, awaySince.IsZero() != o.since.IsZero()
}

func (o *outage) away() (time.Time, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.since, !o.since.IsZero()
}

func (o *outage) isUp() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.isKnown && o.since.IsZero()
}
