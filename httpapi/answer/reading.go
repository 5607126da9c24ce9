package answer

import "time"

// optional returns a time for JSON: nil if it is zero.
func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
