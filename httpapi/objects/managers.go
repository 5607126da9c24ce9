package objects

import (
	"encoding/json"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
)

// FieldManager is the name under which Kubernetes records what the server writes.
const FieldManager = "kontroler-server"

// owned are the fields of an object that a manager wrote.
type owned struct {
	Spec     json.RawMessage `json:"f:spec"`
	Metadata struct {
		Labels      map[string]json.RawMessage `json:"f:labels"`
		Annotations map[string]json.RawMessage `json:"f:annotations"`
	} `json:"f:metadata"`
}

// managersOf returns what each manager wrote, except the server and what was written to the status.
func managersOf(object metav1.Object) map[string][]owned {
	managers := map[string][]owned{}
	for _, entry := range object.GetManagedFields() {
		if entry.Manager == FieldManager || entry.Subresource != "" || entry.FieldsV1 == nil {
			continue
		}
		var fields owned
		if err := json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields); err == nil { // Kubernetes writes no other form.
			managers[entry.Manager] = append(managers[entry.Manager], fields)
		}
	}
	return managers
}

func hasSpec(entries []owned) bool {
	return slices.ContainsFunc(entries, func(o owned) bool { return o.Spec != nil })
}

// SpecManagers returns the names of the managers, other than this server, that wrote fields of the spec.
func SpecManagers(object metav1.Object) (names []string) {
	for name, entries := range managersOf(object) {
		if hasSpec(entries) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// keepOthers adds the labels and annotations of managers that wrote nothing of the spec to those of a manifest, unless
// the manifest has them.
func keepOthers(live, given metav1.Object) {
	labels, annotations := map[string]json.RawMessage{}, map[string]json.RawMessage{}
	for _, entries := range managersOf(live) {
		if hasSpec(entries) {
			continue
		}
		for _, entry := range entries {
			addAll(labels, entry.Metadata.Labels)
			addAll(annotations, entry.Metadata.Annotations)
		}
	}
	given.SetLabels(with(given.GetLabels(), live.GetLabels(), labels))
	given.SetAnnotations(with(given.GetAnnotations(), live.GetAnnotations(), annotations))
}

func addAll(to, from map[string]json.RawMessage) {
	for key, value := range from {
		to[key] = value
	}
}

// with returns the given values and the live ones whose keys a manager owns, which are written with "f:" before them.
func with(given, live map[string]string, keys map[string]json.RawMessage) map[string]string {
	joined := map[string]string{}
	for key := range keys {
		key = strings.TrimPrefix(key, "f:")
		if value, ok := live[key]; ok {
			joined[key] = value
		}
	}
	for key, value := range given {
		joined[key] = value
	}
	return joined
}

// IsForeign reports whether a DAG belongs to another controller than the one with this id and class: another has claimed
// it, or nobody has and its class is another.
func IsForeign(d *v1alpha1.DAG, controllerID, class string) bool {
	if d.Status.Controller != "" {
		return d.Status.Controller != controllerID
	}
	return d.Spec.ControllerClass != class
}
