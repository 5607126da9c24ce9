package podlog

import (
	"bytes"
	"time"
)

const (
	// maxBlock is the size of a block before compression, in bytes. A small log has blocks of an eighth of its limit.
	maxBlock = 128 << 10
	// maxNote is how much of a kubelet's note is stored, in bytes.
	maxNote = 1024
	// maxTimestamp is the length of the longest timestamp that a kubelet writes: nanoseconds and an offset.
	maxTimestamp = len("2006-01-02T15:04:05.000000000+07:00")
)

// Block is a part of a log.
type Block struct {
	Size int    // before compression
	Gzip []byte // one gzip member
}

// Result is what a Log stored.
type Result struct {
	Blocks []Block
	// Bytes is the length of the log. Omitted bytes of it, from OmittedAt on, are in no block.
	Bytes, OmittedAt, Omitted int64
	// Begins is the time of the first line that was read, Ends the latest time of all lines. They are zero if no line
	// was read.
	Begins, Ends time.Time
	// Short reports that less than the limit was stored, because the Budget was spent.
	Short bool
	// Gap reports that a second stream did not continue where the one before it broke.
	Gap bool
}

// Log is an io.Writer for a log stream. It stores the head and the tail of the log. It is not safe for concurrent use.
type Log struct {
	budget               *Budget
	blockSize            int
	headLimit, tailLimit int64 // before compression

	head, tail         []Block
	headSize, tailSize int64
	isHeadFull         bool
	current            []byte // the block that is being filled

	length, omitted int64
	isShort         bool
	lines           lineReader
}

// New makes a Log that stores at most limit bytes, half of them head and half tail. It takes its memory from a budget;
// nil: only the limit bounds it.
func New(limit int64, budget *Budget) *Log {
	blockSize := int(max(1, min(maxBlock, limit/8)))
	return &Log{budget: budget, blockSize: blockSize, headLimit: limit / 2, tailLimit: limit - limit/2}
}

// Write takes the next bytes of the stream. It never fails.
func (l *Log) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		var content []byte
		content, p = l.lines.next(p)
		l.add(content)
	}
	return n, nil
}

// Bytes returns the length of the log so far.
func (l *Log) Bytes() int64 { return l.length }

// Begins returns the time of the first line; zero: no line was read yet.
func (l *Log) Begins() time.Time { return l.lines.first }

// add adds content to the current block and begins further blocks as needed.
func (l *Log) add(content []byte) {
	l.length += int64(len(content))
	for len(content) > 0 {
		room := l.blockSize - len(l.current)
		if !l.isHeadFull {
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

// seal compresses the current block and appends it to the head, or to the tail once the head is full. The tail then
// drops its oldest blocks until it is within its limit and the budget.
func (l *Log) seal() {
	if !l.isHeadFull && l.headSize+int64(len(l.current)) >= l.headLimit {
		defer func() { l.isHeadFull = true }()
	}
	if len(l.current) == 0 {
		return
	}
	block := Block{Size: len(l.current), Gzip: compress(l.current)}
	l.current = l.current[:0]
	if isFirst := len(l.head) == 0 && !l.isHeadFull; !l.budget.take(len(block.Gzip), isFirst) {
		l.isHeadFull, l.isShort = true, true
		for !l.budget.take(len(block.Gzip), len(l.tail) == 0) {
			l.dropOldest()
		}
	}
	if !l.isHeadFull {
		l.head, l.headSize = append(l.head, block), l.headSize+int64(block.Size)
		return
	}
	l.tail, l.tailSize = append(l.tail, block), l.tailSize+int64(block.Size)
	for l.tailSize > l.tailLimit {
		l.dropOldest()
	}
}

// dropOldest omits the oldest block of the tail.
func (l *Log) dropOldest() {
	oldest := l.tail[0]
	l.tail[0] = Block{}
	l.tail, l.tailSize, l.omitted = l.tail[1:], l.tailSize-int64(oldest.Size), l.omitted+int64(oldest.Size)
	l.budget.giveBack(len(oldest.Gzip))
}

// Finish ends the log and returns what was stored. Release then frees the memory.
func (l *Log) Finish() Result {
	l.seal()
	r := Result{
		Blocks: append(l.head[:len(l.head):len(l.head)], l.tail...), Bytes: l.length,
		Begins: l.lines.first, Ends: l.lines.latest, Short: l.isShort, Gap: l.lines.hasGap,
	}
	if l.omitted > 0 {
		r.OmittedAt, r.Omitted = l.headSize, l.omitted
	}
	return r
}

// Release gives the memory of the log back to its budget. The log must not be used afterwards.
func (l *Log) Release() {
	for _, block := range append(l.head, l.tail...) {
		l.budget.giveBack(len(block.Gzip))
	}
	l.head, l.tail, l.current = nil, nil, nil
}

// TakeNote returns and forgets what the kubelet wrote instead of lines of the log. It is empty if there is nothing.
func (l *Log) TakeNote() string {
	note := string(bytes.TrimSpace(l.lines.note))
	l.lines.note = nil
	return note
}

// Since returns the sinceTime of a stream that continues this one, in whole seconds, as the API takes it. Zero: the
// stream must begin at the start of the log.
func (l *Log) Since() time.Time { return l.lines.repeatFrom.Truncate(time.Second) }

// Resume announces that the next write begins another stream, which begins no later than Since.
func (l *Log) Resume() { l.lines.resume() }

// Continued reports whether the current stream has reached the point where the stream before it broke. Until then, a
// note of the kubelet cannot be distinguished from the rest of an earlier line.
func (l *Log) Continued() bool { return !l.lines.isResuming }
