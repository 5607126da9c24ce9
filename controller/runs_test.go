package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/engine"
	"kontroler/controller/queue"
)

// running brings the DagRun "r" of a DAG to its first sync, which creates its first Pods. Their names are as in "a.1":
// the Pod of the first attempt of task a.
func (f *fixture) running(spec string) {
	f.Helper()
	f.admittedRun(spec)
	f.synced("r")
}

func TestRun(t *testing.T) {
	r := newRoad(t)
	for _, cases := range []map[string]roadCase{
		beginnings, outcomes, refusals, repeats, lostCommits, stops, shares, lookups,
	} {
		r.try(t, cases, func(ctx context.Context, f *fixture, of string) error {
			return f.runs.syncRun(ctx, f.key(of))
		})
	}
}

const (
	single = `
task: [{name: a, image: busybox}]`
	limited = `
task: [{name: a, image: busybox, timeoutSeconds: 100}]`
	retrying = `
task: [{name: a, image: busybox, backoff: {limit: 1, duration: 10s}}]`
)

const tooLargeRemedy = ". Shorten the parameters, or pass large values through a ConfigMap or a workspace"

// The answers of an API server that refuses to create the Pod of a word.
func exceededQuota(f *fixture, word string) answer {
	return answer{err: apierrors.NewForbidden(corev1.Resource("pods"), f.nameOf(word),
		errors.New("exceeded quota: q, requested: pods=1, used: pods=5, limited: pods=5"))}
}

func violatesPolicy(f *fixture, word string) answer {
	return answer{err: apierrors.NewForbidden(corev1.Resource("pods"), f.nameOf(word),
		errors.New("violates PodSecurity \"restricted:latest\""))}
}

