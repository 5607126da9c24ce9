package podlog

import (
	"strconv"
	"strings"
	"time"

	"kontroler/store/view"
)

// Position is a place in a log: Offset bytes after the beginning of the log, whose first line was written at Begins.
// The zero Position is the beginning of any log. Begins is in microseconds, as in the database.
type Position struct {
	Begins time.Time
	Offset int64
}

// String returns the Position as the id of an event. It is empty for the zero Position.
func (p Position) String() string {
	if p.Begins.IsZero() {
		return ""
	}
	return p.Begins.UTC().Format(time.RFC3339Nano) + "/" + strconv.FormatInt(p.Offset, 10)
}

// ParsePosition parses the result of String.
func ParsePosition(text string) (p Position, ok bool) {
	begins, offset, _ := strings.Cut(text, "/")
	at, err := time.Parse(time.RFC3339Nano, begins)
	n, faulty := strconv.ParseInt(offset, 10, 64)
	if err != nil || faulty != nil || n < 0 || at.Year() < 1 || at.Year() > 9999 {
		return Position{}, false
	}
	return Position{Begins: inMicroseconds(at), Offset: n}, true
}

func inMicroseconds(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// Reset is why a reader must start again from the beginning of a log.
type Reset string

// The reasons of resets.
const (
	// Unknown means that the id is not a Position.
	Unknown Reset = "unknown"
	// Rotated means that the log begins with another line now.
	Rotated Reset = "rotated"
	// Incomplete means that the stored log may lack or repeat lines, so that the place cannot be found in it.
	Incomplete Reset = "incomplete"
	// Shorter means that the log ends before the place.
	Shorter Reset = "shorter"
)

// resetFor returns why a log that begins at a time does not have the Position, or "" if it may have it.
func (p Position) resetFor(begins time.Time) Reset {
	if !p.Begins.IsZero() && !p.Begins.Equal(inMicroseconds(begins)) {
		return Rotated
	}
	return ""
}

// resetForStored returns why a stored log does not have the Position, or "" if it has it.
func (p Position) resetForStored(log view.Log) Reset {
	switch {
	case p.Begins.IsZero():
		return ""
	case p.resetFor(log.BeginsAt) != "":
		return Rotated
	case log.IsIncomplete:
		return Incomplete
	case p.Offset > log.Bytes:
		return Shorter
	}
	return ""
}

// stored converts an offset of a log to a place among its stored bytes. missing is how many bytes from the offset on
// were omitted.
func stored(log view.Log, offset int64) (place, missing int64) {
	switch end := log.OmittedAt + log.Omitted; {
	case log.Omitted == 0 || offset < log.OmittedAt:
		return offset, 0
	case offset < end:
		return log.OmittedAt, end - offset
	default:
		return offset - log.Omitted, 0
	}
}
