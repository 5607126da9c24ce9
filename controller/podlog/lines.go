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
	skip      int64 // bytes of the current line that the earlier stream had
	cursor    cursor
}

// position is the kind of text that the next byte belongs to.
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
	current := r.position
	if end == 0 {
		end = len(p)
	} else {
		r.position = inTimestamp
	}
	content, rest = p[:end], p[end:]
	switch current {
	case inRepeatedLine:
		return nil, rest
	case inNote:
		r.addToNote(content)
		return nil, rest
	}
	skipped := min(r.skip, int64(len(content)))
	r.skip -= skipped
	content = content[skipped:]
	r.cursor.lineLength += int64(len(content))
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
	if r.cursor.isResuming {
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
	hasContent, skip := r.cursor.beginLine(at)
	r.position, r.skip = inRepeatedLine, skip
	if hasContent {
		r.position = inLine
	}
}

// resume begins a second stream.
func (r *lineReader) resume() {
	r.position, r.timestamp, r.skip = inTimestamp, r.timestamp[:0], 0
	r.cursor.resume()
}
