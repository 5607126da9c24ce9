package podlog

import (
	"bytes"
	"time"
)

// lineReader removes the timestamps from the lines of a stream. It buffers a timestamp that has not fully arrived,
// never a line.
type lineReader struct {
	position  position
	timestamp []byte // of the current line, as far as it has arrived
	note      []byte

	// first is the time of the first line, latest the latest time of all lines.
	first, latest time.Time
	// repeatFrom is the earliest time of the lines that a second stream must repeat: from the first line at latest on.
	repeatFrom time.Time
	// atLatest and outOfOrder count these lines: those at latest, and all that follow once one is earlier. Times are
	// not in order, because the two outputs of a container get theirs independently.
	atLatest, outOfOrder int
	lineLength           int64 // of the current line as far as it has arrived, with its newline

	// isResuming reports that the stream repeats what an earlier stream had.
	isResuming bool
	repeated   int   // how many of the lines that must be repeated were
	skip       int64 // bytes of the current line that the earlier stream had
	hasGap     bool
}

// position is what the next byte belongs to.
type position int

const (
	inTimestamp position = iota // at the beginning of a line
	inLine
	inRepeatedLine // which the earlier stream had
	inNote
)

// next returns the content at the beginning of p, as far as it is contiguous, and the rest of p.
func (r *lineReader) next(p []byte) (content, rest []byte) {
	if r.position == inTimestamp {
		return nil, r.readTimestamp(p)
	}
	end := bytes.IndexByte(p, '\n') + 1
	was := r.position
	if end == 0 {
		end = len(p)
	} else {
		r.position = inTimestamp
	}
	content, rest = p[:end], p[end:]
	switch was {
	case inRepeatedLine:
		return nil, rest
	case inNote:
		r.addToNote(content)
		return nil, rest
	}
	skipped := min(r.skip, int64(len(content)))
	r.skip -= skipped
	content = content[skipped:]
	r.lineLength += int64(len(content))
	return content, rest
}

// readTimestamp reads the timestamp at the beginning of a line and returns the rest of p.
func (r *lineReader) readTimestamp(p []byte) []byte {
	window := p[:min(len(p), maxTimestamp+1-len(r.timestamp))]
	end := bytes.IndexAny(window, " \n")
	if end < 0 {
		r.timestamp = append(r.timestamp, window...)
		if len(r.timestamp) > maxTimestamp {
			r.beginWithoutTimestamp()
			return p[len(window):]
		}
		return nil
	}
	r.timestamp = append(r.timestamp, window[:end]...)
	var at time.Time
	if p[end] == '\n' || at.UnmarshalText(r.timestamp) != nil {
		r.beginWithoutTimestamp()
		return p[end:]
	}
	r.timestamp = r.timestamp[:0]
	r.beginLine(at.UTC())
	return p[end+1:]
}

// beginWithoutTimestamp begins a line that has no timestamp. The kubelet wrote it. If the stream is resuming, it may
// also be the rest of a line that began before Since.
func (r *lineReader) beginWithoutTimestamp() {
	if r.isResuming {
		r.position = inRepeatedLine
	} else {
		r.position = inNote
		r.addToNote(r.timestamp)
	}
	r.timestamp = r.timestamp[:0]
}

func (r *lineReader) addToNote(text []byte) {
	r.note = append(r.note, text[:min(len(text), maxNote-len(r.note))]...)
}

// beginLine begins a line with a timestamp.
func (r *lineReader) beginLine(at time.Time) {
	if r.isResuming && !at.After(r.latest) {
		r.beginRepeatedLine(at)
		return
	}
	r.hasGap = r.hasGap || r.isResuming
	r.position, r.isResuming, r.lineLength, r.skip = inLine, false, 0, 0
	if r.first.IsZero() {
		r.first = at
	}
	switch {
	case at.After(r.latest):
		r.latest, r.repeatFrom, r.atLatest, r.outOfOrder = at, at, 1, 0
	case at.Equal(r.latest) && r.outOfOrder == 0:
		r.atLatest++
	default:
		r.outOfOrder++
		if at.Before(r.repeatFrom) {
			r.repeatFrom = at
		}
	}
}

// beginRepeatedLine begins a line that the earlier stream had. The last one of these may have broken off anywhere: what
// the earlier stream had of it is skipped, and the rest is content.
func (r *lineReader) beginRepeatedLine(at time.Time) {
	if r.repeated > 0 || at.Equal(r.latest) {
		r.repeated++
	}
	r.position = inRepeatedLine
	if r.repeated == r.atLatest+r.outOfOrder {
		r.position, r.isResuming, r.skip = inLine, false, r.lineLength
	}
}

// resume begins a second stream.
func (r *lineReader) resume() {
	r.position, r.timestamp, r.repeated, r.skip = inTimestamp, r.timestamp[:0], 0, 0
	r.isResuming = !r.latest.IsZero()
}
