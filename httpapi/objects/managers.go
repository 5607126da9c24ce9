package objects

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/httpapi/cluster"
)

// keepOthers adds to a manifest the live labels and annotations of managers that own no field of the spec. Values in
// the manifest take precedence.
func keepOthers(live, given metav1.Object) {
	writers := append(cluster.SpecManagers(live), cluster.OwnManager)
	labels, annotations := map[string]json.RawMessage{}, map[string]json.RawMessage{}
	for _, entry := range live.GetManagedFields() {
		if entry.Subresource != "" || entry.FieldsV1 == nil || slices.Contains(writers, entry.Manager) {
			continue
		}
		var fields struct {
			Metadata struct {
				Labels      map[string]json.RawMessage `json:"f:labels"`
				Annotations map[string]json.RawMessage `json:"f:annotations"`
			} `json:"f:metadata"`
		}
		// An error cannot happen: Kubernetes writes only this form.
		if err := json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields); err == nil {
			maps.Copy(labels, fields.Metadata.Labels)
			maps.Copy(annotations, fields.Metadata.Annotations)
		}
	}
	given.SetLabels(with(given.GetLabels(), live.GetLabels(), labels))
	given.SetAnnotations(with(given.GetAnnotations(), live.GetAnnotations(), annotations))
}

// with returns the given values and the live values of keys. The keys have the prefix "f:" of managed fields.
func with(given, live map[string]string, keys map[string]json.RawMessage) map[string]string {
	joined := map[string]string{}
	for key := range keys {
		key = strings.TrimPrefix(key, "f:")
		if value, ok := live[key]; ok {
			joined[key] = value
		}
	}
	maps.Copy(joined, given)
	return joined
}

// IsForeign reports whether a DAG belongs to a controller other than the one with this id and class: another controller
// has claimed it, or it is unclaimed and has another class.
func IsForeign(d *v1alpha1.DAG, controllerID, class string) bool {
	if d.Status.Controller != "" {
		return d.Status.Controller != controllerID
	}
	return d.Spec.ControllerClass != class
}
