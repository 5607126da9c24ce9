package podlog

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"
)

// MaxPiece is the maximum size in bytes of a piece of a log that is passed on.
const MaxPiece = 64 << 10

// maxTime is the maximum length in bytes of the time of a line.
const maxTime = len("2006-01-02T15:04:05.000000000+07:00")

// errNote means that the kubelet sent a message instead of a line of the log.
var errNote = errors.New("the kubelet says")

// lineReader reads lines from a log stream of the kubelet, in which each line begins with its time.
type lineReader struct {
	buffered *bufio.Reader
	isInLine bool
}

func newLineReader(r io.Reader) *lineReader {
	return &lineReader{buffered: bufio.NewReaderSize(r, MaxPiece+maxTime+1)}
}

// next returns a line with its newline, or the next part of a line that is longer than MaxPiece. at is the time of the
// line in its first part, and zero in others. content is valid until the next call. At the end, the error is io.EOF,
// and content is a last line without a newline. The error matches errNote if a line has no time.
func (r *lineReader) next() (at time.Time, content []byte, err error) {
	line, err := r.buffered.ReadSlice('\n')
	if len(line) == 0 && err != nil {
		return time.Time{}, nil, err
	}
	if err != nil && err != bufio.ErrBufferFull && err != io.EOF {
		return time.Time{}, nil, err
	}
	if !r.isInLine {
		text, rest, hasTime := bytes.Cut(line, []byte(" "))
		if !hasTime || at.UnmarshalText(text) != nil {
			return time.Time{}, nil, fmt.Errorf("%w: %q", errNote, line[:min(len(line), 1024)])
		}
		line = rest
	}
	if r.isInLine = err == bufio.ErrBufferFull; r.isInLine {
		err = nil
	}
	return at, line, err
}

// hasMore reports whether received data is buffered that next has not returned.
func (r *lineReader) hasMore() bool { return r.buffered.Buffered() > 0 }

// lastLines finds where the last lines of a text begin.
type lastLines struct {
	begins []int64 // a ring
	count  int64
	length int64
	isOpen bool // the last line has no newline yet
}

// newLastLines makes a lastLines for n lines. n must be positive.
func newLastLines(n int) *lastLines { return &lastLines{begins: make([]int64, n)} }

// Write takes the next part of the text. It never fails.
func (l *lastLines) Write(part []byte) (int, error) {
	n := len(part)
	for len(part) > 0 {
		if !l.isOpen {
			l.begins[l.count%int64(len(l.begins))] = l.length
			l.count++
		}
		end := bytes.IndexByte(part, '\n') + 1
		l.isOpen = end == 0
		if l.isOpen {
			end = len(part)
		}
		l.length += int64(end)
		part = part[end:]
	}
	return n, nil
}

// offset returns where the last lines begin. It is 0 if there are fewer.
func (l *lastLines) offset() int64 {
	if l.count < int64(len(l.begins)) {
		return 0
	}
	return l.begins[l.count%int64(len(l.begins))]
}
