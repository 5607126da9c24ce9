package engine_test

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"kontroler/store/transition"
)

// recorder is a Ledger that writes down what it is told, a line a transition, times as seconds from t0.
type recorder struct{ lines []string }

func code(c *int32) string {
	if c == nil {
		return ""
	}
	return strconv.Itoa(int(*c))
}

func (r *recorder) add(what string, args ...any) {
	parts := []string{what}
	for _, arg := range args {
		switch v := arg.(type) {
		case time.Time:
			if v.IsZero() {
				parts = append(parts, "never")
				continue
			}
			parts = append(parts, fmt.Sprintf("@%v", v.Sub(t0).Seconds()))
		case string:
			if v == "" {
				v = "-"
			}
			parts = append(parts, v)
		default:
			parts = append(parts, fmt.Sprint(v))
		}
	}
	r.lines = append(r.lines, strings.Join(parts, " "))
}

// What is left out of the lines: the time of the decision, and messages where another test has them.
func (r *recorder) TaskUnblocked(task int64, met int)       { r.add("unblocked", task, met) }
func (r *recorder) TaskReady(task int64, _ time.Time)       { r.add("ready", task) }
func (r *recorder) TaskActive(task int64, _ time.Time)      { r.add("active", task) }
func (r *recorder) TaskSucceeded(task int64, _ time.Time)   { r.add("succeeded", task) }
func (r *recorder) TaskCascaded(task int64)                 { r.add("cascaded", task) }
func (r *recorder) AttemptDue(attempt int64, due time.Time) { r.add("due", attempt, due) }
func (r *recorder) RunStarted(time.Time)                    { r.add("run started") }
func (r *recorder) RunStopping(stop string)                 { r.add("run stopping", stop) }
func (r *recorder) RunHeld(hold string)                     { r.add("held", hold) }
func (r *recorder) LiveStopped(stop, _ string, _ time.Time) { r.add("live stopped", stop) }
func (r *recorder) RunEnded(phase, reason, m string, _ time.Time) {
	r.add("run ended", phase, reason, m)
}

func (r *recorder) UnstartedCancelled(reason, message string, _ time.Time) {
	r.add("unstarted cancelled", reason, message)
}

func (r *recorder) TaskSkipped(task int64, message string, cascade bool, _ time.Time) {
	r.add("skipped", task, message+cascading(cascade))
}

func (r *recorder) TaskBackedOff(task int64, reason, message string, due time.Time, retries, restarts int) {
	r.add("backed off", task, reason, due, retries, restarts, message)
}

func (r *recorder) TaskFailed(task int64, reason, message string, cascade bool, _ time.Time) {
	r.add("failed", task, reason, message+cascading(cascade))
}

func (r *recorder) TaskCancelled(task int64, reason, message string, _ time.Time) {
	r.add("cancelled", task, reason, message)
}

func (r *recorder) AttemptDecided(task int64, number int, podName string, _ time.Time) {
	r.add("decided", task, number, podName)
}

func (r *recorder) AttemptPending(attempt int64, podUID, node string, _, _ time.Time) {
	r.add("pending", attempt, podUID, node)
}

func (r *recorder) AttemptRunning(attempt int64, podUID, node string, startedAt, due time.Time) {
	r.add("running", attempt, podUID, node, startedAt, due)
}

func (r *recorder) AttemptWaits(attempt int64, reason, message string, _, due time.Time) {
	r.add("waits", attempt, reason, message, due)
}

func (r *recorder) AttemptStopping(attempt int64, stop, message string, due time.Time) {
	r.add("stopping", attempt, stop, message, due)
}

func (r *recorder) AttemptEnded(attempt int64, phase, reason, _ string, exitCode *int32, podUID, node string, startedAt, finishedAt time.Time) {
	r.add("ended", attempt, phase, reason, code(exitCode), podUID, node, startedAt, finishedAt)
}

func cascading(cascade bool) string {
	if cascade {
		return " (cascade)"
	}
	return ""
}

func record(transitions []transition.Transition) *recorder {
	r := &recorder{}
	for _, t := range transitions {
		switch t := t.(type) {
		case transition.TaskUnblocked:
			r.TaskUnblocked(t.Task, t.Met)
		case transition.TaskReady:
			r.TaskReady(t.Task, t.At)
		case transition.TaskSkipped:
			r.TaskSkipped(t.Task, t.Message, t.Cascade, t.At)
		case transition.TaskActive:
			r.TaskActive(t.Task, t.At)
		case transition.TaskBackedOff:
			r.TaskBackedOff(t.Task, t.Reason, t.Message, t.Due, t.Retries, t.Restarts)
		case transition.TaskSucceeded:
			r.TaskSucceeded(t.Task, t.At)
		case transition.TaskFailed:
			r.TaskFailed(t.Task, t.Reason, t.Message, t.Cascade, t.At)
		case transition.TaskCancelled:
			r.TaskCancelled(t.Task, t.Reason, t.Message, t.At)
		case transition.TaskCascaded:
			r.TaskCascaded(t.Task)
		case transition.UnstartedCancelled:
			r.UnstartedCancelled(t.Reason, t.Message, t.At)
		case transition.AttemptDecided:
			r.AttemptDecided(t.Task, t.Number, t.PodName, t.At)
		case transition.AttemptPending:
			r.AttemptPending(t.Attempt, t.PodUID, t.Node, t.At, t.Due)
		case transition.AttemptRunning:
			r.AttemptRunning(t.Attempt, t.PodUID, t.Node, t.StartedAt, t.Due)
		case transition.AttemptWaits:
			r.AttemptWaits(t.Attempt, t.Reason, t.Message, t.At, t.Due)
		case transition.AttemptDue:
			r.AttemptDue(t.Attempt, t.Due)
		case transition.AttemptStopping:
			r.AttemptStopping(t.Attempt, t.Reason, t.Message, t.Due)
		case transition.LiveStopped:
			r.LiveStopped(t.Reason, t.Message, t.Due)
		case transition.AttemptEnded:
			r.AttemptEnded(t.Attempt, t.Phase, t.Reason, t.Message, t.ExitCode, t.PodUID, t.Node, t.StartedAt, t.FinishedAt)
		case transition.RunStarted:
			r.RunStarted(t.At)
		case transition.RunStopping:
			r.RunStopping(t.Reason)
		case transition.RunHeld:
			r.RunHeld(t.Reason)
		case transition.RunEnded:
			r.RunEnded(t.Phase, t.Reason, t.Message, t.At)
		}
	}
	return r
}
