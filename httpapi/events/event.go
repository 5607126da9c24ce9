package events

import (
	"context"
	"strconv"
	"strings"
	"time"

	"kontroler/store/view"
)

// The kinds of events.
const (
	run     = "run"
	dag     = "dag"
	dagTask = "dagtask"
)

// Event says that an object has changed. It is a hint to read the object again.
type Event struct {
	// Kind is run, dag for a DAG, its versions or its schedule, or dagtask.
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	// DAG is the name of the DAG, or of the DAG of the run. It is empty for a DagTask, and for a removed object.
	DAG string `json:"dag,omitempty"`
	// Run is the UID of a run. It is empty for a run that was removed.
	Run string `json:"run,omitempty"`
	// Phase is the current phase of the run.
	Phase string `json:"phase,omitempty"`
}

// Batch has the changes that became visible between two snapshots. It is shared and read-only.
type Batch struct {
	Events []Event
	// Reset says why the subscriber must read everything again. If it is not empty, there are no Events.
	Reset Reset
	// ID resumes after the batch.
	ID string
}

// Reset is why a subscriber must read everything again.
type Reset string

// The reasons of resets.
const (
	// TooOld means that the ID is older than maxAge, or that the reader could not read for longer than maxAge.
	TooOld Reset = "too-old"
	// Unknown means that the text is not an ID.
	Unknown Reset = "unknown"
	// Gap means that the changes cannot be listed: there are too many, an earlier version of the controller wrote them
	// without a namespace, or the snapshot is newer than a database that was restored.
	Gap Reset = "gap"
	// TooSlow means that too many batches waited for the subscriber.
	TooSlow Reset = "too-slow"
)

const (
	// maxAge is how old an ID may be when a subscriber resumes from it.
	maxAge = time.Hour
	// maxID is the maximum length of an ID in bytes.
	maxID = 8 << 10
)

// formatID returns an ID: the Unix time in seconds, a slash, and the snapshot.
func formatID(at time.Time, s view.Snapshot) string {
	return strconv.FormatInt(at.Unix(), 10) + "/" + string(s)
}

// parseID returns the snapshot of an ID, or a reset if the ID cannot be used.
func parseID(id string, now time.Time) (s view.Snapshot, reset Reset) {
	seconds, snapshot, _ := strings.Cut(id, "/")
	at, err := strconv.ParseInt(seconds, 10, 64)
	isOther := func(c rune) bool { return c != ':' && c != ',' && (c < '0' || c > '9') }
	if err != nil || len(id) > maxID || strings.Count(snapshot, ":") != 2 || strings.ContainsFunc(snapshot, isOther) {
		return "", Unknown
	}
	if now.Sub(time.Unix(at, 0)) > maxAge {
		return "", TooOld
	}
	return view.Snapshot(snapshot), ""
}

// resolve returns the events of changes: one for each object, in the order of their last changes. isComplete is false
// if the namespace of a change is not known. Changes of an earlier version of the controller have none; for a run it is
// in its row.
func resolve(ctx context.Context, views *view.DB, changes []view.Change) (events []Event, isComplete bool, err error) {
	changes = lastOfEach(changes)
	var runIDs, dagIDs []int64
	for _, c := range changes {
		if c.RunID != 0 {
			runIDs = append(runIDs, c.RunID)
		}
		if c.DAGID != 0 {
			dagIDs = append(dagIDs, c.DAGID)
		}
	}
	runs, names := map[int64]view.ChangedRun{}, map[int64]string{}
	if len(runIDs) > 0 {
		rows, err := views.ChangedRuns(ctx, runIDs)
		if err != nil {
			return nil, false, err
		}
		for _, r := range rows {
			runs[r.ID] = r
		}
	}
	if len(dagIDs) > 0 {
		if names, err = views.Names(ctx, dagIDs); err != nil {
			return nil, false, err
		}
	}
	isComplete = true
	for _, c := range changes {
		e := Event{Kind: c.Kind, Namespace: c.Namespace, DAG: names[c.DAGID]}
		if r, found := runs[c.RunID]; found && c.Kind == run {
			e.Namespace, e.DAG, e.Run, e.Phase = r.Namespace, r.DAG, r.UID, r.Phase
		}
		if e.Namespace == "" {
			isComplete = false
			continue
		}
		if c.Kind == dag && c.DAGID == 0 {
			e.Kind = dagTask
		}
		events = append(events, e)
	}
	return events, isComplete, nil
}

// lastOfEach returns the last change of each object.
func lastOfEach(changes []view.Change) (last []view.Change) {
	at := map[view.Change]int{}
	objectOf := func(c view.Change) view.Change {
		if c.RunID != 0 {
			return view.Change{Kind: c.Kind, RunID: c.RunID}
		}
		c.ID = 0
		return c
	}
	for i, c := range changes {
		at[objectOf(c)] = i
	}
	for i, c := range changes {
		if at[objectOf(c)] == i {
			last = append(last, c)
		}
	}
	return last
}
