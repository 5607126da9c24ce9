package controller

import (
	"testing"
	"time"

	"kontroler/store"
)

func TestProgressTakesAFailureBack(t *testing.T) {
	at := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	event := func(kind, reason string, seconds int) *store.PodEvent {
		return &store.PodEvent{Type: kind, Reason: reason, Message: "m", LastAt: at.Add(time.Duration(seconds) * time.Second)}
	}
	events := newStartEvents()
	if !events.note("u", event("Warning", "FailedMount", 0)) {
		t.Error("a new failure is no news")
	}
	if events.note("u", event("Warning", "FailedMount", 2)) {
		t.Error("the same failure is news again")
	}
	events.note("u", event("Normal", "SandboxChanged", 3))
	events.note("u", event("Normal", "Pulling", 1)) // of a list, which is in no order
	if !events.newest("u").Fails {
		t.Error("the failure is taken back by what is no progress, or by what came before")
	}
	events.note("u", event("Normal", "Pulling", 4))
	if events.newest("u").Fails {
		t.Error("the failure is not taken back by progress")
	}
	events.drop("u")
	if len(events.byPod) > 0 {
		t.Error("a Pod that started is remembered")
	}
}
