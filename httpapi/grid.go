package httpapi

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"kontroler/store/view"
)

// gridHandlers show the newest runs of a DAG beside its tasks.
type gridHandlers struct{ *base }

// The number of runs of a grid. It has fewer if its cells would exceed view.MaxCells.
const (
	defaultGridRuns = 25
	maxGridRuns     = 200
)

// gridView is a grid. Tasks are the names of the columns: those of the newest run in the order of the DAG, then those
// that only earlier runs had.
type gridView struct {
	Tasks []string  `json:"tasks"`
	Runs  []gridRun `json:"runs"`
	// TypicalDurationSeconds is the median of the last runs that succeeded. It is missing if none has.
	TypicalDurationSeconds float64 `json:"typicalDurationSeconds,omitempty"`
}

// gridRun is a row of a grid.
type gridRun struct {
	UID        string     `json:"uid"`
	Name       string     `json:"name"`
	Phase      string     `json:"phase"`
	AdmittedAt time.Time  `json:"admittedAt"`
	StartedAt  *time.Time `json:"startedAt,omitempty"`
	FinishedAt *time.Time `json:"finishedAt,omitempty"`
	// Phases has the phase of each task, null where the run has no such task.
	Phases []*string `json:"phases"`
	// Retried and Restarted are the columns of the tasks that were retried or restarted.
	Retried   []int `json:"retried"`
	Restarted []int `json:"restarted"`
}

func (h gridHandlers) read(w http.ResponseWriter, c *call) error {
	values, err := query(c, "runs")
	if err != nil {
		return err
	}
	count := defaultGridRuns
	if text := values.Get("runs"); text != "" {
		if count, err = strconv.Atoi(text); err != nil || count < 1 || count > maxGridRuns {
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
	cells, err := h.views.Cells(c.Context(), ids)
	if err != nil {
		return err
	}
	typical, err := h.views.TypicalDuration(c.Context(), dag.ID)
	if err != nil {
		return err
	}
	grid := makeGrid(runs, cells)
	grid.TypicalDurationSeconds = typical.Seconds()
	return reply(w, http.StatusOK, grid)
}

// fitting returns the first runs that have at most view.MaxCells tasks together, and their ids.
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

func makeGrid(runs []view.Run, cells []view.Cell) gridView {
	grid := gridView{Tasks: []string{}, Runs: make([]gridRun, len(runs))}
	columns := map[string]int{}
	for _, cell := range cells {
		if _, ok := columns[cell.Name]; !ok {
			columns[cell.Name] = len(grid.Tasks)
			grid.Tasks = append(grid.Tasks, cell.Name)
		}
	}
	rows := make(map[int64]*gridRun, len(runs))
	for i, run := range runs {
		grid.Runs[i] = gridRun{
			UID: run.UID, Name: run.Name, Phase: run.Phase, AdmittedAt: run.AdmittedAt, StartedAt: optional(run.StartedAt),
			FinishedAt: optional(run.FinishedAt), Phases: make([]*string, len(grid.Tasks)), Retried: []int{},
			Restarted: []int{},
		}
		rows[run.ID] = &grid.Runs[i]
	}
	for i := range cells {
		cell := &cells[i]
		row, column := rows[cell.RunID], columns[cell.Name]
		row.Phases[column] = &cell.Phase
		if cell.Retries > 0 {
			row.Retried = append(row.Retried, column)
		}
		if cell.Restarts > 0 {
			row.Restarted = append(row.Restarted, column)
		}
	}
	return grid
}
