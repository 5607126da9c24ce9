package manifest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/httpapi/strict"
)

const (
	// MaxBytes is the maximum size of a manifest.
	MaxBytes = 2 << 20
	// maxDepth is how deep a manifest may be nested.
	maxDepth = 64
)

// Format is the format of a manifest.
type Format int

// The formats.
const (
	JSON Format = iota
	YAML
)

// Place is the namespace and the name in the path of a request. An empty name means any.
type Place struct{ Namespace, Name string }

// Fault says what is wrong with a manifest.
type Fault struct {
	// Pointer is a JSON pointer. Empty means the whole manifest.
	Pointer string
	// Line is the line in YAML, from 1. 0 means that it is not known.
	Line   int
	Detail string
}

// Error is why a manifest cannot be used.
type Error struct {
	// IsMalformed reports that the manifest is not an object of the kind: it has a syntax error, an unknown field or a
	// wrong type. Otherwise its values are wrong.
	IsMalformed bool
	Detail      string
	Faults      []Fault
}

func (e *Error) Error() string { return e.Detail }

// document is a Kubernetes object. Any status is accepted.
type document[S any] struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        metav1.ObjectMeta `json:"metadata"`
	Spec            S                 `json:"spec"`
	Status          any               `json:"status"`
}

// DAG decodes the manifest of a DAG. warnings name dropped fields whose effect the author may miss. An error is an
// *Error.
func DAG(body []byte, format Format, place Place) (d *v1alpha1.DAG, warnings []string, err error) {
	read, warnings, err := decode[v1alpha1.DAGSpec](body, format, "DAG", place)
	if err != nil {
		return nil, nil, err
	}
	return &v1alpha1.DAG{ObjectMeta: read.Metadata, Spec: read.Spec}, warnings, nil
}

// DagTask decodes the manifest of a DagTask, like DAG.
func DagTask(body []byte, format Format, place Place) (task *v1alpha1.DagTask, warnings []string, err error) {
	read, warnings, err := decode[v1alpha1.DagTaskSpec](body, format, "DagTask", place)
	if err != nil {
		return nil, nil, err
	}
	return &v1alpha1.DagTask{ObjectMeta: read.Metadata, Spec: read.Spec}, warnings, nil
}

func decode[S any](body []byte, format Format, kind string, place Place) (document[S], []string, error) {
	var read document[S]
	if len(body) > MaxBytes {
		return read, nil, malformed(fmt.Sprintf("A manifest has at most %d bytes.", MaxBytes))
	}
	if !utf8.Valid(body) {
		return read, nil, malformed("The manifest is not valid UTF-8.")
	}
	lines := func(string) int { return 0 }
	if format == YAML {
		if len(body) > largeBytes {
			large.Lock()
			defer large.Unlock()
		}
		tree, err := parse(body)
		if err != nil {
			return read, nil, err
		}
		if body, err = tree.json(body); err != nil {
			return read, nil, err
		}
		lines = tree.line
	}
	found, err := strict.Check(body, reflect.TypeFor[document[S]](), maxDepth)
	if err != nil {
		return read, nil, malformed("The manifest is not one object: " + err.Error() + ".")
	}
	if len(found) > 0 {
		const detail = "The manifest has fields or values that it may not have."
		return read, nil, &Error{IsMalformed: true, Detail: detail, Faults: locate(found, lines)}
	}
	if err := json.Unmarshal(body, &read); err != nil {
		return read, nil, malformed("The manifest cannot be read: " + err.Error() + ".")
	}
	if found := check(&read.TypeMeta, &read.Metadata, kind, place); len(found) > 0 {
		return read, nil, &Error{Detail: "The manifest is of another object.", Faults: locate(found, lines)}
	}
	return read, strip(&read.Metadata, place.Namespace), nil
}

func malformed(detail string, faults ...Fault) *Error {
	return &Error{IsMalformed: true, Detail: detail, Faults: faults}
}

func locate(found []strict.Fault, lines func(string) int) []Fault {
	faults := make([]Fault, len(found))
	for i, f := range found {
		faults[i] = Fault{Pointer: f.Pointer, Line: lines(f.Pointer), Detail: f.Detail}
	}
	return faults
}

// check compares the kind, namespace and name of a manifest with those of the request.
func check(of *metav1.TypeMeta, meta *metav1.ObjectMeta, kind string, place Place) (faults []strict.Fault) {
	version := v1alpha1.SchemeGroupVersion.String()
	if of.APIVersion != version {
		faults = append(faults, strict.Fault{Pointer: "/apiVersion", Detail: "must be " + version})
	}
	if of.Kind != kind {
		faults = append(faults, strict.Fault{Pointer: "/kind", Detail: "must be " + kind})
	}
	if meta.Namespace != "" && meta.Namespace != place.Namespace {
		faults = append(faults, strict.Fault{
			Pointer: "/metadata/namespace",
			Detail:  fmt.Sprintf("must be %s, as in the path, or be missing", place.Namespace),
		})
	}
	switch {
	case meta.Name == "":
		faults = append(faults, strict.Fault{Pointer: "/metadata/name", Detail: "a name is required"})
	case place.Name != "" && meta.Name != place.Name:
		faults = append(faults, strict.Fault{
			Pointer: "/metadata/name", Detail: fmt.Sprintf("must be %s, as in the path", place.Name),
		})
	}
	return faults
}

// strip keeps the name, labels and annotations of a manifest, and sets the namespace. It returns warnings for dropped
// fields whose effect the author may miss.
func strip(meta *metav1.ObjectMeta, namespace string) (warnings []string) {
	if len(meta.Finalizers) > 0 {
		warnings = append(warnings, "metadata.finalizers: has no effect here")
	}
	if len(meta.OwnerReferences) > 0 {
		warnings = append(warnings, "metadata.ownerReferences: has no effect here")
	}
	delete(meta.Annotations, corev1.LastAppliedConfigAnnotation)
	*meta = metav1.ObjectMeta{
		Namespace: namespace, Name: meta.Name, Labels: meta.Labels, Annotations: meta.Annotations,
	}
	return warnings
}
