package podlog

import (
	"bytes"
	"time"
)

const (
	// maxNote is how much of a kubelet's note is stored, in bytes.
	maxNote = 1024
	// maxTimestamp is the length of the longest timestamp that a kubelet writes: nanoseconds and an offset.
	maxTimestamp = len("2006-01-02T15:04:05.000000000+07:00")
)

// Result is what a Log stored.
type Result struct {
	Blocks []Block
	// Bytes is the length of the log. Omitted bytes of it, from OmittedAt on, are in no block.
	Bytes, OmittedAt, Omitted int64
	// Begins is the time of the first line that was read, Ends the latest time of all lines. They are zero if no line
	// was read.
	Begins, Ends time.Time
	// Short reports that less than the limit was stored, because the Share of the Budget was spent.
	Short bool
	// Gap reports that a second stream did not continue where the one before it broke.
	Gap bool
}

// Log is an io.Writer for a log stream. It stores the head and the tail of the log. It is not safe for concurrent use.
type Log struct {
	lines  lineReader
	length int64
	blocks blockStore
}

// New makes a Log that stores at most limit bytes, half of them head and half tail. It takes its memory from budget. If
// budget is nil, only the limit applies.
func New(limit int64, budget *Share) *Log { return &Log{blocks: newBlockStore(limit, budget)} }

// Write takes the next bytes of the stream. It never fails.
func (l *Log) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		var content []byte
		content, p = l.lines.next(p)
		l.length += int64(len(content))
		l.blocks.add(content)
	}
	return n, nil
}

// Bytes returns the length of the log so far.
func (l *Log) Bytes() int64 { return l.length }

// Begins returns the time of the first line. It is zero if no line was read yet.
func (l *Log) Begins() time.Time { return l.lines.cursor.first }

// Finish ends the log and returns what was stored. Release then frees the memory.
func (l *Log) Finish() Result {
	l.blocks.finish()
	c, b := &l.lines.cursor, &l.blocks
	r := Result{
		Blocks: append(b.head[:len(b.head):len(b.head)], b.tail...), Bytes: l.length,
		Begins: c.first, Ends: c.latest, Short: b.isShort, Gap: c.hasGap,
	}
	if b.omitted > 0 {
		r.OmittedAt, r.Omitted = b.headSize, b.omitted
	}
	return r
}

// Release gives the memory of the log back to its budget. The log must not be used afterwards.
func (l *Log) Release() { l.blocks.release() }

// TakeNote returns the kubelet's note and forgets it. The result is empty if there is none.
func (l *Log) TakeNote() string {
	note := string(bytes.TrimSpace(l.lines.note))
	l.lines.note = nil
	return note
}

// Since returns the sinceTime of a stream that continues this one, in whole seconds, as the API takes it. If it is
// zero, the stream must begin at the start of the log.
func (l *Log) Since() time.Time { return l.lines.cursor.repeatFrom.Truncate(time.Second) }

// Resume announces that the next write begins another stream, which begins no later than Since.
func (l *Log) Resume() { l.lines.resume() }

// Continued reports whether the current stream has reached the point where the stream before it broke. Until then, a
// note of the kubelet cannot be distinguished from the rest of an earlier line.
func (l *Log) Continued() bool { return !l.lines.cursor.isResuming }
