package answer

import (
	"encoding/json"
	"time"

	"kontroler/httpapi/dags"
	"kontroler/store/view"
)

// Run is a run. Zero times are missing.
type Run struct {
	// Admitted says that the run has a row. Without a row, the fields come from the DagRun.
	Admitted  bool       `json:"admitted"`
	UID       string     `json:"uid"`
	Namespace string     `json:"namespace"`
	Name      string     `json:"name"`
	DAG       string     `json:"dag"`
	Phase     string     `json:"phase"`
	Reason    string     `json:"reason,omitempty"`
	Message   string     `json:"message,omitempty"`
	Stop      string     `json:"stop,omitempty"` // why a live run is being stopped
	Hold      string     `json:"hold,omitempty"` // why the Ready tasks of a live run do not start
	Tasks     TaskCounts `json:"tasks"`
	// Trigger is Schedule, API or Manual. RequestedBy and DueAt are what the DagRun claims.
	Trigger     string     `json:"trigger,omitempty"`
	RequestedBy string     `json:"requestedBy,omitempty"`
	DueAt       *time.Time `json:"dueAt,omitempty"`
	CreatedAt   time.Time  `json:"createdAt"`
	AdmittedAt  *time.Time `json:"admittedAt,omitempty"`
	StartedAt   *time.Time `json:"startedAt,omitempty"`
	DeadlineAt  *time.Time `json:"deadlineAt,omitempty"`
	FinishedAt  *time.Time `json:"finishedAt,omitempty"`
	// TypicalDurationSeconds is the median of the last runs of the DAG that succeeded. It is missing if none has, and
	// for a run that has ended.
	TypicalDurationSeconds float64 `json:"typicalDurationSeconds,omitempty"`
	// FailedTask is set only in Attention.
	FailedTask *FailedTask `json:"failedTask,omitempty"`
}

// RunDetail is one run.
type RunDetail struct {
	Run
	Parameters json.RawMessage `json:"parameters"`
	// Version is the version of its DAG. It is missing if the run was refused before it had one.
	Version int64 `json:"version,omitempty"`
}

// TaskCounts are the numbers of the tasks of a run by phase.
type TaskCounts struct {
	Total     int `json:"total"`
	Waiting   int `json:"waiting"`
	Ready     int `json:"ready"`
	Active    int `json:"active"`
	Succeeded int `json:"succeeded"`
	Failed    int `json:"failed"`
	Skipped   int `json:"skipped"`
	Cancelled int `json:"cancelled"`
}

// OfRun returns the view of a row.
func OfRun(r view.Run) Run {
	return Run{
		Admitted: true, UID: r.UID, Namespace: r.Namespace, Name: r.Name, DAG: r.DAG, Phase: r.Phase, Reason: r.Reason,
		Message: r.Message, Stop: r.Stop, Hold: r.Hold, Tasks: TaskCounts(r.Counts),
		Trigger: r.Trigger, RequestedBy: r.RequestedBy, DueAt: optional(r.DueAt), CreatedAt: r.CreatedAt,
		AdmittedAt: &r.AdmittedAt, StartedAt: optional(r.StartedAt), DeadlineAt: optional(r.DeadlineAt),
		FinishedAt: optional(r.FinishedAt),
	}
}

// All returns the views of rows.
func All[R, T any](rows []R, view func(R) T) []T {
	views := make([]T, len(rows))
	for i, row := range rows {
		views[i] = view(row)
	}
	return views
}

// OfUnadmitted returns the view of a DagRun without a row.
func OfUnadmitted(r dags.Run) Run {
	return Run{
		UID: r.UID, Namespace: r.Namespace, Name: r.Name, DAG: r.DAG, Phase: r.Phase, Reason: r.Reason,
		Message: r.Message, Trigger: r.Trigger, RequestedBy: r.RequestedBy,
		DueAt: optional(r.DueAt), CreatedAt: r.CreatedAt, FinishedAt: optional(r.FinishedAt),
	}
}

// Graph is the graph of a run, as arrays of one length, in the order of the DAG. Parents are positions in them.
type Graph struct {
	UID     string   `json:"uid"`
	Names   []string `json:"names"`
	Phases  []string `json:"phases"`
	Reasons []string `json:"reasons"`
	Parents [][]int  `json:"parents"`
}

// OfGraph makes the graph of the run uid.
func OfGraph(uid string, nodes []view.Node, edges view.Edges) Graph {
	g := Graph{UID: uid, Names: []string{}, Phases: []string{}, Reasons: []string{}, Parents: [][]int{}}
	places := make(map[string]int, len(nodes))
	for i, node := range nodes {
		places[node.Name] = i
	}
	parents := make(map[string][]string, len(edges))
	for _, task := range edges {
		parents[task.Name] = task.Parents
	}
	for _, node := range nodes {
		g.Names = append(g.Names, node.Name)
		g.Phases = append(g.Phases, node.Phase)
		g.Reasons = append(g.Reasons, node.Reason)
		of := []int{}
		for _, parent := range parents[node.Name] {
			if place, ok := places[parent]; ok {
				of = append(of, place)
			}
		}
		g.Parents = append(g.Parents, of)
	}
	return g
}
