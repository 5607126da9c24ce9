package conditions

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"kontroler/controller/queue"
	"kontroler/store"
)

func TestTroublesShowOnceTheyLast(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	troubles, failure := NewTroubles[queue.RunKey](), errors.New("creating pod: no route to host")
	if troubles.Note("a", failure, now) || troubles.Condition("a", now) != nil {
		t.Error("the first failure is told")
	}
	now = now.Add(troubleLasts)
	if !troubles.Note("a", failure, now) {
		t.Error("a failure that lasts is not told")
	}
	if c := troubles.Condition("a", now); c == nil || c.Message != failure.Error() || c.Reason != ReasonSyncFailed {
		t.Errorf("the condition is %+v", c)
	}
	for name, passing := range map[string]error{
		"a conflict": fmt.Errorf("writing: %w", store.ErrConflict), "another leader": store.ErrFenced,
	} {
		if troubles.Note("b", passing, now) || troubles.Note("b", passing, now.Add(time.Hour)) {
			t.Errorf("%s counts as a trouble of the object", name)
		}
	}
	if !troubles.Note("a", nil, now) || troubles.Condition("a", now) != nil || len(troubles.byKey) > 0 {
		t.Error("a trouble that is over is not taken back")
	}
}
