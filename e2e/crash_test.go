package e2e_test

import (
	"testing"

	"kontroler/e2e/harness"
)

// TestKilledAt kills a controller with SIGKILL at each of the points around Pods, while containers run. The next one
// finishes the run as if nothing had been. The points around rows, and more of these, are in e2e/control.
func TestKilledAt(t *testing.T) {
	for _, fault := range []string{
		"pod-create:1", "pod-created:2", "stripped relabelled:1",
		"reap:1", "pod-released:2", "pod-deleted:3",
		"timeout pod-stop:1", "cancel pod-stopped:1",
	} {
		t.Run(fault, func(t *testing.T) {
			newWorld(t).KilledAt(harness.SceneOf(fault, marked), fault)
		})
	}
}
