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

// versionHandlers show the versions of DAGs, and the outcomes of their due times.
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
	to, err := numberOf(values, "to")
	if err != nil {
		return err
	}
	var from int64 // 0: the version before to
	if values.Has("from") {
		if from, err = numberOf(values, "from"); err != nil {
			return err
		}
	}
	after, err := h.specOf(c, dag, to)
	if err != nil {
		return err
	}
	if from == 0 {
		if from, err = h.versionBefore(c, dag, to); err != nil {
			return err
		}
	}
	before, err := h.specOf(c, dag, from)
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, answer.Diff{From: from, To: to, Changes: diff.Values(before, after)})
}

// versionBefore returns the number of the newest version that is kept and older than another one.
func (h versionHandlers) versionBefore(c *call, dag view.DAG, number int64) (int64, error) {
	versions, err := h.views.Versions(c.Context(), dag.ID, number, 1)
	if err != nil {
		return 0, err
	}
	if len(versions) == 0 {
		return 0, fault(notFound, fmt.Sprintf("Version %d is the first version that is kept.", number))
	}
	return versions[0].Number, nil
}

// numberOf returns the number of the version that a parameter names.
func numberOf(values url.Values, name string) (int64, error) {
	number, err := parseNumber(values.Get(name), int64(math.MaxInt64))
	if err != nil {
		return 0, fault(badRequest, name+" must be the number of a version.")
	}
	return number, nil
}

// specOf returns the spec of a version.
func (h versionHandlers) specOf(c *call, dag view.DAG, number int64) (spec any, err error) {
	version, found, err := h.views.Version(c.Context(), dag.ID, number)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, fault(notFound,
			fmt.Sprintf("There is no version %d. Versions that no run uses are removed.", number))
	}
	if err := json.Unmarshal(version.Spec, &spec); err != nil {
		return nil, fmt.Errorf("decoding version %d of DAG %d: %w", number, dag.ID, err)
	}
	return spec, nil
}
