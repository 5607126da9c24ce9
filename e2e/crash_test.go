package e2e_test

import (
	"testing"

	"kontroler/e2e/harness"
)

// A controller is killed with SIGKILL at each crash point around Pods, while containers run. The next one finishes the
// run with the expected result. e2e/control tests the points around rows, and more of these.
func TestKilledAt(t *testing.T) {
	t.Parallel()
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
