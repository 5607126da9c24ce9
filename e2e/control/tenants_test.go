package control_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
)

// refusal is a way in which a namespace refuses Pods.
type refusal struct {
	// manifests start the refusal when applied, and end it when deleted. begin and end do it where manifests cannot.
	manifests  string
	begin, end func(*world)
	// reason and words appear in the refused tasks.
	reason, words string
}

func refusals() map[string]refusal {
	return map[string]refusal{
		"quota": {
			manifests: `{apiVersion: v1, kind: ResourceQuota, metadata: {name: none}, spec: {hard: {pods: "0"}}}`,
			reason:    "QuotaExceeded", words: "exceeded quota: none",
		},
		"PodSecurity": {
			begin: func(w *world) {
				w.Kubectl("label", "namespace", w.Namespace, "pod-security.kubernetes.io/enforce=restricted")
			},
			end: func(w *world) {
				w.Kubectl("label", "namespace", w.Namespace, "pod-security.kubernetes.io/enforce-")
			},
			reason: "CreateRefused", words: "violates PodSecurity",
		},
		"LimitRange": {
			manifests: `{apiVersion: v1, kind: LimitRange, metadata: {name: large}, ` +
				`spec: {limits: [{type: Pod, min: {memory: 1Gi}}]}}`,
			reason: "CreateRefused", words: "minimum memory usage per Pod",
		},
		"admission policy": {
			manifests: `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: $NS}
spec:
  matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]}
  validations: [{expression: "false", message: not on Fridays}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: $NS}
spec:
  policyName: $NS
  validationActions: [Deny]
  matchResources: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: $NS}}}
`,
			reason: "CreateRefused", words: "not on Fridays",
		},
		"webhook that does not answer": {
			manifests: `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: $NS}
webhooks:
- name: silent.example.org
  clientConfig: {url: "https://127.0.0.1:1/"}
  rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: $NS}}
  admissionReviewVersions: [v1]
  sideEffects: None
`,
			reason: "CreateFailed", words: "failed calling webhook",
		},
	}
}

// refuse starts a refusal and waits until it takes effect.
func (w *world) refuse(r refusal) {
	w.T.Helper()
	if r.begin != nil {
		r.begin(w)
	} else {
		w.Apply(r.manifests)
	}
	probe := fmt.Sprintf(
		`{apiVersion: v1, kind: Pod, metadata: {name: probe, namespace: %s}, `+
			`spec: {containers: [{name: a, image: i}]}}`,
		w.Namespace,
	)
	w.Eventually("the namespace to refuse Pods", patience, func(context.Context) (bool, string) {
		out, err := w.RunKubectl(probe, "create", "--dry-run=server", "-f", "-")
		return err != nil && strings.Contains(out, r.words), out
	})
}

// accept ends a refusal.
func (w *world) accept(r refusal) {
	w.T.Helper()
	if r.end != nil {
		r.end(w)
		return
	}
	out, err := w.RunKubectl(
		strings.ReplaceAll(r.manifests, "$NS", w.Namespace),
		"delete",
		"--ignore-not-found",
		"--namespace",
		w.Namespace,
		"-f",
		"-",
	)
	if err != nil {
		w.T.Errorf("kubectl delete: %v\n%s", err, out)
	}
}

const syncsOfRuns = `kontroler_syncs_total{queue="runs",result="success"}`

