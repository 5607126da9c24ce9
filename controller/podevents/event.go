package podevents

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/controller/engine"
	"kontroler/controller/kube"
	"kontroler/controller/text"
	"kontroler/store"
)

// fromAPI converts an Event of the API to a row without its Pod. Older and newer clients set different fields for
// counts and times.
func fromAPI(e *corev1.Event) store.PodEvent {
	row := store.PodEvent{
		Container: containerOf(e.InvolvedObject.FieldPath),
		Type:      text.Clean(e.Type), Reason: text.Clean(e.Reason), Message: text.Clean(e.Message),
		Source: text.Clean(e.Source.Component),
		Count:  max(1, e.Count), FirstAt: storable(e.FirstTimestamp), LastAt: storable(e.LastTimestamp),
	}
	if row.Source == "" {
		row.Source = text.Clean(e.ReportingController)
	}
	row.FirstAt = engine.Earlier(row.FirstAt, storable(metav1.Time(e.EventTime)))
	if row.FirstAt.IsZero() {
		row.FirstAt = engine.Earlier(storable(e.CreationTimestamp), row.LastAt)
	}
	if series := e.Series; series != nil {
		row.Count = max(row.Count, series.Count)
		row.LastAt = later(row.LastAt, storable(metav1.Time(series.LastObservedTime)))
	}
	row.LastAt = later(row.LastAt, row.FirstAt)
	return row
}

// containerOf returns the container that an Event is about. Its fieldPath is like spec.initContainers{name}. The result
// is empty if the Event is about the Pod.
func containerOf(fieldPath string) string {
	_, name, ok := strings.Cut(fieldPath, "ontainers{")
	if !ok {
		return ""
	}
	return text.Clean(strings.TrimSuffix(name, "}"))
}

// storable converts a time that any client of the API may have written. It returns zero if there is no time, or if
// PostgreSQL or a reader may not accept it.
func storable(t metav1.Time) time.Time {
	if t.Year() > 9999 {
		return time.Time{}
	}
	return kube.UTC(t)
}

// later returns the later of two times.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
