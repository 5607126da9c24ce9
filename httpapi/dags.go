package httpapi

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"kontroler/httpapi/answer"
	"kontroler/httpapi/auth"
	"kontroler/httpapi/cluster"
	"kontroler/httpapi/dags"
	"kontroler/store/view"
)

// dagHandlers show DAGs, DagTasks and the DagRuns without a row.
type dagHandlers struct{ *base }

func (h dagHandlers) list(w http.ResponseWriter, c *call) error {
	return listObjects(w, c, []string{"search", "label", "suspended", "valid", "lastRun", "deleted"}, h.dags.DAGs,
		func(d dags.DAG) view.DAGName { return view.DAGName{Namespace: d.Namespace, Name: d.Name} })
}

func (h dagHandlers) listTasks(w http.ResponseWriter, c *call) error {
	return listObjects(w, c, []string{"search", "label"}, h.dags.DagTasks,
		func(t dags.DagTask) view.DAGName { return view.DAGName{Namespace: t.Namespace, Name: t.Name} })
}

// objectLister lists at most limit objects right after or before a place. objectReader reads one object.
type (
	objectLister[T any] func(
		ctx context.Context, scope view.Scope, filter dags.Filter, at dags.Place, limit int) (cluster.List[T], error)
	objectReader[T any] func(ctx context.Context, namespace, name string) (T, bool, error)
)

// listObjects answers with a page of a list by namespace and name. filters are the names of its parameters.
func listObjects[T any](
	w http.ResponseWriter, c *call, filters []string, list objectLister[T], name func(T) view.DAGName,
) error {
	values, scope, err := scopedQuery(c, append(filters, "limit", "cursor")...)
	if err != nil {
		return err
	}
	filter, err := parseObjectFilter(values)
	if err != nil {
		return err
	}
	at, limit, err := parsePosition[view.DAGName](values)
	if err != nil {
		return err
	}
	found, err := list(c.Context(), scope, filter, dags.Place{From: at.Key, IsBackward: at.Backward}, limit+1)
	if err != nil {
		return err
	}
	shown, err := makePage(found.Items, at, limit, name, answer.Same)
	if err != nil {
		return err
	}
	shown.Unavailable = found.Unavailable
	return reply(w, http.StatusOK, shown)
}

// parseObjectFilter reads the parameters that filter DAGs and DagTasks.
func parseObjectFilter(values url.Values) (filter dags.Filter, err error) {
	if filter.Search, err = textOf(values, "search"); err != nil {
		return filter, err
	}
	if text := values.Get("label"); text != "" {
		if filter.Labels, err = labels.Parse(text); err != nil {
			return filter, fault(badRequest, "label must be a label selector of Kubernetes: "+err.Error()+".")
		}
	}
	suspended, err := oneOf(values, "suspended", "true", "false")
	if err != nil {
		return filter, err
	}
	if suspended != "" {
		filter.Suspended = new(suspended == "true")
	}
	if filter.Valid, err = oneOf(values, "valid", "true", "false", "unknown"); err != nil {
		return filter, err
	}
	if filter.LastRun, err = phasesOf(values, "lastRun"); err != nil {
		return filter, err
	}
	deleted, err := oneOf(values, "deleted", "true", "false")
	filter.IsDeleted = deleted == "true"
	isNarrowed := filter.Labels != nil || filter.Suspended != nil || filter.Valid != "" || filter.LastRun != nil
	if filter.IsDeleted && isNarrowed {
		return filter, fault(badRequest,
			"deleted goes with search and namespace only: nothing else is known of such DAGs.")
	}
	return filter, err
}

func (h dagHandlers) read(w http.ResponseWriter, c *call) error {
	return readObject(w, c, h.dags.DAG, func(d dags.DAGDetail) int64 { return d.Generation })
}

func (h dagHandlers) readTask(w http.ResponseWriter, c *call) error {
	return readObject(w, c, h.dags.DagTask, func(t dags.DagTaskDetail) int64 { return t.Generation })
}

// readObject answers with the object of the path. Its generation is the ETag.
func readObject[T any](w http.ResponseWriter, c *call, read objectReader[T], generation func(T) int64) error {
	if _, _, err := pathQuery(c); err != nil {
		return err
	}
	name := c.PathValue("name")
	if !isText(name) {
		return errUnknown()
	}
	object, found, err := read(c.Context(), c.PathValue("ns"), name)
	if err != nil {
		return err
	}
	if !found {
		return errUnknown()
	}
	if number := generation(object); number != 0 {
		w.Header().Set("ETag", strconv.Quote(strconv.FormatInt(number, 10)))
	}
	return reply(w, http.StatusOK, object)
}

func (h dagHandlers) users(w http.ResponseWriter, c *call) error {
	if _, _, err := pathQuery(c); err != nil {
		return err
	}
	users, found, err := h.dags.Users(c.PathValue("ns"), c.PathValue("name"))
	if err != nil {
		return err
	}
	if !found {
		return errUnknown()
	}
	return reply(w, http.StatusOK, items[dags.Name]{users})
}

func (h dagHandlers) namespaces(w http.ResponseWriter, c *call) error {
	if _, err := query(c); err != nil {
		return err
	}
	found, err := h.dags.Namespaces(scopeOf(c.principal.Access))
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, cluster.List[answer.Namespace]{
		Items: answer.All(found.Items, func(n dags.Namespace) answer.Namespace {
			role := auth.RoleNames[auth.RoleIn(c.principal.Access, n.Name)]
			return answer.Namespace{Name: n.Name, Role: role, DAGs: n.DAGs}
		}),
		Unavailable: found.Unavailable,
	})
}

func (h dagHandlers) upcoming(w http.ResponseWriter, c *call) error {
	values, scope, err := pathQuery(c, "limit")
	if err != nil {
		return err
	}
	limit, err := parseLimit(values)
	if err != nil {
		return err
	}
	upcoming, err := h.dags.Upcoming(scope, limit)
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, upcoming)
}

func (h dagHandlers) pending(w http.ResponseWriter, c *call) error {
	_, scope, err := pathQuery(c)
	if err != nil {
		return err
	}
	pending, err := h.dags.Pending(c.Context(), scope, time.Time{})
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, answer.OfPending(pending, maxLimit))
}
