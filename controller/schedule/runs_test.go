package schedule

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/queue"
	"kontroler/store"
)

func TestHasEndedWithoutRow(t *testing.T) {
	const uid = "00000000-0000-4000-8000-000000000009"
	run := func(phase v1alpha1.RunPhase) *v1alpha1.DagRun {
		r := newRun(newDAG("daily", "0 2 * * *"), dueRun)
		r.UID, r.Status.Phase = uid, phase
		return r
	}
	ofOtherController := run("")
	ofOtherController.Status.DagRunID = 7
	recreated := run("")
	recreated.UID = "other"
	for name, c := range map[string]struct {
		cached, live *v1alpha1.DagRun
		want         bool
	}{
		"a cached DagRun that has not ended is live":               {cached: run(v1alpha1.RunRunning)},
		"a cached DagRun that has ended counts as ended":           {cached: run(v1alpha1.RunFailed), want: true},
		"a DagRun that only a live read shows is live":             {live: run("")},
		"a DagRun that ended and whose row is trimmed has ended":   {live: run(v1alpha1.RunSucceeded), want: true},
		"a DagRun of the existing Kontroler is never run":          {cached: ofOtherController, want: true},
		"a DagRun that was deleted before it was admitted is over": {want: true},
		"another DagRun of its name does not count":                {live: recreated, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, nil, newDAG("daily", "0 2 * * *"))
			if c.cached != nil {
				f.cached[uid] = c.cached
			}
			if c.live != nil {
				f.api.runs[c.live.Name] = c.live
			}
			known := dueRun
			known.UID = uid
			got, err := f.hasEndedWithoutRow(t.Context(), namespace, known)
			if err != nil || got != c.want {
				t.Errorf("ended: %t, %v; want %t", got, err, c.want)
			}
		})
	}
}

func TestCancelReplaced(t *testing.T) {
	const uid = "00000000-0000-4000-8000-000000000009"
	patch := []string{`patch dagrun daily-1 {"metadata":{"uid":"` + uid + `"},"spec":{"cancel":true}}`}
	for name, c := range map[string]struct {
		run    store.ScheduledRun
		cached *v1alpha1.DagRun
		answer error
		want   []string
	}{
		"a replaced run is cancelled":            {run: store.ScheduledRun{UID: uid, IsReplaced: true}, want: patch},
		"a run that is not replaced goes on":     {run: store.ScheduledRun{UID: uid}},
		"a run that has no DagRun is left alone": {run: store.ScheduledRun{IsReplaced: true}},
		"a run that is cancelled already is left alone": {
			run:    store.ScheduledRun{UID: uid, IsReplaced: true},
			cached: &v1alpha1.DagRun{Spec: v1alpha1.DagRunSpec{Cancel: true}},
		},
		"a DagRun that is gone is no error": {
			run: store.ScheduledRun{UID: uid, IsReplaced: true}, answer: apierrors.NewNotFound(runResource, "daily-1"),
		},
		"another DagRun of its name is no error": {
			run: store.ScheduledRun{UID: uid, IsReplaced: true},
			answer: apierrors.NewInvalid(runKind, "daily-1", field.ErrorList{
				field.Invalid(field.NewPath("metadata", "uid"), uid, "field is immutable"),
			}),
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDAG("daily", "0 2 * * *")
			f := newFixture(t, nil, d)
			f.api.runs["daily-1"] = newRun(d, dueRun)
			f.api.fail = func(request string) error {
				if strings.HasPrefix(request, "patch") {
					return c.answer
				}
				return nil
			}
			if c.cached != nil {
				f.cached[queue.RunKey(uid)] = c.cached
			}
			c.run.Name = "daily-1"
			f.must(f.cancelReplaced(t.Context(), d, []store.ScheduledRun{c.run}))
			if diff := cmp.Diff(c.want, f.api.requests); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}
