package controller

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/kontroler/v1alpha1"
)

func TestFinalStatus(t *testing.T) {
	newRoad(t).try(t, finalStatuses, func(ctx context.Context, f *fixture, of string) error {
		return f.status.syncFinalStatus(ctx, f.key(of))
	})
}

// A patch that withdraws the notice of an outage is free: every live run may have one.
func TestProgress(t *testing.T) {
	newRoad(t).try(t, progresses, func(ctx context.Context, f *fixture, of string) error {
		f.showCluster()
		run := f.cached.cachedRun(f.key(of))
		f.term.runChanged(run, run)
		isCharged, err := f.status.show(ctx, projection{run: f.key(of)})
		if isCharged {
			f.Error("the patch takes a token")
		}
		return err
	})
}

// outage is the status of a DagRun while the database does not answer.
const outage = `{"status":{"reason":"DatabaseUnavailable","message":"the controller's database has not answered"}}`

// progresses are changes of the DagRun "r" that the informer shows.
var progresses = map[string]roadCase{
	"the notice of an outage is withdrawn when the informer shows it": {
		before: func(f *fixture) {
			f.running(single)
			f.patchDagRun("r", outage, "status")
		},
		want: world{
			Rows: []string{
				"run r is Running",
				"task a is Active, Pending: its Pod is being created",
				"attempt a.1 is Decided",
			},
			Objects:  []string{"dagrun r is Running, claimed", "pod a.1"},
			Requests: []string{"patch status of dagrun r"},
			Enqueued: []string{"progress of r"},
			Pending:  []string{"created pod a.1"},
		},
	},
	"the notice is withdrawn from a DagRun that has no row": {
		before: func(f *fixture) {
			f.newDAG(single)
			f.newDagRun("r", nil)
			f.patchDagRun("r", outage, "status")
			f.patchDagRun("r", `{"status":{"phase":"Pending"}}`, "status")
		},
		want: world{
			Objects:  []string{"dagrun r is Pending"},
			Requests: []string{"patch status of dagrun r"},
			Enqueued: []string{"progress of r"},
		},
	},
	"the notice is withdrawn from a DagRun that waits for a DagTask, and its reason is back": {
		before: func(f *fixture) {
			f.newDAG("task: [{name: a, taskRef: {name: none}}]")
			f.newDagRun("r", nil)
			f.admitted("r")
			f.patchDagRun("r", outage, "status")
		},
		want: world{
			Objects:  []string{waitsForDagTask},
			Requests: []string{"patch status of dagrun r"},
			Enqueued: []string{"progress of r"},
		},
	},
	"a DagRun whose row is gone does not say that it was admitted": {
		before: func(f *fixture) {
			f.newDAG(single)
			f.newDagRun("r", func(run *v1alpha1.DagRun) {
				run.Status = v1alpha1.DagRunStatus{
					Phase: v1alpha1.RunRunning, Controller: f.cfg.ID, RunID: 7,
					Conditions: []metav1.Condition{{
						Type: v1alpha1.RunConditionAdmitted, Status: metav1.ConditionTrue, Reason: "Admitted",
						LastTransitionTime: metav1.NewTime(f.time),
					}},
				}
			})
			f.patchDagRun("r", outage, "status")
		},
		want: world{
			Objects:  []string{"dagrun r is Running, claimed"},
			Requests: []string{"patch status of dagrun r"},
			Enqueued: []string{"progress of r"},
		},
	},
	"a run that is claimed and whose first commit failed stays Running": {
		before: func(f *fixture) {
			f.admittedRun(single)
			f.patchDagRun("r", outage, "status")
		},
		want: world{
			Rows:     []string{"run r is Pending", "task a is Ready"},
			Objects:  []string{"dagrun r is Running, claimed"},
			Requests: []string{"patch status of dagrun r"},
			Enqueued: []string{"progress of r"},
		},
	},
}