// beginnings are the first syncs of a run.
var beginnings = map[string]roadCase{
	"the first Pod is created after the claim": {
		before: func(f *fixture) {
			f.admittedRun(chain)
		},
		want: world{
			Rows: []string{
				"run r is Running",
				"task a is Active, Pending: its Pod is being created",
				"task b is Waiting, NeedsParents: needs a",
				"attempt a.1 is Decided",
			},
			Objects:  []string{"dagrun r is Running, claimed", "pod a.1"},
			Requests: []string{"create pod a.1"},
			Enqueued: []string{"progress of r"},
			Pending:  []string{"created pod a.1"},
		},
	},
	"a run with a deadline is synced again then": {
		before: func(f *fixture) {
			f.newDAG("activeDeadlineSeconds: 60" + single)
			f.newDagRun("r", nil)
			f.admitted("r")
		},
		want: world{
			Rows: []string{
				"run r is Running",
				"task a is Active, Pending: its Pod is being created",
				"attempt a.1 is Decided",
			},
			Objects:  []string{"dagrun r is Running, claimed", "pod a.1"},
			Requests: []string{"create pod a.1"},
			Enqueued: []string{"progress of r", "alarm in 1m0s"},
			Pending:  []string{"created pod a.1"},
		},
	},
	"a sync does not put off a Pod that appears while it runs": {
		before: func(f *fixture) {
			f.newDAG("activeDeadlineSeconds: 60" + single)
			f.newDagRun("r", nil)
			f.admitted("r")
			f.api.answer("create pod a.1", answer{before: func() {
				f.backlog.appeared(string(f.key("r")), f.nameOf("a.1"), f.time.Add(startTime))
			}})
		},
		want: world{
			Rows: []string{
				"run r is Running",
				"task a is Active, Pending: its Pod is being created",
				"attempt a.1 is Decided",
			},
			Objects:  []string{"dagrun r is Running, claimed", "pod a.1"},
			Requests: []string{"create pod a.1"},
			Enqueued: []string{"progress of r", "alarm in 500ms"},
			Pending:  []string{"pod a.1", "created pod a.1"},
		},
	},
	"a sync forgets when it was due before": {
		before: func(f *fixture) {
			f.newDAG("activeDeadlineSeconds: 60" + single)
			f.newDagRun("r", nil)
			f.admitted("r")
			f.backlog.alarms.Set(f.key("r"), f.time.Add(time.Second))
		},
		want: world{
			Rows: []string{
				"run r is Running",
				"task a is Active, Pending: its Pod is being created",
				"attempt a.1 is Decided",
			},
			Objects:  []string{"dagrun r is Running, claimed", "pod a.1"},
			Requests: []string{"create pod a.1"},
			Enqueued: []string{"progress of r", "alarm in 1m0s"},
			Pending:  []string{"created pod a.1"},
		},
	},
	"a run whose DagRun is not claimed yet goes back to the admission": {
		before: func(f *fixture) {
			f.admittedRun(chain)
			f.patchDagRun("r", `{"status":null}`, "status")
			f.backlog.pending.Take(f.key("r"), 1) // a restart forgets the claim
			f.showCluster()
		},
		want: world{
			Rows:     []string{"run r is Pending", "task a is Ready", "task b is Waiting, NeedsParents: needs a"},
			Objects:  []string{"dagrun r has no status"},
			Enqueued: []string{"admission of r"},
		},
	},
	"a run without a row goes to the admission": {
		before: func(f *fixture) {
			f.newDAG(chain)
			f.newDagRun("r", nil)
		},
		want: world{
			Objects:  []string{"dagrun r has no status"},
			Enqueued: []string{"admission of r"},
		},
	},
	"a run with a workspace gets its claim, and then its Pod": {
		before: func(f *fixture) {
			f.admittedRun(withWorkspace)
		},
		want: world{
			Rows: []string{
				"run r is Running",
				"task a is Active, Pending: its Pod is being created",
				"attempt a.1 is Decided",
			},
			Objects:  []string{"dagrun r is Running, claimed", "pod a.1"},
			Requests: []string{"create claim of r", "create pod a.1"},
			Enqueued: []string{"progress of r"},
			Pending:  []string{"created pod a.1"},
		},
	},
	"a run whose DagRun shows its end is left to retention": {
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
	"a run that has ended only needs its final status": {
		before: func(f *fixture) {
			f.running(single)
			f.exit("a.1", 0)
			f.synced("r")
		},
		want: world{
			Rows:     []string{"run r is Succeeded", "task a is Succeeded", "attempt a.1 is Succeeded"},
			Objects:  []string{"dagrun r is Running, claimed", "pod a.1"},
			Enqueued: []string{"final status of r"},
		},
	},
}

// deadlineNotSet is a run whose task goes on without the deadline of its Pod.
var deadlineNotSet = world{
	Rows:     []string{"run r is Running", "task a is Active", "attempt a.1 is Running"},
	Objects:  []string{"dagrun r is Running, claimed", "pod a.1, limited to 2147483647 s"},
	Requests: []string{"patch pod a.1"},
	Enqueued: []string{"progress of r", "alarm in 1m40s"},
}

// outcomes are what Pods report.
var outcomes = map[string]roadCase{
	"a Pod that started makes its attempt Running": {
		before: func(f *fixture) {
			f.running(chain)
			f.start("a.1")
		},
		want: world{
			Rows: []string{
				"run r is Running",
				"task a is Active",
				"task b is Waiting, NeedsParents: needs a",
				"attempt a.1 is Running",
			},
			Objects:  []string{"dagrun r is Running, claimed", "pod a.1"},
			Enqueued: []string{"progress of r"},
		},
	},
	"the Pod of a task with a timeout is limited when its container has started": {
		before: func(f *fixture) {
			f.running(limited)
			f.start("a.1")
		},
		want: world{
			Rows:     []string{"run r is Running", "task a is Active", "attempt a.1 is Running"},
			Objects:  []string{"dagrun r is Running, claimed", "pod a.1, limited to 460 s"},
			Requests: []string{"patch pod a.1"},
			Enqueued: []string{"progress of r", "alarm in 1m40s"},
		},
	},
	"a Pod whose deadline could not be set is synced again": {
		before: func(f *fixture) {
			f.running(limited)
			f.start("a.1")
			f.api.answer("patch pod a.1", answer{err: apierrors.NewTooManyRequestsError("busy")})
		},
		want: world{
			Err:      `setting the deadline of pod "a.1": Too many requests: busy`,
			Rows:     []string{"run r is Running", "task a is Active", "attempt a.1 is Running"},
			Objects:  []string{"dagrun r is Running, claimed", "pod a.1, limited to 2147483647 s"},
			Requests: []string{"patch pod a.1"},
			Enqueued: []string{"progress of r", "alarm in 1m40s"},
			Pending:  []string{"pod a.1", "created pod a.1"},
		},
	},
	"a Pod whose deadline a policy refuses does not fail the sync": {
		before: func(f *fixture) {
			f.running(limited)
			f.start("a.1")
			f.api.answer("patch pod a.1", violatesPolicy(f, "a.1"))
		},
		want: deadlineNotSet,
	},
	"a Pod whose deadline a webhook fails to answer for does not fail the sync": {
		before: func(f *fixture) {
			f.running(limited)
			f.start("a.1")
			f.api.answer("patch pod a.1", answer{err: apierrors.NewInternalError(
				errors.New("failed calling webhook \"w\": context deadline exceeded"))})
		},
		want: deadlineNotSet,
	},
	"deadlines are set after the Pods of other tasks are created": {
		before: func(f *fixture) {
			f.running("\ntask: [{name: a, image: busybox, timeoutSeconds: 100}, {name: b, image: busybox}," +
				" {name: c, image: busybox, runAfter: [b]}]")
			f.start("a.1")
			f.exit("b.1", 0)
		},
		want: world{
			Rows: []string{
				"run r is Running",
				"task a is Active",
				"task b is Succeeded",
				"task c is Active, Pending: its Pod is being created",
				"attempt a.1 is Running",
				"attempt b.1 is Succeeded",
				"attempt c.1 is Decided",
			},
			Objects:  []string{"dagrun r is Running, claimed", "pod a.1, limited to 460 s", "pod b.1", "pod c.1"},
			Requests: []string{"create pod c.1", "patch pod a.1"},
			Enqueued: []string{"finished pod b.1", "progress of r", "alarm in 1m40s"},
			Pending:  []string{"created pod c.1"},
		},
	},
	"a Pod that is limited already is left alone": {
		before: func(f *fixture) {
			f.running(limited)
			f.start("a.1")
			f.synced("r")
			f.patchPod("a.1", `{"metadata":{"annotations":{"x":"y"}}}`)
			f.showCluster()
			f.touch("r", "a.1")
		},
		want: world{
			Rows:     []string{"run r is Running", "task a is Active", "attempt a.1 is Running"},
			Objects:  []string{"dagrun r is Running, claimed", "pod a.1, limited to 460 s"},
			Enqueued: []string{"alarm in 1m40s"},
		},
	},
	"the outcome of a Pod starts its child, and hands the Pod over": {
		before: func(f *fixture) {
			f.running(chain)
			f.exit("a.1", 0)
		},
		want: world{
			Rows: []string{
				"run r is Running",
				"task a is Succeeded",
				"task b is Active, Pending: its Pod is being created",
				"attempt a.1 is Succeeded",
				"attempt b.1 is Decided",
			},
			Objects:  []string{"dagrun r is Running, claimed", "pod a.1", "pod b.1"},
			Requests: []string{"create pod b.1"},
			Enqueued: []string{"finished pod a.1", "progress of r"},
			Pending:  []string{"created pod b.1"},
		},
	},
	"the last outcome ends the run, and its deadline is forgotten": {
		before: func(f *fixture) {
			f.running("activeDeadlineSeconds: 60" + single)
			f.synced("r")
			f.exit("a.1", 0)
		},
		want: world{
			Rows:     []string{"run r is Succeeded", "task a is Succeeded", "attempt a.1 is Succeeded"},
			Objects:  []string{"dagrun r is Running, claimed", "pod a.1"},
			Enqueued: []string{"finished pod a.1", "final status of r"},
		},
	},
	"a Pod that appears while its run ends keeps the alarm that it sets": {
		before: func(f *fixture) {
			f.running(single)
			f.exit("a.1", 0)
			f.road.beforeCommit = func() {
				f.backlog.appeared(string(f.key("r")), f.nameOf("a.2"), f.time.Add(startTime))
			}
		},
		want: world{
			Rows:     []string{"run r is Succeeded", "task a is Succeeded", "attempt a.1 is Succeeded"},
			Objects:  []string{"dagrun r is Running, claimed", "pod a.1"},
			Enqueued: []string{"finished pod a.1", "final status of r", "alarm in 500ms"},
			Pending:  []string{"pod a.2"},
		},
	},
	"a failure skips the children and ends the run": {
		before: func(f *fixture) {
			f.running(chain)
			f.exit("a.1", 3)
		},
		want: world{
			Rows: []string{
				"run r is Failed, TaskFailed: 1 task failed",
				"task a is Failed, RetriesSpent: ExitCode: exit code 3",
				"task b is Skipped, ParentFailed: parent a failed",
				"attempt a.1 is Failed, ExitCode: exit code 3",
			},
			Objects:  []string{"dagrun r is Running, claimed", "pod a.1"},
			Enqueued: []string{"finished pod a.1", "final status of r"},
		},
	},
	"a failure with retries left backs off": {
		before: func(f *fixture) {
			f.running(retrying)
			f.exit("a.1", 3)
		},
		want: world{
			Rows: []string{
				"run r is Running",
				"task a is Ready, BackingOff: retry 1 of 1: ExitCode: exit code 3",
				"attempt a.1 is Failed, ExitCode: exit code 3",
			},
			Objects:  []string{"dagrun r is Running, claimed", "pod a.1"},
			Enqueued: []string{"finished pod a.1", "progress of r", "alarm in 10s"},
		},
	},
	"a task that has backed off gets another Pod": {
		before: func(f *fixture) {
			f.running(retrying)
			f.exit("a.1", 3)
			f.synced("r")
			f.time = f.time.Add(10 * time.Second)
		},
		want: world{
			Rows: []string{
				"run r is Running",
				"task a is Active, Pending: its Pod is being created",
				"attempt a.1 is Failed, ExitCode: exit code 3",
				"attempt a.2 is Decided",
			},
			Objects:  []string{"dagrun r is Running, claimed", "pod a.1", "pod a.2"},
			Requests: []string{"create pod a.2"},
			Enqueued: []string{"progress of r"},
			Pending:  []string{"created pod a.2"},
		},
	},
}

// refusals are creates that the API server refuses.
var refusals = map[string]roadCase{
	"a quota that is exceeded leaves the attempt waiting": {
		before: func(f *fixture) {
			f.admittedRun(single)
			f.api.answer("create pod a.1", exceededQuota(f, "a.1"))
		},
		want: world{
			Rows: []string{
				"run r is Running",
				"task a is Active, Pending: its Pod is being created",
				"attempt a.1 is Decided",
			},
			Objects:  []string{"dagrun r is Running, claimed"},
			Requests: []string{"create pod a.1"},
			Enqueued: []string{"run r", "progress of r"},
			Pending:  []string{"refused pod a.1: QuotaExceeded"},
		},
	},
	"an attempt shows why it waits for the quota, and its run sends nothing": {
		before: func(f *fixture) {
			f.admittedRun(single)
			f.api.answer("create pod a.1", exceededQuota(f, "a.1"))
			f.synced("r")
		},
		want: world{
			Rows: []string{
				"run r is Running",
				"task a is Active, QuotaExceeded: pods is forbidden: exceeded quota: q, requested: " +
					"pods=1, used: pods=5, limited: pods=5",
				"attempt a.1 is Decided, QuotaExceeded: pods is forbidden: exceeded quota: q, " +
					"requested: pods=1, used: pods=5, limited: pods=5",
			},
			Objects:  []string{"dagrun r is Running, claimed"},
			Enqueued: []string{"progress of r"},
		},
	},
	"another run in the namespace sends nothing while the quota is exceeded": {
		before: func(f *fixture) {
			f.newDAG(single)
			f.newDagRun("r", nil)
			f.newDagRun("other", nil)
			f.admitted("r")
			f.admitted("other")
			f.api.answer("create pod a.1", exceededQuota(f, "a.1"))
			f.synced("r")
		},
		of: "other",
		want: world{
			Rows: []string{
				"run r is Running",
				"task a is Active, Pending: its Pod is being created",
				"attempt a.1 is Decided",
				"run other is Running",
				"task other a is Active, Pending: its Pod is being created",
				"attempt other a.1 is Decided",
			},
			Objects:  []string{"dagrun r is Running, claimed", "dagrun other is Running, claimed"},
			Enqueued: []string{"run other", "progress of other"},
			Pending:  []string{"refused pod a.1: QuotaExceeded", "refused pod other a.1: QuotaExceeded"},
		},
	},
	"a run in another namespace goes on": {
		before: func(f *fixture) {
			f.admittedRun(single)
			f.gatekeeper.pods.Refused("elsewhere", "another run", queue.Template{},
				engine.Refusal{Reason: engine.ReasonQuotaExceeded}, f.now())
		},
		want: world{
			Rows: []string{
				"run r is Running",
				"task a is Active, Pending: its Pod is being created",
				"attempt a.1 is Decided",
			},
			Objects:  []string{"dagrun r is Running, claimed", "pod a.1"},
			Requests: []string{"create pod a.1"},
			Enqueued: []string{"progress of r"},
			Pending:  []string{"created pod a.1"},
		},
	},
	"a probe that the quota admits creates the Pod": {
		before: func(f *fixture) {
			f.admittedRun(single)
			f.api.answer("create pod a.1", exceededQuota(f, "a.1"))
			f.synced("r")
			f.synced("r")
			f.api.answer("create pod a.1", answer{})
			f.time = f.time.Add(time.Minute)
			f.gatekeeper.pods.Probe(f.now())
		},
		want: world{
			Rows: []string{
				"run r is Running",
				"task a is Active, QuotaExceeded: pods is forbidden: exceeded quota: q, requested: " +
					"pods=1, used: pods=5, limited: pods=5",
				"attempt a.1 is Decided, QuotaExceeded: pods is forbidden: exceeded quota: q, " +
					"requested: pods=1, used: pods=5, limited: pods=5",
			},
			Objects:  []string{"dagrun r is Running, claimed", "pod a.1"},
			Requests: []string{"create pod a.1"},
			Pending:  []string{"created pod a.1"},
		},
	},
	"a workspace that the quota refuses leaves the attempt waiting, and no Pod is created": {
		before: func(f *fixture) {
			f.admittedRun(withWorkspace)
			f.api.answer("create claim of r", exceededQuota(f, "of r"))
		},
		want: world{
			Rows: []string{
				"run r is Running",
				"task a is Active, Pending: its Pod is being created",
				"attempt a.1 is Decided",
			},
			Objects:  []string{"dagrun r is Running, claimed"},
			Requests: []string{"create claim of r"},
			Enqueued: []string{"run r", "progress of r"},
			Pending:  []string{"refused pod a.1: QuotaExceeded"},
		},
	},
	"a Pod that the API server finds invalid fails its attempt": {
		before: func(f *fixture) {
			f.admittedRun(single)
			pod := corev1.SchemeGroupVersion.WithKind("Pod").GroupKind()
			f.api.answer("create pod a.1", answer{err: apierrors.NewInvalid(pod, f.nameOf("a.1"),
				field.ErrorList{field.Required(field.NewPath("spec"), "")})})
			f.synced("r")
		},
		want: world{
			Rows: []string{
				"run r is Failed, TaskFailed: 1 task failed",
				"task a is Failed, RetriesSpent: StartFailed: Pod is invalid: spec: Required value",
				"attempt a.1 is Failed, StartFailed: Pod is invalid: spec: Required value",
			},
			Objects:  []string{"dagrun r is Running, claimed"},
			Enqueued: []string{"final status of r"},
		},
	},
	"a Pod that is too large for etcd fails its attempt, and the namespace stays open": {
		before: func(f *fixture) {
			f.newDAG(single)
			f.newDagRun("r", nil)
			f.newDagRun("other", nil)
			f.admitted("r")
			f.admitted("other")
			f.api.answer("create pod a.1", answer{err: &apierrors.StatusError{ErrStatus: metav1.Status{
				Status: metav1.StatusFailure, Code: 500, Message: "etcdserver: request is too large"}}})
			f.synced("r")
			f.synced("r")
		},
		of: "other",
		want: world{
			Rows: []string{
				"run r is Failed, TaskFailed: 1 task failed",
				"task a is Failed, RetriesSpent: StartFailed: etcdserver: request is too large" + tooLargeRemedy,
				"attempt a.1 is Failed, StartFailed: etcdserver: request is too large" + tooLargeRemedy,
				"run other is Running",
				"task other a is Active, Pending: its Pod is being created",
				"attempt other a.1 is Decided",
			},
			Objects: []string{
				"dagrun r is Running, claimed", "dagrun other is Running, claimed",
				"pod other a.1",
			},
			Requests: []string{"create pod other a.1"},
			Enqueued: []string{"progress of other"},
			Pending:  []string{"created pod other a.1"},
		},
	},
	"a namespace that is terminating leaves the attempt waiting": {
		before: func(f *fixture) {
			f.admittedRun(single)
			f.api.answer("create pod a.1", answer{err: apierrors.NewNotFound(corev1.Resource("namespaces"), "ns")})
			f.synced("r")
		},
		want: world{
			Rows: []string{
				"run r is Running",
				`task a is Active, NamespaceTerminating: namespaces "ns" not found`,
				`attempt a.1 is Decided, NamespaceTerminating: namespaces "ns" not found`,
			},
			Objects:  []string{"dagrun r is Running, claimed"},
			Enqueued: []string{"progress of r"},
		},
	},
	"a policy that refuses a Pod is waited out for the start grace": {
		before: func(f *fixture) {
			f.admittedRun(single)
			f.api.answer("create pod a.1", violatesPolicy(f, "a.1"))
			f.synced("r")
		},
		want: world{
			Rows: []string{
				"run r is Running",
				`task a is Active, CreateRefused: pods is forbidden: violates PodSecurity "restricted:latest"`,
				"attempt a.1 is Decided, CreateRefused: pods is forbidden: violates PodSecurity " +
					`"restricted:latest"`,
			},
			Objects:  []string{"dagrun r is Running, claimed"},
			Enqueued: []string{"progress of r", "alarm in 5m0s"},
		},
	},
	"an attempt that a policy refuses for longer than the start grace fails": {
		before: func(f *fixture) {
			f.admittedRun(single)
			f.api.answer("create pod a.1", violatesPolicy(f, "a.1"))
			f.synced("r")
			f.synced("r")
			f.time = f.time.Add(f.cfg.StartGrace)
		},
		want: world{
			Rows: []string{
				"run r is Failed, TaskFailed: 1 task failed",
				"task a is Failed, RetriesSpent: StartFailed: pods is forbidden: violates " +
					`PodSecurity "restricted:latest"`,
				"attempt a.1 is Failed, StartFailed: pods is forbidden: violates PodSecurity " +
					`"restricted:latest"`,
			},
			Objects:  []string{"dagrun r is Running, claimed"},
			Enqueued: []string{"final status of r"},
		},
	},
}

// repeats are creates that are sent more than once.
var repeats = map[string]roadCase{
	"an API server that does not answer leaves the attempt Decided, and the next sync creates the Pod": {
		before: func(f *fixture) {
			f.admittedRun(single)
			f.api.answer("create pod a.1", answer{err: apierrors.NewTimeoutError("slow", 1)})
		},
		want: world{
			Err: `creating pod "a.1": Timeout: slow`,
			Rows: []string{
				"run r is Running",
				"task a is Active, Pending: its Pod is being created",
				"attempt a.1 is Decided",
			},
			Objects:  []string{"dagrun r is Running, claimed"},
			Requests: []string{"create pod a.1"},
			Enqueued: []string{"progress of r"},
		},
	},
	"a Pod that an earlier process created is found by its name": {
		before: func(f *fixture) {
			f.running(single)
			f.hide("a.1")
			f.restart()
		},
		want: world{
			Rows: []string{
				"run r is Running",
				"task a is Active, Pending: its Pod is being created",
				"attempt a.1 is Decided",
			},
			Objects:  []string{"dagrun r is Running, claimed", "pod a.1"},
			Requests: []string{"create pod a.1", "get pod a.1"},
			Pending:  []string{"created pod a.1"},
		},
	},
	"another Pod with the name of an attempt's Pod fails the attempt": {
		before: func(f *fixture) {
			f.admittedRun(single)
			f.foreignPod("a.1")
			f.synced("r")
		},
		want: world{
			Rows: []string{
				"run r is Failed, TaskFailed: 1 task failed",
				`task a is Failed, RetriesSpent: NameTaken: the name "a.1" is taken by a Pod that does not belong ` +
					"to this run",
				`attempt a.1 is Failed, NameTaken: the name "a.1" is taken by a Pod that does not belong to this run`,
			},
			Objects:  []string{"dagrun r is Running, claimed", "pod a.1, without finalizer, without labels"},
			Enqueued: []string{"final status of r"},
		},
	},
}

// A quota of scope Terminating counts the Pod of a task with a timeout when it is created. Otherwise the Pod would
// bypass a full quota, which then refuses the lower deadline.
func TestQuotaOfPodsWithADeadline(t *testing.T) {
	f := newRoad(t).newFixture(t, nil)
	f.admittedRun(limited)
	full := corev1.ResourceList{corev1.ResourcePods: resource.MustParse("0")}
	quotas := f.road.kube.CoreV1().ResourceQuotas(f.road.namespace)
	_, err := quotas.Create(t.Context(), &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "full"},
		Spec: corev1.ResourceQuotaSpec{
			Scopes: []corev1.ResourceQuotaScope{corev1.ResourceQuotaScopeTerminating}, Hard: full,
		},
	}, metav1.CreateOptions{})
	must(t, err)
	// The controller of quotas does the same later.
	_, err = quotas.Patch(t.Context(), "full", types.MergePatchType,
		[]byte(`{"status":{"hard":{"pods":"0"},"used":{"pods":"0"}}}`), metav1.PatchOptions{}, "status")
	must(t, err)
	f.synced("r")
	want := []string{"refused pod a.1: QuotaExceeded"}
	if diff := cmp.Diff(want, f.pending()); diff != "" {
		t.Errorf("pending (-want +got):\n%s", diff)
	}
}

