package podlog

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"kontroler/store/view"
)

const (
	// retryEvery is the time between two attempts to find or read a log.
	retryEvery = time.Second
	// endPoll is how often the container is polled after its stream has ended. After endPolls times, the log is opened
	// again.
	endPoll, endPolls = 200 * time.Millisecond, 10
	// maxTries is how often a log is requested from a node that does not have it, unless the log is followed.
	maxTries = 10
)

// Logs reads logs.
type Logs struct {
	Views *view.DB
	Pods  corev1client.PodsGetter
}

// Request says which log to read, and which part of it.
type Request struct {
	Namespace string
	// TaskID and Number identify the attempt.
	TaskID int64
	Number int
	// Follow reads until the log has ended, instead of stopping at its current end.
	Follow bool
	// Tail is how many of the last lines are read. 0 means all.
	Tail int
	// From is where to resume. It takes precedence over Tail.
	From Position
}

// Sink receives a log. An error of a method ends the Copy.
type Sink interface {
	// Begin says where the following bytes are read from.
	Begin(Place) error
	// Reset discards everything before: the log starts again from its beginning.
	Reset(Reset) error
	// Omitted says that a number of bytes is missing at a position.
	Omitted(at Position, bytes int64) error
	// Write receives the next bytes, and their position. They are valid during the call.
	Write(at Position, part []byte) error
	// Flush says that no more bytes have arrived yet.
	Flush() error
}

// End describes a log that was read to its end.
type End struct {
	// IsRotated means that the node rotated the log while it was followed. Lines may be missing or repeated.
	IsRotated bool
}

// Copy copies a log to a sink. Without Follow it stops at the current end of the log. The error is a *GoneError, a
// *NodeError, or that of the database, of the sink or of ctx.
func (l *Logs) Copy(ctx context.Context, q Request, sink Sink) (End, error) {
	c := &copying{Logs: l, q: q, sink: sink, at: q.From}
	for {
		wait, err := c.step(ctx)
		if err != nil || wait == 0 {
			return End{c.isRotated}, err
		}
		select {
		case <-ctx.Done():
			return End{}, context.Cause(ctx)
		case <-time.After(wait):
		}
	}
}

// copying is the state of a Copy.
type copying struct {
	*Logs
	q       Request
	sink    Sink
	sinkErr error  // the error of the sink
	place   Source // the source of the last Begin
	at      Position
	tries   int // how often there was no log
	polls   int // how often the container was polled since the stream ended
	// reachedEnd means that a stream that followed the log ended without an error.
	reachedEnd bool
	// unconfirmed is the end of that stream after its last newline. It may contain a message of the kubelet about a
	// container that it has removed. The sink gets these bytes from the next read of the log, and from here only if
	// they are not available elsewhere.
	unconfirmed []byte
	isRotated   bool
}

// step finds the log, and copies what there is. It returns how long to wait until the next step, or 0 at the end.
func (c *copying) step(ctx context.Context) (wait time.Duration, err error) {
	place, err := c.Find(ctx, c.q)
	if _, isGone := errors.AsType[*GoneError](err); isGone && c.reachedEnd {
		return 0, c.finish(nil, false) // everything was read before
	}
	switch {
	case err != nil:
	case place.Source == Waiting:
		if err = c.begin(place); err == nil && c.q.Follow {
			return retryEvery, nil
		}
	case place.Source == Stored:
		if err = c.copyArchive(ctx, place); err == nil {
			return 0, nil
		}
	default:
		wait, err = c.live(ctx, place)
	}
	switch {
	case err == nil:
		return wait, nil
	case c.sinkErr != nil:
		return 0, c.sinkErr
	case ctx.Err() != nil:
		return 0, context.Cause(ctx)
	case c.mayRetry(err):
		return retryEvery, nil
	case errors.Is(err, errNoLog), errors.Is(err, errNoPod):
		err = nodeError(err)
	}
	return 0, err
}

// mayRetry reports whether to retry after an error. It counts the tries without a log.
func (c *copying) mayRetry(err error) bool {
	_, isGone := errors.AsType[*GoneError](err)
	_, isOfNode := errors.AsType[*NodeError](err)
	if errors.Is(err, errNoLog) || errors.Is(err, errNoPod) {
		c.tries++
		return c.q.Follow || c.tries < maxTries
	}
	return c.q.Follow && c.place != "" && !isGone && (isOfNode || errors.Is(err, view.ErrUnavailable))
}