// A namespace that refuses Pods holds no slots of --max-pods. Tasks of other namespaces start, although the refused
// runs were first and need more slots than exist. The refused tasks say why they wait, and run when the refusal ends.
func TestNamespaceThatRefusesPodsDoesNotBlockOthers(t *testing.T) {
	t.Parallel()
	const runs, width = 4, 5
	for name, r := range refusals() {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			other := w.InSecondNamespace()
			w.refuse(r)
			t.Cleanup(func() { w.accept(r) })
			controller := w.Controller(flags("--namespaces="+w.Namespace+","+other.Namespace, "--max-pods=3"))
			tasks := make([]v1alpha1.Task, width)
			for i := range tasks {
				tasks[i] = play(fmt.Sprintf("t%d", i), "")
			}
			w.ApplyDAG("refused", tasks...)
			for i := range runs {
				w.Start(fmt.Sprintf("refused-%d", i), "refused")
			}
			for i := range runs {
				w.Eventually("a task to say why it waits", patience, func(context.Context) (bool, string) {
					task, ok := w.TryTask(fmt.Sprintf("refused-%d", i), "t0")
					return ok && task.Reason == r.reason, task.Phase + " " + task.Reason + " " + task.Message
				})
			}
			other.ApplyDAG("good", play("a", ""), play("b", "", after("a")), play("c", "", after("b")))
			other.Start("good", "good")
			other.WaitRun("good", v1alpha1.RunSucceeded, patience)

			for i := range runs {
				run := fmt.Sprintf("refused-%d", i)
				if row := w.Run(run); row.Phase != "Running" || row.Active == 0 {
					t.Errorf("run %s is %s with %d active tasks, although nothing has changed for it",
						run, row.Phase, row.Active)
				}
				w.Eventually("DagRun "+run+" to say why it waits", patience, func(context.Context) (bool, string) {
					s := w.DagRun(run).Status
					return s.Reason == r.reason && s.Tasks != nil && s.Tasks.Running == 0 && s.Tasks.Pending > 0 &&
							s.Message != "", fmt.Sprintf(
							"%+v",
							s,
						)
				})
			}
			// They wait for a probe of one run at a time, and do not pass slots around.
			before := controller.Counters()[syncsOfRuns]
			other.Start("again", "good")
			other.WaitRun("again", v1alpha1.RunSucceeded, patience)
			if n := controller.Counters()[syncsOfRuns] - before; n == 0 || n > 100 {
				t.Errorf("%d syncs during a run of three tasks, want 1 to 100", n)
			}
			w.accept(r)
			for i := range runs {
				w.WaitRun(fmt.Sprintf("refused-%d", i), v1alpha1.RunSucceeded, patience)
				for _, a := range w.Attempts(fmt.Sprintf("refused-%d", i)) {
					if a.Number != 1 || a.Phase != "Succeeded" {
						t.Errorf("attempt %d of %s is %s: want one attempt that succeeded", a.Number, a.Task, a.Phase)
					}
				}
			}
		})
	}
}

// A webhook of a namespace does not answer. Its runs are not claimed, and its ended Pods are not deleted. Runs of
// another namespace do not wait for that. The refused runs go on when the webhook is gone.
func TestNamespaceWhoseWebhookHangs(t *testing.T) {
	w := newWorld(t)
	other := w.InSecondNamespace()
	w.Controller(flags("--namespaces=" + w.Namespace + "," + other.Namespace))
	const width, runs = 60, 200
	var names []string
	var tasks []v1alpha1.Task
	for i := range width {
		names = append(names, fmt.Sprintf("t%d", i))
		tasks = append(tasks, play(names[i], until("go")))
	}
	w.ApplyDAG("wide", tasks...)
	w.ApplyDAG("small", play("a", ""))
	w.Start("wide", "wide")
	for _, name := range names {
		w.WaitAttempt("wide", name, 1, "Running")
	}
	hanging := refusal{manifests: `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: $NS}
webhooks:
- name: silent.example.org
  clientConfig: {url: "https://192.0.2.1/"} # nobody has this address
  rules:
  - {apiGroups: [""], apiVersions: [v1], operations: [DELETE], resources: [pods]}
  - {apiGroups: ["*"], apiVersions: ["*"], operations: [UPDATE], resources: [dagruns/status]}
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: $NS}}
  admissionReviewVersions: [v1]
  sideEffects: None
  timeoutSeconds: 20
`}
	w.Apply(hanging.manifests)
	t.Cleanup(func() { w.accept(hanging) })
	w.Eventually("the webhook to hang", patience, func(context.Context) (bool, string) {
		pod := w.Attempts("wide")[0].PodName
		out, err := w.RunKubectl("", "--namespace", w.Namespace, "delete", "pod", pod, "--dry-run=server")
		return err != nil && strings.Contains(out, "failed calling webhook"), out
	})
	w.Open("go")
	for i := range runs {
		w.Start(fmt.Sprintf("small-%d", i), "small")
	}
	other.ApplyDAG("good", play("a", ""), play("b", "", after("a")), play("c", "", after("b")))
	other.Start("good", "good")
	other.WaitRun("good", v1alpha1.RunSucceeded, patience)
	other.CheckPodsGone(string(other.DagRun("good").UID))

	w.accept(hanging)
	w.WaitRun("wide", v1alpha1.RunSucceeded, patience)
	for i := range runs {
		w.WaitRun(fmt.Sprintf("small-%d", i), v1alpha1.RunSucceeded, patience)
	}
}

