// Package informertest fills the caches of tests with objects that do not change.
package informertest

import (
	"context"
	"errors"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"kontroler/controller/informer"
	"kontroler/controller/wait"
)

// Set is an *informer.Set of any kind.
type Set interface {
	Run(context.Context)
	HasSynced() bool
}

// Client returns a client that lists the objects of a list whose labels match, and whose watches show no change.
func Client[L runtime.Object](list L) informer.Client[L] { return client[L]{list} }

// Run starts the informers of sets, and returns when they hold their objects. They end with the test.
func Run(t testing.TB, sets ...Set) {
	t.Helper()
	for _, set := range sets {
		set.Run(t.Context())
	}
	for _, set := range sets {
		for !set.HasSynced() && wait.For(t.Context(), time.Millisecond) {
		}
	}
}

type client[L runtime.Object] struct{ list L }

func (c client[L]) List(_ context.Context, options metav1.ListOptions) (L, error) {
	var none L
	selector, err := labels.Parse(options.LabelSelector)
	if err != nil {
		return none, err
	}
	matching := c.list.DeepCopyObject()
	objects, err := meta.ExtractList(matching)
	if err != nil {
		return none, err
	}
	var matched []runtime.Object
	for _, object := range objects {
		if accessor, err := meta.Accessor(object); err != nil {
			return none, err
		} else if selector.Matches(labels.Set(accessor.GetLabels())) {
			matched = append(matched, object)
		}
	}
	return matching.(L), meta.SetList(matching, matched)
}

func (c client[L]) Watch(_ context.Context, options metav1.ListOptions) (watch.Interface, error) {
	if options.SendInitialEvents != nil {
		return nil, errors.New("not supported") // the informer lists instead
	}
	return watch.NewFake(), nil
}
