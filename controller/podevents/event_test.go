package podevents

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/controller/text"
	"kontroler/store"
)

// at is a number of seconds past noon.
func at(second int) time.Time { return noon.Add(time.Duration(second) * time.Second) }

func TestAnEventBecomesARow(t *testing.T) {
	seconds := func(n int) metav1.Time { return metav1.NewTime(at(n)) }
	micros := func(n int) metav1.MicroTime { return metav1.NewMicroTime(at(n)) }
	about := func(fieldPath string) corev1.ObjectReference { return corev1.ObjectReference{FieldPath: fieldPath} }
	odd := "\x00\xff" + strings.Repeat("x", 5000)
	for name, tt := range map[string]struct {
		event corev1.Event
		want  store.PodEvent
	}{
		"a kubelet uses the older form and names the container": {
			corev1.Event{
				Type: "Normal", Reason: "BackOff", Message: " Back-off\n", Count: 7,
				FirstTimestamp: seconds(1), LastTimestamp: seconds(9),
				ReportingController: "kubelet", Source: corev1.EventSource{Component: "kubelet", Host: "node"},
				InvolvedObject: about("spec.initContainers{init}"),
			},
			store.PodEvent{
				Container: "init", Type: "Normal", Reason: "BackOff", Message: "Back-off", Source: "kubelet", Count: 7,
				FirstAt: at(1), LastAt: at(9),
			},
		},
		"a scheduler uses the newer form with a series": {
			corev1.Event{
				Type: "Warning", Reason: "FailedScheduling", EventTime: micros(1),
				ReportingController: "default-scheduler",
				Series:              &corev1.EventSeries{Count: 5, LastObservedTime: micros(8)},
			},
			store.PodEvent{
				Type: "Warning", Reason: "FailedScheduling", Source: "default-scheduler", Count: 5,
				FirstAt: at(1), LastAt: at(8),
			},
		},
		"a field path without a container is about the Pod": {
			corev1.Event{FirstTimestamp: seconds(1), InvolvedObject: about("spec.volumes")},
			store.PodEvent{Count: 1, FirstAt: at(1), LastAt: at(1)},
		},
		"an Event without times has the time of its creation, and counts at least once": {
			corev1.Event{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: seconds(3)}, Count: -1},
			store.PodEvent{Count: 1, FirstAt: at(3), LastAt: at(3)},
		},
		"an Event without a first time begins at the last one if that is before its creation": {
			corev1.Event{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: seconds(3)}, LastTimestamp: seconds(1)},
			store.PodEvent{Count: 1, FirstAt: at(1), LastAt: at(1)},
		},
		"a time that PostgreSQL may not accept counts as none": {
			corev1.Event{
				ObjectMeta:     metav1.ObjectMeta{CreationTimestamp: seconds(3)},
				FirstTimestamp: metav1.NewTime(time.Unix(1<<50, 0)), LastTimestamp: seconds(4),
			},
			store.PodEvent{Count: 1, FirstAt: at(3), LastAt: at(4)},
		},
		"a last time before the first one is corrected": {
			corev1.Event{FirstTimestamp: seconds(5), LastTimestamp: seconds(2)},
			store.PodEvent{Count: 1, FirstAt: at(5), LastAt: at(5)},
		},
		"texts are cleaned and bounded": {
			corev1.Event{FirstTimestamp: seconds(1), Message: odd, Reason: "a\x00b"},
			store.PodEvent{Message: text.Clean(odd), Reason: "ab", Count: 1, FirstAt: at(1), LastAt: at(1)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, fromAPI(&tt.event)); diff != "" {
				t.Errorf("row (-want +got):\n%s", diff)
			}
		})
	}
}
