package cluster

import (
	"cmp"
	"errors"
	"slices"
)

// Scope is the set of namespaces that a caller may see. Names returns them, or isAll for all namespaces.
type Scope interface {
	Has(namespace string) bool
	Names() (names []string, isAll bool)
}

// List has the items of a scope, except those in the namespaces that are Unavailable.
type List[T any] struct {
	Items       []T           `json:"items"`
	Unavailable []Unavailable `json:"unavailableNamespaces,omitempty"`
}

// Unavailable is a namespace that cannot be read now. Detail says why, in a sentence for users.
type Unavailable struct {
	Namespace string `json:"namespace"`
	Detail    string `json:"detail"`
}

// Lacks reports whether a namespace is Unavailable.
func (l List[T]) Lacks(namespace string) bool {
	return slices.ContainsFunc(l.Unavailable, func(u Unavailable) bool { return u.Namespace == namespace })
}

// outcome is the result of reading a namespace, or all namespaces if namespace is empty. A nil err means success.
type outcome struct {
	namespace string
	err       error
}

// unavailable returns the namespaces that could not be read. It returns the first error if none could be read, and any
// error that is not an *Error.
func unavailable(outcomes []outcome) (namespaces []Unavailable, err error) {
	var first error
	for _, o := range outcomes {
		failed, ok := errors.AsType[*Error](o.err)
		switch {
		case ok:
			first = cmp.Or(first, o.err)
			namespaces = append(namespaces, Unavailable{o.namespace, failed.Detail})
		case o.err != nil:
			return nil, o.err
		}
	}
	if len(namespaces) == len(outcomes) {
		return nil, first
	}
	return namespaces, nil
}

// inScope returns the objects of the namespaces for which has is true.
func inScope[T object](x *index[T], feeds []*feed[T], has func(string) bool) (found List[T], err error) {
	var outcomes []outcome
	for _, f := range feeds {
		if f.namespace == "" || has(f.namespace) {
			outcomes = append(outcomes, outcome{f.namespace, f.fault()})
		}
	}
	if found.Unavailable, err = unavailable(outcomes); err != nil {
		return List[T]{}, err
	}
	found.Items = x.all(func(namespace string) bool { return has(namespace) && !found.Lacks(namespace) })
	return found, nil
}

func inNamespace[T object](x *index[T], feeds []*feed[T], namespace, name string) (object T, found bool, err error) {
	for _, f := range feeds {
		if err := f.fault(); err != nil && (f.namespace == "" || f.namespace == namespace) {
			return object, false, err
		}
	}
	object, found = x.get(namespace, name)
	return object, found, nil
}
