package podevents

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/pod"
	"kontroler/store"
)

// failedMount is an Event that reports a failure to start a Pod.
func failedMount(podUID types.UID, message string) *corev1.Event {
	event := eventOf(podUID, message, 0)
	event.Type, event.Reason = corev1.EventTypeWarning, "FailedMount"
	return event
}

func TestRunStoresEvents(t *testing.T) {
	foreignPod := waitingPod("u")
	foreignPod.Labels[v1alpha1.LabelController] = "another"
	formerPod := store.Pod{UID: "u", RunUID: runUID, Name: podName}
	var many []corev1.Event
	for n := range 4 {
		many = append(many, *eventOf("u", fmt.Sprint(n), 0))
	}
	one := many[:1]
	cached := []*corev1.Pod{waitingPod("u")}
	type result struct {
		Stored, LargestBatch, Attempts, Dropped, Fenced int
		Failed, Log                                     []string
	}
	for name, tt := range map[string]struct {
		events       []corev1.Event
		cached       []*corev1.Pod
		recent       []store.Pod
		recentErrors []error // of the database, when it is asked for recent Pods
		storeErrors  []error // of the database, when Events are stored
		want         result
	}{
		"an Event of a cached Pod is stored": {
			events: one, cached: cached,
			want: result{Stored: 1, LargestBatch: 1, Attempts: 1},
		},
		"an Event of a Pod that was deleted before the term is stored": {
			events: one, recent: []store.Pod{formerPod},
			want: result{Stored: 1, LargestBatch: 1, Attempts: 1},
		},
		"an Event of an unknown Pod is dismissed": {
			events: one,
		},
		"an Event of another controller's Pod is dismissed": {
			events: one, cached: []*corev1.Pod{foreignPod},
		},
		"Events wait while the database is away": {
			events: one, cached: cached,
			recentErrors: []error{store.ErrUnavailable}, storeErrors: []error{store.ErrUnavailable},
			want: result{
				Stored: 1, LargestBatch: 1, Attempts: 2,
				Failed: []string{
					"reading recent Pods from the database: " + store.ErrUnavailable.Error(),
					"storing Events of Pods: " + store.ErrUnavailable.Error(),
				},
			},
		},
		"Events are stored again after a conflict, which is reported": {
			events: one, cached: cached, storeErrors: []error{store.ErrConflict},
			want: result{
				Stored: 1, LargestBatch: 1, Attempts: 2,
				Failed: []string{"storing Events of Pods: " + store.ErrConflict.Error()},
			},
		},
		"an Event that the database rejects is dropped": {
			events: one, cached: cached, storeErrors: []error{store.ErrRejected},
			want: result{
				Attempts: 1, Dropped: 1,
				Log: []string{"Event of a Pod was dropped: the database rejects it"},
			},
		},
		"of a batch that the database rejects, only the Event at fault is dropped": {
			events: many, cached: cached,
			storeErrors: []error{store.ErrRejected, nil, store.ErrRejected, store.ErrRejected},
			want: result{
				Stored: 3, LargestBatch: 2, Attempts: 5, Dropped: 1,
				Log: []string{"Event of a Pod was dropped: the database rejects it"},
			},
		},
		"what is left of a rejected batch is stored again after an error": {
			events: many, cached: cached,
			storeErrors: []error{store.ErrRejected, nil, store.ErrConflict},
			want: result{
				Stored: 4, LargestBatch: 2, Attempts: 4,
				Failed: []string{"storing Events of Pods: " + store.ErrConflict.Error()},
			},
		},
		"a fenced leader ends its term, and nothing is logged": {
			events: one, cached: cached, storeErrors: []error{store.ErrFenced},
			want: result{Attempts: 1, Fenced: 1},
		},
		"a leader that is fenced from the start ends its term": {
			events: one, cached: cached, recentErrors: []error{store.ErrFenced},
			want: result{Fenced: 1},
		},
		"recent Pods are read again after an error, which is reported": {
			events: one, recent: []store.Pod{formerPod}, recentErrors: []error{errors.New("odd")},
			want: result{
				Stored: 1, LargestBatch: 1, Attempts: 1,
				Failed: []string{"reading recent Pods from the database: odd"},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				api := &fakeAPI{answers: []answer{{items: tt.events, version: "7"}}}
				database := &fakeDatabase{recent: tt.recent, recentErrors: tt.recentErrors, storeErrors: tt.storeErrors}
				f := newFixture(api, database, tt.cached...)
				f.endTerm = cancel
				f.Run(ctx)
				got := result{
					len(database.stored), database.largestBatch, database.attempts, f.dropped, f.fenced,
					f.failed, f.log.messages,
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		})
	}
}

// Events that have arrived before the first write are stored in as few batches as possible.
func TestManyEventsAreStoredInBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // of the fake clock
		defer cancel()
		database := &fakeDatabase{}
		f := newFixture(&fakeAPI{}, database, waitingPod("u"))
		for n := range 2*batchSize + 1 {
			f.take(eventOf("u", fmt.Sprint(n), 0))
		}
		f.write(ctx)
		stored, largest, attempts := len(database.stored), database.largestBatch, database.attempts
		if stored != 2*batchSize+1 || largest != batchSize || attempts != 3 {
			t.Errorf("%d Events in %d attempts, the largest with %d", stored, attempts, largest)
		}
	})
}

