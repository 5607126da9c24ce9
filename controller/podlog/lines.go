package podlog

import (
	"bytes"
	"time"
)

// lines takes the times off the lines of a stream. It holds a time that has not fully come, never a line.
type lines struct {
	state state
	stamp []byte // the beginning of a time
	note  []byte

	first, last time.Time // of the first line; the latest of all
	since       time.Time // the earliest of the lines from the first one at last on
	same        int       // lines that began at last, before any behind
	behind      int       // lines after those that are not later: two outputs of a container are stamped each by itself
	length      int64     // of the line that came last so far, with its newline

	// Of a stream that continues another one.
	resuming bool
	again    int   // lines from the first one at last on that have come again
	skip     int64 // bytes of the line that came last that are still to come again
	gap      bool
}

// state is what the next byte belongs to.
type state int

const (
	inStamp state = iota // where a line begins
	inLine
	inOldLine // one that was read from an earlier stream
	inNote
)

// next returns the content that p begins with, as far as it is in one piece, and the rest of p.
func (s *lines) next(p []byte) (content, rest []byte) {
	if s.state == inStamp {
		return nil, s.takeStamp(p)
	}
	end := bytes.IndexByte(p, '\n') + 1
	was := s.state
	if end == 0 {
		end = len(p)
	} else {
		s.state = inStamp
	}
	content, rest = p[:end], p[end:]
	switch was {
	case inOldLine:
		return nil, rest
	case inNote:
		s.note = append(s.note, content[:min(len(content), maxNote-len(s.note))]...)
		return nil, rest
	}
	skipped := min(s.skip, int64(len(content)))
	s.skip -= skipped
	content = content[skipped:]
	s.length += int64(len(content))
	return content, rest
}

// takeStamp takes the time at the beginning of a line and returns the rest of p.
func (s *lines) takeStamp(p []byte) []byte {
	window := p[:min(len(p), maxStamp+1-len(s.stamp))]
	end := bytes.IndexAny(window, " \n")
	if end < 0 {
		s.stamp = append(s.stamp, window...)
		if len(s.stamp) > maxStamp {
			return s.noStamp(p[len(window):])
		}
		return nil
	}
	s.stamp = append(s.stamp, window[:end]...)
	var at time.Time
	if p[end] == '\n' || at.UnmarshalText(s.stamp) != nil {
		return s.noStamp(p[end:])
	}
	s.stamp = s.stamp[:0]
	s.begin(at.UTC())
	return p[end+1:]
}

// noStamp: the line has no time. In a stream that continues another one it may be the rest of a line that began before
// Since; else it is the kubelet's own word.
func (s *lines) noStamp(rest []byte) []byte {
	if s.state = inNote; s.resuming {
		s.state = inOldLine
	} else {
		s.note = append(s.note, s.stamp[:min(len(s.stamp), maxNote-len(s.note))]...)
	}
	s.stamp = s.stamp[:0]
	return rest
}

// begin begins a line.
func (s *lines) begin(at time.Time) {
	if s.resuming && !at.After(s.last) {
		if s.again > 0 || at.Equal(s.last) {
			s.again++
		}
		if s.state = inOldLine; s.again == s.same+s.behind {
			s.state, s.resuming, s.skip = inLine, false, s.length
		}
		return
	}
	s.gap = s.gap || s.resuming
	s.state, s.resuming, s.length, s.skip = inLine, false, 0, 0
	if s.first.IsZero() {
		s.first = at
	}
	switch {
	case at.After(s.last):
		s.last, s.since, s.same, s.behind = at, at, 1, 0
	case at.Equal(s.last) && s.behind == 0:
		s.same++
	default:
		s.behind++
		if at.Before(s.since) {
			s.since = at
		}
	}
}

// resume begins another stream; the first one may have broken off anywhere.
func (s *lines) resume() {
	s.state, s.stamp, s.again, s.skip = inStamp, s.stamp[:0], 0, 0
	s.resuming = !s.last.IsZero()
}
