package httpapi

import (
	"context"
	"net/http"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/httpapi/auth"
	"kontroler/store/view"
)

// stopHandlers cancel runs and delete their DagRuns.
type stopHandlers struct{ *base }

// target is the run of a path: its row and its live DagRun.
type target struct {
	namespace, name string
	row             *view.Run        // nil if the run is not admitted
	live            *v1alpha1.DagRun // nil if the DagRun is gone
}

// find returns the namespace and the name of the run of the path, and its row if the path has its UID. The API server
// cannot find by UID, so the row has the name.
func (h stopHandlers) find(c *call, needed auth.Role) (t target, err error) {
	if _, err := query(c); err != nil {
		return t, err
	}
	if c.PathValue("uid") != "" {
		row, err := h.findRun(c)
		if err != nil {
			return t, err
		}
		t.namespace, t.name, t.row = row.Namespace, row.Name, &row
		if err := h.require(c, row.Namespace, needed); err != nil {
			return t, err
		}
	} else {
		if t.name, err = h.objectOfPath(c, needed); err != nil {
			return t, err
		}
		t.namespace = c.PathValue("ns")
	}
	return t, refuseBody(c)
}

// complete reads the live DagRun of a run, and the row if the path has the name of the run.
func (h stopHandlers) complete(ctx context.Context, t *target) error {
	live, err := h.objects.FindRun(ctx, t.namespace, t.name)
	if err != nil {
		return err
	}
	if t.row != nil {
		if live != nil && string(live.UID) == t.row.UID {
			t.live = live
		}
		return nil
	}
	row, found, err := h.views.NewestRun(ctx, t.namespace, t.name)
	if err != nil {
		return err
	}
	if found && (live == nil || string(live.UID) == row.UID) {
		t.row = &row
	}
	if t.live = live; t.live == nil && t.row == nil {
		return errUnknown()
	}
	return nil
}

// phase returns the phase of the run. The row takes precedence, because the status of the DagRun is written after it.
func (t target) phase() v1alpha1.RunPhase {
	if t.row != nil {
		return v1alpha1.RunPhase(t.row.Phase)
	}
	return t.live.Status.Phase
}

// checkOwn returns a problem if a DagRun belongs to another controller.
func (h stopHandlers) checkOwn(ctx context.Context, t target) error {
	if t.row != nil || t.live.Status.Controller == "" {
		return nil // the database has only rows of the server's controller
	}
	identity, err := h.views.Identity(ctx)
	if err == nil && t.live.Status.Controller != identity.ControllerID {
		err = fault(conflict, "The run belongs to another controller. It can only be read here.")
	}
	return err
}

func (t target) auditName() string { return "runs/" + t.namespace + "/" + t.name }

// cancel cancels a run. Cancelling it again is no error.
func (h stopHandlers) cancel(w http.ResponseWriter, c *call) error {
	t, err := h.find(c, auth.Operator)
	if err != nil {
		return err
	}
	err = h.audited(c, "run.cancel", t.auditName(), func(ctx context.Context) error {
		return retryOnChange(ctx, func() error {
			if err := h.complete(ctx, &t); err != nil {
				return err
			}
			switch phase := t.phase(); {
			case phase == v1alpha1.RunCancelled:
				return nil
			case phase.Ended():
				return fault(conflict, "The run has ended: "+string(phase)+".")
			case t.live == nil || t.live.DeletionTimestamp != nil || t.live.Spec.Cancel:
				return nil // the controller cancels a run whose DagRun is gone
			}
			if err := h.checkOwn(ctx, t); err != nil {
				return err
			}
			return h.objects.Cancel(ctx, t.live)
		})
	})
	if err != nil {
		return err
	}
	return reply(w, http.StatusAccepted, nil)
}

// delete deletes the DagRun of a run. The history of the run stays. A DagRun that is gone already is no error.
func (h stopHandlers) delete(w http.ResponseWriter, c *call) error {
	t, err := h.find(c, auth.Editor)
	if err != nil {
		return err
	}
	err = h.audited(c, "run.delete", t.auditName(), func(ctx context.Context) error {
		if err := h.complete(ctx, &t); err != nil || t.live == nil {
			return err
		}
		if err := h.checkOwn(ctx, t); err != nil {
			return err
		}
		return h.objects.DeleteRun(ctx, t.live)
	})
	if err != nil {
		return err
	}
	return reply(w, http.StatusNoContent, nil)
}
