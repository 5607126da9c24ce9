package podlog

import (
	"context"
	"errors"

	"kontroler/store/view"
)

// Source is where a log is read from.
type Source string

// The sources.
const (
	// Waiting means that the container has not started.
	Waiting Source = "waiting"
	// Live means that the node of the Pod serves the log.
	Live Source = "live"
	// Stored means that the database has the log.
	Stored Source = "stored"
)

// Place says where a log is.
type Place struct {
	Source Source
	// Log is the row of a Stored log.
	Log view.Log

	pod      podName
	hasEnded bool // whether the container of a Live log has ended
}

// GoneError means that a log does not exist, and never will.
type GoneError struct {
	// Reason is one of the constants below.
	Reason string
	// Message says why, in one or more sentences for users.
	Message string
}

func (e *GoneError) Error() string { return e.Message }

// The reasons of a GoneError.
const (
	// NotStored means that the Pod is gone, and the database has no log of it.
	NotStored = "NotStored"
	// NeverStarted means that the container of the attempt has not run.
	NeverStarted = "NeverStarted"
	// Lost means that the controller could not read the log.
	Lost = "Lost"
)

var (
	errNotStored = &GoneError{NotStored, "The Pod is gone, and its log is not stored. Logs of the DAG or of the " +
		"controller are off, or the log was removed after its retention."}
	errNeverStarted = &GoneError{NeverStarted, "The container of the attempt has never started."}
)

// Find returns where the log of an attempt is. The error is a *GoneError, a *NodeError, or that of the database.
func (l *Logs) Find(ctx context.Context, q Request) (Place, error) {
	attempt, found, err := l.Views.Attempt(ctx, q.TaskID, q.Number)
	if err != nil {
		return Place{}, err
	}
	if !found {
		return Place{}, errNotStored
	}
	place, found, err := l.findStored(ctx, attempt)
	if err != nil || found {
		return place, err
	}
	if attempt.PodUID == "" {
		return l.findWithoutPod(ctx, attempt)
	}
	name := podName{q.Namespace, attempt.PodName, attempt.PodUID}
	pod, err := l.pod(ctx, name)
	if errors.Is(err, errNoPod) {
		return l.findWithoutPod(ctx, attempt)
	}
	if err != nil {
		return Place{}, err
	}
	hasStarted, hasEnded := taskState(pod)
	switch {
	case hasStarted:
		return Place{Source: Live, pod: name, hasEnded: hasEnded}, nil
	case attempt.FinishedAt.IsZero():
		return Place{Source: Waiting}, nil
	}
	return Place{}, errNeverStarted
}

func (l *Logs) findStored(ctx context.Context, attempt view.Attempt) (place Place, found bool, err error) {
	log, found, err := l.Views.Log(ctx, attempt)
	if err != nil || !found {
		return Place{}, false, err
	}
	if log.State == view.LogLost {
		return Place{}, false, &GoneError{Lost, "The log is lost: " + log.Message + "."}
	}
	return Place{Source: Stored, Log: log}, true, nil
}

// findWithoutPod returns where the log is of an attempt without a Pod. It looks for a stored log again, because the
// controller may have stored the log and deleted the Pod since the first look.
func (l *Logs) findWithoutPod(ctx context.Context, attempt view.Attempt) (Place, error) {
	if attempt.FinishedAt.IsZero() {
		return Place{Source: Waiting}, nil // until the controller records what happened to the Pod
	}
	place, found, err := l.findStored(ctx, attempt)
	switch {
	case err != nil || found:
		return place, err
	case attempt.StartedAt.IsZero():
		return Place{}, errNeverStarted
	}
	return Place{}, errNotStored
}
