package httpapi

import (
	"errors"
	"net/http"
	"time"

	"kontroler/httpapi/answer"
	"kontroler/httpapi/cluster"
	"kontroler/httpapi/dags"
	"kontroler/store/view"
)

// attentionHandlers show what needs attention, such as failed runs, waiting tasks and missed due times.
type attentionHandlers struct{ *base }

const (
	// recent is how far attention looks back.
	recent = 24 * time.Hour
	// longWait is how long a task may have a reason not to run before it is shown.
	longWait = 5 * time.Minute
	// longPending is how long a DagRun may have no row before it is shown.
	longPending = time.Minute
)

func (h attentionHandlers) read(w http.ResponseWriter, c *call) error {
	_, scope, err := pathQuery(c)
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
	shown := answer.Attention{
		Failed:  answer.Begin(failed, maxLimit, answer.OfFailedRun),
		Waiting: answer.Begin(waiting, maxLimit, answer.OfWaitingTask),
		Missed:  answer.Begin(missed, maxLimit, answer.OfMissed),
	}
	if err := h.addLive(&shown, c, scope); err != nil {
		return err
	}
	return reply(w, http.StatusOK, shown)
}

// addLive adds the lists that come from the cluster. If the API server does not answer, they are missing, and
// Unavailable says why.
func (h attentionHandlers) addLive(shown *answer.Attention, c *call, scope view.Scope) error {
	invalid, err := h.dags.Invalid(scope)
	if err == nil {
		shown.Invalid = new(answer.OfLive(invalid, maxLimit))
		var pending dags.PendingList
		if pending, err = h.dags.Pending(c.Context(), scope, h.now().Add(-longPending)); err == nil {
			shown.Pending = new(answer.OfPending(pending, maxLimit))
		}
	}
	if away, ok := errors.AsType[*cluster.Error](err); ok {
		shown.Unavailable, err = away.Detail, nil
	}
	return err
}
