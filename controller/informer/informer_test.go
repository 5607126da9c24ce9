package informer_test

import (
	"context"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/informer"
	"kontroler/controller/informer/informertest"
	"kontroler/controller/wait"
)

// TestForbiddenNamespace: a namespace that forbids to list is not waited for while another one grants it. Its objects
// are delivered once it grants it too.
func TestForbiddenNamespace(t *testing.T) {
	closing := &closedNamespace{
		Client: informertest.Client(listOf("b")), isOpen: make(chan struct{}), wasAsked: make(chan struct{}, 100),
	}
	var both informer.Set[*v1alpha1.DAG]
	informer.AddTo(&both, informertest.Client(listOf("a")), "", informer.TrimDAG, cache.Indexers{})
	informer.AddTo(&both, informer.Client[*v1alpha1.DAGList](closing), "", informer.TrimDAG, cache.Indexers{})
	informertest.Run(t, &both)
	if _, found := both.Get(cache.NewObjectName("a", "dag")); !found {
		t.Error("the DAG of the other namespace is missing")
	}
	close(closing.isOpen)
	for {
		if _, found := both.Get(cache.NewObjectName("b", "dag")); found {
			return
		}
		if !wait.For(t.Context(), 10*time.Millisecond) {
			t.Fatal("the DAG of the namespace that was forbidden is missing")
		}
	}
}

// TestForbiddenNamespaces: a Set that may list nothing has not synced.
func TestForbiddenNamespaces(t *testing.T) {
	closed := &closedNamespace{isOpen: make(chan struct{}), wasAsked: make(chan struct{}, 100)}
	var one informer.Set[*v1alpha1.DAG]
	informer.AddTo(&one, informer.Client[*v1alpha1.DAGList](closed), "", informer.TrimDAG, cache.Indexers{})
	one.Run(t.Context())
	for range 2 { // the second request shows that the first answer was handled
		<-closed.wasAsked
	}
	if one.HasSynced() {
		t.Error("the Set has synced")
	}
}

func listOf(namespace string) *v1alpha1.DAGList {
	return &v1alpha1.DAGList{Items: []v1alpha1.DAG{{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "dag", ResourceVersion: "1"},
	}}}
}

// closedNamespace forbids to list and to watch until it is open.
type closedNamespace struct {
	informer.Client[*v1alpha1.DAGList]
	isOpen   chan struct{}
	wasAsked chan struct{}
}

func (c *closedNamespace) List(ctx context.Context, options metav1.ListOptions) (*v1alpha1.DAGList, error) {
	if err := c.refusal(); err != nil {
		return nil, err
	}
	return c.Client.List(ctx, options)
}

func (c *closedNamespace) Watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	if err := c.refusal(); err != nil {
		return nil, err
	}
	return c.Client.Watch(ctx, options)
}

func (c *closedNamespace) refusal() error {
	select {
	case <-c.isOpen:
		return nil
	default:
		c.wasAsked <- struct{}{}
		return apierrors.NewForbidden(v1alpha1.Resource("dags"), "", nil)
	}
}