// live copies a log from its node. A followed log is read once more after its container has ended, because the stream
// may end earlier.
func (c *copying) live(ctx context.Context, place Place) (wait time.Duration, err error) {
	isFollowed := c.q.Follow && !place.hasEnded
	if isFollowed && c.reachedEnd && c.polls < endPolls {
		c.polls++
		return endPoll, nil
	}
	isComplete, err := c.copyNode(ctx, place, isFollowed)
	switch {
	case errors.Is(err, errNote):
		return 0, errors.Join(errNoLog, err)
	case err != nil:
		isBroken := !errors.Is(err, errNoLog) && !errors.Is(err, errNoPod)
		c.reachedEnd = c.reachedEnd && !isBroken
		return 0, err
	case isFollowed:
		c.reachedEnd, c.polls = true, 0
		return endPoll, nil
	case !isComplete:
		return endPoll, nil
	}
	return 0, nil
}

// begin calls Begin of the sink if the source has changed.
func (c *copying) begin(place Place) error {
	if c.place == place.Source {
		return nil
	}
	c.place = place.Source
	return c.fromSink(c.sink.Begin(place))
}

// fromSink records an error of the sink, and returns it.
func (c *copying) fromSink(err error) error {
	if err != nil {
		c.sinkErr = err
	}
	return err
}

// reset calls Reset of the sink, and goes back to the beginning of the log.
func (c *copying) reset(why Reset) error {
	c.at = Position{}
	return c.fromSink(c.sink.Reset(why))
}

// copyNode copies a log from its node, beginning at c.at. isComplete is false if the log must be read again from its
// beginning.
func (c *copying) copyNode(ctx context.Context, place Place, isFollowed bool) (isComplete bool, err error) {
	if c.q.Tail > 0 && c.at.Begins.IsZero() {
		if c.at, err = c.tailOfNode(ctx, place); err != nil {
			return false, err
		}
	}
	body, err := c.open(ctx, place.pod, isFollowed)
	if err != nil {
		return false, err
	}
	defer body.Close()
	if err := c.begin(place); err != nil {
		return false, err
	}
	lines, isOther := newLineReader(body), false
	read := int64(-1) // -1 until the first byte
	for {
		at, part, err := lines.next()
		isEnd := errors.Is(err, io.EOF)
		switch {
		case errors.Is(err, errNote):
			return false, err
		case err != nil && !isEnd:
			return false, nodeError(err)
		case len(part) == 0:
			return c.checkEnd(read, isFollowed)
		}
		if read < 0 {
			read = 0
			if isOther, err = c.checkBegin(at, isFollowed); err != nil {
				return true, err
			}
		}
		if isOther { // the sink may only lack the end of the log
			if isEnd {
				return true, c.finish(part, true)
			}
			continue
		}
		unread := part[min(max(c.at.Offset-read, 0), int64(len(part))):]
		read += int64(len(part))
		if isEnd && isFollowed {
			c.unconfirmed = bytes.Clone(unread)
		} else if err := c.pass(unread); err != nil {
			return false, err
		}
		if !lines.hasMore() {
			if err := c.fromSink(c.sink.Flush()); err != nil {
				return false, err
			}
		}
	}
}

// checkBegin compares the time of the first line that the node serves with that of the position. If they differ, it
// resets the sink, unless the log was read to its end before the node rotated it. In this case isOther is true: there
// is nothing left to read.
func (c *copying) checkBegin(begins time.Time, isFollowed bool) (isOther bool, err error) {
	if why := c.at.resetFor(begins); why != "" {
		if c.reachedEnd && !isFollowed {
			c.isRotated = true
			return true, nil
		}
		if err := c.reset(why); err != nil {
			return false, err
		}
	}
	c.at.Begins = inMicroseconds(begins)
	return false, nil
}

// checkEnd handles the end of a stream with read bytes, -1 if it was empty. isComplete is false if the log must be read
// again, because it ends before the position.
func (c *copying) checkEnd(read int64, isFollowed bool) (isComplete bool, err error) {
	if isFollowed || c.at.Begins.IsZero() || read >= c.at.Offset {
		return true, nil
	}
	if c.reachedEnd {
		c.isRotated = true
		return true, c.finish(nil, read >= 0)
	}
	why := Shorter
	if read < 0 {
		why = Rotated // the node rotated the log after its last line
	}
	return false, c.reset(why)
}