// Pods that never start hold all slots of --max-pods. The runs of another namespace go on.
func TestNamespaceWhosePodsNeverStart(t *testing.T) {
	w := newWorld(t)
	other := w.InSecondNamespace()
	w.Controller(flags("--namespaces="+w.Namespace+","+other.Namespace, "--max-pods=2"))
	w.ApplyDAG("stuck", play("a", "pend Unschedulable"), play("b", "pend Unschedulable"), play("c", ""))
	w.Start("stuck", "stuck")
	w.WaitTask("stuck", "c", "Ready", "Throttled")
	other.ApplyDAG("good", play("a", ""), play("b", ""), play("c", "", after("a", "b")))
	other.Start("good", "good")
	other.WaitRun("good", v1alpha1.RunSucceeded, patience)
	if live := w.MaxLive(); live > 3 {
		t.Errorf("%d attempts were live at the same time, want at most 2 and one of the other namespace", live)
	}
	w.Cancel("stuck")
	w.WaitRun("stuck", v1alpha1.RunCancelled, patience)
}

// A task that a policy refuses for the start grace fails with the message of the API server. Other tasks of the
// namespace do not wait for it.
func TestPolicyThatAlwaysRefusesATask(t *testing.T) {
	w := newWorld(t)
	w.Kubectl("label", "namespace", w.Namespace, "pod-security.kubernetes.io/enforce=baseline")
	w.Controller(flags("--start-grace=5s"))
	privileged := play("privileged", "")
	privileged.PodTemplate.ContainerSecurityContext = &corev1.SecurityContext{Privileged: new(true)}
	w.ApplyDAG("dag", privileged, play("plain", ""), play("after-plain", "", after("plain")))
	w.Start("run", "dag")
	run := w.WaitRun("run", v1alpha1.RunFailed, patience)
	w.CheckFinal(
		"run",
		"Failed",
		map[string]string{"privileged": "Failed", "plain": "Succeeded", "after-plain": "Succeeded"},
	)
	if !strings.Contains(run.Status.Message, "privileged (StartFailed: ") ||
		!strings.Contains(run.Status.Message, "violates PodSecurity") {
		t.Errorf("the DagRun says %q", run.Status.Message)
	}
	if row := w.Task("run", "privileged"); !row.FinishedAt.After(row.StartedAt) {
		t.Errorf("the refused task finished at %s, started at %s", row.FinishedAt, row.StartedAt)
	}
}

// refuseDagRuns sets a quota of no DagRuns.
func (w *world) refuseDagRuns() {
	w.T.Helper()
	w.Apply(
		`{apiVersion: v1, kind: ResourceQuota, metadata: {name: none}, ` +
			`spec: {hard: {count/dagruns.kontroler.greedykomodo: "0"}}}`,
	)
	w.Eventually("DagRuns to be refused", patience, func(context.Context) (bool, string) {
		out, err := w.RunKubectl(
			w.Manifest("DagRun", "probe", v1alpha1.DagRunSpec{DagName: "none"}),
			"create",
			"--dry-run=server",
			"-f",
			"-",
		)
		return err != nil && strings.Contains(out, "exceeded quota"), out
	})
}

