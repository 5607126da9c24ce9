package answer

import (
	"time"

	"kontroler/store/view"
)

// Grid is a grid. Tasks are the names of the columns: those of the newest run in the order of the DAG, then those
// that only earlier runs had.
type Grid struct {
	Tasks []string  `json:"tasks"`
	Runs  []GridRun `json:"runs"`
	// TypicalDurationSeconds is the median of the last runs that succeeded. It is missing if none has.
	TypicalDurationSeconds float64 `json:"typicalDurationSeconds,omitempty"`
}

// GridRun is a row of a grid.
type GridRun struct {
	UID   string `json:"uid"`
	Name  string `json:"name"`
	Phase string `json:"phase"`
	// Version is the version of the DAG. It is missing if the run was refused before it had one.
	Version    int64      `json:"version,omitempty"`
	AdmittedAt time.Time  `json:"admittedAt"`
	StartedAt  *time.Time `json:"startedAt,omitempty"`
	FinishedAt *time.Time `json:"finishedAt,omitempty"`
	// Phases has the phase of each task, null where the run has no such task.
	Phases []*string `json:"phases"`
	// Retried and Restarted are the columns of the tasks that were retried or restarted.
	Retried   []int `json:"retried"`
	Restarted []int `json:"restarted"`
}

// OfGrid makes a grid of the newest runs of a DAG and their tasks, which are in the same order. versions are the
// numbers of versions by their ids.
func OfGrid(runs []view.Run, versions map[int64]int64, tasks []view.RunTasks) Grid {
	grid := Grid{Tasks: []string{}, Runs: make([]GridRun, len(runs))}
	columns := map[string]int{}
	for _, of := range tasks {
		for _, name := range of.Names {
			if _, ok := columns[name]; !ok {
				columns[name] = len(grid.Tasks)
				grid.Tasks = append(grid.Tasks, name)
			}
		}
	}
	column := func(name string) int { return columns[name] }
	for i, run := range runs {
		of := tasks[i]
		phases := make([]*string, len(grid.Tasks))
		for at := range of.Phases {
			phases[column(of.Names[at])] = &of.Phases[at]
		}
		grid.Runs[i] = GridRun{
			UID: run.UID, Name: run.Name, Phase: run.Phase, Version: versions[run.VersionID],
			AdmittedAt: run.AdmittedAt,
			StartedAt:  optional(run.StartedAt), FinishedAt: optional(run.FinishedAt), Phases: phases,
			Retried: All(of.Retried, column), Restarted: All(of.Restarted, column),
		}
	}
	return grid
}
