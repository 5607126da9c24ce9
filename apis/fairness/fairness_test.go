package fairness_test

import (
	"testing"

	"kontroler/apis/fairness"
)

func TestShare(t *testing.T) {
	for name, test := range map[string]struct{ all, ofOthers, want int64 }{
		"nobody else has any":      {100, 0, 50},
		"another has its share":    {100, 50, 25},
		"the rest is odd":          {100, 75, 12},
		"one is left":              {100, 99, 1},
		"nothing is left":          {100, 100, 1},
		"others have more than is": {100, 150, 1},
	} {
		t.Run(name, func(t *testing.T) {
			if got := fairness.Share(test.all, test.ofOthers); got != test.want {
				t.Errorf("%d, want %d", got, test.want)
			}
		})
	}
}
