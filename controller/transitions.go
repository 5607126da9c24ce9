package controller

import (
	"time"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/webhook"
	"kontroler/store"
	"kontroler/store/transition"
)

// noticesOf returns a notice for each end of a task or run in transitions that the webhook subscribes to.
func noticesOf(hook *v1alpha1.Webhook, transitions []transition.Transition) []store.Notice {
	var notices []store.Notice
	notify := func(task int64, event v1alpha1.WebhookEvent, at time.Time) {
		if webhook.Wants(hook, event) {
			notices = append(notices, store.Notice{Task: task, Event: string(event), At: at})
		}
	}
	for _, t := range transitions {
		switch t := t.(type) {
		case transition.TaskSucceeded:
			notify(t.Task, v1alpha1.EventTaskSucceeded, t.At)
		case transition.TaskFailed:
			notify(t.Task, v1alpha1.EventTaskFailed, t.At)
		case transition.RunEnded:
			notify(0, v1alpha1.WebhookEvent("Run"+t.Phase), t.At)
		}
	}
	return notices
}

// changesStatus reports whether transitions change the status of the run: its counters, or what it waits for.
func changesStatus(transitions []transition.Transition) bool {
	for _, t := range transitions {
		switch t.(type) {
		case transition.RunHeld, transition.AttemptRunning, transition.AttemptWaits, transition.TaskReady,
			transition.TaskSkipped, transition.TaskActive, transition.TaskBackedOff, transition.TaskSucceeded,
			transition.TaskFailed, transition.TaskCancelled, transition.UnstartedCancelled,
			transition.AttemptStopping, transition.LiveStopped:
			return true
		}
	}
	return false
}
