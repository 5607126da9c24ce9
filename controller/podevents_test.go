package controller

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kontroler/controller/names"
	"kontroler/controller/text"
	"kontroler/store"
)

var eventTime = time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)

// told is an Event of a Pod at a second.
func told(uid, message string, second int) *corev1.Event {
	at := metav1.NewTime(eventTime.Add(time.Duration(second) * time.Second))
	return &corev1.Event{
		InvolvedObject: corev1.ObjectReference{Name: "run-task-abcdefghi7", UID: types.UID(uid)},
		Type:           "Normal", Reason: "R", Message: message, Count: 1, FirstTimestamp: at, LastTimestamp: at,
	}
}

// livePods are Pods that a cache has.
type livePods map[types.UID]bool

func (l livePods) find(uid types.UID) (store.Pod, bool) { return store.Pod{UID: string(uid)}, l[uid] }

// drain takes all that waits, as "pod message ×count".
func (p *podEvents) drain() []string {
	var all []string
	for batch := p.take(); len(batch) > 0; batch = p.take() {
		for _, e := range batch {
			all = append(all, fmt.Sprintf("%s %s ×%d", e.Pod.UID, e.Message, e.Count))
		}
	}
	return all
}

func TestPodEventsAreMatched(t *testing.T) {
	live := livePods{"live": true}
	p := newPodEvents(live.find, func(store.Pod, *store.PodEvent) {})
	p.remember(store.Pod{UID: "gone"})
	for _, uid := range []string{"live", "gone", "late", "never", ""} {
		p.see(told(uid, "a", 1), eventTime)
	}
	stranger := told("late", "b", 1)
	stranger.InvolvedObject.Name = "replica-set-7d4b9-x2x4z"
	p.see(stranger, eventTime)
	if diff := cmp.Diff([]string{"live a ×1", "gone a ×1"}, p.drain()); diff != "" {
		t.Errorf("at once (-want +got):\n%s", diff)
	}
	live["late"] = true
	p.settle(eventTime.Add(time.Second))
	if diff := cmp.Diff([]string{"late a ×1"}, p.drain()); diff != "" {
		t.Errorf("once their Pod is known (-want +got):\n%s", diff)
	}
	p.settle(eventTime.Add(podEventsHold))
	live["never"] = true
	p.settle(eventTime.Add(podEventsHold))
	if late := p.drain(); len(late) > 0 || len(p.held) > 0 {
		t.Errorf("what was held for long is kept: %v %v", late, p.held)
	}
}

func TestPodEventsThatSayTheSameAreOne(t *testing.T) {
	p := newPodEvents(livePods{"a": true, "b": true}.find, func(store.Pod, *store.PodEvent) {})
	for _, e := range []struct {
		uid, message string
		second       int
		count        int32
	}{{"a", "x", 5, 3}, {"b", "x", 1, 1}, {"a", "x", 9, 2}, {"a", "y", 2, 1}, {"a", "x", 1, 1}, {"a", "x", 5, 3}} {
		event := told(e.uid, e.message, e.second)
		event.Count = e.count
		p.see(event, eventTime)
	}
	batch := p.take()
	if first := batch[0]; !first.FirstAt.Equal(eventTime.Add(time.Second)) || !first.LastAt.Equal(eventTime.Add(9*time.Second)) {
		t.Errorf("it was told from %s to %s", first.FirstAt, first.LastAt)
	}
	p.restore(batch)
	again := told("a", "x", 7)
	again.Count = 4
	p.see(again, eventTime)
	if diff := cmp.Diff([]string{"a x ×4", "b x ×1", "a y ×1"}, p.drain()); diff != "" {
		t.Errorf("what waits (-want +got):\n%s", diff)
	}
}

