// Package wait has the one wait that every loop of the controller uses.
package wait

import (
	"context"
	"time"
)

// For waits for d. It returns false, at once, when ctx ends before.
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
