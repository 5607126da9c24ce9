package v1alpha1_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
)

func TestScheduleOwner(t *testing.T) {
	isController := true
	owner := func(kind string) []metav1.OwnerReference {
		return []metav1.OwnerReference{{Kind: kind, Name: "nightly", UID: "u1", Controller: &isController}}
	}
	labels := map[string]string{v1alpha1.LabelScheduled: "true"}
	tests := map[string]struct {
		labels map[string]string
		owners []metav1.OwnerReference
		want   string // name of the DAG; empty means that no schedule created the DagRun
	}{
		"a DagRun that a DAG controls and that has the label is of its schedule": {
			labels: labels, owners: owner("DAG"), want: "nightly",
		},
		"a DagRun with the label alone is of no schedule":                  {labels: labels},
		"a DagRun that a DAG controls without the label is of no schedule": {owners: owner("DAG")},
		"a DagRun that another kind controls is of no schedule":            {labels: labels, owners: owner("Job")},
		"a DagRun that a DAG owns without controlling it is of no schedule": {
			labels: labels, owners: []metav1.OwnerReference{{Kind: "DAG", Name: "nightly", UID: "u1"}},
		},
		"a DagRun with another value of the label is of no schedule": {
			labels: map[string]string{v1alpha1.LabelScheduled: "false"}, owners: owner("DAG"),
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			run := &v1alpha1.DagRun{ObjectMeta: metav1.ObjectMeta{Labels: test.labels, OwnerReferences: test.owners}}
			got := ""
			if ref := run.ScheduleOwner(); ref != nil {
				got = ref.Name
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestOrigin(t *testing.T) {
	requested := func(by string) map[string]string { return map[string]string{v1alpha1.AnnotationRequestedBy: by} }
	due := func(at string) map[string]string { return map[string]string{v1alpha1.AnnotationScheduledAt: at} }
	both := requested("alice")
	both[v1alpha1.AnnotationScheduledAt] = "2026-01-01T00:00:00Z"
	scheduled := map[string]string{v1alpha1.LabelScheduled: "true"}
	tests := map[string]struct {
		labels, annotations map[string]string
		want                string // trigger, requester and due time
	}{
		"a DagRun without label and annotations is manual": {want: `Manual ""`},
		"a DagRun of a schedule has a due time": {
			labels: scheduled, annotations: due("2026-01-01T02:00:00+02:00"), want: `Schedule "" 2026-01-01T00:00:00Z`,
		},
		"a DagRun with a requester is of the API": {annotations: requested("alice"), want: `API "alice"`},
		"the label wins over a requester": {
			labels: scheduled, annotations: both, want: `Schedule "" 2026-01-01T00:00:00Z`,
		},
		"another value of the label does not count": {
			labels: map[string]string{v1alpha1.LabelScheduled: "false"}, annotations: both, want: `API "alice"`,
		},
		"a due time without the label does not count": {annotations: due("2026-01-01T00:00:00Z"), want: `Manual ""`},
		"a DagRun of a schedule may have no due time": {labels: scheduled, want: `Schedule ""`},
		"a due time that is no time is ignored": {
			labels: scheduled, annotations: due("noon"), want: `Schedule ""`,
		},
		"a due time in the year 0 is ignored": {
			labels: scheduled, annotations: due("0000-01-01T00:00:00Z"), want: `Schedule ""`,
		},
		"a due time that is the zero time is ignored": {
			labels: scheduled, annotations: due("0001-01-01T00:00:00Z"), want: `Schedule ""`,
		},
		"a due time in the year 10000 in UTC is ignored": {
			labels: scheduled, annotations: due("9999-12-31T23:59:59-01:00"), want: `Schedule ""`,
		},
		"an empty requester does not count":         {annotations: requested(""), want: `Manual ""`},
		"a requester of white space does not count": {annotations: requested(" \t\n"), want: `Manual ""`},
		"white space around a requester is dropped": {
			annotations: requested(" Zoë Müller\n"), want: `API "Zoë Müller"`,
		},
		"characters that do not print are replaced": {
			annotations: requested("a\x00b\x1b[1m\u202ec"), want: "API \"a\uFFFDb\uFFFD[1m\uFFFDc\"",
		},
		"bytes that are not UTF-8 are replaced":       {annotations: requested("a\xffb"), want: "API \"a\uFFFDb\""},
		"a requester of control characters is a name": {annotations: requested("\x00"), want: "API \"\uFFFD\""},
		"a long requester is cut between characters": {
			annotations: requested(strings.Repeat("ä", 1000)), want: `API "` + strings.Repeat("ä", 253) + `"`,
		},
		"white space before the cut is dropped": {
			annotations: requested(strings.Repeat("a", 250) + "          b"),
			want:        `API "` + strings.Repeat("a", 250) + `"`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			run := &v1alpha1.DagRun{ObjectMeta: metav1.ObjectMeta{Labels: test.labels, Annotations: test.annotations}}
			trigger, requestedBy, dueAt := run.Origin()
			got := fmt.Sprintf("%s %q", trigger, requestedBy)
			if !dueAt.IsZero() {
				got += " " + dueAt.Format(time.RFC3339)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
