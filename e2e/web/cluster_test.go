package web_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"kontroler/apis/clustertest"
	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/generated/clientset/versioned"
)

// objects are DAGs and DagTasks in namespaces of the test: one with what most tests look at, one with many things, one
// with three. No controller runs; the statuses are written here.
type objects struct {
	testing.TB
	core                                   kubernetes.Interface
	client                                 versioned.Interface
	namespace, manyNamespace, fewNamespace string
}

func newObjects(t testing.TB, root string) *objects {
	t.Helper()
	config := clustertest.Config(t)
	clustertest.InstallCRDs(t, config, filepath.Join(root, "manifests/crd"))
	config.QPS = -1 // no limit
	core, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	client, err := versioned.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	o := &objects{TB: t, core: core, client: client}
	o.namespace, o.manyNamespace, o.fewNamespace =
		o.newNamespace("shop-"), o.newNamespace("many-"), o.newNamespace("few-")
	return o
}

func (o *objects) newNamespace(prefix string) string {
	o.Helper()
	namespaces := o.core.CoreV1().Namespaces()
	made, err := namespaces.Create(o.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: prefix}},
		metav1.CreateOptions{})
	if err != nil {
		o.Fatal(err)
	}
	o.Cleanup(func() {
		if err := namespaces.Delete(context.Background(), made.Name, metav1.DeleteOptions{}); err != nil {
			o.Error(err)
		}
	})
	return made.Name
}

// dag creates a DAG with parameters, and says of it what the controller would. An empty fault means that it is valid.
func (o *objects) dag(name, schedule string, tasks []task, fault string) {
	o.Helper()
	value := "de"
	dag := &v1alpha1.DAG{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"team": "shop"}},
		Spec: v1alpha1.DAGSpec{
			Schedule: schedule,
			Parameters: []v1alpha1.Parameter{
				{Name: "MARKET", DefaultValue: &value}, {Name: "NOTE", DefaultValue: new(string)},
				{Name: "TOKEN", DefaultFromSecret: "market-es"},
			},
		},
	}
	for _, each := range tasks {
		dag.Spec.Task = append(dag.Spec.Task, v1alpha1.Task{Name: each.name, RunAfter: each.after,
			TaskTemplate: v1alpha1.TaskTemplate{
				Image: "registry.internal/import:5.2", Command: []string{"import", "--market"},
			}})
	}
	made, err := o.client.KontrolerV1alpha1().DAGs(o.namespace).Create(o.Context(), dag,
		metav1.CreateOptions{FieldManager: "kubectl"})
	if err != nil {
		o.Fatal(err)
	}
	condition := metav1.Condition{Type: v1alpha1.DAGValid, Status: metav1.ConditionTrue, Reason: "Accepted",
		ObservedGeneration: made.Generation, LastTransitionTime: metav1.Now()}
	if fault != "" {
		condition.Status, condition.Reason, condition.Message = metav1.ConditionFalse, "InvalidDag", fault
	}
	made.Status.Conditions, made.Status.ObservedGeneration = []metav1.Condition{condition}, made.Generation
	_, err = o.client.KontrolerV1alpha1().DAGs(o.namespace).UpdateStatus(o.Context(), made, metav1.UpdateOptions{})
	if err != nil {
		o.Fatal(err)
	}
}

// pending creates a DagRun that waits for a DAG which does not exist.
func (o *objects) pending(name, dag string) {
	o.Helper()
	_, err := o.client.KontrolerV1alpha1().DagRuns(o.namespace).Create(o.Context(), &v1alpha1.DagRun{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.DagRunSpec{DagName: dag},
	}, metav1.CreateOptions{})
	if err != nil {
		o.Fatal(err)
	}
}

// suspend suspends a DAG as a manager.
func (o *objects) suspend(name, manager string) {
	o.Helper()
	_, err := o.client.KontrolerV1alpha1().DAGs(o.namespace).Patch(o.Context(), name, types.MergePatchType,
		[]byte(`{"spec": {"suspended": true}}`), metav1.PatchOptions{FieldManager: manager})
	if err != nil {
		o.Fatal(err)
	}
}

// fill creates what the pages show.
func (o *objects) fill(more int) {
	o.dag("orders-hourly", "0 * * * *", pipeline, "")
	o.dag("price-feed-import", "*/10 * * * *", pipeline[:2], "")
	o.dag(longName, "", pipeline[:1], "")
	o.dag("churn-model-train", "0 1 * * 1", pipeline[:1],
		`spec.task[2].runAfter[0]: Not found: "featurize": no task has this name `+hostile)
	for i := range more {
		o.dag(fmt.Sprintf("etl-%03d", i), "", pipeline[:1], "")
	}
	o.suspend("etl-003", "argocd-controller")
	o.pending("route-planning-again", "route-planing")
	o.many(o.manyNamespace, "etl", manyDAGs)
	o.many(o.fewNamespace, "etl", 3)
}
