package view

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"slices"
	"time"
)

// MaxPage is the maximum number of rows of a page.
const MaxPage = 200

// MaxRows is the maximum number of rows of a list without a Cursor: a page, and a row that shows that there is another
// page.
const MaxRows = MaxPage + 1

func atMost(limit int) int {
	if limit < 1 || limit > MaxRows {
		return MaxRows
	}
	return limit
}

// Scope are the namespaces that the caller of a list may see. The zero value is empty.
type Scope struct {
	isAll      bool
	namespaces []string
}

// AllNamespaces is the scope of all namespaces.
func AllNamespaces() Scope { return Scope{isAll: true} }

// Namespaces is the scope of these namespaces.
func Namespaces(names ...string) Scope {
	names = slices.Clone(names)
	slices.Sort(names)
	return Scope{namespaces: slices.Compact(names)}
}

// Has reports whether the scope has a namespace.
func (s Scope) Has(namespace string) bool { return s.isAll || slices.Contains(s.namespaces, namespace) }

// Names returns the namespaces of a scope, unless it has all.
func (s Scope) Names() (names []string, isAll bool) {
	return slices.Clone(s.namespaces), s.isAll
}

// Only returns the scope of one namespace, which is empty if this scope does not have it.
func (s Scope) Only(namespace string) Scope {
	if !s.Has(namespace) {
		return Scope{}
	}
	return Namespaces(namespace)
}

func (s Scope) isEmpty() bool { return !s.isAll && len(s.namespaces) == 0 }

// Cursor is a position between rows of a list, as opaque text. An empty one is the beginning.
type Cursor string

// ErrCursor means that a text is not a cursor that a page has returned.
var ErrCursor = errors.New("the cursor is not valid")

// PageRequest selects a page. Limit is the number of rows, from 1 to MaxPage; anything else counts as MaxPage.
type PageRequest struct {
	Cursor Cursor
	Limit  int
}

func (r PageRequest) limit() int {
	if r.Limit < 1 || r.Limit > MaxPage {
		return MaxPage
	}
	return r.Limit
}

// Page is a part of a list.
type Page[T any] struct {
	Rows []T
	// Next continues after the last row, Previous before the first one. A cursor is empty if there was nothing there.
	Next, Previous Cursor
}

// position is a place in the order of a list: newest first, by time and id.
type position struct {
	at time.Time
	id int64
	// isBackward means that the page has the rows before the position, not those after it.
	isBackward bool
}

// cursorFormat is the first byte of a cursor. It changes with the format.
const cursorFormat = 1

// cursor encodes a position. Times are in microseconds, as PostgreSQL stores them.
func (p position) cursor() Cursor {
	raw := make([]byte, 0, 18)
	raw = append(raw, cursorFormat, 0)
	if p.isBackward {
		raw[1] = 1
	}
	raw = binary.BigEndian.AppendUint64(raw, uint64(p.at.UnixMicro()))
	raw = binary.BigEndian.AppendUint64(raw, uint64(p.id))
	return Cursor(base64.RawURLEncoding.EncodeToString(raw))
}

// farthest is a position before every row: PostgreSQL stores no later time from Kubernetes.
var farthest = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

// decode returns the position of a cursor. The empty cursor is before the first row.
func (c Cursor) decode() (position, error) {
	if c == "" {
		return position{at: farthest}, nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(string(c))
	if err != nil || len(raw) != 18 || raw[0] != cursorFormat || raw[1] > 1 {
		return position{}, ErrCursor
	}
	p := position{
		at:         time.UnixMicro(int64(binary.BigEndian.Uint64(raw[2:]))).UTC(),
		id:         int64(binary.BigEndian.Uint64(raw[10:])),
		isBackward: raw[1] == 1,
	}
	if p.at.Year() < 1 || p.at.After(farthest) {
		return position{}, ErrCursor
	}
	return p, nil
}

// newPage makes a page of the rows from a position on. They are in the order in which they were read, at most one more
// than the limit. where returns the position of a row.
func newPage[T any](rows []T, from position, request PageRequest, where func(T) position) Page[T] {
	hasMore := len(rows) > request.limit()
	if hasMore {
		rows = rows[:request.limit()]
	}
	if from.isBackward {
		slices.Reverse(rows)
	}
	page := Page[T]{Rows: rows}
	isFirst := request.Cursor == ""
	if len(rows) == 0 {
		switch { // the page in the other direction must include the row at the position
		case isFirst:
		case from.isBackward:
			page.Next = position{at: from.at, id: from.id + 1}.cursor()
		default:
			page.Previous = position{at: from.at, id: from.id - 1, isBackward: true}.cursor()
		}
		return page
	}
	if from.isBackward || hasMore {
		page.Next = where(rows[len(rows)-1]).cursor()
	}
	if from.isBackward && hasMore || !from.isBackward && !isFirst {
		first := where(rows[0])
		first.isBackward = true
		page.Previous = first.cursor()
	}
	return page
}

// reversed returns rows in the opposite order.
func reversed[T any](rows []T, err error) ([]T, error) {
	slices.Reverse(rows)
	return rows, err
}