// A claim that no row records and that is being deleted is created again once it is gone. Until then, its run is synced
// every few seconds, and records the reason once. A slot that the run cannot use does not enqueue it.
func TestClaimThatIsBeingDeleted(t *testing.T) {
	r := newRoad(t)
	for name, spec := range map[string]string{
		"one task":              withWorkspace,
		"more tasks than slots": strings.Replace(withWorkspace, "}]", "}, {name: b, image: busybox}]", 1),
	} {
		t.Run(name, func(t *testing.T) {
			f := r.newFixture(t, func(c *Config) { c.MaxPods = 1 })
			f.admittedRun(spec)
			f.backlog.slots.Seen(cache.NewObjectName("other", "pod"))
			f.api.answer("create claim of r", answer{
				err: apierrors.NewAlreadyExists(corev1.Resource("persistentvolumeclaims"), "claim")})
			f.api.answer("get claim of r", answer{text: fmt.Sprintf(`{"kind":"PersistentVolumeClaim","apiVersion":"v1",
				"metadata":{"name":"claim","deletionTimestamp":"2026-01-01T00:00:00Z","ownerReferences":[{"kind":"DagRun",
				"uid":%q,"apiVersion":"kontroler.greedykomodo/v1alpha1","name":"r","controller":true}]}}`, f.key("r"))})
			for i, want := range [][]string{{"run r", "run r in 5s"}, {"run r in 5s"}, {"run r in 5s"}} {
				f.enqueued()
				must(t, f.runs.syncRun(t.Context(), f.key("r")))
				if got := f.enqueuedRuns(); !slices.Equal(got, want) {
					t.Errorf("sync %d enqueues %q, want %q", i+1, got, want)
				}
			}
		})
	}
}

