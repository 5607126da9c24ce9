package harness

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	gocmp "github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
)

// All returns the same outcome for each of the tasks.
func All(outcome string, tasks ...string) map[string]string {
	want := map[string]string{}
	for _, task := range tasks {
		want[task] = outcome
	}
	return want
}

// NoTasks are the outcomes of a run that was not admitted.
var NoTasks = map[string]string{}

// CheckFinal waits until a run has ended and checks its rows: its phase, the outcome of each task (see
// TaskRow.outcome), and what must be true of every run that has ended (see Faults). It also checks that the DagRun says
// the same, and that no Pod is left.
func (d *Database) CheckFinal(run, phase string, tasks map[string]string) RunRow {
	d.t.Helper()
	var row RunRow
	d.w.Eventually("run "+run+" to end in the database", Patience, func(context.Context) (bool, string) {
		var ok bool
		row, ok = d.TryRun(run)
		return ok && v1alpha1.RunPhase(row.Phase).Ended(), row.Phase
	})
	if row.Phase != phase {
		d.t.Errorf("run %s is %s, want %s: %s %s", run, row.Phase, phase, row.Reason, row.Message)
	}
	is := map[string]string{}
	for _, task := range d.Tasks(run) {
		is[task.Name] = task.outcome()
	}
	if diff := gocmp.Diff(tasks, is); diff != "" {
		d.t.Errorf("tasks of run %s (-want +got):\n%s", run, diff)
	}
	for _, fault := range d.Faults(row) {
		d.t.Errorf("run %s: %s", run, fault)
	}
	d.w.CheckStatus(row)
	d.w.CheckPodsGone(row.UID)
	d.checkCreated(row)
	return row
}

// Faults returns what is wrong with the rows of a run that has ended.
func (d *Database) Faults(row RunRow) []string {
	d.t.Helper()
	var faults []string
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	tasks, attempts := d.Tasks(row.Name), map[int64][]AttemptRow{}
	for _, a := range d.Attempts(row.Name) {
		attempts[a.TaskID] = append(attempts[a.TaskID], a)
		if a.FinishedAt.Unix() == 0 {
			fault("attempt %d of %s has not ended: %s", a.Number, a.Task, a.Phase)
		}
		if a.Stray != "" {
			fault("attempt %d of %s has a stray Pod", a.Number, a.Task)
		}
	}
	byName, count := map[string]TaskRow{}, map[string]int{}
	for _, task := range tasks {
		byName[task.Name] = task
		count[task.Phase]++
	}
	counters := map[string]int{
		"Waiting":   row.Waiting,
		"Ready":     row.Ready,
		"Active":    row.Active,
		"Succeeded": row.Succeeded,
		"Failed":    row.Failed,
		"Skipped":   row.Skipped,
		"Cancelled": row.Cancelled,
	}
	for phase, n := range counters {
		if n != count[phase] {
			fault("it counts %d tasks as %s, but has %d", n, phase, count[phase])
		}
	}
	if row.Total != len(tasks) {
		fault("it counts %d tasks, but has %d", row.Total, len(tasks))
	}
	var parents map[string][]string
	if len(tasks) > 0 {
		parents = row.parents(d.t)
	}
	for _, task := range tasks {
		faults = append(faults, attemptFaults(task, attempts[task.ID])...)
		faults = append(faults, orderFaults(task, attempts[task.ID], parents[task.Name], byName)...)
	}
	return faults
}

// attemptFaults returns what is wrong with the attempts of a task. Only the last attempt of a task that succeeded has
// succeeded, and each attempt begins after the end of the previous one.
func attemptFaults(task TaskRow, attempts []AttemptRow) []string {
	var faults []string
	fault := func(format string, args ...any) { faults = append(faults, task.Name+": "+fmt.Sprintf(format, args...)) }
	if len(attempts) != task.Attempts {
		fault("it counts %d attempts, but has %d", task.Attempts, len(attempts))
	}
	succeeded := 0
	for i, a := range attempts {
		if a.Number != i+1 {
			fault("attempt %d has number %d", i+1, a.Number)
		}
		if a.Phase == "Succeeded" {
			succeeded++
		}
		if i > 0 && a.DecidedAt.Before(attempts[i-1].FinishedAt) {
			fault("attempt %d was decided at %s, before the end of the previous one at %s",
				a.Number, a.DecidedAt, attempts[i-1].FinishedAt)
		}
	}
	want := 0
	if task.Phase == "Succeeded" {
		want = 1
		if len(attempts) > 0 && attempts[len(attempts)-1].Phase != "Succeeded" {
			fault("it succeeded, but its last attempt is %s", attempts[len(attempts)-1].Phase)
		}
	}
	if succeeded != want {
		fault("%d of its attempts succeeded, want %d", succeeded, want)
	}
	return faults
}

