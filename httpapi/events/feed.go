package events

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"kontroler/store"
	"kontroler/store/view"
)

const (
	// MaxStreams is how many subscriptions to one Feed a user may have.
	MaxStreams = 10
	// defaultReadEvery is the shortest time between two reads, pollEvery the longest.
	defaultReadEvery = 500 * time.Millisecond
	pollEvery        = 5 * time.Second
	// maxRead is how many changes one read may return, maxReplayed how many may be replayed to a subscriber that
	// resumes.
	maxRead     = 10_000
	maxReplayed = 1000
	// maxPending is how many batches may wait for a subscriber.
	maxPending = 16
)

// The errors of Subscribe.
var (
	ErrTooMany = errors.New("the user has too many streams")
	ErrStopped = errors.New("the feed of events is not running")
)

// Feed reads changes, and publishes them to subscribers.
type Feed struct {
	views *view.DB
	now   func() time.Time
	log   *slog.Logger
	// wake has a value when a read is requested. readEvery is the shortest time between two reads.
	wake      chan struct{}
	readEvery time.Duration

	mu        sync.Mutex
	isRunning bool
	lastID    string        // of the last read; empty before the first read, and after a failed one
	users     map[int64]int // the subscriptions of each user
	// following get batches; joining wait for the next read.
	following, joining map[*Subscription]struct{}
}

// NewFeed makes a feed. It publishes nothing until Run.
func NewFeed(views *view.DB, now func() time.Time, log *slog.Logger) *Feed {
	return &Feed{
		views: views, now: now, log: log, wake: make(chan struct{}, 1), readEvery: defaultReadEvery,
		users: map[int64]int{}, following: map[*Subscription]struct{}{}, joining: map[*Subscription]struct{}{},
	}
}

// Run reads and publishes changes until ctx ends. Then it ends all subscriptions.
func (f *Feed) Run(ctx context.Context) error {
	f.mu.Lock()
	f.isRunning = true
	f.mu.Unlock()
	var listening sync.WaitGroup
	listening.Go(func() { f.views.Listen(ctx, f.requestRead) })
	defer listening.Wait()
	defer f.stop()
	r := reader{feed: f}
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-f.wake:
		case <-poll.C:
		}
		r.read(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(f.readEvery):
		}
	}
}

// requestRead wakes the reader. It does not block.
func (f *Feed) requestRead() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// stop ends all subscriptions.
func (f *Feed) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.isRunning = false
	for s := range f.joining {
		s.begin("", "", ErrStopped)
	}
	clear(f.joining)
	for s := range f.following {
		close(s.ended)
	}
	clear(f.following)
}

// reader is the state of the goroutine of Run.
type reader struct {
	feed     *Feed
	snapshot view.Snapshot // empty before the first read
	at       time.Time     // when the snapshot was taken
	isFailed bool
}

// read reads once, and publishes the batch. Subscriptions that joined before the read begin after the batch.
func (r *reader) read(ctx context.Context) {
	f := r.feed
	joining := f.takeJoining()
	batch, err := r.next(ctx)
	if err != nil {
		if ctx.Err() == nil && !r.isFailed {
			f.log.Warn("reading changes failed; retrying", "error", err)
		}
		r.isFailed = true
		f.publish(Batch{})
		f.begin(joining, "", "", err)
		return
	}
	if r.isFailed {
		f.log.Info("reading changes succeeds again")
	}
	r.isFailed = false
	f.publish(batch)
	f.begin(joining, r.snapshot, batch.ID, nil)
}

// next reads the changes since the last read.
func (r *reader) next(ctx context.Context) (Batch, error) {
	f, now := r.feed, r.feed.now()
	if r.snapshot == "" || now.Sub(r.at) > maxAge {
		snapshot, err := f.views.Snapshot(ctx)
		if err != nil {
			return Batch{}, err
		}
		batch := Batch{ID: formatID(now, snapshot)}
		if r.snapshot != "" {
			batch.Reset = TooOld
		}
		r.snapshot, r.at = snapshot, now
		return batch, nil
	}
	changes, next, isReset, err := f.views.Changes(ctx, r.snapshot, maxRead)
	if err != nil {
		return Batch{}, err
	}
	batch := Batch{ID: formatID(now, next)}
	if isReset {
		batch.Reset = Gap
	} else if batch.Events, batch.Reset, err = f.eventsOf(ctx, changes); err != nil {
		return Batch{}, err
	}
	r.snapshot, r.at = next, now
	return batch, nil
}

