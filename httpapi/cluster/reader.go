package cluster

import (
	"context"
	"log/slog"
	"slices"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
)

// Reader reads DAGs, DagTasks and DagRuns. It watches DAGs and DagTasks. What it returns is shared and read-only.
type Reader struct {
	clients    Clients
	namespaces []string // empty means all
	dags       index[*v1alpha1.DAG]
	dagTasks   index[*v1alpha1.DagTask]
	dagFeeds   []*feed[*v1alpha1.DAG]
	taskFeeds  []*feed[*v1alpha1.DagTask]
	dagRuns    map[string]*source // by namespace; empty means all
	pending    sync.Map           // *sharedList by namespace; empty means all
}

// NewReader makes a Reader of some namespaces, or of all if there are none. It sends no request.
func NewReader(clients Clients, namespaces []string, report Report, log *slog.Logger) *Reader {
	r := &Reader{clients: clients, namespaces: namespaces, dagRuns: map[string]*source{}}
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	for _, namespace := range namespaces {
		kontroler := clients.Kontroler.KontrolerV1alpha1()
		dags := newSource(request{"list and watch", "dags", namespace}, report, log)
		r.dagFeeds = append(r.dagFeeds, newFeed(&r.dags, kontroler.DAGs(namespace), dags, trimDAG))
		tasks := newSource(request{"list and watch", "dagtasks", namespace}, report, log)
		r.taskFeeds = append(r.taskFeeds, newFeed(&r.dagTasks, kontroler.DagTasks(namespace), tasks, trimDagTask))
		r.dagRuns[namespace] = newSource(request{"list", "dagruns", namespace}, report, log)
	}
	return r
}

// Run watches until ctx ends.
func (r *Reader) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, f := range r.dagFeeds {
		wg.Go(func() { f.run(ctx) })
	}
	for _, f := range r.taskFeeds {
		wg.Go(func() { f.run(ctx) })
	}
	wg.Wait()
	return nil
}

// Waiting says that the first lists are not complete yet. It is empty when they are, and also when they have failed:
// the rest of the server works without them.
func (r *Reader) Waiting() string {
	if slices.ContainsFunc(r.dagFeeds, (*feed[*v1alpha1.DAG]).isWaiting) ||
		slices.ContainsFunc(r.taskFeeds, (*feed[*v1alpha1.DagTask]).isWaiting) {
		return "reading the DAGs of the cluster"
	}
	return ""
}

// Serves reports whether a namespace is among those of the Reader.
func (r *Reader) Serves(namespace string) bool {
	return len(r.namespaces) == 0 || slices.Contains(r.namespaces, namespace)
}

// Namespaces returns the namespaces of the Reader, or none if it has all.
func (r *Reader) Namespaces() []string { return slices.Clone(r.namespaces) }

// DAGs returns the DAGs of a scope, sorted by namespace and name. Of their tasks they have only references to DagTasks,
// each once. If no namespace can be read, the error is an *Error.
func (r *Reader) DAGs(scope Scope) (List[*v1alpha1.DAG], error) {
	return inScope(&r.dags, r.dagFeeds, scope.Has)
}

// DAG returns a DAG with the same fields as DAGs.
func (r *Reader) DAG(namespace, name string) (dag *v1alpha1.DAG, found bool, err error) {
	return inNamespace(&r.dags, r.dagFeeds, namespace, name)
}

// DagTasks returns the DagTasks of a scope without their specs, sorted by namespace and name.
func (r *Reader) DagTasks(scope Scope) (List[*v1alpha1.DagTask], error) {
	return inScope(&r.dagTasks, r.taskFeeds, scope.Has)
}

// DagTask returns a DagTask without its spec.
func (r *Reader) DagTask(namespace, name string) (task *v1alpha1.DagTask, found bool, err error) {
	return inNamespace(&r.dagTasks, r.taskFeeds, namespace, name)
}