// enqueuedRuns empties the queues, and returns how the run "r" was in them.
func (f *fixture) enqueuedRuns() (enqueued []string) {
	for _, what := range f.enqueued() {
		if strings.HasPrefix(what, "run r") {
			enqueued = append(enqueued, what)
		}
	}
	return enqueued
}

// A run whose namespace has no slot gets one beyond --max-pods in each sync. If its creates fail, each sync fails, and
// only the backoff enqueues the run.
func TestCreatesThatFailWithoutSlots(t *testing.T) {
	f := newRoad(t).newFixture(t, func(c *Config) { c.MaxPods = 1 })
	f.admittedRun("\ntask: [{name: a, image: busybox}, {name: b, image: busybox}]")
	f.backlog.slots.Seen(cache.NewObjectName("other", "pod"))
	f.api.answer("create pod a.1", answer{err: apierrors.NewTooManyRequestsError("busy")})
	for i := range 3 {
		f.enqueued()
		if err := f.runs.syncRun(t.Context(), f.key("r")); err == nil {
			t.Errorf("sync %d succeeds", i+1)
		}
		if got := f.enqueuedRuns(); got != nil {
			t.Errorf("sync %d enqueues %q", i+1, got)
		}
	}
	f.api.answer("create pod a.1", answer{})
	f.synced("r")
	if f.pod("a.1") == nil || f.enqueuedRuns() != nil {
		t.Error("the run does not wait for its second slot with its first Pod")
	}
	f.backlog.slots.Release(f.podKey("a.1"))
	if want := []string{"run r"}; !slices.Equal(f.enqueuedRuns(), want) {
		t.Error("a slot that is free does not enqueue the run")
	}
}

