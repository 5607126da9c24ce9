//go:build !faults

package fault

// Point marks an instant; it does nothing in this build.
func Point(string) {}
