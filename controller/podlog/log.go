package podlog

import (
	"bytes"
	"time"
)

const (
	// blockBytes is the size of a block before compression; of a small log it is an eighth of its limit.
	blockBytes = 128 << 10
	// maxNote bounds what is kept of a kubelet's own words.
	maxNote = 1024
	// maxStamp is the longest time that a kubelet writes: nanoseconds and an offset.
	maxStamp = len("2006-01-02T15:04:05.000000000+07:00")
)

// Block is a part of a log.
type Block struct {
	Size int    // before compression
	Gzip []byte // one gzip member
}

// Result is what was kept of a log.
type Result struct {
	Blocks []Block
	// Bytes is how long the log was; of these, Omitted bytes from OmittedAt on are in no block.
	Bytes, OmittedAt, Omitted int64
	// Begins is the time of the first line that was read, Ends the latest of all; zero: there was none.
	Begins, Ends time.Time
	// Short: it was cut below its limit, because all logs together held as much as they may.
	Short bool
	// Gap: a broken stream could not be continued where it broke.
	Gap bool
}

// Log takes a log stream, as an io.Writer, and keeps its head and its tail. Not safe for concurrent use.
type Log struct {
	budget               *Budget
	block                int   // size of a block
	headLimit, tailLimit int64 // before compression

	head, tail         []Block
	headSize, tailSize int64
	headFull           bool
	current            []byte // the block that is being filled

	bytes, omitted int64
	short          bool
	lines          lines
}

// New makes a log that keeps at most limit bytes, half of it head and half tail, in memory from a budget; nil: it has no
// other bound.
func New(limit int64, budget *Budget) *Log {
	return &Log{budget: budget, block: int(max(1, min(blockBytes, limit/8))), headLimit: limit / 2, tailLimit: limit - limit/2}
}

// Write takes the next bytes of the stream. It never fails.
func (l *Log) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		var content []byte
		content, p = l.lines.next(p)
		l.keep(content)
	}
	return n, nil
}

// Bytes is how long the log is so far.
func (l *Log) Bytes() int64 { return l.bytes }

// Begins is the time of the first line so far; zero: there is none.
func (l *Log) Begins() time.Time { return l.lines.first }

// keep adds content to the block that is being filled, and begins others.
func (l *Log) keep(content []byte) {
	l.bytes += int64(len(content))
	for len(content) > 0 {
		room := l.block - len(l.current)
		if !l.headFull {
			room = int(min(int64(room), l.headLimit-l.headSize-int64(len(l.current))))
		}
		n := min(room, len(content))
		l.current = append(l.current, content[:n]...)
		content = content[n:]
		if n == room {
			l.seal()
		}
	}
}

// seal compresses the current block and puts it to the head, or behind the tail, from which the oldest blocks fall.
func (l *Log) seal() {
	if !l.headFull && l.headSize+int64(len(l.current)) >= l.headLimit {
		defer func() { l.headFull = true }()
	}
	if len(l.current) == 0 {
		return
	}
	block := Block{Size: len(l.current), Gzip: compress(l.current)}
	l.current = l.current[:0]
	if first := len(l.head) == 0 && !l.headFull; !l.budget.take(len(block.Gzip), first) {
		l.headFull, l.short = true, true
		for !l.budget.take(len(block.Gzip), len(l.tail) == 0) {
			l.drop()
		}
	}
	if !l.headFull {
		l.head, l.headSize = append(l.head, block), l.headSize+int64(block.Size)
		return
	}
	l.tail, l.tailSize = append(l.tail, block), l.tailSize+int64(block.Size)
	for l.tailSize > l.tailLimit {
		l.drop()
	}
}

// drop omits the oldest block of the tail.
func (l *Log) drop() {
	oldest := l.tail[0]
	l.tail[0] = Block{}
	l.tail, l.tailSize, l.omitted = l.tail[1:], l.tailSize-int64(oldest.Size), l.omitted+int64(oldest.Size)
	l.budget.give(len(oldest.Gzip))
}

// Finish ends the log. Its memory is given back by Release.
func (l *Log) Finish() Result {
	l.seal()
	r := Result{
		Blocks: append(l.head[:len(l.head):len(l.head)], l.tail...), Bytes: l.bytes, Short: l.short, Gap: l.lines.gap,
		Begins: l.lines.first, Ends: l.lines.last,
	}
	if l.omitted > 0 {
		r.OmittedAt, r.Omitted = l.headSize, l.omitted
	}
	return r
}

// Release gives the log's memory back to its budget; the log is of no use afterwards.
func (l *Log) Release() {
	for _, block := range append(l.head, l.tail...) {
		l.budget.give(len(block.Gzip))
	}
	l.head, l.tail, l.current = nil, nil, nil
}

// TakeNote returns what the kubelet itself has said instead of a line, once.
func (l *Log) TakeNote() string {
	note := string(bytes.TrimSpace(l.lines.note))
	l.lines.note = nil
	return note
}

// Since is where a second stream should begin that continues this one: sinceTime has whole seconds. Zero: at the start.
func (l *Log) Since() time.Time { return l.lines.since.Truncate(time.Second) }

// Continued reports that the stream has come to where the one before it broke. One that has not says nothing of the log: a
// kubelet's own word is then not told from the rest of an earlier line.
func (l *Log) Continued() bool { return !l.lines.resuming }

// Resume says that what is written from now on is another stream, which begins no later than Since.
func (l *Log) Resume() { l.lines.resume() }
