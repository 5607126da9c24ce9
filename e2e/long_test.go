package e2e_test

import (
	"regexp"
	"testing"

	"kontroler/e2e/harness"
)

// aroundPods matches the crash points around Pods and logs.
var aroundPods = regexp.MustCompile(`^(pod|log)-|^reap$|^relabelled$`)

// A controller is killed at each crash point around Pods, in each scene. e2e/control does the same with all points.
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