func TestAFailureToStartEnqueuesTheRun(t *testing.T) {
	run := runUID + " " + podName
	isFailing := pod.StartEvent{Reason: "FailedMount", Message: "m", Fails: true, At: noon}
	for name, tt := range map[string]struct {
		cached   *corev1.Pod // when the Event arrives
		later    *corev1.Pod // a second later
		events   []*corev1.Event
		enqueued []string
		newest   pod.StartEvent
	}{
		"a failure is shown": {
			cached: waitingPod("u"), events: []*corev1.Event{failedMount("u", "m")},
			enqueued: []string{run}, newest: isFailing,
		},
		"a failure that is reported again is shown once": {
			cached: waitingPod("u"), events: []*corev1.Event{failedMount("u", "m"), failedMount("u", "m")},
			enqueued: []string{run}, newest: isFailing,
		},
		"a failure that arrives before its Pod is shown once the Pod is cached": {
			later: waitingPod("u"), events: []*corev1.Event{failedMount("u", "m")},
			enqueued: []string{run}, newest: isFailing,
		},
		"progress is remembered and does not enqueue": {
			cached: waitingPod("u"), events: []*corev1.Event{func() *corev1.Event {
				event := eventOf("u", "m", 0)
				event.Reason = "Pulling"
				return event
			}()},
			newest: pod.StartEvent{Reason: "Pulling", Message: "m", At: noon},
		},
		"a Pod whose container has started does not fail to start": {
			cached: runningPod("u"), events: []*corev1.Event{failedMount("u", "m")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				f := newFixture(&fakeAPI{}, &fakeDatabase{})
				cache := func(p *corev1.Pod) {
					if p != nil {
						f.cached[p.UID] = p
					}
				}
				cache(tt.cached)
				for _, event := range tt.events {
					f.take(event)
				}
				cache(tt.later)
				stopped := make(chan struct{})
				go func() { f.write(ctx); close(stopped) }()
				time.Sleep(2 * time.Second) // of the fake clock
				cancel()
				<-stopped
				if diff := cmp.Diff(tt.enqueued, f.enqueued); diff != "" {
					t.Errorf("enqueued (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(tt.newest, f.Newest("u")); diff != "" {
					t.Errorf("newest Event about the start (-want +got):\n%s", diff)
				}
				f.Started("u")
				if diff := cmp.Diff(pod.StartEvent{}, f.Newest("u")); diff != "" {
					t.Errorf("newest Event of a Pod that has started (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestEventsOfAPodThatIsGoneAreStored(t *testing.T) {
	unlabelled, finalized := waitingPod("u"), waitingPod("u")
	unlabelled.Labels, finalized.Labels = nil, nil
	finalized.Finalizers = []string{v1alpha1.Finalizer}
	for name, tt := range map[string]struct {
		gone *corev1.Pod
		want []string
	}{
		"Events of a Pod of this controller are stored":                     {waitingPod("u"), []string{"m"}},
		"Events of a Pod without labels are stored if it has our finalizer": {finalized, []string{"m"}},
		"Events of a Pod without labels and finalizer are not stored":       {unlabelled, nil},
		"Events of another Pod are not stored":                              {waitingPod("v"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(&fakeAPI{}, &fakeDatabase{}, waitingPod("u"))
			f.take(failedMount("u", "before"))
			f.backlog.drain()
			delete(f.cached, "u")
			f.Gone(tt.gone)
			f.take(eventOf("u", "m", 0))
			if diff := cmp.Diff(tt.want, messagesOf(f.backlog.drain())); diff != "" {
				t.Errorf("Events (-want +got):\n%s", diff)
			}
			if tt.gone.UID == "u" {
				if diff := cmp.Diff(pod.StartEvent{}, f.Newest("u")); diff != "" {
					t.Errorf("newest Event about the start (-want +got):\n%s", diff)
				}
			}
		})
	}
}
