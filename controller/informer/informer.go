package informer

import (
	"context"
	"sync/atomic"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// Object is what a Set holds.
type Object interface {
	runtime.Object
	metav1.Object
}

// Client lists and watches a kind in one namespace, or in all. Typed clients implement it.
type Client[L runtime.Object] interface {
	List(context.Context, metav1.ListOptions) (L, error)
	Watch(context.Context, metav1.ListOptions) (watch.Interface, error)
}

// Set is the cache of one kind. One informer for each namespace feeds it, or one for all. What it returns is shared and
// read-only.
type Set[T Object] struct {
	informers []*namespaced
}

// namespaced is the informer of one namespace, or of all.
type namespaced struct {
	cache.SharedIndexInformer
	// isForbidden reports that the API server has refused a list or a watch.
	isForbidden atomic.Bool
}

// AddTo adds an informer that lists and watches with a client. selector is a label selector; an empty one selects all
// objects. trim drops unused fields of each object before it is cached.
func AddTo[T Object, L runtime.Object](
	s *Set[T], from Client[L], selector string, trim cache.TransformFunc, indexers cache.Indexers,
) {
	var kind T
	informer := &namespaced{SharedIndexInformer: cache.NewSharedIndexInformer(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			options.LabelSelector = selector
			return from.List(ctx, options)
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			options.LabelSelector = selector
			return from.Watch(ctx, options)
		},
	}, kind, 0, indexers)}
	// These calls fail only if the informer has been started.
	_ = informer.SetTransform(trim)
	_ = informer.SetWatchErrorHandlerWithContext(func(ctx context.Context, r *cache.Reflector, err error) {
		if apierrors.IsForbidden(err) {
			informer.isForbidden.Store(true)
		}
		cache.DefaultWatchErrorHandler(ctx, r, err)
	})
	s.informers = append(s.informers, informer)
}

// Run starts the informers. They end with ctx.
func (s *Set[T]) Run(ctx context.Context) {
	for _, informer := range s.informers {
		go informer.RunWithContext(ctx)
	}
}

// HasSynced reports whether every informer has delivered its first list. It does not wait for a namespace in which the
// API server forbids listing, unless it does so in all of them: such a namespace may be gone, and must not delay the
// others. Its objects are delivered once listing is allowed.
func (s *Set[T]) HasSynced() bool {
	forbidden := 0
	for _, informer := range s.informers {
		switch {
		case informer.HasSynced():
		case informer.isForbidden.Load():
			forbidden++
		default:
			return false
		}
	}
	return forbidden == 0 || forbidden < len(s.informers)
}

// Get returns the cached object of a name.
func (s *Set[T]) Get(name cache.ObjectName) (T, bool) {
	for _, informer := range s.informers {
		if obj, ok, _ := informer.GetIndexer().GetByKey(name.String()); ok {
			return obj.(T), true
		}
	}
	var none T
	return none, false
}

// WithUID returns the cached object that has a UID. The Set has the index ByUID.
func (s *Set[T]) WithUID(uid types.UID) (T, bool) {
	for _, object := range s.By(ByUID, firstOf(uid)) {
		if object.GetUID() == uid {
			return object, true
		}
	}
	var none T
	return none, false
}

// By returns the cached objects under a value of an index.
func (s *Set[T]) By(index, value string) []T {
	var found []T
	for _, informer := range s.informers {
		objs, err := informer.GetIndexer().ByIndex(index, value)
		if err != nil {
			continue // the index does not exist: a programming error, which tests find
		}
		for _, obj := range objs {
			found = append(found, obj.(T))
		}
	}
	return found
}

// All calls f with every cached object.
func (s *Set[T]) All(f func(T)) {
	for _, informer := range s.informers {
		for _, obj := range informer.GetIndexer().List() {
			f(obj.(T))
		}
	}
}

// Handle registers handlers with every informer. Objects that are cached already are delivered as added. For an added
// object, old is zero. release removes the handlers. It must be called even after an error, which an informer that has
// stopped returns.
func (s *Set[T]) Handle(changed func(old, new T), deleted func(T)) (release func(), err error) {
	var undo []func()
	release = func() {
		for _, f := range undo {
			f()
		}
	}
	for _, informer := range s.informers {
		registration, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: func(obj any) {
				var none T
				changed(none, obj.(T))
			},
			UpdateFunc: func(old, new any) { changed(old.(T), new.(T)) },
			DeleteFunc: func(obj any) {
				if unknown, ok := obj.(cache.DeletedFinalStateUnknown); ok {
					obj = unknown.Obj
				}
				if object, ok := obj.(T); ok {
					deleted(object)
				}
			},
		})
		if err != nil {
			return release, err
		}
		undo = append(undo, func() { _ = informer.RemoveEventHandler(registration) })
	}
	return release, nil
}