func TestPodEventsAreBounded(t *testing.T) {
	live := livePods{"live": true}
	p := newPodEvents(live.find, func(store.Pod, *store.PodEvent) {})
	for n := range podEventsHeld + 10 {
		p.see(told(fmt.Sprint("later-", n), "", n), eventTime)
		live[types.UID(fmt.Sprint("later-", n))] = true
	}
	p.settle(eventTime)
	if kept := p.drain(); len(kept) != podEventsHeld || kept[0] != "later-10  ×1" {
		t.Errorf("%d were held, the first %s", len(kept), kept[0])
	}
	for n := range podEventsWaiting {
		if !p.see(told("live", fmt.Sprint(n), n), eventTime) {
			t.Fatalf("no room for Event %d", n)
		}
	}
	p.see(told("held", "", 0), eventTime)
	live["held"] = true
	p.settle(eventTime.Add(time.Hour))
	if p.see(told("live", "one more", 0), eventTime) || !p.see(told("other", "", 0), eventTime) {
		t.Error("one more than may wait has room, or one that is dismissed has none")
	}
	batch := p.take()
	if len(batch) != podEventsBatch || !p.see(told("live", "one more", 0), eventTime) {
		t.Errorf("a batch of %d makes no room", len(batch))
	}
	p.restore(batch)
	p.settle(eventTime)
	if all := p.drain(); len(all) != podEventsWaiting+1 {
		t.Errorf("%d wait, want %d", len(all), podEventsWaiting+1)
	}
	p.settle(eventTime.Add(time.Hour))
	if all := p.drain(); !slices.Contains(all, "held  ×1") {
		t.Errorf("what had no room when its Pod was known is %v", all)
	}
	for n := range 3 * podsRemembered {
		p.remember(store.Pod{UID: fmt.Sprint(n)})
		if oldest := types.UID(fmt.Sprint(max(0, n-podsRemembered+1))); n%1000 == 0 {
			if _, ok := p.pod(oldest); !ok {
				t.Fatalf("Pod %s is forgotten when %d is remembered", oldest, n)
			}
		}
	}
	if n := len(p.recent) + len(p.older); n > 2*podsRemembered {
		t.Errorf("%d Pods are remembered", n)
	}
}

func TestPodEvent(t *testing.T) {
	at := func(second int) metav1.Time {
		return metav1.NewTime(eventTime.Add(time.Duration(second) * time.Second))
	}
	micro := func(second int) metav1.MicroTime { return metav1.MicroTime(at(second)) }
	for name, tt := range map[string]struct {
		event corev1.Event
		want  store.PodEvent
	}{
		"of a kubelet": {
			corev1.Event{Type: "Normal", Reason: "BackOff", Message: " Back-off\n", Count: 7, FirstTimestamp: at(1), LastTimestamp: at(9), ReportingController: "kubelet",
				Source: corev1.EventSource{Component: "kubelet", Host: "node"}, InvolvedObject: corev1.ObjectReference{FieldPath: "spec.initContainers{init}"}},
			store.PodEvent{Container: "init", Type: "Normal", Reason: "BackOff", Message: "Back-off", Source: "kubelet", Count: 7, FirstAt: at(1).Time, LastAt: at(9).Time},
		},
		"of a scheduler": {
			corev1.Event{Type: "Warning", Reason: "FailedScheduling", EventTime: micro(1), ReportingController: "default-scheduler",
				Series: &corev1.EventSeries{Count: 5, LastObservedTime: micro(8)}},
			store.PodEvent{Type: "Warning", Reason: "FailedScheduling", Source: "default-scheduler", Count: 5, FirstAt: at(1).Time, LastAt: at(8).Time},
		},
		"without times": {
			corev1.Event{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: at(3)}, Count: -1},
			store.PodEvent{Count: 1, FirstAt: at(3).Time, LastAt: at(3).Time},
		},
		"with odd times": {
			corev1.Event{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: at(3)}, FirstTimestamp: metav1.NewTime(time.Unix(1<<50, 0)), LastTimestamp: at(1)},
			store.PodEvent{Count: 1, FirstAt: at(1).Time, LastAt: at(1).Time},
		},
		"with odd text": {
			corev1.Event{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: at(3)}, Message: "\x00\xff" + strings.Repeat("x", 5000)},
			store.PodEvent{Message: text.Clean("\x00\xff" + strings.Repeat("x", 5000)), Count: 1, FirstAt: at(3).Time, LastAt: at(3).Time},
		},
	} {
		if diff := cmp.Diff(tt.want, podEvent(&tt.event)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestDerivedNames(t *testing.T) {
	for name, want := range map[string]bool{
		names.Pod("c", "u", "run", "task", 0, 1): true, names.Pod("c", "u", strings.Repeat("r", 80), strings.Repeat("t", 80), 3, 12): true,
		"web-7d4b9c5f68-x2x4z": false, "job-x2x4z": false, "abcdefghij": false, "": false, "a-ABCDEFGHIJ": false, "a-abcdefghi1": false,
	} {
		if got := names.IsDerived(name); got != want {
			t.Errorf("%q: %t, want %t", name, got, want)
		}
	}
}
