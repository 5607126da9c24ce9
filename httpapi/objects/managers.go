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

// keepOthers adds the labels and annotations of managers that wrote nothing of the spec to those of a manifest, unless
// the manifest has them.
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
		// Kubernetes writes no other form.
		if err := json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields); err == nil {
			maps.Copy(labels, fields.Metadata.Labels)
			maps.Copy(annotations, fields.Metadata.Annotations)
		}
	}
	given.SetLabels(with(given.GetLabels(), live.GetLabels(), labels))
	given.SetAnnotations(with(given.GetAnnotations(), live.GetAnnotations(), annotations))
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
	maps.Copy(joined, given)
	return joined
}

// IsForeign reports whether a DAG belongs to another controller than the one with this id and class: another has
// claimed it, or nobody has and its class is another.
func IsForeign(d *v1alpha1.DAG, controllerID, class string) bool {
	if d.Status.Controller != "" {
		return d.Status.Controller != controllerID
	}
	return d.Spec.ControllerClass != class
}
