package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// object is what an index holds.
type object interface {
	runtime.Object
	metav1.Object
}

// client lists and watches a kind in one namespace, or in all. Typed clients implement it.
type client[L runtime.Object] interface {
	List(context.Context, metav1.ListOptions) (L, error)
	Watch(context.Context, metav1.ListOptions) (watch.Interface, error)
}

// feed keeps the part of an index that is a namespace, or all of it, as the API server has it. It is the store of a
// reflector.
type feed[T object] struct {
	index     *index[T]
	namespace string // empty means all
	resource  string
	trim      cache.TransformFunc
	log       *slog.Logger
	reflector *cache.Reflector

	mu        sync.Mutex
	hasListed bool
	// failed is why the watch does not work now.
	failed error
}

// newFeed makes a feed that lists and watches by a client.
func newFeed[T object, L runtime.Object](
	x *index[T], from client[L], namespace, resource string, trim cache.TransformFunc, log *slog.Logger,
) *feed[T] {
	f := &feed[T]{index: x, namespace: namespace, resource: resource, trim: trim, log: log}
	lister := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			list, err := from.List(ctx, options)
			if err != nil {
				f.report("list", err)
			}
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			changes, err := from.Watch(ctx, options)
			f.report("watch", err)
			return changes, err
		},
	}
	var kind T
	f.reflector = cache.NewReflectorWithOptions(lister, kind, f, cache.ReflectorOptions{
		Name: "server-" + resource,
		// A try each ten seconds at least: users wait for it.
		Backoff: &wait.Backoff{
			Duration: 500 * time.Millisecond, Factor: 2, Jitter: 0.5, Steps: 10, Cap: 6 * time.Second,
		},
	})
	return f
}

// report records whether a request of the watch succeeded. It logs a change.
func (f *feed[T]) report(verb string, err error) {
	if errors.Is(err, context.Canceled) {
		return // the server stops
	}
	failed := request{verb, f.resource, f.namespace}.failed(err)
	f.mu.Lock()
	before := f.failed
	f.failed = failed
	f.mu.Unlock()
	switch {
	case failed != nil && before == nil:
		f.log.Warn("live objects cannot be read", "resource", f.resource, "namespace", f.namespace, "error", failed)
	case failed == nil && before != nil:
		f.log.Info("live objects can be read again", "resource", f.resource, "namespace", f.namespace)
	}
}

// fault returns why the objects are not known, or nil.
func (f *feed[T]) fault() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failed == nil && !f.hasListed {
		return &Error{"The server has not read the " + f.resource + " of the cluster yet.", errNoList}
	}
	return f.failed
}

// isWaiting reports whether the first list is under way, as far as is known.
func (f *feed[T]) isWaiting() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed == nil && !f.hasListed
}

// Transformer trims what the reflector keeps during a list.
func (f *feed[T]) Transformer() cache.TransformFunc { return f.trim }

// Add is called with a new object.
func (f *feed[T]) Add(obj any) error { return f.Update(obj) }

// Update is called with an object that has changed.
func (f *feed[T]) Update(obj any) error {
	kept, err := f.kept(obj)
	switch {
	case err != nil:
		return err
	case kept.GetDeletionTimestamp() != nil:
		f.index.remove(kept)
	default:
		f.index.put(kept)
	}
	return nil
}

// Delete is called with an object that is gone.
func (f *feed[T]) Delete(obj any) error {
	gone, ok := obj.(metav1.Object)
	if !ok {
		return fmt.Errorf("a %T was deleted", obj)
	}
	f.index.remove(gone)
	return nil
}

// Replace is called with all objects, after a list.
func (f *feed[T]) Replace(list []any, _ string) error {
	objects := make([]T, 0, len(list))
	for _, obj := range list {
		kept, err := f.kept(obj)
		if err != nil {
			return err
		}
		if kept.GetDeletionTimestamp() == nil {
			objects = append(objects, kept)
		}
	}
	f.index.replace(f.namespace, objects)
	f.mu.Lock()
	f.hasListed = true
	f.mu.Unlock()
	return nil
}

// Resync does nothing: the index is what the API server has.
func (f *feed[T]) Resync() error { return nil }

func (f *feed[T]) kept(obj any) (kept T, err error) {
	trimmed, err := f.trim(obj)
	if err != nil {
		return kept, err
	}
	kept, ok := trimmed.(T)
	if !ok {
		return kept, fmt.Errorf("the API server sent a %T, not a %T", obj, kept)
	}
	return kept, nil
}
