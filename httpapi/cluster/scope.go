package cluster

import (
	"cmp"
	"errors"
	"slices"
)

// Scope are the namespaces that a caller may see. Names are those, unless isAll.
type Scope interface {
	Has(namespace string) bool
	Names() (names []string, isAll bool)
}

// List is what a scope has, without what its namespaces have that are Unavailable.
type List[T any] struct {
	Items       []T           `json:"items"`
	Unavailable []Unavailable `json:"unavailableNamespaces,omitempty"`
}

// Unavailable is a namespace that cannot be read now. Detail says why to users, in a sentence.
type Unavailable struct {
	Namespace string `json:"namespace"`
	Detail    string `json:"detail"`
}

// Lacks reports whether a namespace is Unavailable.
func (l List[T]) Lacks(namespace string) bool {
	return slices.ContainsFunc(l.Unavailable, func(u Unavailable) bool { return u.Namespace == namespace })
}

// outcome is the error of reading a namespace, or all if it is empty. Nil means success.
type outcome struct {
	namespace string
	err       error
}

// unavailable returns the namespaces that could not be read. The error is the first one if none could be read, or one
// that is not an *Error.
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

// inScope returns the objects of the namespaces that has reports.
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
