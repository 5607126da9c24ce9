package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"kontroler/httpapi/diff"
	"kontroler/store/view"
)

// versionHandlers show the versions of DAGs, and what happened to their due times.
type versionHandlers struct{ *base }

// versionView is a version of a DAG. Spec is what runs: the schedule, suspension and limits of history are no part of
// it. Lists have no spec.
type versionView struct {
	Version   int64           `json:"version"`
	Tasks     int             `json:"tasks"`
	CreatedAt time.Time       `json:"createdAt"`
	Spec      json.RawMessage `json:"spec,omitempty"`
}

// tickView is what happened to a due time, or to a stretch of Count due times that did not run.
type tickView struct {
	From      time.Time `json:"from"`
	To        time.Time `json:"to"`
	Count     int       `json:"count"`
	Outcome   string    `json:"outcome"`
	RunName   string    `json:"runName,omitempty"`
	RunUID    string    `json:"runUID,omitempty"`
	DecidedAt time.Time `json:"decidedAt"`
}

func viewVersion(v view.Version) versionView {
	return versionView{v.Number, v.Tasks, v.CreatedAt, v.Spec}
}

func viewTick(t view.Tick) tickView {
	return tickView{t.From, t.To, t.Count, t.Outcome, t.RunName, t.RunUID, t.DecidedAt}
}

func (h versionHandlers) list(w http.ResponseWriter, c *call) error {
	values, err := query(c, "limit", "cursor")
	if err != nil {
		return err
	}
	at, isFirst, limit, err := parsePosition[int64](values)
	if err != nil {
		return err
	}
	dag, err := h.findDAG(c)
	if err != nil {
		return err
	}
	read := h.views.Versions
	if at.Backward {
		read = h.views.VersionsAbove
	}
	versions, err := read(c.Context(), dag.ID, at.Key, limit+1)
	if err != nil {
		return err
	}
	list, err := makePage(versions, at, isFirst, limit, func(v view.Version) int64 { return v.Number }, viewVersion)
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, list)
}

func (h versionHandlers) read(w http.ResponseWriter, c *call) error {
	if _, err := query(c); err != nil {
		return err
	}
	dag, err := h.findDAG(c)
	if err != nil {
		return err
	}
	number, err := strconv.ParseInt(c.PathValue("version"), 10, 64)
	if err != nil {
		return errUnknown()
	}
	version, found, err := h.views.Version(c.Context(), dag.ID, number)
	if err != nil {
		return err
	}
	if !found {
		return errUnknown()
	}
	return reply(w, http.StatusOK, viewVersion(version))
}

func (h versionHandlers) ticks(w http.ResponseWriter, c *call) error {
	values, err := query(c, "limit", "cursor")
	if err != nil {
		return err
	}
	at, isFirst, limit, err := parsePosition[time.Time](values)
	if err != nil {
		return err
	}
	dag, err := h.findDAG(c)
	if err != nil {
		return err
	}
	read := h.views.Ticks
	if at.Backward {
		read = h.views.TicksAfter
	}
	ticks, err := read(c.Context(), dag.ID, at.Key, limit+1)
	if err != nil {
		return err
	}
	list, err := makePage(ticks, at, isFirst, limit, func(t view.Tick) time.Time { return t.From }, viewTick)
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, list)
}

// diffView is the difference of two versions of a DAG.
type diffView struct {
	From    int64         `json:"from"`
	To      int64         `json:"to"`
	Changes []diff.Change `json:"changes"`
}

func (h versionHandlers) diff(w http.ResponseWriter, c *call) error {
	values, err := query(c, "from", "to")
	if err != nil {
		return err
	}
	dag, err := h.findDAG(c)
	if err != nil {
		return err
	}
	var numbers [2]int64
	var specs [2]any
	for i, name := range []string{"from", "to"} {
		if numbers[i], specs[i], err = h.specOf(c, dag, values, name); err != nil {
			return err
		}
	}
	return reply(w, http.StatusOK, diffView{numbers[0], numbers[1], diff.Values(specs[0], specs[1])})
}

// specOf returns the number and the spec of the version that a parameter names.
func (h versionHandlers) specOf(
	c *call, dag view.DAG, values url.Values, name string,
) (number int64, spec any, err error) {
	if number, err = strconv.ParseInt(values.Get(name), 10, 64); err != nil {
		return 0, nil, fault(badRequest, name+" must be the number of a version.")
	}
	version, found, err := h.views.Version(c.Context(), dag.ID, number)
	if err != nil {
		return 0, nil, err
	}
	if !found {
		return 0, nil, fault(notFound, fmt.Sprintf("There is no version %d. Versions that no run uses are removed.", number))
	}
	if err := json.Unmarshal(version.Spec, &spec); err != nil {
		return 0, nil, fmt.Errorf("decoding version %d of DAG %d: %w", number, dag.ID, err)
	}
	return number, spec, nil
}
