package conditions

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"kontroler/controller/queue"
	"kontroler/store"
)

func TestSyncErrorsShowOnceTheyLast(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	syncErrors, failure := NewSyncErrors[queue.RunKey](), errors.New("creating pod: no route to host")
	if syncErrors.Note("a", failure, now) || syncErrors.Condition("a", now) != nil {
		t.Error("the first failure changes the condition")
	}
	now = now.Add(errorLasts)
	if !syncErrors.Note("a", failure, now) {
		t.Error("a failure that lasts does not change the condition")
	}
	if c := syncErrors.Condition("a", now); c == nil || c.Message != failure.Error() || c.Reason != ReasonSyncFailed {
		t.Errorf("the condition is %+v", c)
	}
	for name, transient := range map[string]error{
		"a conflict": fmt.Errorf("writing: %w", store.ErrConflict), "another leader": store.ErrFenced,
	} {
		if syncErrors.Note("b", transient, now) || syncErrors.Note("b", transient, now.Add(time.Hour)) {
			t.Errorf("%s counts as an error of the object", name)
		}
	}
	if !syncErrors.Note("a", nil, now) || syncErrors.Condition("a", now) != nil || len(syncErrors.byKey) > 0 {
		t.Error("a success after a failure that lasted does not change the condition")
	}
}
