package wait_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"kontroler/controller/wait"
)

func TestForPausesUntilItsTimeIsOverOrItsContextEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		pause, contextEndsAfter time.Duration
		want                    bool
		took                    time.Duration
	}{
		"a pause takes its time":                       {time.Minute, time.Hour, true, time.Minute},
		"a context that ends first ends the pause":     {time.Hour, time.Minute, false, time.Minute},
		"there is no pause once the context has ended": {time.Hour, 0, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), tt.contextEndsAfter)
				defer cancel()
				began := time.Now()
				if got := wait.For(ctx, tt.pause); got != tt.want {
					t.Errorf("For returned %t, want %t", got, tt.want)
				}
				if took := time.Since(began); took != tt.took {
					t.Errorf("For took %s, want %s", took, tt.took)
				}
			})
		})
	}
}
