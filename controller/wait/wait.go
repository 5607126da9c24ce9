// Package wait has the pause that every loop of the controller uses.
package wait

import (
	"context"
	"time"
)

// For pauses for d and returns true. If ctx ends first, it returns false immediately.
func For(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
