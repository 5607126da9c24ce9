package objects_test

import (
	"testing"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/httpapi/objects"
)

func TestIsForeign(t *testing.T) {
	tests := map[string]struct {
		controller, class string
		want              bool
	}{
		"its own":                          {"me", "blue", false},
		"its own, whose class has changed": {"me", "green", false},
		"another's":                        {"other", "blue", true},
		"nobody's yet":                     {"", "blue", false},
		"nobody's, of another class":       {"", "green", true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			d := &v1alpha1.DAG{}
			d.Status.Controller, d.Spec.ControllerClass = test.controller, test.class
			if got := objects.IsForeign(d, "me", "blue"); got != test.want {
				t.Errorf("IsForeign = %t", got)
			}
		})
	}
}
