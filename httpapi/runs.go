package httpapi

import (
	"context"
	"net/http"
	"net/url"
	"slices"

	"kontroler/httpapi/answer"
	"kontroler/store/view"
)

// runHandlers show runs.
type runHandlers struct{ *base }

func (h runHandlers) list(w http.ResponseWriter, c *call) error {
	values, scope, err := scopedQuery(
		c, "limit", "cursor", "dag", "phase", "trigger", "requestedBy", "namePrefix", "from", "to")
	if err != nil {
		return err
	}
	filter, err := parseRunFilter(values)
	if err != nil {
		return err
	}
	filter.Scope = scope
	limit, err := parseLimit(values)
	if err != nil {
		return err
	}
	request := view.PageRequest{Cursor: view.Cursor(values.Get("cursor")), Limit: limit}
	rows, err := h.views.Runs(c.Context(), filter, request)
	if err != nil {
		return err
	}
	shown, err := h.shown(c.Context(), rows.Rows)
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, page[answer.Run]{
		Items: shown, Next: string(rows.Next), Previous: string(rows.Previous),
	})
}

// shown returns the views of runs. Live ones have the typical duration of their DAG.
func (h runHandlers) shown(ctx context.Context, runs []view.Run) ([]answer.Run, error) {
	var live []int64
	for _, run := range runs {
		if run.DAGID != 0 && run.FinishedAt.IsZero() {
			live = append(live, run.DAGID)
		}
	}
	slices.Sort(live)
	typical, err := h.views.TypicalDurations(ctx, slices.Compact(live))
	shown := answer.All(runs, answer.OfRun)
	for i, run := range runs {
		if run.FinishedAt.IsZero() {
			shown[i].TypicalDurationSeconds = typical[run.DAGID].Seconds()
		}
	}
	return shown, err
}

// parseRunFilter reads the parameters that filter runs.
func parseRunFilter(values url.Values) (filter view.RunFilter, err error) {
	if filter.DAG, err = textOf(values, "dag"); err != nil {
		return filter, err
	}
	if filter.Phases, err = phasesOf(values, "phase"); err != nil {
		return filter, err
	}
	if filter.Trigger, err = oneOf(values, "trigger", "Schedule", "API", "Manual"); err != nil {
		return filter, err
	}
	if filter.RequestedBy, err = textOf(values, "requestedBy"); err != nil {
		return filter, err
	}
	if filter.NamePrefix, err = textOf(values, "namePrefix"); err != nil {
		return filter, err
	}
	if filter.Since, err = timeOf(values, "from"); err != nil {
		return filter, err
	}
	filter.Until, err = timeOf(values, "to")
	return filter, err
}

// phasesOf returns the phases of a parameter, or nil if it is missing.
func phasesOf(values url.Values, name string) ([]string, error) {
	switch phase, err := oneOf(values, name, "Pending", "Running", "Succeeded", "Failed", "Cancelled", "Live"); {
	case phase == "" || err != nil:
		return nil, err
	case phase == "Live":
		return []string{"Pending", "Running"}, nil
	default:
		return []string{phase}, nil
	}
}

func (h runHandlers) read(w http.ResponseWriter, c *call) error {
	if _, err := query(c); err != nil {
		return err
	}
	run, err := h.findRun(c)
	if err != nil {
		return err
	}
	return h.reply(w, c, run)
}

func (h runHandlers) reply(w http.ResponseWriter, c *call, run view.Run) error {
	versions, err := h.views.VersionNumbers(c.Context(), []int64{run.VersionID})
	if err != nil {
		return err
	}
	shown, err := h.shown(c.Context(), []view.Run{run})
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, answer.RunDetail{
		Run: shown[0], Parameters: run.Parameters, Version: versions[run.VersionID],
	})
}

// readNewest responds with the newest run of a name. If no run has had that name, it responds with the DagRun, which
// may be pending.
func (h runHandlers) readNewest(w http.ResponseWriter, c *call) error {
	if _, _, err := pathQuery(c); err != nil {
		return err
	}
	namespace, name := c.PathValue("ns"), c.PathValue("name")
	if !isText(name) {
		return errUnknown()
	}
	run, found, err := h.views.NewestRun(c.Context(), namespace, name)
	if err != nil {
		return err
	}
	if found {
		return h.reply(w, c, run)
	}
	live, found, err := h.dags.Run(c.Context(), namespace, name)
	if err != nil {
		return err
	}
	if !found {
		return errUnknown()
	}
	return reply(w, http.StatusOK, answer.RunDetail{Run: answer.OfUnadmitted(live), Parameters: live.Parameters})
}

func (h runHandlers) attempts(w http.ResponseWriter, c *call) error {
	if _, err := query(c); err != nil {
		return err
	}
	run, err := h.findRun(c)
	if err != nil {
		return err
	}
	attempts, hasMore, err := h.views.RunAttempts(c.Context(), run.ID)
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, answer.OfRunAttempts(run.UID, attempts, hasMore))
}

func (h runHandlers) graph(w http.ResponseWriter, c *call) error {
	if _, err := query(c); err != nil {
		return err
	}
	run, err := h.findRun(c)
	if err != nil {
		return err
	}
	nodes, err := h.views.Nodes(c.Context(), run.ID)
	if err != nil {
		return err
	}
	edges, err := h.views.Edges(c.Context(), run.VersionID)
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, answer.OfGraph(run.UID, nodes, edges))
}
