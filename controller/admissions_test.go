package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/engine"
	"kontroler/controller/leader"
)

// chain is a DAG of two tasks.
const chain = `
task:
- {name: a, image: busybox}
- {name: b, image: busybox, runAfter: [a]}`

// rowsOfChain are the rows of a run that was admitted.
var rowsOfChain = []string{"run r is Pending", "task a is Ready", "task b is Waiting, NeedsParents: needs a"}

// waitsForDagTask is a DagRun whose DAG names the DagTask "none".
const waitsForDagTask = `dagrun r is Pending, DagTaskNotFound: spec.task[0].taskRef.name: Not found: "none": ` +
	"there is no DagTask of this name in the DAG's namespace: apply it"

// unavailable is the answer of an API server that fails.
var unavailable = apierrors.NewInternalError(errTest)

func TestAdmission(t *testing.T) {
	newRoad(t).try(t, admissions, func(ctx context.Context, f *fixture, of string) error {
		return f.admissions.syncAdmission(ctx, f.key(of))
	})
}

// admissions are what may happen to a DagRun that has no run.
var admissions = map[string]roadCase{
	"a DagRun gets its rows, then its claim, and is handed over": {
		before: func(f *fixture) {
			f.newDAG(chain)
			f.newDagRun("r", nil)
		},
		want: world{
			Rows: rowsOfChain, Objects: []string{"dagrun r is Running, claimed"},
			Requests: []string{"get dag d", "patch status of dagrun r"},
			Enqueued: []string{"run r", "last run of d"},
		},
	},
	"a DAG that no controller has claimed is claimed with its first DagRun": {
		before: func(f *fixture) {
			f.createDAG(chain)
			f.newDagRun("r", nil)
		},
		want: world{
			Rows: rowsOfChain, Objects: []string{"dagrun r is Running, claimed"},
			Requests: []string{"get dag d", "patch status of dag d", "patch status of dagrun r"},
			Enqueued: []string{"run r", "last run of d"},
		},
	},
	"a run that is admitted and claimed is only handed over": {
		before: func(f *fixture) {
			f.admittedRun(chain)
		},
		want: world{
			Rows: rowsOfChain, Objects: []string{"dagrun r is Running, claimed"}, Enqueued: []string{"run r"},
		},
	},
	"a run whose controller ended before the claim is claimed, and its row stays": {
		before: func(f *fixture) {
			f.newDAG(chain)
			f.newDagRun("r", nil)
			f.api.answer("patch status of dagrun r", answer{err: unavailable})
			if err := f.admissions.syncAdmission(f.Context(), f.key("r")); err == nil {
				f.Error("a claim without an answer succeeds")
			}
			f.api.answer("patch status of dagrun r", answer{})
		},
		want: world{
			Rows: rowsOfChain, Objects: []string{"dagrun r is Running, claimed"},
			Requests: []string{"patch status of dagrun r"}, Enqueued: []string{"run r", "last run of d"},
		},
	},
	"an invalid DAG refuses its DagRun, which the final status says": {
		before: func(f *fixture) {
			f.newDAG("task: [{name: a, image: busybox, runAfter: [b]}]")
			f.newDagRun("r", nil)
		},
		want: world{
			Rows: []string{
				`run r is Failed, InvalidDag: spec.task[0].runAfter[0]: Not found: "b": no task has this name`,
			},
			Objects:  []string{"dagrun r has no status"},
			Requests: []string{"get dag d"}, Enqueued: []string{"final status of r"},
		},
	},
	"a DagRun whose DAG names a DagTask that does not exist waits, and its status says why": {
		before: func(f *fixture) {
			f.newDAG("task: [{name: a, taskRef: {name: none}}]")
			f.newDagRun("r", nil)
		},
		want: world{
			Objects:  []string{waitsForDagTask},
			Requests: []string{"get dag d", "get dagtask none", "patch status of dagrun r"},
		},
	},
	"a DAG that is invalid for another reason, too, refuses its DagRun": {
		before: func(f *fixture) {
			f.newDAG("task: [{name: a, taskRef: {name: none}, runAfter: [b]}]")
			f.newDagRun("r", nil)
		},
		want: world{
			Rows: []string{
				`run r is Failed, InvalidDag: spec.task[0].taskRef.name: Not found: "none": there is no DagTask of ` +
					`this name in the DAG's namespace: apply it; spec.task[0].runAfter[0]: Not found: "b": no task ` +
					"has this name",
			},
			Objects:  []string{"dagrun r has no status"},
			Requests: []string{"get dag d", "get dagtask none"}, Enqueued: []string{"final status of r"},
		},
	},
	"an unknown parameter refuses the DagRun": {
		before: func(f *fixture) {
			f.newDAG(chain)
			f.newDagRun("r", func(run *v1alpha1.DagRun) {
				run.Spec.Parameters = []v1alpha1.ParameterValue{{Name: "day", Value: new("monday")}}
			})
		},
		want: world{
			Rows: []string{`run r is Failed, InvalidParameters: spec.parameters[0].name: Not found: "day": ` +
				"the DAG has no parameter of this name"},
			Objects: []string{"dagrun r has no status"}, Requests: []string{"get dag d"},
			Enqueued: []string{"final status of r"},
		},
	},
	"a DagRun whose DAG does not exist waits, and its status says why": {
		config: func(cfg *Config) { cfg.Class = "" },
		before: func(f *fixture) { f.newDagRun("r", nil) },
		want: world{
			Objects: []string{
				`dagrun r is Pending, DagNotFound: there is no DAG "d" in namespace "ns"; the run starts once the DAG exists`,
			},
			Requests: []string{"get dag d", "patch status of dagrun r"},
		},
	},
	"a DagRun that waits for its DAG and is cancelled ends": {
		config: func(cfg *Config) { cfg.Class = "" },
		before: func(f *fixture) { f.newDagRun("r", func(run *v1alpha1.DagRun) { run.Spec.Cancel = true }) },
		want: world{
			Objects: []string{
				"dagrun r is Cancelled, UserCancelled: cancelled by spec.cancel before it was admitted, " +
					"claimed without a run",
			},
			Requests: []string{"get dag d", "patch status of dagrun r"},
		},
	},
	"a DagRun that waits for a DagTask and is cancelled ends": {
		before: func(f *fixture) {
			f.newDAG("task: [{name: a, taskRef: {name: none}}]")
			f.newDagRun("r", func(run *v1alpha1.DagRun) { run.Spec.Cancel = true })
		},
		want: world{
			Objects: []string{
				"dagrun r is Cancelled, UserCancelled: cancelled by spec.cancel before it was admitted, " +
					"claimed without a run",
			},
			Requests: []string{"get dag d", "get dagtask none", "patch status of dagrun r"},
		},
	},
	"a DagRun without a DAG is left to the controller of the empty class": {
		before: func(f *fixture) { f.newDagRun("r", nil) },
		want:   world{Objects: []string{"dagrun r has no status"}, Requests: []string{"get dag d"}},
	},
	"a DagRun that is being deleted is not admitted": {
		before: func(f *fixture) {
			f.newDAG(chain)
			f.newDagRun("r", func(run *v1alpha1.DagRun) { run.Finalizers = []string{"example.org/hold"} })
			f.deleteDagRun("r")
			f.showCluster()
		},
		want: world{Objects: []string{"dagrun r has no status"}},
	},
	"a DagRun that is deleted before its claim leaves a run, whose sync ends it": {
		before: func(f *fixture) {
			f.newDAG(chain)
			f.newDagRun("r", nil)
			f.api.answer("patch status of dagrun r", answer{before: func() { f.deleteDagRun("r") }})
		},
		want: world{
			Rows: rowsOfChain, Requests: []string{"get dag d", "patch status of dagrun r", "get dagrun r"},
			Enqueued: []string{"run r"},
		},
	},
	"a DagRun that is gone may have left a run, whose sync follows": {
		before: func(f *fixture) {
			f.newDAG(chain)
			f.newDagRun("r", nil)
			f.deleteDagRun("r")
			f.showCluster()
		},
		want: world{Enqueued: []string{"run r in 1s"}},
	},
	"a DagRun of a DAG that another controller has claimed is ignored": {
		before: func(f *fixture) {
			f.createDAG(chain)
			f.claimDAG("another")
			f.newDagRun("r", nil)
		},
		want: world{
			Objects: []string{"dagrun r has no status"}, Requests: []string{"get dag d", "get lease kontroler-another"},
		},
	},
	"a DagRun that another controller has claimed is ignored": {
		before: func(f *fixture) {
			f.newDAG(chain)
			f.newDagRun("r", func(run *v1alpha1.DagRun) {
				run.Status = v1alpha1.DagRunStatus{Phase: v1alpha1.RunRunning, Controller: "another", RunID: 7}
			})
		},
		want: world{Objects: []string{"dagrun r is Running"}},
	},
	"a claim that conflicts with another change of the DagRun is repeated": {
		before: func(f *fixture) {
			f.newDAG(chain)
			f.newDagRun("r", nil)
			f.api.answer("patch status of dagrun r", answer{before: once(func() {
				f.patchDagRun("r", `{"metadata":{"labels":{"team":"blue"}}}`)
			})})
		},
		want: world{
			Rows: rowsOfChain, Objects: []string{"dagrun r is Running, claimed"},
			Requests: []string{"get dag d", "patch status of dagrun r", "get dagrun r", "patch status of dagrun r"},
			Enqueued: []string{"run r", "last run of d"},
		},
	},
	"a claim that another controller wins discards our row": {
		before: func(f *fixture) {
			f.newDAG(chain)
			f.newDagRun("r", nil)
			f.api.answer("patch status of dagrun r", answer{before: func() {
				f.patchDagRun("r", `{"status":{"phase":"Running","controller":"another","runId":7}}`, "status")
			}})
		},
		want: world{
			Objects:  []string{"dagrun r is Running"},
			Requests: []string{"get dag d", "patch status of dagrun r", "get dagrun r"},
		},
	},
	"a claim whose DagRun keeps changing is left to the next sync": {
		before: func(f *fixture) {
			f.newDAG(chain)
			f.newDagRun("r", nil)
			f.api.answer("patch status of dagrun r", answer{before: func() {
				f.patchDagRun("r", `{"metadata":{"labels":{"at":"`+time.Now().Format("150405.000000000")+`"}}}`)
			}})
		},
		want: world{
			Err: "claiming DagRun ns/r: it keeps changing", Rows: rowsOfChain,
			Objects: []string{"dagrun r has no status"},
			Requests: []string{
				"get dag d", "patch status of dagrun r", "get dagrun r", "patch status of dagrun r", "get dagrun r",
				"patch status of dagrun r", "get dagrun r",
			},
		},
	},
	"a commit whose answer is lost is not acted on": {
		before: func(f *fixture) {
			f.newDAG(chain)
			f.newDagRun("r", nil)
			f.road.beforeCommit = func() { f.road.link.loses.Store(true) }
		},
		want: world{
			Err: "the answer to the commit was lost", Rows: rowsOfChain, Objects: []string{"dagrun r has no status"},
			Requests: []string{"get dag d"},
		},
	},
	"a live DagRun whose row is gone has lost its history, and is not run again": {
		before: func(f *fixture) {
			f.newDAG(chain)
			f.newDagRun("r", func(run *v1alpha1.DagRun) {
				run.Status = v1alpha1.DagRunStatus{Phase: v1alpha1.RunRunning, Controller: f.cfg.ID, RunID: 7}
			})
		},
		want: world{
			Objects: []string{"dagrun r is Failed, HistoryLost: row 7 of the run is not in the database: " +
				"its result is unknown, and it is not run again, claimed"},
			Requests: []string{"create event HistoryLost", "patch status of dagrun r"},
		},
	},
	"a DagRun that has ended and whose row is gone is left alone": {
		before: func(f *fixture) {
			f.newDAG(chain)
			f.newDagRun("r", func(run *v1alpha1.DagRun) {
				run.Status = v1alpha1.DagRunStatus{Phase: v1alpha1.RunSucceeded, Controller: f.cfg.ID, RunID: 7}
			})
		},
		want: world{Objects: []string{"dagrun r is Succeeded, claimed"}},
	},
	"a DagRun that is already marked as the existing Kontroler's is left alone": {
		before: func(f *fixture) {
			f.newDagRun("r", func(run *v1alpha1.DagRun) {
				run.Status = v1alpha1.DagRunStatus{Phase: "running", DagRunID: 5}
			})
			f.admitted("r")
		},
		want: world{Objects: []string{
			"dagrun r is running, OtherKontroler: the existing Kontroler ran it, as its run 5: " +
				"it is kept as history and does not run again; create another DagRun to run the DAG",
		}},
	},
	"a DagRun of the existing Kontroler is history, and keeps its phase": {
		before: func(f *fixture) {
			f.newDAG(chain)
			f.newDagRun("r", func(run *v1alpha1.DagRun) {
				run.Status = v1alpha1.DagRunStatus{Phase: "running", DagRunID: 5}
			})
		},
		want: world{
			Objects: []string{"dagrun r is running, OtherKontroler: the existing Kontroler ran it, as its run 5: " +
				"it is kept as history and does not run again; create another DagRun to run the DAG"},
			Requests: []string{"patch status of dagrun r"},
		},
	},
}

