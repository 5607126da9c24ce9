package control_test

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/store/storetest"
)

// A role of --reader-roles reads where each run comes from. A DagRun can claim any name and any due time; none of them
// keeps it from running.
func TestOriginsAsAReader(t *testing.T) {
	w := newWorld(t)
	role, url := storetest.NewRole(t, w.URL)
	w.Controller(flags("--reader-roles=" + role))
	w.scheduled("tick", "@every 3s", "", nil)
	w.ApplyDAG("job", play("a", ""))
	run := func(name, metadata string) string {
		return fmt.Sprintf("apiVersion: %s\nkind: DagRun\nmetadata: {name: %s, %s}\nspec: {dagName: job}\n---\n",
			v1alpha1.SchemeGroupVersion, name, metadata)
	}
	requested, due := v1alpha1.AnnotationRequestedBy, v1alpha1.AnnotationScheduledAt
	label := "labels: {" + v1alpha1.LabelScheduled + `: "true"}`
	w.Apply(run("by-kubectl", "labels: {team: a}") +
		run("by-alice", "annotations: {"+requested+": alice}") +
		run("by-a-binary", "annotations: {"+requested+`: "\0\e[1m`+strings.Repeat("ä", 300)+`"}`) +
		run("by-nobody", "annotations: {"+requested+`: " "}`) +
		run("claims-a-schedule", label+", annotations: {"+due+`: "2026-01-01T01:00:00+01:00", `+requested+": alice}") +
		run("claims-nonsense", label+", annotations: {"+due+": soon}"))
	want := map[string]string{
		"by-kubectl":        "Manual - -",
		"by-alice":          "API alice -",
		"by-a-binary":       "API \uFFFD\uFFFD[1m" + strings.Repeat("ä", v1alpha1.MaxRequester-5) + " -",
		"by-nobody":         "Manual - -",
		"claims-a-schedule": "Schedule - 2026-01-01T00:00:00Z",
		"claims-nonsense":   "Schedule - -",
	}
	for name := range want {
		w.WaitRun(name, v1alpha1.RunSucceeded, patience)
	}
	w.waitTicks("tick", "Ran", "Succeeded", 2)
	w.rest("tick")

	reader, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	w.DB = reader // from here on the test reads as the role
	got := map[string]string{}
	for _, line := range w.Strings(`SELECT name || '|' || concat_ws(' ', trigger, coalesce(requested_by, '-'),
		coalesce(to_char(due_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), '-'))
		FROM kontroler_v1.runs WHERE dag_name = 'job'`) {
		name, origin, _ := strings.Cut(line, "|")
		got[name] = origin
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("origins (-want +got):\n%s", diff)
	}
	const dueTimes = `SELECT to_char(%s AT TIME ZONE 'UTC', 'HH24:MI:SS') FROM kontroler_v1.%s ORDER BY 1`
	runs := w.Strings(fmt.Sprintf(dueTimes, "due_at", "runs WHERE dag_name = 'tick' AND trigger = 'Schedule'"))
	ticks := w.Strings(fmt.Sprintf(dueTimes, "due_from", "ticks WHERE outcome = 'Ran'"))
	if len(ticks) < 2 || !slices.Equal(runs, ticks) {
		t.Errorf("the runs of the schedule were due at %v, its ticks at %v", runs, ticks)
	}
	unnamed := w.Strings(`SELECT id || ' ' || kind FROM kontroler_v1.changes WHERE namespace <> $1 OR dag_id IS NULL`,
		w.Namespace)
	if len(unnamed) > 0 {
		t.Errorf("changes of no DAG of this namespace: %v", unnamed)
	}
	if ids := w.Strings(`SELECT controller_id FROM kontroler_v1.identity`); !slices.Equal(ids, []string{
		w.DAG("job").Status.Controller,
	}) {
		t.Errorf("the view identity has controllers %v", ids)
	}
}
