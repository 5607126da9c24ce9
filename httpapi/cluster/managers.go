package cluster

import (
	"encoding/json"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// OwnManager is the field manager of the server. Kubernetes derives it from the beginning of the user agent.
const OwnManager = "kontroler-server"

// Manager returns the name of the field manager that wrote the spec of an object, or "". If there are several, it is
// the last one to write, but never the server, because a tool that manages the object will write it again.
func Manager(object metav1.Object) string {
	if writer := specWriter(object.GetManagedFields()); writer != nil {
		return writer.Manager
	}
	return ""
}

// SpecManagers returns the names of the field managers, other than this server, that wrote fields of the spec.
func SpecManagers(object metav1.Object) (names []string) {
	return otherManagers(object, hasSpec)
}

// SuspendedManagers returns the names of the field managers, other than this server, that own spec.suspended.
func SuspendedManagers(dag metav1.Object) (names []string) {
	return otherManagers(dag, func(entry *metav1.ManagedFieldsEntry) bool {
		return specOf(entry)["f:suspended"] != nil
	})
}

func otherManagers(object metav1.Object, has func(*metav1.ManagedFieldsEntry) bool) (names []string) {
	for _, entry := range object.GetManagedFields() {
		if entry.Manager != OwnManager && has(&entry) {
			names = append(names, entry.Manager)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// specWriter returns the entry of the manager that Manager names, or nil.
func specWriter(entries []metav1.ManagedFieldsEntry) (writer *metav1.ManagedFieldsEntry) {
	for i := range entries {
		entry := &entries[i]
		if !hasSpec(entry) {
			continue
		}
		isOwn := entry.Manager == OwnManager
		switch {
		case writer == nil, writer.Manager == OwnManager && !isOwn:
			writer = entry
		case isOwn && writer.Manager != OwnManager:
		case entry.Time != nil && writer.Time.Before(entry.Time):
			writer = entry
		}
	}
	return writer
}

// hasSpec reports whether an entry has fields of the spec.
func hasSpec(entry *metav1.ManagedFieldsEntry) bool { return specOf(entry) != nil }

// specOf returns the fields of the spec in an entry, nil if there are none. It ignores entries of subresources, which
// only the controller writes.
func specOf(entry *metav1.ManagedFieldsEntry) map[string]json.RawMessage {
	if entry.Subresource != "" || entry.FieldsV1 == nil {
		return nil
	}
	var fields struct {
		Spec map[string]json.RawMessage `json:"f:spec"`
	}
	if err := json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields); err != nil {
		return nil // cannot happen: Kubernetes writes only this form
	}
	return fields.Spec
}