// If a quota refuses DagRuns, the DAG says why its schedule makes no progress, due times are Missed, and only runs that
// exist are Ran.
func TestScheduleWhoseDagRunsAreRefused(t *testing.T) {
	w := newWorld(t)
	w.Controller()
	w.refuseDagRuns()
	w.scheduled("tick", "@every 2s", "", func(s *v1alpha1.DAGSpec) { s.CatchUp = v1alpha1.CatchUpLatest })
	scheduledCondition := func() *metav1.Condition {
		for _, c := range w.DAG("tick").Status.Conditions {
			if c.Type == v1alpha1.DAGScheduled {
				return &c
			}
		}
		return nil
	}
	w.Eventually("the DAG to say why its schedule makes no progress", patience, func(context.Context) (bool, string) {
		c := scheduledCondition()
		return c != nil && c.Status == metav1.ConditionFalse &&
				strings.Contains(c.Message, "exceeded quota: none"), fmt.Sprintf(
				"%+v",
				c,
			)
	})
	w.Eventually("due times to be missed", patience, func(context.Context) (bool, string) {
		is := w.Strings(
			`SELECT coalesce(sum(t.count), 0) FROM kontroler_v1.ticks t JOIN kontroler_v1.dags d ON d.id = t.dag_id
WHERE d.name = 'tick' AND t.outcome = 'Missed' HAVING sum(t.count) >= 4`,
		)
		return len(is) == 1, fmt.Sprint(is)
	})
	if n := w.Ticks("tick", "Ran", ""); n > 1 {
		t.Errorf("%d due times are Ran, but no DagRun was created", n)
	}
	if unmade := w.Strings(`SELECT run_name FROM kontroler.scheduled_runs WHERE run_uid IS NULL`); len(unmade) > 1 {
		t.Errorf("DagRuns %v are pending, want at most one", unmade)
	}
	events := w.EventsOf(string(w.DAG("tick").UID))
	refusals := 0
	for _, event := range events {
		if strings.Contains(event, "CreateRefused") {
			refusals++
		}
	}
	if refusals != 1 {
		t.Errorf("%d Events report the refusal, want one: %v", refusals, events)
	}
	w.Kubectl("delete", "resourcequota", "none")
	w.waitTicks("tick", "Ran", "Succeeded", 2)
	w.Eventually("the condition to be gone", patience, func(context.Context) (bool, string) {
		c := scheduledCondition()
		return c == nil, fmt.Sprintf("%+v", c)
	})
	w.rest("tick")
	w.Eventually("each run that is Ran to exist", patience, func(context.Context) (bool, string) {
		unmade := w.Strings(`SELECT run_name FROM kontroler_v1.ticks WHERE outcome = 'Ran' AND run_uid IS NULL`)
		return len(unmade) == 0, fmt.Sprint(unmade)
	})
}

// A controller is killed after it has taken back a due time whose DagRun was refused. The due time is decided again.
func TestScheduleRefusedKilled(t *testing.T) {
	w := newWorld(t)
	w.refuseDagRuns()
	w.DieAt("tick-rewound:2", func() { w.scheduled("tick", "@every 2s", "", nil) })
	if n := w.Ticks("tick", "Ran", ""); n > 0 {
		t.Errorf("%d due times are Ran, but no DagRun was created", n)
	}
	w.Controller(takeOver)
	w.Kubectl("delete", "resourcequota", "none")
	w.waitTicks("tick", "Ran", "Succeeded", 3)
	w.rest("tick")
	w.checkLedger("tick", 2*time.Second)
}

// A controller is killed between recording the due times of another controller and its claim. The ledger continues
// there.
func TestClaimKilledAfterTheAccount(t *testing.T) {
	w := newWorld(t)
	w.DieAt("dag-passed-over:2", func() {
		w.scheduled("tick", "@every 1s", "", nil)
		w.Eventually("the schedule to have run", patience, func(context.Context) (bool, string) {
			last := w.DAG("tick").Status.LastScheduleTime // the database may not exist yet
			return last != nil, fmt.Sprint(last)
		})
		w.leaveAndComeBack("tick")
	})
	w.Controller(takeOver)
	w.waitTicks("tick", "Unknown", "", 1)
	ran := w.Ticks("tick", "Ran", "")
	w.waitTicks("tick", "Ran", "", ran+1)
	w.rest("tick")
	w.checkLedger("tick", time.Second)
}

// leaveAndComeBack moves a DAG to another class, and back after two seconds, in which its schedule is due.
func (w *world) leaveAndComeBack(dag string) {
	w.T.Helper()
	w.Kubectl("patch", "dag", dag, "--type=merge", "-p", `{"spec":{"controllerClass":"other"}}`)
	w.Eventually("the DAG to be released", patience, func(context.Context) (bool, string) {
		is := w.DAG(dag).Status.Controller
		return is == "", is
	})
	left := time.Now()
	w.Eventually("a due time to pass", patience, func(context.Context) (bool, string) {
		away := time.Since(left)
		return away > 2*time.Second, away.String()
	})
	w.Kubectl("patch", "dag", dag, "--type=merge", "-p", `{"spec":{"controllerClass":""}}`)
}

