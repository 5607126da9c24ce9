package dag_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"kontroler/apis/dag"
	"kontroler/apis/kontroler/v1alpha1"
)

// TestWarnings: a warning names the field, its effect, and what to write instead. It is not a fault.
func TestWarnings(t *testing.T) {
	of := func(fields string) *v1alpha1.DAGSpec {
		return tasks(v1alpha1.Task{Name: "a", TaskTemplate: template(t, fields)})
	}
	for name, c := range map[string]struct {
		spec *v1alpha1.DAGSpec
		want []string
	}{
		"a script alone":  {of(`{image: i, script: s}`), nil},
		"a command alone": {of(`{image: i, command: [a], args: [b]}`), nil},
		"ordinary retries": {
			of(`{image: i, backoff: {limit: 1000}, conditional: {enabled: true, retryCodes: [0, 255]}}`), nil,
		},
		"a usual schedule": {
			spec(func(s *v1alpha1.DAGSpec) { s.Schedule, s.TimeZone = "0 9 * * *", ptr("Europe/Berlin") }), nil,
		},
		"a script beside a command": {of(`{image: i, script: s, command: [a]}`),
			[]string{"spec.task[0].script: replaces command and args, which have no effect: remove them"}},
		"a script beside args": {of(`{image: i, script: s, args: [a]}`),
			[]string{"spec.task[0].script: replaces command and args, which have no effect: remove them"}},
		"an injector image": {of(`{image: i, script: s, scriptInjectorImage: j}`), []string{
			"spec.task[0].scriptInjectorImage: has no effect, because scripts need no helper image: remove it",
		}},
		"a negative limit": {of(`{image: i, backoff: {limit: -1}}`),
			[]string{"spec.task[0].backoff.limit: -1 counts as 0, no retries: write 0"}},
		"a limit that takes days": {of(`{image: i, backoff: {limit: 9999}}`), []string{
			"spec.task[0].backoff.limit: 9999 retries take days or longer before the task is Failed: " +
				"write 1000 or less",
		}},
		"exit codes outside 0 to 255": {
			of(`{image: i, conditional: {enabled: true, retryCodes: [-1, 3, 256]}}`),
			[]string{
				"spec.task[0].conditional.retryCodes[0]: " +
					"-1 matches nothing, because exit codes are 0 to 255: remove it",
				"spec.task[0].conditional.retryCodes[2]: " +
					"256 matches nothing, because exit codes are 0 to 255: remove it",
			},
		},
		"a zone before the schedule": {
			spec(func(s *v1alpha1.DAGSpec) { s.Schedule = "CRON_TZ=Europe/Berlin 0 9 * * 1-5" }),
			[]string{
				`spec.schedule: CRON_TZ=Europe/Berlin counts as timeZone: ` +
					`write timeZone: "Europe/Berlin" and schedule: "0 9 * * 1-5"`,
			},
		},
		"a schedule that is never due": {spec(func(s *v1alpha1.DAGSpec) { s.Schedule = "0 0 31 2 *" }),
			[]string{"spec.schedule: is never due, because no date matches it: correct it or remove it"}},
		"a parameter that begins with a digit": {spec(func(s *v1alpha1.DAGSpec) {
			s.Parameters = []v1alpha1.Parameter{{
				Name: "1st", DefaultValue: ptr(""),
			}}
		}),
			[]string{
				`spec.parameters[0].name: "1st" is rejected in Pods before Kubernetes 1.34: ` +
					"begin it with a letter, and use letters, digits and _ only",
			}},
		"resource claims of a workspace": {spec(func(s *v1alpha1.DAGSpec) {
			s.Workspace = claimed("1Gi")
			s.Workspace.PVC.Resources.Claims = []corev1.ResourceClaim{{Name: "c"}}
		}), []string{
			"spec.workspace.pvc.resources.claims: has no effect, because a PersistentVolumeClaim has none: remove it",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			compile(t, c.spec)
			if diff := cmp.Diff(c.want, dag.Warnings(c.spec)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestWarningsAreBounded: the warnings must fit into an Event, which holds a kilobyte.
func TestWarningsAreBounded(t *testing.T) {
	s := tasks()
	for i := range 1000 {
		s.Task = append(
			s.Task,
			v1alpha1.Task{Name: fmt.Sprint("t", i), TaskTemplate: template(t, `{image: i, script: s, args: [a]}`)},
		)
	}
	list := dag.Warnings(s)
	if len(list) != 21 || list[20] != "… and 980 more" {
		t.Errorf("%d warnings, the last: %s", len(list), list[len(list)-1])
	}
}

func TestTaskWarnings(t *testing.T) {
	s := &v1alpha1.DagTaskSpec{
		RunAfter:     []string{"b"},
		TaskTemplate: template(t, `{image: i, script: s, args: [a], parameters: ["1st"]}`),
	}
	want := []string{
		"spec.runAfter: has no effect in a DagTask: write it in the DAG, beside the taskRef",
		`spec.parameters[0]: "1st" is rejected in Pods before Kubernetes 1.34: ` +
			"begin it with a letter, and use letters, digits and _ only",
		"spec.script: replaces command and args, which have no effect: remove them",
	}
	if faults := dag.CheckTask(s); len(faults) > 0 {
		t.Fatal(faults)
	}
	if diff := cmp.Diff(want, dag.TaskWarnings(s)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