// pass writes the next part to the sink, unless it is empty.
func (c *copying) pass(part []byte) error {
	if len(part) == 0 {
		return nil
	}
	if err := c.fromSink(c.sink.Write(c.at, part)); err != nil {
		return err
	}
	c.at.Offset += int64(len(part))
	c.unconfirmed = nil
	return nil
}

// finish handles unconfirmed bytes when the log cannot be read from the position on. servedEnd is what the log has
// after its last newline. If unconfirmed begins with servedEnd, the rest is a message of the kubelet, and only
// servedEnd is passed. If isKnown is false, the end of the log is not available elsewhere, and all unconfirmed bytes
// are passed.
func (c *copying) finish(servedEnd []byte, isKnown bool) error {
	switch {
	case !isKnown:
		return c.pass(c.unconfirmed)
	case bytes.HasPrefix(c.unconfirmed, servedEnd):
		return c.pass(servedEnd)
	}
	return nil
}

// finishFrom calls finish with the end of a stored log. If the end cannot be read, it passes nothing.
func (c *copying) finishFrom(archive *Archive) error {
	end, err := endOfArchive(archive)
	if err != nil {
		return err
	}
	return c.finish(end, true)
}

// tailOfNode returns where the last lines begin in the log on the node.
func (c *copying) tailOfNode(ctx context.Context, place Place) (at Position, err error) {
	body, err := c.open(ctx, place.pod, false)
	if err != nil {
		return Position{}, err
	}
	defer body.Close()
	lines, last := newLineReader(body), newLastLines(c.q.Tail)
	for isFirst := true; ; isFirst = false {
		begins, part, err := lines.next()
		isEnd := errors.Is(err, io.EOF)
		switch {
		case errors.Is(err, errNote):
			return Position{}, err
		case err != nil && !isEnd:
			return Position{}, nodeError(err)
		case isFirst && len(part) > 0:
			at.Begins = inMicroseconds(begins)
		}
		_, _ = last.Write(part) // never fails
		if isEnd {
			at.Offset = last.offset()
			return at, nil
		}
	}
}

// copyArchive copies a stored log, beginning at c.at.
func (c *copying) copyArchive(ctx context.Context, place Place) error {
	log := place.Log
	archive, err := OpenArchive(ctx, c.Views, log)
	if err != nil {
		return err
	}
	if err := c.begin(place); err != nil {
		return err
	}
	if why := c.at.resetForStored(log); why != "" {
		if c.reachedEnd {
			c.isRotated = true
			return c.finishFrom(archive)
		}
		if err := c.reset(why); err != nil {
			return err
		}
	}
	if c.at.Begins.IsZero() {
		c.at.Begins = log.BeginsAt
		if c.q.Tail > 0 {
			if c.at.Offset, err = tailOfArchive(archive, log, c.q.Tail); err != nil {
				return err
			}
		}
	}
	buffer := make([]byte, MaxPiece/2)
	for c.at.Offset < log.Bytes {
		place, missing := stored(log, c.at.Offset)
		if missing > 0 {
			if err := c.fromSink(c.sink.Omitted(c.at, missing)); err != nil {
				return err
			}
			c.at.Offset += missing
			continue
		}
		window := int64(len(buffer))
		if c.at.Offset < log.OmittedAt {
			window = min(window, log.OmittedAt-c.at.Offset)
		}
		if _, err := archive.Seek(place, io.SeekStart); err != nil {
			return err
		}
		n, err := archive.Read(buffer[:window])
		if err != nil {
			return err
		}
		if err := c.pass(buffer[:n]); err != nil {
			return err
		}
	}
	return nil
}

// endOfArchive returns what a stored log has after its last newline, at most MaxPiece bytes.
func endOfArchive(archive *Archive) ([]byte, error) {
	size, err := archive.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	if _, err := archive.Seek(max(0, size-MaxPiece), io.SeekStart); err != nil {
		return nil, err
	}
	end, err := io.ReadAll(archive)
	return end[bytes.LastIndexByte(end, '\n')+1:], err
}

// tailOfArchive returns where the last lines of a stored log begin.
func tailOfArchive(archive *Archive, log view.Log, lines int) (offset int64, err error) {
	last := newLastLines(lines)
	if _, err := io.Copy(last, archive); err != nil {
		return 0, err
	}
	offset = last.offset()
	if log.Omitted > 0 && offset >= log.OmittedAt {
		offset += log.Omitted
	}
	return offset, nil
}