// eventsOf returns the events of changes, or Gap if they are not complete.
func (f *Feed) eventsOf(ctx context.Context, changes []view.Change) ([]Event, Reset, error) {
	events, isComplete, err := resolve(ctx, f.views, changes)
	if err != nil {
		return nil, "", err
	}
	if !isComplete {
		return nil, Gap, nil
	}
	return events, "", nil
}

// publish adds a batch to all following subscriptions. A batch without an ID stands for a failed read.
func (f *Feed) publish(batch Batch) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lastID = batch.ID; f.lastID == "" {
		return
	}
	for s := range f.following {
		s.add(batch)
	}
}

// takeJoining returns the subscriptions that wait for a read.
func (f *Feed) takeJoining() []*Subscription {
	f.mu.Lock()
	defer f.mu.Unlock()
	joining := make([]*Subscription, 0, len(f.joining))
	for s := range f.joining {
		joining = append(joining, s)
	}
	return joining
}

// begin makes joining subscriptions follow from a snapshot, or fails them with err.
func (f *Feed) begin(joining []*Subscription, at view.Snapshot, id string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range joining {
		if _, isJoining := f.joining[s]; !isJoining {
			continue // it was closed, or the feed has stopped
		}
		delete(f.joining, s)
		if err == nil {
			f.following[s] = struct{}{}
		}
		s.begin(at, id, err)
	}
}

// Subscribe begins a subscription of a user. The first batch has the changes since the ID since, or only an ID if since
// is empty. The caller must close the subscription. An error is ErrTooMany, ErrStopped, that of ctx, or that of the
// database.
func (f *Feed) Subscribe(ctx context.Context, user int64, since string) (*Subscription, error) {
	s, err := f.join(user, since)
	if err != nil {
		return nil, err
	}
	f.requestRead()
	select {
	case <-s.begun:
		err = s.err
	case <-ctx.Done():
		err = ctx.Err()
	}
	var first Batch
	if err == nil {
		first, err = f.replay(ctx, s, since)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	s.prepend(first)
	return s, nil
}

// join adds a subscription. Without since it can begin at the last read, because the client reads all objects
// afterwards.
func (f *Feed) join(user int64, since string) (*Subscription, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.isRunning {
		return nil, ErrStopped
	}
	if f.users[user] >= MaxStreams {
		return nil, ErrTooMany
	}
	f.users[user]++
	s := &Subscription{
		feed: f, user: user, begun: make(chan struct{}), ended: make(chan struct{}), hasPending: make(chan struct{}, 1),
	}
	if since == "" && f.lastID != "" {
		f.following[s] = struct{}{}
		s.begin("", f.lastID, nil)
	} else {
		f.joining[s] = struct{}{}
	}
	return s, nil
}

// replay returns a batch with the changes between the ID since and the beginning of the subscription.
func (f *Feed) replay(ctx context.Context, s *Subscription, since string) (Batch, error) {
	batch := Batch{ID: s.id}
	if since == "" {
		return batch, nil
	}
	from, reset := parseID(since, f.now())
	if reset != "" {
		batch.Reset = reset
		return batch, nil
	}
	changes, isReset, err := f.views.ChangesBetween(ctx, from, s.snapshot, maxReplayed)
	switch {
	case errors.Is(err, store.ErrRejected): // PostgreSQL cannot parse the snapshot
		batch.Reset = Unknown
		return batch, nil
	case err != nil:
		return Batch{}, err
	case isReset:
		batch.Reset = Gap
		return batch, nil
	}
	batch.Events, batch.Reset, err = f.eventsOf(ctx, changes)
	return batch, err
}
