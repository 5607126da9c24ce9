package cluster

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
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

// feed keeps the objects of one namespace, or of all, in an index up to date. It is the store of a reflector.
type feed[T object] struct {
	*source
	index     *index[T]
	trim      cache.TransformFunc
	reflector *cache.Reflector
	// isStreaming means that the list is streamed through a watch. Only the goroutine of the reflector uses it.
	isStreaming bool
}

// newFeed makes a feed that lists and watches with a client.
func newFeed[T object, L runtime.Object](x *index[T], from client[L], s *source, trim cache.TransformFunc) *feed[T] {
	f := &feed[T]{source: s, index: x, trim: trim}
	lister := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			f.isStreaming = false
			ctx, cancel := context.WithTimeout(ctx, answerTimeout)
			defer cancel()
			list, err := from.List(ctx, options)
			if err != nil {
				f.note(err)
			}
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			changes, err := begin(ctx, from, options)
			isStreaming := options.SendInitialEvents != nil
			f.isStreaming = isStreaming && err == nil
			// If the API server cannot stream lists, this is no failure: the reflector falls back to a plain list.
			if !f.isStreaming && !(isStreaming && apierrors.IsInvalid(err)) {
				f.note(err)
			}
			return changes, err
		},
	}
	var kind T
	f.reflector = cache.NewReflectorWithOptions(lister, kind, f, cache.ReflectorOptions{
		Name: "server-" + s.resource,
		// retries are at most ten seconds apart, because users wait for them
		Backoff: &wait.Backoff{
			Duration: 500 * time.Millisecond, Factor: 2, Jitter: 0.5, Steps: 10, Cap: 6 * time.Second,
		},
	})
	return f
}

// run lists and watches until ctx ends.
func (f *feed[T]) run(ctx context.Context) {
	sink := klog.Background().WithName("reflector").GetSink() // WithName copies the sink, which klog.New may modify
	f.reflector.RunWithContext(klog.NewContext(ctx, klog.New(quiet{sink, f.source})))
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
	if f.isStreaming {
		f.note(nil)
	}
	return nil
}

// Resync does nothing: the index has no consumers to call again.
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
