package logs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/client-go/tools/cache"

	"kontroler/controller/queue"
	"kontroler/controller/wait"
)

const (
	// streamRetry is the delay before a stream that broke is opened again.
	streamRetry = time.Second
	// endPoll is how often a stream that ended checks whether its container has ended.
	endPoll = 100 * time.Millisecond
)

// errGivenUp is the error of a stream that did not end in time.
var errGivenUp = fmt.Errorf("the log did not end within %s of its attempt", followTimeout+readTimeout)

// Run reads the requested streams until ctx ends. When a stream is done, its Pod is enqueued.
func (k *Keeper) Run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-k.streams.requested:
			running.Go(func() { k.run(ctx, s) })
		}
	}
}

// run reads one stream. It does not finish a stream that the end of the term cuts off: the next leader reads its log.
func (k *Keeper) run(ctx context.Context, s *stream) {
	err := queue.Guard(s.pod.Name, func() error {
		k.follow(ctx, s)
		s.result = s.log.Finish()
		return nil
	})
	if err != nil {
		s.outcome = outcome{} // the stream may lack lines, so the log is captured instead
		k.cfg.Failed(err)
	}
	if ctx.Err() != nil {
		return
	}
	k.streams.finish(s)
	k.cfg.Enqueue(cache.MetaObjectToName(s.pod))
}

// follow reads a log until its container has ended, then reads what is left of it. The end of a stream proves neither
// that the container has ended nor that all of the log was read, because API server and kubelet may restart.
func (k *Keeper) follow(ctx context.Context, s *stream) {
	ctx, cancel := untilClosed(ctx, s.quit)
	defer cancel()
	following, cancel := untilClosed(ctx, s.unfollow)
	defer cancel()
	opened := func() {
		if s.openedAt.IsZero() {
			s.openedAt = k.cfg.Now()
			close(s.opened)
		}
	}
	for following.Err() == nil && !k.hasEnded(s.pod) {
		s.err = k.read(following, s.pod, s.log, true, opened)
		s.reachedEnd = s.reachedEnd || s.err == nil
		k.pause(following, s)
	}
	ctx, cancel = context.WithTimeout(ctx, readTimeout)
	defer cancel()
	for !k.readRest(ctx, s, opened) {
		wait.For(ctx, streamRetry)
	}
}

// pause waits before a stream is opened again: for streamRetry, or less if the stream ended without an error and the
// container ends meanwhile.
func (k *Keeper) pause(ctx context.Context, s *stream) {
	for waited := time.Duration(0); waited < streamRetry; waited += endPoll {
		if s.err == nil && k.hasEnded(s.pod) || !wait.For(ctx, endPoll) {
			return
		}
	}
}

// readRest reads the rest of a log after its container has ended, or after it has been followed for long enough. done
// is false if readRest must be called again.
func (k *Keeper) readRest(ctx context.Context, s *stream, opened func()) (done bool) {
	err := k.read(ctx, s.pod, s.log, false, opened)
	if err == nil && k.keepsLog(s.pod) {
		s.isRotated, err = k.isRotated(ctx, s.pod, s.log)
	}
	switch {
	case ctx.Err() != nil:
		s.err = errGivenUp
	case err == nil:
		s.err, s.reachedEnd = nil, true
	case errors.Is(err, errNotContinued) && k.keepsLog(s.pod):
		// The kubelet rotated the log after its last line. What it serves now is empty.
		s.err, s.reachedEnd, s.isRotated = nil, true, true
	case errors.Is(err, errNoLog):
		// The kubelet has removed the log of a deleted Pod. If a stream had come to its end, all of it was read.
		if k.keepsLog(s.pod) || !s.reachedEnd && (s.err == nil || s.log.Bytes() == 0) {
			s.err = err
		}
	default:
		s.err = err
		return false
	}
	return true
}

// untilClosed returns a context that also ends when a channel is closed.
func untilClosed(ctx context.Context, c <-chan struct{}) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-c:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}
