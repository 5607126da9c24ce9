package httpapi

import (
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"kontroler/httpapi/dags"
	"kontroler/store/view"
)

// runHandlers show runs.
type runHandlers struct{ *base }

// runView is a run. Times that have not come are missing.
type runView struct {
	// Admitted says that the run has a row. Without one it is what the DagRun says.
	Admitted   bool            `json:"admitted"`
	UID        string          `json:"uid"`
	Namespace  string          `json:"namespace"`
	Name       string          `json:"name"`
	DAG        string          `json:"dag"`
	Phase      string          `json:"phase"`
	Reason     string          `json:"reason,omitempty"`
	Message    string          `json:"message,omitempty"`
	Stop       string          `json:"stop,omitempty"` // why a live run is being stopped
	Hold       string          `json:"hold,omitempty"` // why the Ready tasks of a live run do not start
	Parameters json.RawMessage `json:"parameters"`
	Tasks      taskCounts      `json:"tasks"`
	// Trigger is Schedule, API or Manual. RequestedBy and DueAt are what the DagRun claims.
	Trigger     string     `json:"trigger,omitempty"`
	RequestedBy string     `json:"requestedBy,omitempty"`
	DueAt       *time.Time `json:"dueAt,omitempty"`
	CreatedAt   time.Time  `json:"createdAt"`
	AdmittedAt  *time.Time `json:"admittedAt,omitempty"`
	StartedAt   *time.Time `json:"startedAt,omitempty"`
	DeadlineAt  *time.Time `json:"deadlineAt,omitempty"`
	FinishedAt  *time.Time `json:"finishedAt,omitempty"`
}

// runDetail is one run.
type runDetail struct {
	runView
	// Version is the version of its DAG. It is missing if the run was refused before it had one.
	Version int64 `json:"version,omitempty"`
	// TypicalDurationSeconds is the median of the last runs of the DAG that succeeded. It is missing if none has, and
	// once the run has ended.
	TypicalDurationSeconds float64 `json:"typicalDurationSeconds,omitempty"`
}

// taskCounts are the numbers of the tasks of a run by phase.
type taskCounts struct {
	Total     int `json:"total"`
	Waiting   int `json:"waiting"`
	Ready     int `json:"ready"`
	Active    int `json:"active"`
	Succeeded int `json:"succeeded"`
	Failed    int `json:"failed"`
	Skipped   int `json:"skipped"`
	Cancelled int `json:"cancelled"`
}

func viewRun(r view.Run) runView {
	return runView{
		Admitted: true, UID: r.UID, Namespace: r.Namespace, Name: r.Name, DAG: r.DAG, Phase: r.Phase, Reason: r.Reason,
		Message: r.Message, Stop: r.Stop, Hold: r.Hold, Parameters: r.Parameters, Tasks: taskCounts(r.Counts),
		Trigger: r.Trigger, RequestedBy: r.RequestedBy, DueAt: optional(r.DueAt), CreatedAt: r.CreatedAt,
		AdmittedAt: &r.AdmittedAt, StartedAt: optional(r.StartedAt), DeadlineAt: optional(r.DeadlineAt),
		FinishedAt: optional(r.FinishedAt),
	}
}

// viewAll returns the views of rows.
func viewAll[R, T any](rows []R, view func(R) T) []T {
	views := make([]T, len(rows))
	for i, row := range rows {
		views[i] = view(row)
	}
	return views
}

func (h runHandlers) list(w http.ResponseWriter, c *call) error {
	known := []string{
		"limit", "cursor", "dag", "phase", "trigger", "requestedBy", "namePrefix", "from", "to",
	}
	if c.PathValue("ns") == "" {
		known = append(known, "namespace")
	}
	values, err := query(c, known...)
	if err != nil {
		return err
	}
	scope, err := scopeOfPath(c)
	if err != nil {
		return err
	}
	filter, err := parseRunFilter(values)
	if err != nil {
		return err
	}
	if filter.Scope = scope; values.Has("namespace") {
		filter.Scope = scope.Only(values.Get("namespace"))
	}
	limit, err := parseLimit(values)
	if err != nil {
		return err
	}
	request := view.PageRequest{Cursor: view.Cursor(values.Get("cursor")), Limit: limit}
	rows, err := h.views.Runs(c.Context(), filter, request)
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, page[runView]{
		Items: viewAll(rows.Rows, viewRun), Next: string(rows.Next), Previous: string(rows.Previous),
	})
}

// parseRunFilter reads the parameters that filter runs.
func parseRunFilter(values url.Values) (filter view.RunFilter, err error) {
	if _, err = textOf(values, "namespace"); err != nil {
		return filter, err
	}
	if filter.DAG, err = textOf(values, "dag"); err != nil {
		return filter, err
	}
	phase, err := oneOf(values, "phase", "Pending", "Running", "Succeeded", "Failed", "Cancelled", "Live")
	if err != nil {
		return filter, err
	}
	switch phase {
	case "":
	case "Live":
		filter.Phases = []string{"Pending", "Running"}
	default:
		filter.Phases = []string{phase}
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
	detail := runDetail{runView: viewRun(run)}
	if run.VersionID != 0 {
		version, _, err := h.views.VersionByID(c.Context(), run.VersionID)
		if err != nil {
			return err
		}
		detail.Version = version.Number
	}
	if run.DAGID != 0 && run.FinishedAt.IsZero() {
		typical, err := h.views.TypicalDuration(c.Context(), run.DAGID)
		if err != nil {
			return err
		}
		detail.TypicalDurationSeconds = typical.Seconds()
	}
	return reply(w, http.StatusOK, detail)
}

// readNewest answers with the newest run of a name. If no run has had that name, it is the DagRun, which may be pending.
func (h runHandlers) readNewest(w http.ResponseWriter, c *call) error {
	if _, err := query(c); err != nil {
		return err
	}
	if _, err := scopeOfPath(c); err != nil {
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
	return reply(w, http.StatusOK, runDetail{runView: viewUnadmitted(live)})
}

func viewUnadmitted(r dags.Run) runView {
	return runView{
		UID: r.UID, Namespace: r.Namespace, Name: r.Name, DAG: r.DAG, Phase: r.Phase, Reason: r.Reason,
		Message: r.Message, Parameters: r.Parameters, Trigger: r.Trigger, RequestedBy: r.RequestedBy,
		DueAt: optional(r.DueAt), CreatedAt: r.CreatedAt, FinishedAt: optional(r.FinishedAt),
	}
}

// graphView is the graph of a run, as arrays of one length, in the order of the DAG. Parents are positions in them.
type graphView struct {
	UID     string   `json:"uid"`
	Names   []string `json:"names"`
	Phases  []string `json:"phases"`
	Reasons []string `json:"reasons"`
	Parents [][]int  `json:"parents"`
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
	return reply(w, http.StatusOK, makeGraph(run.UID, nodes, edges))
}

func makeGraph(uid string, nodes []view.Node, edges view.Edges) graphView {
	g := graphView{UID: uid, Names: []string{}, Phases: []string{}, Reasons: []string{}, Parents: [][]int{}}
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
