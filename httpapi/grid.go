package httpapi

import (
	"fmt"
	"net/http"

	"kontroler/httpapi/answer"
	"kontroler/store/view"
)

// gridHandlers show the newest runs of a DAG and their tasks as a grid.
type gridHandlers struct{ *base }

// The number of runs of a grid. It has fewer if its cells would exceed view.MaxCells.
const (
	defaultGridRuns = 25
	maxGridRuns     = 200
)

func (h gridHandlers) read(w http.ResponseWriter, c *call) error {
	values, err := query(c, "runs")
	if err != nil {
		return err
	}
	count := defaultGridRuns
	if text := values.Get("runs"); text != "" {
		if count, err = parseNumber(text, maxGridRuns); err != nil {
			return fault(badRequest, fmt.Sprintf("runs must be a number from 1 to %d.", maxGridRuns))
		}
	}
	dag, err := h.findDAG(c)
	if err != nil {
		return err
	}
	filter := view.RunFilter{Scope: view.Namespaces(dag.Namespace), DAG: dag.Name}
	newest, err := h.views.Runs(c.Context(), filter, view.PageRequest{Limit: count})
	if err != nil {
		return err
	}
	runs, ids := fitting(newest.Rows)
	tasks, err := h.views.Cells(c.Context(), ids)
	if err != nil {
		return err
	}
	typical, err := h.views.TypicalDurations(c.Context(), []int64{dag.ID})
	if err != nil {
		return err
	}
	versions, err := h.views.VersionNumbers(c.Context(),
		answer.All(runs, func(r view.Run) int64 { return r.VersionID }))
	if err != nil {
		return err
	}
	grid := answer.OfGrid(runs, versions, tasks)
	grid.TypicalDurationSeconds = typical[dag.ID].Seconds()
	return reply(w, http.StatusOK, grid)
}

// fitting returns as many of the first runs as have at most view.MaxCells tasks in total, and their ids.
func fitting(runs []view.Run) (fit []view.Run, ids []int64) {
	cells := 0
	for i, run := range runs {
		if cells += run.Counts.Total; cells > view.MaxCells {
			return runs[:i], ids
		}
		ids = append(ids, run.ID)
	}
	return runs, ids
}
