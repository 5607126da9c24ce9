package logs

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kontroler/controller/podlog"
	"kontroler/controller/text"
	"kontroler/store"
)

const (
	// rotationPeriod is how often a kubelet compares the sizes of logs with its limit.
	rotationPeriod = 10 * time.Second
	// A log of more than largeLog bytes that begins largeDelay after its container has probably been rotated.
	largeLog, largeDelay = 1 << 20, 2 * time.Second
)

// The messages of a row.
const (
	emptyMessage   = "the log is empty: nothing was written, or the node rotated it after the last line"
	lateMessage    = "the log begins %s after its container: earlier lines may have been rotated away"
	brokenMessage  = "the stream of the log broke: lines may be missing or repeated where it continues"
	rotatedMessage = "the node rotated the log while it was followed: lines may be missing or repeated there"
)

// describe returns the row of a log that was read. openedAt is when its stream was opened. It is zero if the log was
// read after its container had ended. limit is how many bytes of a log are stored.
func describe(p *corev1.Pod, attempt store.Attempt, r podlog.Result, openedAt time.Time, limit int64) store.Log {
	row := store.Log{
		AttemptID: attempt.ID, At: attempt.FinishedAt, State: store.LogCaptured,
		Bytes: r.Bytes, OmittedAt: r.OmittedAt, Omitted: r.Omitted,
		BeginsAt: r.Begins, EndsAt: r.Ends, IsIncomplete: r.Gap,
	}
	if r.Omitted > 0 {
		why := fmt.Sprintf("at most %d bytes are stored", limit)
		if r.Short {
			why = "the memory for streams was short"
		}
		row.Message = fmt.Sprintf("%d bytes after the first %d are omitted: %s", r.Omitted, r.OmittedAt, why)
	}
	if r.Gap {
		row.Message = join(row.Message, brokenMessage)
	}
	started := startedAt(p, attempt)
	delay := r.Begins.Sub(started)
	wasStreamed := !openedAt.IsZero()
	switch {
	case started.IsZero():
	case r.Begins.IsZero():
		if !wasStreamed && attempt.FinishedAt.Sub(started) > rotationPeriod {
			row.Message = join(row.Message, emptyMessage)
		}
	case (!wasStreamed || r.Begins.Before(openedAt)) && looksRotated(delay, r.Bytes):
		// If the first line was written while a stream was open, there was no line before it.
		row.IsRotated = true
		row.Message = join(row.Message, fmt.Sprintf(lateMessage, delay.Truncate(time.Second)))
	}
	return row
}

// describeStream returns the row of a log that a stream has read.
func describeStream(p *corev1.Pod, attempt store.Attempt, s *stream, limit int64) store.Log {
	row := describe(p, attempt, s.result, s.openedAt, limit)
	if s.err != nil {
		row.IsIncomplete = true
		row.Message = join(row.Message, "the stream ended early: "+text.Clean(s.err.Error()))
	}
	if s.isRotated {
		row.IsIncomplete = true
		row.Message = join(row.Message, rotatedMessage)
	}
	return row
}

// looksRotated reports whether a log has probably lost its beginning. delay is the time from the start of its
// container to its first line, size its bytes. Kubelets rotate large logs only, so for a large log a short delay is
// enough.
func looksRotated(delay time.Duration, size int64) bool {
	return delay > rotationPeriod || delay > largeDelay && size > largeLog
}

// lostMessage says why a log is lost.
func lostMessage(p *corev1.Pod, err error) string {
	why := text.Clean(err.Error())
	if !errors.Is(err, errNoLog) {
		return fmt.Sprintf("node %s did not serve it: %s", p.Spec.NodeName, why)
	}
	if p.DeletionTimestamp != nil {
		return why + ": the Pod was deleted, and the kubelet removed its container before the log was read"
	}
	return why
}

// join joins the parts of a message that are not empty.
func join(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), "; ")
}
