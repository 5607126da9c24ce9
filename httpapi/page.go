package httpapi

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"kontroler/httpapi/answer"
	"kontroler/httpapi/cluster"
)

// The number of rows of a page.
const (
	defaultLimit = 50
	maxLimit     = 200
)

// page is a page of a list. The cursors lead to the next and the previous page, and are missing where there is none. A
// list from the cluster lacks the objects of the namespaces that are Unavailable.
type page[T any] struct {
	Items       []T                   `json:"items"`
	Next        string                `json:"next,omitempty"`
	Previous    string                `json:"previous,omitempty"`
	Unavailable []cluster.Unavailable `json:"unavailableNamespaces,omitempty"`
}

// position is where a page begins: right after the row with Key, right before it if Backward is set, or at the first
// row.
type position[K any] struct {
	Key      K    `json:"k"`
	Backward bool `json:"b,omitempty"`
	isFirst  bool
}

// query returns the parameters of a request. It refuses those that are unknown, repeated or empty.
func query(c *call, known ...string) (url.Values, error) {
	values, err := url.ParseQuery(c.URL.RawQuery)
	if err != nil {
		return nil, fault(badRequest, "The query is not valid: write special characters as %XX.")
	}
	for name, all := range values {
		switch {
		case !slices.Contains(known, name):
			detail := fmt.Sprintf("There is no query parameter %q.", name)
			if len(known) > 0 {
				detail = fmt.Sprintf("There is no query parameter %q, only: %s.", name, strings.Join(known, ", "))
			}
			return nil, fault(badRequest, detail)
		case len(all) > 1 || all[0] == "":
			return nil, fault(badRequest, fmt.Sprintf("The query parameter %s must be there once, with a value.", name))
		}
	}
	return values, nil
}

// errCursor is the problem of a cursor that no page has returned.
var errCursor = fault(badRequest, "cursor must be the next or previous of another page of this list.")

var errNumber = errors.New("not a number, or not within its bounds")

// parseLimit reads the parameter limit.
func parseLimit(values url.Values) (int, error) {
	text := values.Get("limit")
	if text == "" {
		return defaultLimit, nil
	}
	limit, err := parseNumber(text, maxLimit)
	if err != nil {
		return 0, fault(badRequest, fmt.Sprintf("limit must be a number from 1 to %d.", maxLimit))
	}
	return limit, nil
}

// parseNumber reads a number from 1 to most. It accepts no sign and no leading zero, so that each number has one
// spelling.
func parseNumber[N int | int64](text string, most N) (N, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 || n > int64(most) || strconv.FormatInt(n, 10) != text {
		return 0, errNumber
	}
	return N(n), nil
}

// parsePosition reads the parameters limit and cursor.
func parsePosition[K any](values url.Values) (at position[K], limit int, err error) {
	if limit, err = parseLimit(values); err != nil {
		return at, 0, err
	}
	cursor := values.Get("cursor")
	if at.isFirst = cursor == ""; at.isFirst {
		return at, limit, nil
	}
	text, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields() // the cursor of another list has other fields
	// PostgreSQL cannot compare a text with NUL.
	if err != nil || decoder.Decode(&at) != nil || decoder.More() || bytes.Contains(text, []byte(`\u0000`)) {
		return at, 0, errCursor
	}
	return at, limit, nil
}

// replyPage responds with a page of a list. read returns at most limit rows right after or before a position, in the
// order of the list.
func replyPage[R, T, K any](
	w http.ResponseWriter, values url.Values, key func(R) K, view func(R) T,
	read func(at position[K], limit int) ([]R, error),
) error {
	at, limit, err := parsePosition[K](values)
	if err != nil {
		return err
	}
	rows, err := read(at, limit+1)
	if err != nil {
		return err
	}
	shown, err := makePage(rows, at, limit, key, view)
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, shown)
}

// makePage makes a page from rows in the order of the list. If there are more than limit rows, the list has a further
// page.
func makePage[R, T, K any](rows []R, at position[K], limit int, key func(R) K, view func(R) T) (page[T], error) {
	hasMore := len(rows) > limit
	if hasMore && at.Backward {
		rows = rows[len(rows)-limit:]
	} else if hasMore {
		rows = rows[:limit]
	}
	p := page[T]{Items: answer.All(rows, view)}
	if len(rows) == 0 {
		return p, nil
	}
	var err error
	if hasMore || at.Backward {
		if p.Next, err = cursorOf(position[K]{Key: key(rows[len(rows)-1])}); err != nil {
			return p, err
		}
	}
	if at.Backward && hasMore || !at.Backward && !at.isFirst {
		p.Previous, err = cursorOf(position[K]{Key: key(rows[0]), Backward: true})
	}
	return p, err
}

func cursorOf[K any](at position[K]) (string, error) {
	text, err := json.Marshal(at)
	return base64.RawURLEncoding.EncodeToString(text), err
}
