package store

import (
	"database/sql"
	"strconv"
	"strings"
	"time"

	"kontroler/store/internal/postgres"
)

// timestamp returns t as a parameter, NULL if it is zero. PostgreSQL rounds to microseconds. Truncating first ensures
// that the stored time is never later than t.
func timestamp(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return stored(t)
}

// stored returns t as PostgreSQL stores it.
func stored(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC().Truncate(time.Microsecond)
}

// timestamps returns ts as a parameter of type timestamptz[].
func timestamps(ts []time.Time) []sql.NullString {
	out := make([]sql.NullString, len(ts))
	for i, t := range ts {
		if !t.IsZero() {
			out[i] = sql.NullString{String: t.UTC().Truncate(time.Microsecond).Format(time.RFC3339Nano), Valid: true}
		}
	}
	return out
}

// nullTime scans NULL as the zero time and anything else as UTC.
func nullTime(to *time.Time) sql.Scanner { return postgres.NullTime{To: to} }

// nullID returns an id as a parameter, NULL if it is zero.
func nullID(id int64) any {
	if id == 0 {
		return nil
	}
	return id
}

// nullText returns a text as a parameter, NULL if it is empty.
func nullText(text string) sql.NullString { return sql.NullString{String: text, Valid: text != ""} }

// nullTexts returns texts as a parameter of type text[]. An empty text is NULL.
func nullTexts(texts []string) []sql.NullString {
	out := make([]sql.NullString, len(texts))
	for i, text := range texts {
		out[i] = nullText(text)
	}
	return out
}

// texts returns texts as a parameter of type text[]. Nil is the empty array, not NULL.
func texts(texts []string) []string {
	if texts == nil {
		return []string{}
	}
	return texts
}

// arrayText returns numbers in the text form of integer[]. It is for an array of arrays of different lengths.
func arrayText(numbers []int32) string {
	text := make([]byte, 0, 2+6*len(numbers))
	text = append(text, '{')
	for i, n := range numbers {
		if i > 0 {
			text = append(text, ',')
		}
		text = strconv.AppendInt(text, int64(n), 10)
	}
	return string(append(text, '}'))
}

// clean returns text from outside in a form that PostgreSQL can store: valid UTF-8 without NUL.
func clean(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	return strings.ReplaceAll(s, "\x00", "\uFFFD")
}
