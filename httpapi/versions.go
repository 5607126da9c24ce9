package httpapi

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"time"

	"kontroler/httpapi/answer"
	"kontroler/httpapi/diff"
	"kontroler/store/view"
)

// versionHandlers show the versions of DAGs, and what happened to their due times.
type versionHandlers struct{ *base }

func (h versionHandlers) list(w http.ResponseWriter, c *call) error {
	values, err := query(c, "limit", "cursor")
	if err != nil {
		return err
	}
	dag, err := h.findDAG(c)
	if err != nil {
		return err
	}
	number := func(v view.Version) int64 { return v.Number }
	return replyPage(w, values, number, answer.OfVersion, func(at position[int64], limit int) ([]view.Version, error) {
		read := h.views.Versions
		if at.Backward {
			read = h.views.VersionsAbove
		}
		return read(c.Context(), dag.ID, at.Key, limit)
	})
}

func (h versionHandlers) read(w http.ResponseWriter, c *call) error {
	if _, err := query(c); err != nil {
		return err
	}
	dag, err := h.findDAG(c)
	if err != nil {
		return err
	}
	number, err := parseNumber(c.PathValue("version"), int64(math.MaxInt64))
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
	return reply(w, http.StatusOK, answer.OfVersion(version))
}

func (h versionHandlers) ticks(w http.ResponseWriter, c *call) error {
	values, err := query(c, "limit", "cursor")
	if err != nil {
		return err
	}
	dag, err := h.findDAG(c)
	if err != nil {
		return err
	}
	from := func(t view.Tick) time.Time { return t.From }
	return replyPage(w, values, from, answer.OfTick, func(at position[time.Time], limit int) ([]view.Tick, error) {
		read := h.views.Ticks
		if at.Backward {
			read = h.views.TicksAfter
		}
		return read(c.Context(), dag.ID, at.Key, limit)
	})
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
	return reply(w, http.StatusOK, answer.Diff{
		From: numbers[0], To: numbers[1], Changes: diff.Values(specs[0], specs[1]),
	})
}

// specOf returns the number and the spec of the version that a parameter names.
func (h versionHandlers) specOf(
	c *call, dag view.DAG, values url.Values, name string,
) (number int64, spec any, err error) {
	if number, err = parseNumber(values.Get(name), int64(math.MaxInt64)); err != nil {
		return 0, nil, fault(badRequest, name+" must be the number of a version.")
	}
	version, found, err := h.views.Version(c.Context(), dag.ID, number)
	if err != nil {
		return 0, nil, err
	}
	if !found {
		return 0, nil, fault(notFound,
			fmt.Sprintf("There is no version %d. Versions that no run uses are removed.", number))
	}
	if err := json.Unmarshal(version.Spec, &spec); err != nil {
		return 0, nil, fmt.Errorf("decoding version %d of DAG %d: %w", number, dag.ID, err)
	}
	return number, spec, nil
}
