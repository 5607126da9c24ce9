package httpapi_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"kontroler/apis/clustertest"
	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/httpapi"
	"kontroler/httpapi/cluster"
	"kontroler/httpapi/metrics"
	"kontroler/store/accounts"
)

// liveHistory is a history whose namespaces are in a real cluster. Each has a DAG with a row, one that is not valid, a
// DagTask that the first one uses, and a DagRun that waits for its DAG.
type liveHistory struct {
	*history
	config       *rest.Config
	clients      cluster.Clients
	live         *cluster.Reader
	controllerID string
}

func newLiveHistory(t *testing.T) *liveHistory {
	t.Helper()
	l := &liveHistory{config: clustertest.Config(t)}
	clustertest.InstallCRDs(t, l.config, "../manifests/crd")
	var err error
	if l.clients, err = cluster.New(l.config, cluster.OwnManager+"/test"); err != nil {
		t.Fatal(err)
	}
	colors := []*color{
		{namespace: l.newNamespace(t, "a-amber-"), name: "amber"},
		{namespace: l.newNamespace(t, "c-cobalt-"), name: "cobalt"},
	}
	l.live = runReader(t, l.clients, colors[0].namespace, colors[1].namespace)
	l.history = newHistoryIn(t, colors, func(c *httpapi.Config) { c.Cluster = l.live })
	identity, err := l.views.Identity(t.Context())
	l.must(err)
	l.controllerID = identity.ControllerID
	for _, c := range colors {
		l.fill(c)
	}
	l.await("the watch has every DAG", func() bool {
		n := 0
		for _, c := range colors {
			found, err := l.live.DAGs(scopeOfOne(c.namespace))
			for _, d := range found.Items {
				if err == nil && len(d.Status.Conditions) > 0 {
					n++
				}
			}
			_, hasTask, err := l.live.DagTask(c.namespace, "shared-"+c.name)
			if err != nil || !hasTask {
				return false
			}
		}
		return n == 4
	})
	return l
}

// scopeOfOne is the scope of one namespace.
type scopeOfOne string

func (s scopeOfOne) Has(namespace string) bool { return namespace == string(s) }
func (s scopeOfOne) Names() ([]string, bool)   { return []string{string(s)}, false }

// runReader runs a Reader until the test has ended.
func runReader(t *testing.T, clients cluster.Clients, namespaces ...string) *cluster.Reader {
	t.Helper()
	r := cluster.NewReader(clients, namespaces, metrics.New().ClusterUp, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = r.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return r
}

// await polls until a condition holds.
func (h *history) await(what string, holds func() bool) {
	h.Helper()
	for end := time.Now().Add(time.Minute); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			h.Fatalf("it never happened that %s", what)
		}
	}
}

func (l *liveHistory) newNamespace(t *testing.T, prefix string) string {
	t.Helper()
	namespaces := l.clients.Core.CoreV1().Namespaces()
	created, err := namespaces.Create(t.Context(), &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{GenerateName: prefix},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := namespaces.Delete(context.Background(), created.Name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	return created.Name
}

// nextDue is when the DAGs of a liveHistory are due.
var nextDue = metav1.Date(2026, 7, 1, 13, 0, 0, 0, time.UTC)

func (l *liveHistory) fill(c *color) {
	l.Helper()
	kontroler := l.clients.Kontroler.KontrolerV1alpha1()
	_, err := kontroler.DagTasks(c.namespace).Create(l.Context(), &v1alpha1.DagTask{
		ObjectMeta: metav1.ObjectMeta{Name: "shared-" + c.name},
		Spec:       v1alpha1.DagTaskSpec{TaskTemplate: v1alpha1.TaskTemplate{Image: c.name}},
	}, metav1.CreateOptions{FieldManager: "kubectl"})
	l.must(err)
	l.create(c, c.dag(), v1alpha1.DAGStatus{
		Controller: l.controllerID, NextScheduleTime: &nextDue,
		Conditions: []metav1.Condition{valid(metav1.ConditionTrue, "")},
	})
	l.create(c, "bad-"+c.name, v1alpha1.DAGStatus{
		Controller: l.controllerID, Conditions: []metav1.Condition{valid(metav1.ConditionFalse, "no "+c.name)},
	})
	runs := kontroler.DagRuns(c.namespace)
	_, err = runs.Create(l.Context(), &v1alpha1.DagRun{
		ObjectMeta: metav1.ObjectMeta{Name: "waits-" + c.name,
			Annotations: map[string]string{v1alpha1.AnnotationRequestedBy: "fan-of-" + c.name}},
		Spec: v1alpha1.DagRunSpec{
			DagName: "none", Parameters: []v1alpha1.ParameterValue{{Name: "p", Value: new(c.name)}},
		},
	}, metav1.CreateOptions{})
	l.must(err)
}

// create creates a DAG with a status.
func (l *liveHistory) create(c *color, name string, status v1alpha1.DAGStatus) *v1alpha1.DAG {
	l.Helper()
	dags := l.clients.Kontroler.KontrolerV1alpha1().DAGs(c.namespace)
	created, err := dags.Create(l.Context(), &v1alpha1.DAG{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"color": c.name}},
		Spec: v1alpha1.DAGSpec{Schedule: "0 * * * *", TimeZone: new("Europe/Berlin"), Task: []v1alpha1.Task{
			{Name: "load-" + c.name, TaskRef: &v1alpha1.TaskRef{Name: "shared-" + c.name}},
		}},
	}, metav1.CreateOptions{FieldManager: "kubectl-client-side-apply"})
	l.must(err)
	created.Status = status
	created, err = dags.UpdateStatus(l.Context(), created, metav1.UpdateOptions{FieldManager: "controller"})
	l.must(err)
	return created
}

func valid(status metav1.ConditionStatus, message string) metav1.Condition {
	return metav1.Condition{
		Type: v1alpha1.DAGValid, Status: status, Reason: "Compiled", Message: message, ObservedGeneration: 1,
		LastTransitionTime: metav1.Date(2026, 7, 1, 11, 0, 0, 0, time.UTC),
	}
}

// viewerOf returns the token of a new user who is viewer of a namespace.
func (h *history) viewerOf(c *color) string {
	h.Helper()
	name := "viewer-of-" + c.name
	h.user(name, annPassword, accounts.Access{Grants: []accounts.Grant{{Namespace: c.namespace, Role: "viewer"}}})
	return h.login(name, annPassword)
}
