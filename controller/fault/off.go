//go:build !faults

package fault

import "time"

// Point marks an instant; it does nothing in this build.
func Point(string) {}

// Now is the time of this process's clock.
func Now() time.Time { return time.Now() }
