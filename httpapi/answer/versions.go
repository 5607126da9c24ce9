package answer

import (
	"encoding/json"
	"time"

	"kontroler/httpapi/diff"
	"kontroler/store/view"
)

// Version is a version of a DAG. Spec has what runs: the schedule, suspended and the history limits are not part of it.
// In lists, Spec is missing.
type Version struct {
	Version   int64           `json:"version"`
	Tasks     int             `json:"tasks"`
	CreatedAt time.Time       `json:"createdAt"`
	Spec      json.RawMessage `json:"spec,omitempty"`
}

// Tick is the outcome of a due time, or of a stretch of Count due times that did not run.
type Tick struct {
	From      time.Time `json:"from"`
	To        time.Time `json:"to"`
	Count     int       `json:"count"`
	Outcome   string    `json:"outcome"`
	RunName   string    `json:"runName,omitempty"`
	RunUID    string    `json:"runUID,omitempty"`
	DecidedAt time.Time `json:"decidedAt"`
}

// OfVersion returns the view of a row.
func OfVersion(v view.Version) Version {
	return Version{v.Number, v.Tasks, v.CreatedAt, v.Spec}
}

// OfTick returns the view of a row.
func OfTick(t view.Tick) Tick {
	return Tick{t.From, t.To, t.Count, t.Outcome, t.RunName, t.RunUID, t.DecidedAt}
}

// Diff is the difference of two versions of a DAG.
type Diff struct {
	From    int64         `json:"from"`
	To      int64         `json:"to"`
	Changes []diff.Change `json:"changes"`
}
