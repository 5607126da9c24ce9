package schedule

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/store"
)

var (
	runResource = schema.GroupResource{Group: v1alpha1.GroupName, Resource: "dagruns"}
	runKind     = schema.GroupKind{Group: v1alpha1.GroupName, Kind: "DagRun"}
)

// dueRun is the run of a due time that has no DagRun yet.
var dueRun = store.ScheduledRun{DueAt: time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC), Name: "daily-1"}

func terminating() error {
	err := apierrors.NewForbidden(runResource, "daily-1", errors.New("the namespace is being terminated"))
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	return err
}

func TestCreate(t *testing.T) {
	const uid = "00000000-0000-4000-8000-000000000009"
	for name, c := range map[string]struct {
		exists                func(d *v1alpha1.DAG) *v1alpha1.DagRun
		answer                error
		isRefused, isPossible bool
		uid, message          string
	}{
		"a DagRun is created": {isPossible: true, uid: testUID(1<<16 + 1)},
		"the DagRun exists": {
			exists: func(d *v1alpha1.DAG) *v1alpha1.DagRun { return newRun(d, dueRun) }, isPossible: true, uid: uid,
		},
		"a user's DagRun has the name": {
			exists: func(*v1alpha1.DAG) *v1alpha1.DagRun {
				return &v1alpha1.DagRun{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "daily-1"}}
			},
			message: "another DagRun has its name",
		},
		"a DagRun of an earlier DAG object has the name": {
			exists: func(d *v1alpha1.DAG) *v1alpha1.DagRun {
				earlier := d.DeepCopy()
				earlier.UID = "earlier"
				return newRun(earlier, dueRun)
			},
			message: "another DagRun has its name",
		},
		"a DagRun of another due time has the name": {
			exists: func(d *v1alpha1.DAG) *v1alpha1.DagRun {
				other := dueRun
				other.DueAt = other.DueAt.Add(time.Hour)
				return newRun(d, other)
			},
			message: "another DagRun has its name",
		},
		"an invalid DagRun can never be created": {
			answer: apierrors.NewInvalid(runKind, "daily-1", field.ErrorList{
				field.Required(field.NewPath("spec", "other"), ""),
			}),
			message: `DagRun.kontroler.greedykomodo "daily-1" is invalid: spec.other: Required value`,
		},
		"a policy that names no reason refuses": {
			answer:    apierrors.NewInvalid(runKind, "daily-1", nil),
			isRefused: true, isPossible: true, message: "DagRun.kontroler.greedykomodo is invalid",
		},
		"an expired token says nothing of the DagRun": {
			answer: apierrors.NewUnauthorized("expired"), isPossible: true, message: "expired",
		},
		"a namespace that is being deleted takes no DagRun": {
			answer:  terminating(),
			message: `dagruns.kontroler.greedykomodo "daily-1" is forbidden: the namespace is being terminated`,
		},
		"a refusal has the answer without the DagRun's name": {
			answer:    apierrors.NewForbidden(runResource, "daily-1", errors.New("exceeded quota: none")),
			isRefused: true, isPossible: true,
			message: "dagruns.kontroler.greedykomodo is forbidden: exceeded quota: none",
		},
		"a webhook that fails refuses": {
			answer:    apierrors.NewInternalError(errors.New("failed calling webhook")),
			isRefused: true, isPossible: true, message: "Internal error occurred: failed calling webhook",
		},
		"an API server that is busy says nothing of the DagRun": {
			answer: apierrors.NewTooManyRequestsError("busy"), isPossible: true, message: "Too many requests: busy",
		},
		"a lost answer says nothing of the DagRun": {
			answer: errNoAnswer, isPossible: true,
			message: `Post "http://fake/apis/kontroler.greedykomodo/v1alpha1/namespaces/default/dagruns": no answer`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDAG("daily", "0 2 * * *")
			f := newFixture(t, nil, d)
			if c.exists != nil {
				run := c.exists(d)
				run.UID = uid
				f.api.runs[run.Name] = run
			}
			f.api.fail = func(request string) error {
				if request == "create dagrun daily-1" {
					return c.answer
				}
				return nil
			}
			got, err := f.dagRuns.create(t.Context(), d, dueRun)
			message := ""
			if err != nil {
				message = err.Error()
			}
			if diff := cmp.Diff([]string{c.uid, c.message}, []string{got, message}); diff != "" {
				t.Errorf("UID, error (-want +got):\n%s", diff)
			}
			_, isRefused := errors.AsType[*refusedError](err)
			_, isImpossible := errors.AsType[*impossibleError](err)
			if isRefused != c.isRefused || isImpossible == c.isPossible {
				t.Errorf("refused: %t, want %t; impossible: %t", isRefused, c.isRefused, isImpossible)
			}
		})
	}
}

func TestNewRun(t *testing.T) {
	long := strings.Repeat("d", 64)
	for name, labels := range map[string]map[string]string{
		"daily": {v1alpha1.LabelScheduled: "true", v1alpha1.LabelDAG: "daily"},
		long:    {v1alpha1.LabelScheduled: "true"}, // too long for a label
	} {
		t.Run(name, func(t *testing.T) {
			want := &v1alpha1.DagRun{
				ObjectMeta: metav1.ObjectMeta{
					Namespace: namespace, Name: "daily-1", Labels: labels,
					Annotations: map[string]string{
						v1alpha1.AnnotationDAG: name, v1alpha1.AnnotationScheduledAt: "2026-03-01T02:00:00Z",
					},
					OwnerReferences: []metav1.OwnerReference{{
						APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "DAG", Name: name,
						UID: "00000000-0000-4000-8000-000000000001", Controller: new(true),
					}},
				},
				Spec: v1alpha1.DagRunSpec{DagName: name},
			}
			if diff := cmp.Diff(want, newRun(newDAG(name, "0 2 * * *"), dueRun)); diff != "" {
				t.Errorf("DagRun (-want +got):\n%s", diff)
			}
		})
	}
}