// An object with a deletionTimestamp counts as deleted, even if a foreign finalizer keeps it.
func TestDeletedBehindAFinalizer(t *testing.T) {
	w := newWorld(t)
	w.Controller()
	hold := func(kind, name string) {
		w.Kubectl("patch", kind, name, "--type=merge", "-p", `{"metadata":{"finalizers":["example.org/hold"]}}`)
		w.Kubectl("delete", kind, name, "--wait=false")
		t.Cleanup(func() {
			_, _ = w.RunKubectl(
				"",
				"--namespace",
				w.Namespace,
				"patch",
				kind,
				name,
				"--type=merge",
				"-p",
				`{"metadata":{"finalizers":null}}`,
			)
		})
	}
	w.ApplyDAG("long", play("a", until("never")), play("b", "", after("a")))
	w.Start("run", "long")
	w.WaitAttempt("run", "a", 1, "Running")
	hold("dagrun", "run")
	w.WaitReason("run", v1alpha1.RunCancelled, "Deleted")
	w.CheckPodsGone(string(w.DagRun("run").UID))

	w.scheduled("tick", "@every 1s", "", nil)
	w.waitTicks("tick", "Ran", "Succeeded", 1)
	hold("dag", "tick")
	w.Start("late", "tick")
	w.WaitReason("late", v1alpha1.RunPending, "DagNotFound")
	before := w.Ticks("tick", "Ran", "")
	w.scheduled("clock", "@every 1s", "", nil) // five seconds, by another schedule
	w.waitTicks("clock", "Ran", "Succeeded", 5)
	if after := w.Ticks("tick", "Ran", ""); after > before {
		t.Errorf("the schedule of a DAG that is being deleted ran %d more times", after-before)
	}
}

// With startingDeadlineSeconds below ten, due times run that are on time.
func TestStartingDeadlineOfZero(t *testing.T) {
	w := newWorld(t)
	w.Controller()
	for name, seconds := range map[string]int64{"zero": 0, "three": 3} {
		w.scheduled(name, "@every 2s", "", func(s *v1alpha1.DAGSpec) { s.StartingDeadlineSeconds = &seconds })
	}
	w.waitTicks("zero", "Ran", "Succeeded", 2)
	w.waitTicks("three", "Ran", "Succeeded", 2)
}

// The schedule of a DAG that returns from another controller begins with the claim. Earlier due times are Unknown and
// do not run a second time.
func TestScheduleOfADAGThatReturns(t *testing.T) {
	w := newWorld(t)
	w.Controller()
	w.scheduled("tick", "@every 1s", "", nil) // catches up on all
	w.waitTicks("tick", "Ran", "", 2)
	w.Kubectl("patch", "dag", "tick", "--type=merge", "-p", `{"spec":{"controllerClass":"other"}}`)
	w.Eventually("the DAG to be released", patience, func(context.Context) (bool, string) {
		is := w.DAG("tick").Status.Controller
		return is == "", is
	})
	ran := w.Ticks("tick", "Ran", "")
	w.scheduled("clock", "@every 1s", "", nil)
	w.waitTicks("clock", "Ran", "", 6) // seconds in which the other controller would run it
	if n := w.Ticks("tick", "Ran", ""); n != ran {
		t.Errorf("%d due times ran of a DAG of another controller", n-ran)
	}
	w.Kubectl("patch", "dag", "tick", "--type=merge", "-p", `{"spec":{"controllerClass":""}}`)
	w.waitTicks("tick", "Unknown", "", 1)
	w.waitTicks("tick", "Ran", "", ran+1)
	w.rest("tick")
	w.checkLedger("tick", time.Second)
	unknown := w.Strings(`SELECT sum(count) FROM kontroler_v1.ticks t JOIN kontroler_v1.dags d ON d.id = t.dag_id
WHERE d.name = 'tick' AND outcome = 'Unknown' HAVING sum(count) >= 4`)
	if len(unknown) != 1 {
		t.Errorf("due times of some six seconds are not Unknown: %s", w.Contents())
	}
}

// lastRun is the newest run, even if an older one changes later.
func TestLastRunIsTheNewest(t *testing.T) {
	w := newWorld(t)
	w.Controller()
	w.ApplyDAG("dag", play("a", "await old"))
	w.Start("older", "dag")
	w.WaitAttempt("older", "a", 1, "Running")
	w.ApplyDAG("dag", play("a", ""))
	w.Start("newer", "dag")
	w.WaitRun("newer", v1alpha1.RunSucceeded, patience)
	w.Open("old")
	w.WaitRun("older", v1alpha1.RunSucceeded, patience)
	w.ApplyDAG("other", play("a", ""))
	w.Start("mark", "other") // whose status is written after those before
	w.Eventually("the mark to be shown", patience, func(context.Context) (bool, string) {
		last := w.DAG("other").Status.LastRun
		return last != nil && last.Phase == v1alpha1.RunSucceeded, fmt.Sprint(last)
	})
	w.Eventually("the newest run to be shown", patience, func(context.Context) (bool, string) {
		last := w.DAG("dag").Status.LastRun
		return last != nil && last.Name == "newer" && last.Phase == v1alpha1.RunSucceeded, fmt.Sprint(last)
	})
}

