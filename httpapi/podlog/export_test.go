package podlog

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"time"

	"kontroler/store/view"
)

// ResetFor and ResetForStored return why a log does not have a position.
func (p Position) ResetFor(begins time.Time) Reset   { return p.resetFor(begins) }
func (p Position) ResetForStored(log view.Log) Reset { return p.resetForStored(log) }

// StoredAt converts an offset of a log to a place among its stored bytes, and returns how many bytes were omitted.
var StoredAt = stored

// ErrNote means that the kubelet sent a message instead of a line of the log.
var ErrNote = errNote

// Line is a line that a kubelet sends, or a part of it.
type Line struct {
	At      time.Time
	Content string
}

// ReadLines reads the stream of a kubelet.
func ReadLines(r io.Reader) (lines []Line, err error) {
	reader := newLineReader(r)
	for {
		at, content, err := reader.next()
		if len(content) > 0 {
			lines = append(lines, Line{at, string(content)})
		}
		switch {
		case errors.Is(err, io.EOF):
			return lines, nil
		case err != nil:
			return lines, err
		}
	}
}

// Follow reads the log of a Pod while its container runs, and then the rest.
func (l *Logs) Follow(ctx context.Context, namespace, name, uid string, sink Sink) error {
	c := &copying{Logs: l, q: Request{Namespace: namespace, Follow: true}, sink: sink}
	place := Place{Source: Live, pod: podName{namespace, name, uid}}
	if _, err := c.live(ctx, place); err != nil {
		return err
	}
	place.hasEnded = true
	_, err := c.live(ctx, place)
	return err
}

// FinishFrom calls finishFrom with a stored log in chunks of one byte. unconfirmed is what the followed stream had
// after its last newline. If size is greater than the number of chunks, reading the missing ones fails.
func FinishFrom(stored string, size int, unconfirmed string, sink Sink) error {
	archive := &Archive{begins: []int64{0}, loaded: -1, fetch: func(number int) ([]byte, error) {
		if number >= len(stored) {
			return nil, view.ErrUnavailable
		}
		var chunk bytes.Buffer
		w := gzip.NewWriter(&chunk)
		_, err := w.Write([]byte{stored[number]})
		err = errors.Join(err, w.Close())
		return chunk.Bytes(), err
	}}
	for i := range size {
		archive.begins = append(archive.begins, int64(i+1))
	}
	return (&copying{sink: sink, unconfirmed: []byte(unconfirmed)}).finishFrom(archive)
}

// TailOffset returns where the last n lines of a text begin that arrives in parts.
func TailOffset(n int, parts ...string) int64 {
	last := newLastLines(n)
	for _, part := range parts {
		_, _ = last.Write([]byte(part))
	}
	return last.offset()
}
