package answer

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
)

// Object is an object as the API server has it.
type Object struct {
	Namespace  string `json:"namespace"`
	Name       string `json:"name"`
	UID        string `json:"uid"`
	Generation int64  `json:"generation"`
	// Manifest is the object without its managed fields.
	Manifest any `json:"manifest"`
	// Warnings say what may undo the change.
	Warnings []string `json:"warnings,omitempty"`
}

// OfObject returns the view of an object. It changes the object.
func OfObject(object metav1.Object, warnings ...string) Object {
	object.SetManagedFields(nil)
	version := v1alpha1.SchemeGroupVersion.String()
	switch object := object.(type) {
	case *v1alpha1.DAG:
		object.TypeMeta = metav1.TypeMeta{APIVersion: version, Kind: "DAG"}
	case *v1alpha1.DagTask:
		object.TypeMeta = metav1.TypeMeta{APIVersion: version, Kind: "DagTask"}
	}
	return Object{
		object.GetNamespace(), object.GetName(), string(object.GetUID()), object.GetGeneration(), object,
		warnings,
	}
}

// Validation is the response for a manifest without faults.
type Validation struct {
	Valid    bool     `json:"valid"`
	Warnings []string `json:"warnings"`
}