// A waiting task names the first five parents that it needs.
func TestWaitingTaskNamesItsParents(t *testing.T) {
	w := newWorld(t)
	w.Controller()
	tasks := []v1alpha1.Task{play("done", "")}
	parents := []string{"done"}
	for i := range 7 {
		name := fmt.Sprintf("p%d", i)
		parents = append(parents, name)
		tasks = append(tasks, play(name, until("gate")))
	}
	w.ApplyDAG("dag", append(tasks, play("last", "", after(parents...)), play("one", "", after("p3")))...)
	w.Start("run", "dag")
	for task, want := range map[string]string{"last": "needs p0, p1, p2, p3, p4 and 2 more", "one": "needs p3"} {
		w.Eventually("task "+task+" to name its parents", patience, func(context.Context) (bool, string) {
			row, _ := w.TryTask("run", task)
			return row.Message == want, row.Message
		})
	}
	w.Open("gate")
	w.WaitRun("run", v1alpha1.RunSucceeded, patience)
}

// TestNamespaceThatIsGone: whoever deletes a named namespace deletes the Role of the controller too. A controller that
// starts afterwards works in its other namespaces, and in this one when it is there again.
func TestNamespaceThatIsGone(t *testing.T) {
	w := newWorld(t)
	other := w.InSecondNamespace()
	w.Apply(`
{apiVersion: v1, kind: ServiceAccount, metadata: {name: tenants}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: tenants-lease}
rules: [{apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get, create, update]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: tenants-lease}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: tenants-lease}
subjects: [{kind: ServiceAccount, name: tenants, namespace: $NS}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: $NS}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: e2e-kontroler-controller-cluster}
subjects: [{kind: ServiceAccount, name: tenants, namespace: $NS}]
`)
	t.Cleanup(func() {
		if out, err := w.RunKubectl("", "delete", "clusterrolebinding", w.Namespace); err != nil {
			t.Errorf("kubectl delete clusterrolebinding: %v\n%s", err, out)
		}
	})
	grant := func(in *world) {
		in.Apply(`
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: tenants}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: e2e-kontroler-controller}
subjects: [{kind: ServiceAccount, name: tenants, namespace: ` + w.Namespace + `}]
`)
	}
	grant(w)
	grant(&world{other})
	w.awaitRight("tenants", "get", "nodes")
	w.awaitRight("tenants", "update", "leases.coordination.k8s.io", "--namespace="+w.Namespace)
	for _, namespace := range []string{w.Namespace, other.Namespace} {
		w.awaitRight("tenants", "create", "pods", "--namespace="+namespace)
	}
	options := []processOption{
		flags("--namespaces=" + w.Namespace + "," + other.Namespace), w.withToken(w.tokenOf("tenants")),
	}
	controller := w.Controller(options...)
	other.ApplyDAG("dag", play("a", ""))
	other.Start("before", "dag")
	other.WaitRun("before", v1alpha1.RunSucceeded, patience)
	other.CheckPodsGone(string(other.DagRun("before").UID))
	controller.Stop()
	other.Kubectl("delete", "namespace", other.Namespace)

	controller = w.Controller(options...)
	if log := controller.Log(); !strings.Contains(log, "has no permissions in a namespace") ||
		!strings.Contains(log, other.Namespace) {
		t.Errorf("the log does not name the namespace that grants nothing:\n%s", log)
	}
	w.ApplyDAG("dag", play("a", ""))
	w.Start("run", "dag")
	w.WaitRun("run", v1alpha1.RunSucceeded, patience)

	w.Apply("{apiVersion: v1, kind: Namespace, metadata: {name: " + other.Namespace + "}}")
	grant(&world{other})
	other.ApplyDAG("dag", play("a", ""))
	other.Start("after", "dag")
	other.WaitRun("after", v1alpha1.RunSucceeded, patience)
}
