package httpapi

import (
	"errors"
	"net/http"
	"time"

	"kontroler/httpapi/cluster"
	"kontroler/httpapi/dags"
	"kontroler/store/view"
)

// attentionHandlers show what somebody should look at.
type attentionHandlers struct{ *base }

const (
	// recent is how far attention looks back.
	recent = 24 * time.Hour
	// longWait is how long a task may have a reason not to run.
	longWait = 5 * time.Minute
	// longPending is how long a DagRun may have no run.
	longPending = time.Minute
)

// attentionView is what somebody should look at. Each list has at most maxLimit items.
type attentionView struct {
	Failed  attentionList[runView]     `json:"failed"`
	Waiting attentionList[waitingView] `json:"waiting"`
	Missed  attentionList[missedView]  `json:"missed"`
	// Invalid and Pending are from the cluster. They are missing while it does not answer; Unavailable says why.
	Invalid     *attentionList[dags.Invalid] `json:"invalid,omitempty"`
	Pending     *attentionList[dags.Pending] `json:"pending,omitempty"`
	Unavailable string                       `json:"unavailable,omitempty"`
}

// attentionList is the beginning of a list. HasMore says that there are more items.
type attentionList[T any] struct {
	Items   []T  `json:"items"`
	HasMore bool `json:"hasMore"`
}

// waitingView is a task of a live run that has had a reason not to run for five minutes.
type waitingView struct {
	RunUID    string    `json:"runUID"`
	RunName   string    `json:"runName"`
	Namespace string    `json:"namespace"`
	DAG       string    `json:"dag"`
	Task      string    `json:"task"`
	Phase     string    `json:"phase"`
	Reason    string    `json:"reason"`
	Message   string    `json:"message,omitempty"`
	Since     time.Time `json:"since"`
}

// missedView is a due time, or a stretch of them, that did not run.
type missedView struct {
	Namespace string `json:"namespace"`
	DAG       string `json:"dag"`
	tickView
}

func beginning[R, T any](rows []R, view func(R) T) attentionList[T] {
	hasMore := len(rows) > maxLimit
	return attentionList[T]{Items: viewAll(rows[:min(len(rows), maxLimit)], view), HasMore: hasMore}
}

func (h attentionHandlers) read(w http.ResponseWriter, c *call) error {
	if _, err := query(c); err != nil {
		return err
	}
	scope, err := scopeOfPath(c)
	if err != nil {
		return err
	}
	ctx, now := c.Context(), h.now()
	failed, err := h.views.Failed(ctx, scope, now.Add(-recent))
	if err != nil {
		return err
	}
	waiting, err := h.views.Waiting(ctx, scope, now.Add(-longWait))
	if err != nil {
		return err
	}
	missed, err := h.views.Missed(ctx, scope, now.Add(-recent))
	if err != nil {
		return err
	}
	answer := attentionView{
		Failed: beginning(failed, viewRun),
		Waiting: beginning(waiting, func(t view.WaitingTask) waitingView {
			return waitingView{t.RunUID, t.RunName, t.Namespace, t.DAG, t.Task, t.Phase, t.Reason, t.Message, t.Since}
		}),
		Missed: beginning(missed, func(m view.MissedTick) missedView {
			return missedView{m.Namespace, m.DAG, viewTick(m.Tick)}
		}),
	}
	if err := h.addLive(&answer, c, scope); err != nil {
		return err
	}
	return reply(w, http.StatusOK, answer)
}

// addLive adds what the cluster knows. While it does not answer, the rest is shown without it.
func (h attentionHandlers) addLive(answer *attentionView, c *call, scope view.Scope) error {
	invalid, err := h.dags.Invalid(scope)
	var pending dags.PendingList
	if err == nil {
		pending, err = h.dags.Pending(c.Context(), scope, h.now().Add(-longPending))
	}
	if away, ok := errors.AsType[*cluster.Error](err); ok {
		answer.Unavailable = away.Detail
		return nil
	}
	if err != nil {
		return err
	}
	answer.Invalid = new(beginning(invalid, same))
	answer.Pending = new(viewPending(pending))
	return nil
}