// The CRD limits the message in the status of a DagRun. A DAG may lack more DagTasks than it has room for.
func TestAdmissionThatWaitsForManyDagTasks(t *testing.T) {
	f := newRoad(t).newFixture(t, nil)
	spec := "task:\n"
	for i := range 100 {
		spec += fmt.Sprintf("- {name: t%d, taskRef: {name: none}}\n", i)
	}
	f.newDAG(spec)
	f.newDagRun("r", nil)
	f.admitted("r")
	status := f.dagRun("r").Status
	if status.Reason != engine.ReasonDagTaskNotFound || !strings.HasPrefix(status.Message, "spec.task[0].taskRef") {
		t.Errorf("the reason is %q, the message %q", status.Reason, status.Message)
	}
	f.api.take()
	f.admitted("r")
	if sent := f.api.take(); slices.Contains(sent, "patch status of dagrun r") {
		t.Errorf("the next sync sends %q", sent)
	}
}

// claimDAG claims the DAG "d" for another controller, which is alive.
func (f *fixture) claimDAG(id string) {
	f.Helper()
	dags := f.road.client.KontrolerV1alpha1().DAGs(f.road.namespace)
	d, err := dags.Get(f.Context(), "d"+f.suffix, metav1.GetOptions{})
	must(f.T, err)
	d.Status.Controller, d.Status.ControllerNamespace = id, f.road.namespace
	_, err = dags.UpdateStatus(f.Context(), d, metav1.UpdateOptions{})
	must(f.T, err)
	now, seconds := metav1.NewMicroTime(f.time), int32(15)
	_, err = f.road.kube.CoordinationV1().Leases(f.road.namespace).Create(f.Context(), &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: leader.LeaseName(id)},
		Spec:       coordinationv1.LeaseSpec{RenewTime: &now, LeaseDurationSeconds: &seconds},
	}, metav1.CreateOptions{})
	must(f.T, err)
}

// once returns a function that calls f the first time.
func once(f func()) func() {
	done := false
	return func() {
		if !done {
			done = true
			f()
		}
	}
}