// A sync that finds no slot succeeds, and does not end the backoff of a run whose creates have failed.
func TestBackoffOfARunThatFindsNoSlot(t *testing.T) {
	f := newRoad(t).newFixture(t, func(c *Config) { c.MaxPods = 1 })
	f.admittedRun(single)
	f.backlog.slots.Seen(cache.NewObjectName(f.road.namespace, "other"))
	f.backlog.queue.AddRateLimited(f.key("r"))
	f.backlog.queue.Work(t.Context(), func(ctx context.Context, key queue.RunKey) error {
		f.backlog.queue.ShutDown()
		return f.runs.syncRun(ctx, key)
	}, func(err error) { t.Error(err) })
	if got := f.backlog.queue.NumRequeues(f.key("r")); got != 1 {
		t.Errorf("the backoff counts %d failures, want 1", got)
	}
}

// A run whose syncs fail gives back the slot that is reserved for it.
func TestReservedSlotOfAFailingRun(t *testing.T) {
	f := newRoad(t).newFixture(t, func(c *Config) { c.MaxPods = 1 })
	f.admittedRun(single)
	f.hide("r")
	f.api.answer("get dagrun r", answer{err: apierrors.NewForbidden(corev1.Resource("dagruns"), "r", errors.New("no"))})
	other := cache.NewObjectName("other", "pod")
	f.backlog.slots.Seen(other)
	f.backlog.slots.Wait("team", f.key("r"))
	f.backlog.slots.Release(other)
	if err := f.runs.syncRun(t.Context(), f.key("r")); err == nil {
		t.Fatal("the sync succeeds")
	}
	if got := f.backlog.slots.Take("team", "another", 1).Remaining(); got != 1 {
		t.Errorf("another run may create %d Pods, want 1", got)
	}
}

