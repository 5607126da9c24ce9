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
	// DAG is the name of the DAG, also of that of a run. It is empty for a DagTask, and for what was removed.
	DAG string `json:"dag,omitempty"`
	// Run is the UID of a run. It is empty for a run that was removed.
	Run string `json:"run,omitempty"`
	// Phase is that of the run now.
	Phase string `json:"phase,omitempty"`
}

// Batch is what became visible between two snapshots. It is shared, and must not be changed.
type Batch struct {
	Events []Event
	// Reset is why the subscriber must read everything again. It is empty, or Events is.
	Reset Reset
	// ID continues after the batch.
	ID string
}

// Reset is why a subscriber must read everything again.
type Reset string

// The reasons of resets.
const (
	// TooOld means that the ID is older than maxAge, or that the reader could not read for as long.
	TooOld Reset = "too-old"
	// Unknown means that the text is no ID.
	Unknown Reset = "unknown"
	// Gap means that what changed cannot be listed. There is too much of it, or an earlier version of the controller
	// wrote it without saying what it concerns, or the snapshot is ahead of the database, which was restored.
	Gap Reset = "gap"
	// TooSlow means that the subscriber did not take its batches.
	TooSlow Reset = "too-slow"
)

const (
	// maxAge is how old an ID may be that a subscriber continues from.
	maxAge = time.Hour
	// maxID is the length of the longest ID that is read.
	maxID = 8 << 10
)

// formatID returns an ID. It has the time first, in seconds.
func formatID(at time.Time, s view.Snapshot) string {
	return strconv.FormatInt(at.Unix(), 10) + "/" + string(s)
}

// parseID returns the snapshot of an ID. reset is not empty if it cannot be used.
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

// resolve returns the events of changes, one an object, in the order of the last change of each. isComplete is false if
// the namespace of a change is not known. An earlier version of the controller wrote none; that of a run is in its row.
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
