package podlog

import "time"

// cursor is the position up to which a log was read. It recognizes the lines that a second stream repeats.
type cursor struct {
	// first is the time of the first line, latest the latest time of all lines.
	first, latest time.Time
	// repeatFrom is the earliest time of the lines that a second stream must repeat. They begin with the first line
	// whose time is latest.
	repeatFrom time.Time
	// atLatest and outOfOrder count these lines: those at latest, and all that follow once one is earlier. Times are
	// not in order, because the two outputs of a container get theirs independently.
	atLatest, outOfOrder int
	lineLength           int64 // of the current line as far as it has arrived, with its newline

	// isResuming reports that the stream repeats what an earlier stream had.
	isResuming bool
	repeated   int // how many of the lines that must be repeated the stream has repeated
	hasGap     bool
}

// beginLine begins a line with a timestamp. It reports whether the line has content that the earlier stream did not
// have. That content begins after skip bytes.
func (c *cursor) beginLine(at time.Time) (hasContent bool, skip int64) {
	if c.isResuming && !at.After(c.latest) {
		return c.repeatLine(at)
	}
	c.hasGap = c.hasGap || c.isResuming
	c.isResuming, c.lineLength = false, 0
	if c.first.IsZero() {
		c.first = at
	}
	switch {
	case at.After(c.latest):
		c.latest, c.repeatFrom, c.atLatest, c.outOfOrder = at, at, 1, 0
	case at.Equal(c.latest) && c.outOfOrder == 0:
		c.atLatest++
	default:
		c.outOfOrder++
		if at.Before(c.repeatFrom) {
			c.repeatFrom = at
		}
	}
	return true, 0
}

// repeatLine begins a line that the earlier stream had. The earlier stream may have broken off in the last of these
// lines. Its first part is then skipped, and the rest is content.
func (c *cursor) repeatLine(at time.Time) (hasContent bool, skip int64) {
	if c.repeated > 0 || at.Equal(c.latest) {
		c.repeated++
	}
	if c.repeated != c.atLatest+c.outOfOrder {
		return false, 0
	}
	c.isResuming = false
	return true, c.lineLength
}

// resume begins a second stream.
func (c *cursor) resume() {
	c.repeated, c.isResuming = 0, !c.latest.IsZero()
}