// A Pod that was released takes no slot, although a sidecar of it still runs. Its deletion may come before the
// handlers.
func TestResumeCountsNoReleasedPods(t *testing.T) {
	f := newRoad(t).newFixture(t, nil)
	f.running(single)
	f.start("a.1")
	f.restart()
	must(t, f.term.resume(t.Context()))
	if got := f.backlog.slots.InUse(); got != 1 {
		t.Errorf("a running Pod takes %d slots", got)
	}
	f.patchPod("a.1", `{"metadata":{"finalizers":null}}`)
	f.restart()
	must(t, f.term.resume(t.Context()))
	if got := f.backlog.slots.InUse(); got != 0 {
		t.Errorf("a released Pod takes %d slots", got)
	}
}

// lostCommits are transactions that failed, or may have.
var lostCommits = map[string]roadCase{
	"a run that another process changed is gathered whole next time": {
		before: func(f *fixture) {
			f.running(chain)
			f.exit("a.1", 0)
			f.road.beforeCommit = func() {
				f.road.exec(f.T,
					`UPDATE kontroler.attempts SET phase = 'Lost', finished_at = now() WHERE pod_name = $1`,
					f.nameOf("a.1"))
			}
		},
		want: world{
			Err: "the rows have changed",
			Rows: []string{
				"run r is Running",
				"task a is Active",
				"task b is Waiting, NeedsParents: needs a",
				"attempt a.1 is Lost",
			},
			Objects: []string{"dagrun r is Running, claimed", "pod a.1"},
			Pending: []string{"everything of r", "pod a.1", "created pod a.1"},
		},
	},
	"a commit whose answer is lost is not acted on, and its Pods are not forgotten": {
		before: func(f *fixture) {
			f.running(chain)
			f.exit("a.1", 0)
			f.road.beforeCommit = func() { f.road.link.loses.Store(true) }
		},
		want: world{
			Err: "the answer to the commit was lost",
			Rows: []string{
				"run r is Running",
				"task a is Succeeded",
				"task b is Active, Pending: its Pod is being created",
				"attempt a.1 is Succeeded",
				"attempt b.1 is Decided",
			},
			Objects: []string{"dagrun r is Running, claimed", "pod a.1"},
			Pending: []string{"everything of r", "pod a.1", "created pod a.1"},
		},
	},
	"the sync after a lost answer acts on what was committed": {
		before: func(f *fixture) {
			f.running(chain)
			f.exit("a.1", 0)
			f.road.beforeCommit = func() { f.road.link.loses.Store(true) }
			if err := f.runs.syncRun(f.Context(), f.key("r")); err == nil {
				f.Error("a commit without an answer succeeds")
			}
			f.road.beforeCommit = nil
		},
		want: world{
			Rows: []string{
				"run r is Running",
				"task a is Succeeded",
				"task b is Active, Pending: its Pod is being created",
				"attempt a.1 is Succeeded",
				"attempt b.1 is Decided",
			},
			Objects:  []string{"dagrun r is Running, claimed", "pod a.1", "pod b.1"},
			Requests: []string{"create pod b.1"},
			Enqueued: []string{"finished pod a.1", "last run of d", "progress of r"},
			Pending:  []string{"created pod b.1"},
		},
	},
}

