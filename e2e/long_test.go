package e2e_test

import (
	"regexp"
	"testing"

	"kontroler/e2e/harness"
)

// aroundPods are the crash points at which a container's life and a controller's meet.
var aroundPods = regexp.MustCompile(`^(pod|log)-|^reap$|^relabelled$`)

// TestKilledEverywhere kills a controller at each crash point around Pods in each scene, whether the scene reaches the point
// or not. The others are in e2e/control.
func TestKilledEverywhere(t *testing.T) {
	harness.Long(t)
	for _, point := range harness.Points(t) {
		if !aroundPods.MatchString(point) {
			continue
		}
		for name, scene := range harness.Scenes(marked) {
			t.Run(name+" "+point, func(t *testing.T) { newWorld(t).KilledOnTheWay(scene, point) })
		}
	}
}
