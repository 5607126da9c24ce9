package cluster

import (
	"cmp"
	"slices"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// index holds the objects of a kind, by namespace and name. They are shared and read-only.
type index[T metav1.Object] struct {
	mu sync.RWMutex
	// objects are sorted. A change replaces the slice, because readers keep it.
	objects []T
}

// CompareNames compares by namespace and then by name.
func CompareNames(namespace, name, otherNamespace, otherName string) int {
	return cmp.Or(cmp.Compare(namespace, otherNamespace), cmp.Compare(name, otherName))
}

func compare[T metav1.Object](a T, b metav1.Object) int {
	return CompareNames(a.GetNamespace(), a.GetName(), b.GetNamespace(), b.GetName())
}

// all returns the objects of the namespaces for which has is true, sorted. It calls has once for each namespace.
func (x *index[T]) all(has func(namespace string) bool) []T {
	x.mu.RLock()
	objects := x.objects
	x.mu.RUnlock()
	found := make([]T, 0, len(objects))
	for begin := 0; begin < len(objects); {
		namespace, end := objects[begin].GetNamespace(), begin+1
		for end < len(objects) && objects[end].GetNamespace() == namespace {
			end++
		}
		if has(namespace) {
			found = append(found, objects[begin:end]...)
		}
		begin = end
	}
	return found
}

// get returns an object by its name.
func (x *index[T]) get(namespace, name string) (object T, found bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	at, found := slices.BinarySearchFunc(x.objects, struct{}{}, func(o T, _ struct{}) int {
		return CompareNames(o.GetNamespace(), o.GetName(), namespace, name)
	})
	if found {
		object = x.objects[at]
	}
	return object, found
}

// put adds an object, or replaces the one of its name.
func (x *index[T]) put(object T) {
	x.mu.Lock()
	defer x.mu.Unlock()
	at, found := slices.BinarySearchFunc(x.objects, metav1.Object(object), compare[T])
	objects := make([]T, 0, len(x.objects)+1)
	objects = append(append(objects, x.objects[:at]...), object)
	if found {
		at++
	}
	x.objects = append(objects, x.objects[at:]...)
}

// remove removes the object of a name.
func (x *index[T]) remove(object metav1.Object) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if at, found := slices.BinarySearchFunc(x.objects, object, compare[T]); found {
		x.objects = slices.Concat(x.objects[:at], x.objects[at+1:])
	}
}

// replace makes objects those of a namespace, or of all if it is empty.
func (x *index[T]) replace(namespace string, objects []T) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if namespace != "" {
		for _, object := range x.objects {
			if object.GetNamespace() != namespace {
				objects = append(objects, object)
			}
		}
	}
	slices.SortFunc(objects, func(a, b T) int { return compare(a, b) })
	x.objects = objects
}