// stops are reasons to stop a run.
var stops = map[string]roadCase{
	"a cancelled run stops what runs and cancels the rest": {
		before: func(f *fixture) {
			f.running(chain)
			f.start("a.1")
			f.synced("r")
			f.patchDagRun("r", `{"spec":{"cancel":true}}`)
			f.showCluster()
		},
		want: world{
			Rows: []string{
				"run r is Running, stopping: UserCancelled",
				"task a is Active, UserCancelled: cancelled by spec.cancel",
				"task b is Cancelled, UserCancelled: cancelled by spec.cancel",
				"attempt a.1 is Stopping, UserCancelled: cancelled by spec.cancel",
			},
			Objects:  []string{"dagrun r is Running, claimed", "pod a.1"},
			Enqueued: []string{"run r", "progress of r"},
		},
	},
	"a run that is past its deadline is stopped": {
		before: func(f *fixture) {
			f.running("activeDeadlineSeconds: 60" + chain)
			f.time = f.time.Add(time.Minute)
		},
		want: world{
			Rows: []string{
				"run r is Running, stopping: DeadlineExceeded",
				"task a is Active, DeadlineExceeded: the run took longer than activeDeadlineSeconds",
				"task b is Cancelled, DeadlineExceeded: the run took longer than activeDeadlineSeconds",
				"attempt a.1 is Stopping, DeadlineExceeded: the run took longer than activeDeadlineSeconds",
			},
			Objects:  []string{"dagrun r is Running, claimed", "pod a.1 is being deleted"},
			Requests: []string{"delete pod a.1"},
			Enqueued: []string{"run r", "progress of r"},
		},
	},
	"a DagRun that is being deleted cancels its run, and its Pods are stopped next": {
		before: func(f *fixture) {
			f.newDAG(chain)
			f.newDagRun("r", func(run *v1alpha1.DagRun) { run.Finalizers = []string{"example.org/hold"} })
			f.admitted("r")
			f.synced("r")
			f.deleteDagRun("r")
			f.showCluster()
		},
		want: world{
			Rows: []string{
				"run r is Running, stopping: Deleted",
				"task a is Active, Deleted: the DagRun was deleted",
				"task b is Cancelled, Deleted: the DagRun was deleted",
				"attempt a.1 is Stopping, Deleted: the DagRun was deleted",
			},
			Objects:  []string{"dagrun r is Running, claimed", "pod a.1 is being deleted"},
			Requests: []string{"delete pod a.1"},
			Enqueued: []string{"run r", "progress of r"},
		},
	},
	"a deletion that is refused is repeated at its time, and not everything of the run is gathered again": {
		before: func(f *fixture) {
			f.running(single)
			f.start("a.1")
			f.synced("r")
			f.patchDagRun("r", `{"spec":{"cancel":true}}`)
			f.showCluster()
			f.synced("r")
			f.restart()
			f.backlog.pending.Full(f.key("r"))
			f.api.answer("delete pod a.1", answer{err: apierrors.NewTooManyRequestsError("busy")})
		},
		want: world{
			Err: `deleting pod "a.1": Too many requests: busy`,
			Rows: []string{
				"run r is Running, stopping: UserCancelled",
				"task a is Active, UserCancelled: cancelled by spec.cancel",
				"attempt a.1 is Stopping, UserCancelled: cancelled by spec.cancel",
			},
			Objects:  []string{"dagrun r is Running, claimed", "pod a.1"},
			Requests: []string{"delete pod a.1"},
			Enqueued: []string{"last run of d", "progress of r", "alarm in 30s"},
		},
	},
	"a Pod whose labels cannot be restored does not keep the outcomes of others": {
		before: func(f *fixture) {
			f.running(`
task: [{name: a, image: busybox}, {name: b, image: busybox}]`)
			f.start("a.1")
			f.synced("r")
			f.exit("b.1", 0)
			f.patchPod("a.1", `{"metadata":{"labels":null}}`)
			f.showCluster()
			f.touch("r", "a.1")
			f.api.answer("patch pod a.1", answer{err: apierrors.NewForbidden(corev1.Resource("pods"), f.nameOf("a.1"),
				errors.New("no"))})
		},
		want: world{
			Err: `restoring the labels of pod "a.1": pods "a.1" is forbidden: no`,
			Rows: []string{
				"run r is Running",
				"task a is Active",
				"task b is Succeeded",
				"attempt a.1 is Running",
				"attempt b.1 is Succeeded",
			},
			Objects:  []string{"dagrun r is Running, claimed", "pod a.1, without labels", "pod b.1"},
			Requests: []string{"get pod a.1", "patch pod a.1"},
			Enqueued: []string{"finished pod b.1", "progress of r"},
			Pending:  []string{"pod a.1", "pod b.1"},
		},
	},
	"a DagRun that is gone cancels its run": {
		before: func(f *fixture) {
			f.admittedRun(chain)
			f.deleteDagRun("r")
			f.showCluster()
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
	"a DagRun that only the cache lacks is read before its run is cancelled": {
		before: func(f *fixture) {
			f.running(chain)
			f.hide("r")
		},
		want: world{
			Rows: []string{
				"run r is Running",
				"task a is Active, ContainerCreating: its Pod is being scheduled and started",
				"task b is Waiting, NeedsParents: needs a",
				"attempt a.1 is Pending",
			},
			Objects:  []string{"dagrun r is Running, claimed", "pod a.1"},
			Requests: []string{"get dagrun r"},
			Enqueued: []string{"alarm in 5s"},
		},
	},
	"a Pod that is being stopped keeps its grace period": {
		before: func(f *fixture) {
			f.running(chain)
			f.start("a.1")
			f.synced("r")
			f.patchDagRun("r", `{"spec":{"cancel":true}}`)
			f.showCluster()
			f.synced("r")
			f.synced("r")
			f.touch("r", "a.1")
		},
		want: world{
			Rows: []string{
				"run r is Running, stopping: UserCancelled",
				"task a is Active, UserCancelled: cancelled by spec.cancel",
				"task b is Cancelled, UserCancelled: cancelled by spec.cancel",
				"attempt a.1 is Stopping, UserCancelled: cancelled by spec.cancel",
			},
			Objects:  []string{"dagrun r is Running, claimed", "pod a.1 is being deleted"},
			Enqueued: []string{"alarm in 1m30s"},
		},
	},
	"the Pod that a stop deleted ends the run": {
		before: func(f *fixture) {
			f.running(chain)
			f.patchDagRun("r", `{"spec":{"cancel":true}}`)
			f.showCluster()
			f.synced("r")
			f.synced("r")
			f.touch("r", "a.1")
		},
		want: world{
			Rows: []string{
				"run r is Cancelled, UserCancelled: cancelled by spec.cancel",
				"task a is Cancelled, UserCancelled: cancelled by spec.cancel",
				"task b is Cancelled, UserCancelled: cancelled by spec.cancel",
				"attempt a.1 is Cancelled, UserCancelled: cancelled by spec.cancel",
			},
			Objects:  []string{"dagrun r is Running, claimed", "pod a.1 is being deleted"},
			Enqueued: []string{"finished pod a.1", "final status of r"},
		},
	},
	"a version that cannot be read fails the run, with the fault": {
		before: func(f *fixture) {
			f.admittedRun(chain)
			f.road.exec(f.T, `UPDATE kontroler.dag_versions SET spec = '{"task": 1}' WHERE dag_id = (
	SELECT id FROM kontroler.dags WHERE name = $1)`, "d"+f.suffix)
			f.restart()
		},
		want: world{
			Rows: []string{
				"run r is Failed, VersionUnreadable: the DAG version of this run cannot be read from " +
					"the database: the version cannot be read: version 1: decoding a DAG: json: cannot " +
					"unmarshal number into Go struct field DAGSpec.task of type []v1alpha1.Task",
				"task a is Cancelled, VersionUnreadable: the DAG version of this run cannot be read " +
					"from the database: the version cannot be read: version 1: decoding a DAG: json: " +
					"cannot unmarshal number into Go struct field DAGSpec.task of type []v1alpha1.Task",
				"task b is Cancelled, VersionUnreadable: the DAG version of this run cannot be read " +
					"from the database: the version cannot be read: version 1: decoding a DAG: json: " +
					"cannot unmarshal number into Go struct field DAGSpec.task of type []v1alpha1.Task",
			},
			Objects:  []string{"dagrun r is Running, claimed"},
			Enqueued: []string{"final status of r"},
		},
	},
	"a finished DagRun with a live row means that the database was restored": {
		before: func(f *fixture) {
			f.running(chain)
			f.patchDagRun("r", `{"status":{"phase":"Succeeded"}}`, "status")
			f.showCluster()
		},
		want: world{
			Rows: []string{
				"run r is Running, stopping: HistoryLost",
				"task a is Active, HistoryLost: the DagRun has already finished: the database was " +
					"restored from an older backup",
				"task b is Cancelled, HistoryLost: the DagRun has already finished: the database was " +
					"restored from an older backup",
				"attempt a.1 is Stopping, HistoryLost: the DagRun has already finished: the database " +
					"was restored from an older backup",
			},
			Objects:  []string{"dagrun r is Succeeded, claimed", "pod a.1 is being deleted"},
			Requests: []string{"delete pod a.1"},
			Enqueued: []string{"run r", "progress of r"},
		},
	},
}

// shares are runs that wait for others, or for their own tasks.
var shares = map[string]roadCase{
	"a run that finds --max-pods Pods waits its turn": {
		config: func(cfg *Config) { cfg.MaxPods = 1 },
		before: func(f *fixture) {
			f.newDAG(single)
			f.newDagRun("r", nil)
			f.newDagRun("other", nil)
			f.admitted("r")
			f.admitted("other")
			f.synced("r")
		},
		of: "other",
		want: world{
			Rows: []string{
				"run r is Running",
				"task a is Active, Pending: its Pod is being created",
				"attempt a.1 is Decided",
				"run other is Running, held: Throttled",
				"task other a is Ready, Throttled: the controller has --max-pods Pods",
			},
			Objects:  []string{"dagrun r is Running, claimed", "dagrun other is Running, claimed", "pod a.1"},
			Enqueued: []string{"progress of other"},
			Pending:  []string{"created pod a.1"},
		},
	},
	"a Pod that ends frees its slot for the run that waits": {
		config: func(cfg *Config) { cfg.MaxPods = 1 },
		before: func(f *fixture) {
			f.newDAG(single)
			f.newDagRun("r", nil)
			f.newDagRun("other", nil)
			f.admitted("r")
			f.admitted("other")
			f.synced("r")
			f.synced("other")
			f.exit("a.1", 0)
		},
		want: world{
			Rows: []string{
				"run r is Succeeded",
				"task a is Succeeded",
				"attempt a.1 is Succeeded",
				"run other is Running, held: Throttled",
				"task other a is Ready, Throttled: the controller has --max-pods Pods",
			},
			Objects:  []string{"dagrun r is Running, claimed", "dagrun other is Running, claimed", "pod a.1"},
			Enqueued: []string{"run other", "finished pod a.1", "final status of r"},
			Pending:  []string{"a slot for other"},
		},
	},
	"a create that a policy refuses leaves its slot to the other tasks of the run": {
		config: func(cfg *Config) { cfg.MaxPods = 1 },
		before: func(f *fixture) {
			f.admittedRun("\ntask: [{name: a, image: busybox}, {name: b, image: busybox}]")
			f.backlog.slots.Seen(cache.NewObjectName("other", "pod"))
			f.api.answer("create pod a.1", violatesPolicy(f, "a.1"))
		},
		want: world{
			Rows: []string{
				"run r is Running, held: Throttled",
				"task a is Active, Throttled: the controller has --max-pods Pods",
				"task b is Ready, Throttled: the controller has --max-pods Pods",
				"attempt a.1 is Decided",
			},
			Objects:  []string{"dagrun r is Running, claimed"},
			Requests: []string{"create pod a.1"},
			Enqueued: []string{"run r", "progress of r"},
			Pending:  []string{"a slot for r", "refused pod a.1: CreateRefused"},
		},
	},
	"maxParallel holds Ready tasks back": {
		before: func(f *fixture) {
			f.newDAG("maxParallel: 1\ntask: [{name: a, image: busybox}, {name: b, image: busybox}]")
			f.newDagRun("r", nil)
			f.admitted("r")
		},
		want: world{
			Rows: []string{
				"run r is Running, held: MaxParallel",
				"task a is Active, Pending: its Pod is being created",
				"task b is Ready, MaxParallel: the run has maxParallel tasks active",
				"attempt a.1 is Decided",
			},
			Objects:  []string{"dagrun r is Running, claimed", "pod a.1"},
			Requests: []string{"create pod a.1"},
			Enqueued: []string{"progress of r"},
			Pending:  []string{"created pod a.1"},
		},
	},
}

// lookups are Pods about which the cache is wrong.
var lookups = map[string]roadCase{
	"a Pod that lost its labels is found by a live read, and has them again when its outcome is committed": {
		before: func(f *fixture) {
			f.running(single)
			f.exit("a.1", 0)
			f.patchPod("a.1", `{"metadata":{"labels":null}}`)
			f.showCluster()
			f.road.beforeCommit = func() {
				if p := f.pod("a.1"); p.Labels[v1alpha1.LabelController] != f.cfg.ID {
					f.Errorf("the labels at the commit: %v", p.Labels)
				}
			}
		},
		want: world{
			Rows:     []string{"run r is Succeeded", "task a is Succeeded", "attempt a.1 is Succeeded"},
			Objects:  []string{"dagrun r is Running, claimed", "pod a.1"},
			Requests: []string{"get pod a.1", "patch pod a.1"},
			Enqueued: []string{"finished pod a.1", "final status of r"},
		},
	},
	"a Pod that is gone is lost, and its task backs off without spending a retry": {
		before: func(f *fixture) {
			f.running(chain)
			f.start("a.1")
			f.synced("r")
			f.removePod("a.1")
			f.showCluster()
			f.touch("r", "a.1")
		},
		want: world{
			Rows: []string{
				"run r is Running",
				"task a is Ready, BackingOff: restart 1 of 10: PodDeleted: its Pod is gone",
				"task b is Waiting, NeedsParents: needs a",
				"attempt a.1 is Lost, PodDeleted: its Pod is gone",
			},
			Objects:  []string{"dagrun r is Running, claimed"},
			Requests: []string{"get pod a.1"},
			Enqueued: []string{"progress of r", "alarm in 1s"},
		},
	},
	"a Pod that only the cache lacks is not lost": {
		before: func(f *fixture) {
			f.running(chain)
			f.start("a.1")
			f.synced("r")
			f.hide("a.1")
			f.touch("r", "a.1")
		},
		want: world{
			Rows: []string{
				"run r is Running",
				"task a is Active",
				"task b is Waiting, NeedsParents: needs a",
				"attempt a.1 is Running",
			},
			Objects:  []string{"dagrun r is Running, claimed", "pod a.1"},
			Requests: []string{"get pod a.1"},
		},
	},
}