// orderFaults returns what is wrong between a task and its parents.
func orderFaults(task TaskRow, attempts []AttemptRow, parents []string, byName map[string]TaskRow) []string {
	var faults []string
	hasFailedParent := false
	for _, name := range parents {
		parent := byName[name]
		hasFailedParent = hasFailedParent || parent.Phase == "Failed" || parent.Phase == "Skipped"
		if len(attempts) == 0 {
			continue
		}
		if parent.Phase != "Succeeded" {
			faults = append(faults,
				fmt.Sprintf("%s started although its parent %s is %s", task.Name, name, parent.Phase))
		}
		if attempts[0].DecidedAt.Before(parent.FinishedAt) {
			faults = append(faults, fmt.Sprintf("%s was decided at %s, before the end of its parent %s at %s",
				task.Name, attempts[0].DecidedAt, name, parent.FinishedAt))
		}
	}
	if hasFailedParent != (task.Phase == "Skipped") && task.Phase != "Cancelled" {
		faults = append(faults, fmt.Sprintf("%s is %s, but a parent failed or was skipped: %t",
			task.Name, task.Phase, hasFailedParent))
	}
	return faults
}

// CheckStatus checks that the DagRun of a row, if it still exists, says what the row says.
func (w *World) CheckStatus(row RunRow) {
	w.T.Helper()
	list, err := w.Client.KontrolerV1alpha1().DagRuns(w.Namespace).List(w.T.Context(),
		metav1.ListOptions{FieldSelector: "metadata.name=" + row.Name})
	if err != nil {
		w.T.Fatal(err)
	}
	if len(list.Items) == 0 || string(list.Items[0].UID) != row.UID {
		return
	}
	run := w.WaitRun(row.Name, v1alpha1.RunPhase(row.Phase), Patience)
	s := run.Status
	if s.RunID != row.ID || s.DAGVersion != row.Version || s.Reason != row.Reason ||
		s.ObservedGeneration != run.Generation ||
		s.CompletionTime == nil {
		w.T.Errorf(
			"DagRun %s says run %d, version %d, reason %q, generation %d, completed %v; want %d, %d, %q, %d and a time",
			row.Name,
			s.RunID,
			s.DAGVersion,
			s.Reason,
			s.ObservedGeneration,
			s.CompletionTime,
			row.ID,
			row.Version,
			row.Reason,
			run.Generation,
		)
	}
	want := v1alpha1.TaskCounts{
		Total: int32(row.Total), Succeeded: int32(row.Succeeded), Failed: int32(row.Failed),
		Skipped: int32(row.Skipped), Cancelled: int32(row.Cancelled),
	}
	if row.Total > 0 && (s.Tasks == nil || *s.Tasks != want) {
		w.T.Errorf("DagRun %s counts %+v, want %+v", row.Name, s.Tasks, want)
	}
	for condition, phase := range map[string]string{
		v1alpha1.RunConditionSucceeded: "Succeeded", v1alpha1.RunConditionFailed: "Failed",
	} {
		is := "missing"
		for _, c := range s.Conditions {
			if c.Type == condition {
				is = string(c.Status)
			}
		}
		if want := map[bool]string{true: "True", false: "False"}[row.Phase == phase]; is != want {
			w.T.Errorf("DagRun %s is %s and its condition %s is %s, want %s", row.Name, row.Phase, condition, is, want)
		}
	}
}

// MaxConcurrent returns the highest number of attempts of a run that were live at the same time. It uses the end of the
// task as the end of its last attempt, because the end of a container has only whole seconds.
func (d *Database) MaxConcurrent(run string) int {
	d.t.Helper()
	type edge struct {
		at    int64
		delta int
	}
	var edges []edge
	attempts := map[string][]AttemptRow{}
	for _, a := range d.Attempts(run) {
		attempts[a.Task] = append(attempts[a.Task], a)
	}
	for _, task := range d.Tasks(run) {
		for i, a := range attempts[task.Name] {
			end := task.FinishedAt
			if i+1 < len(attempts[task.Name]) {
				end = a.FinishedAt
			}
			edges = append(edges, edge{a.DecidedAt.UnixMicro(), 1}, edge{end.UnixMicro(), -1})
		}
	}
	slices.SortFunc(edges, func(a, b edge) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.delta, b.delta))
	})
	most, now := 0, 0
	for _, e := range edges {
		now += e.delta
		most = max(most, now)
	}
	return most
}
