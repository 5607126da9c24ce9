package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"time"

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
	From    int64    `json:"from"`
	To      int64    `json:"to"`
	Changes []change `json:"changes"`
}

// change is a value that differs. Path leads to it: names of fields, and names of the items of a list whose items all
// have one. Before is missing if the value was added, After if it was removed.
type change struct {
	Path   []string `json:"path"`
	Before *any     `json:"before,omitempty"`
	After  *any     `json:"after,omitempty"`
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
	changes := diffValues([]string{}, specs[0], specs[1], []change{})
	return reply(w, http.StatusOK, diffView{numbers[0], numbers[1], changes})
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

// diffValues appends the changes between two JSON values. Items of lists are matched by their names. The order of such
// a list does not count. Other lists are compared as a whole.
func diffValues(path []string, before, after any, changes []change) []change {
	if reflect.DeepEqual(before, after) {
		return changes
	}
	a, b := fieldsOf(before), fieldsOf(after)
	if a == nil || b == nil {
		return append(changes, change{path, &before, &after})
	}
	names := make([]string, 0, len(a)+len(b))
	for name := range a {
		names = append(names, name)
	}
	for name := range b {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		at := append(slices.Clone(path), name)
		was, existed := a[name]
		is, exists := b[name]
		switch {
		case !existed:
			changes = append(changes, change{Path: at, After: &is})
		case !exists:
			changes = append(changes, change{Path: at, Before: &was})
		default:
			changes = diffValues(at, was, is, changes)
		}
	}
	return changes
}

// fieldsOf returns the fields of an object, or the items of a list by their names. It returns nil for other values.
func fieldsOf(value any) map[string]any {
	if object, ok := value.(map[string]any); ok {
		return object
	}
	list, ok := value.([]any)
	if !ok {
		return nil
	}
	items := make(map[string]any, len(list))
	for _, item := range list {
		object, _ := item.(map[string]any)
		name, isNamed := object["name"].(string)
		if _, isTwice := items[name]; !isNamed || isTwice {
			return nil
		}
		items[name] = item
	}
	return items
}