// What a run waits for is shown once the cache shows its claim, if the claim was not there yet.
func TestProgressBeforeTheClaimIsCached(t *testing.T) {
	f := newRoad(t).newFixture(t, nil)
	f.newDAG(single)
	f.newDagRun("r", nil)
	before := f.cached.cachedRun(f.key("r"))
	must(t, f.admissions.syncAdmission(t.Context(), f.key("r")))
	_, err := f.status.show(t.Context(), projection{run: f.key("r")})
	must(t, err)
	f.showCluster()
	f.enqueued()
	f.term.runChanged(before, f.cached.cachedRun(f.key("r")))
	if got := f.enqueued(); !slices.Equal(got, []string{"progress of r"}) {
		t.Errorf("the claim enqueues %q", got)
	}
}

// A Pod was seen without a node, got one, and is being deleted before its container runs. The status names the node,
// which may have died.
func TestNodeOfAPodThatDoesNotEnd(t *testing.T) {
	f := newRoad(t).newFixture(t, nil)
	f.running(single)
	f.showCluster()
	f.touch("r", "a.1")
	f.synced("r")
	f.bind("a.1")
	f.showCluster()
	f.patchDagRun("r", `{"spec":{"cancel":true}}`)
	f.showCluster()
	f.synced("r")
	f.touch("r", "a.1")
	f.synced("r")
	_, err := f.status.show(t.Context(), projection{run: f.key("r")})
	must(t, err)
	want := []string{
		"dagrun r is Running, UserCancelled: a is being stopped (UserCancelled): waiting for Pod a.1 on node ns " +
			"to end, claimed",
		"pod a.1 is being deleted",
	}
	if diff := cmp.Diff(want, f.objects()); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
}

// A leader may end after it has reported the end of a run, and before it has shown that run in its DAG.
func TestLastRunIsShownByTheNextLeader(t *testing.T) {
	f := newRoad(t).newFixture(t, nil)
	f.ended(0)
	must(t, f.status.syncFinalStatus(t.Context(), f.key("r")))
	f.restart()
	d, _ := f.cached.dags.Get(cache.NewObjectName(f.road.namespace, "d"+f.suffix))
	f.term.dagChanged(nil, d)
	if got := f.enqueued(); !slices.Contains(got, "last run of d") {
		t.Errorf("the DAG enqueues %q", got)
	}
}

// ended brings the DagRun "r" of one task to its end, which its status does not show.
func (f *fixture) ended(code int32) {
	f.Helper()
	f.running(single)
	f.exit("a.1", code)
	f.synced("r")
}

// withWorkspace is a DAG whose runs have a claim.
const withWorkspace = `
workspace: {enable: true, pvc: {resources: {requests: {storage: 1Mi}}}}
task: [{name: a, image: busybox}]`

// finalStatuses are the ends of runs.
var finalStatuses = map[string]roadCase{
	"a run that succeeded gets an Event, and then the status that ends its DagRun": {
		before: func(f *fixture) { f.ended(0) },
		want: world{
			Rows:     []string{"run r is Succeeded", "task a is Succeeded", "attempt a.1 is Succeeded"},
			Objects:  []string{"dagrun r is Succeeded, claimed", "pod a.1"},
			Requests: []string{"create event Succeeded", "patch status of dagrun r"},
			Enqueued: []string{"last run of d"},
		},
	},
	"a run that failed names its failed tasks": {
		before: func(f *fixture) { f.ended(3) },
		want: world{
			Rows: []string{
				"run r is Failed, TaskFailed: 1 task failed",
				"task a is Failed, RetriesSpent: ExitCode: exit code 3",
				"attempt a.1 is Failed, ExitCode: exit code 3",
			},
			Objects: []string{
				"dagrun r is Failed, TaskFailed: 1 task failed: a (ExitCode: exit code 3), claimed",
				"pod a.1",
			},
			Requests: []string{"create event TaskFailed", "patch status of dagrun r"},
			Enqueued: []string{"last run of d"},
		},
	},
	"a run that was cancelled says why": {
		before: func(f *fixture) {
			f.admittedRun(chain)
			f.patchDagRun("r", `{"spec":{"cancel":true}}`)
			f.showCluster()
			f.synced("r")
		},
		want: world{
			Rows: []string{
				"run r is Cancelled, UserCancelled: cancelled by spec.cancel",
				"task a is Cancelled, UserCancelled: cancelled by spec.cancel",
				"task b is Cancelled, UserCancelled: cancelled by spec.cancel",
			},
			Objects:  []string{"dagrun r is Cancelled, UserCancelled: cancelled by spec.cancel, claimed"},
			Requests: []string{"create event UserCancelled", "patch status of dagrun r"},
			Enqueued: []string{"last run of d"},
		},
	},
	"a run that was refused is claimed by its final status": {
		before: func(f *fixture) {
			f.newDAG("task: [{name: a, image: busybox, runAfter: [b]}]")
			f.newDagRun("r", nil)
			f.admitted("r")
		},
		want: world{
			Rows: []string{
				`run r is Failed, InvalidDag: spec.task[0].runAfter[0]: Not found: "b": no task has this name`,
			},
			Objects: []string{
				`dagrun r is Failed, InvalidDag: spec.task[0].runAfter[0]: Not found: "b": no task ` +
					"has this name, claimed",
			},
			Requests: []string{"create event InvalidDag", "patch status of dagrun r"},
			Enqueued: []string{"last run of d"},
		},
	},
	"a refused DagRun that another controller claims meanwhile stays that one's": {
		before: func(f *fixture) {
			f.newDAG("task: [{name: a, image: busybox, runAfter: [b]}]")
			f.newDagRun("r", nil)
			f.admitted("r")
			f.patchDagRun("r", `{"status":{"phase":"Running","controller":"another","runId":7}}`, "status")
		},
		want: world{
			Err: "the object has changed",
			Rows: []string{
				`run r is Failed, InvalidDag: spec.task[0].runAfter[0]: Not found: "b": no task has this name`,
			},
			Objects:  []string{"dagrun r is Running"},
			Requests: []string{"create event InvalidDag", "patch status of dagrun r"},
		},
	},
	"a DagRun that is gone needs no status": {
		before: func(f *fixture) {
			f.admittedRun(chain)
			f.deleteDagRun("r")
			f.showCluster()
			f.synced("r")
		},
		want: world{
			Rows: []string{
				"run r is Cancelled, Deleted: the DagRun was deleted",
				"task a is Cancelled, Deleted: the DagRun was deleted",
				"task b is Cancelled, Deleted: the DagRun was deleted",
			},
			Requests: []string{"get dagrun r"},
		},
	},
	"a DagRun that only the cache lacks gets its status": {
		before: func(f *fixture) {
			f.ended(0)
			f.hide("r")
		},
		want: world{
			Rows:     []string{"run r is Succeeded", "task a is Succeeded", "attempt a.1 is Succeeded"},
			Objects:  []string{"dagrun r is Succeeded, claimed", "pod a.1"},
			Requests: []string{"get dagrun r", "create event Succeeded", "patch status of dagrun r"},
			Enqueued: []string{"last run of d"},
		},
	},
	"a DagRun that goes before its status needs none": {
		before: func(f *fixture) {
			f.admittedRun(chain)
			f.patchDagRun("r", `{"spec":{"cancel":true}}`)
			f.showCluster()
			f.synced("r")
			f.api.answer("patch status of dagrun r", answer{before: func() { f.deleteDagRun("r") }})
		},
		want: world{
			Rows: []string{
				"run r is Cancelled, UserCancelled: cancelled by spec.cancel",
				"task a is Cancelled, UserCancelled: cancelled by spec.cancel",
				"task b is Cancelled, UserCancelled: cancelled by spec.cancel",
			},
			Requests: []string{"create event UserCancelled", "patch status of dagrun r"},
		},
	},
	"a DagRun that shows its end already is left alone": {
		before: func(f *fixture) {
			f.ended(0)
			must(f.T, f.status.syncFinalStatus(f.Context(), f.key("r")))
			f.showCluster()
		},
		want: world{
			Rows:    []string{"run r is Succeeded", "task a is Succeeded", "attempt a.1 is Succeeded"},
			Objects: []string{"dagrun r is Succeeded, claimed", "pod a.1"},
		},
	},
	"a status that the cache does not show yet is not written again": {
		before: func(f *fixture) {
			f.ended(0)
			must(f.T, f.status.syncFinalStatus(f.Context(), f.key("r")))
		},
		want: world{
			Rows:    []string{"run r is Succeeded", "task a is Succeeded", "attempt a.1 is Succeeded"},
			Objects: []string{"dagrun r is Succeeded, claimed", "pod a.1"},
		},
	},
	"a controller that ended between the Event and the status writes the status": {
		before: func(f *fixture) {
			f.ended(0)
			f.api.answer("patch status of dagrun r", answer{err: unavailable})
			if err := f.status.syncFinalStatus(f.Context(), f.key("r")); err == nil {
				f.Error("a status without an answer succeeds")
			}
			f.api.answer("patch status of dagrun r", answer{})
			f.restart()
		},
		want: world{
			Rows:     []string{"run r is Succeeded", "task a is Succeeded", "attempt a.1 is Succeeded"},
			Objects:  []string{"dagrun r is Succeeded, claimed", "pod a.1"},
			Requests: []string{"create event Succeeded", "patch status of dagrun r"},
			Enqueued: []string{"last run of d"},
		},
	},
	"a live run has no final status": {
		before: func(f *fixture) { f.running(single) },
		want: world{
			Rows: []string{
				"run r is Running",
				"task a is Active, Pending: its Pod is being created",
				"attempt a.1 is Decided",
			},
			Objects: []string{"dagrun r is Running, claimed", "pod a.1"},
			Pending: []string{"created pod a.1"},
		},
	},
	"a status that is refused for a conflict is written by the next sync": {
		before: func(f *fixture) {
			f.ended(0)
			f.api.answer("patch status of dagrun r", answer{
				err: apierrors.NewConflict(
					v1alpha1.SchemeGroupVersion.WithResource("dagruns").GroupResource(), "r", errTest,
				),
			})
		},
		want: world{
			Err:      "the object has changed",
			Rows:     []string{"run r is Succeeded", "task a is Succeeded", "attempt a.1 is Succeeded"},
			Objects:  []string{"dagrun r is Running, claimed", "pod a.1"},
			Requests: []string{"create event Succeeded", "patch status of dagrun r"},
		},
	},
	"a namespace that is terminating refuses the Event, and the status is written": {
		before: func(f *fixture) {
			f.ended(0)
			f.api.answer("create event Succeeded", answer{err: apierrors.NewForbidden(corev1.Resource("events"), "e",
				errors.New("unable to create new content in namespace ns because it is being terminated"))})
		},
		want: world{
			Rows:     []string{"run r is Succeeded", "task a is Succeeded", "attempt a.1 is Succeeded"},
			Objects:  []string{"dagrun r is Succeeded, claimed", "pod a.1"},
			Requests: []string{"create event Succeeded", "patch status of dagrun r"},
			Enqueued: []string{"last run of d"},
		},
	},
	"an Event that the API server fails to take is sent again before the status": {
		before: func(f *fixture) {
			f.ended(0)
			f.api.answer("create event Succeeded", answer{err: unavailable})
		},
		want: world{
			Err:      "creating an Event of DagRun ns/r: Internal error occurred: as the test wants it",
			Rows:     []string{"run r is Succeeded", "task a is Succeeded", "attempt a.1 is Succeeded"},
			Objects:  []string{"dagrun r is Running, claimed", "pod a.1"},
			Requests: []string{"create event Succeeded"},
		},
	},
	"the workspace of a run that ended is deleted before its final status": {
		before: func(f *fixture) {
			f.running(withWorkspace)
			f.exit("a.1", 0)
			f.synced("r")
		},
		want: world{
			Rows:     []string{"run r is Succeeded", "task a is Succeeded", "attempt a.1 is Succeeded"},
			Objects:  []string{"dagrun r is Succeeded, claimed", "pod a.1"},
			Requests: []string{"delete claim of r", "create event Succeeded", "patch status of dagrun r"},
			Enqueued: []string{"last run of d"},
		},
	},
	"a workspace that cannot be deleted yet holds the final status back": {
		before: func(f *fixture) {
			f.running(withWorkspace)
			f.exit("a.1", 0)
			f.synced("r")
			f.api.answer("delete claim of r", answer{err: unavailable})
		},
		want: world{
			Err:      `deleting claim "of r" of the workspace: Internal error occurred: as the test wants it`,
			Rows:     []string{"run r is Succeeded", "task a is Succeeded", "attempt a.1 is Succeeded"},
			Objects:  []string{"dagrun r is Running, claimed", "pod a.1"},
			Requests: []string{"delete claim of r"},
		},
	},
}
