package controller

import (
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"

	"kontroler/generated/clientset/versioned/scheme"
)

const (
	// component is the source of Events.
	component = "kontroler"
	// eventTimeout is how long the API server may take to accept an Event of a DAG.
	eventTimeout = 10 * time.Second
)

// newEvents makes the recorder for Events of DAGs and DagTasks. Events of DagRuns are written by recordEvent.
func newEvents(kube kubernetes.Interface) (record.EventBroadcaster, record.EventRecorder) {
	broadcaster := record.NewBroadcaster()
	broadcaster.StartRecordingToSink(&eventSink{events: kube.CoreV1().Events(metav1.NamespaceAll), paused: pauses{}})
	return broadcaster, broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: component})
}

// eventSink writes Events. The broadcaster has one goroutine for all namespaces, and sends one Event at a time. An
// admission webhook that hangs for one namespace must not delay the Events of the others. Therefore, after an Event has
// timed out, Events of its namespace are dropped for pauseAfterFailure.
type eventSink struct {
	events typedcorev1.EventInterface
	paused pauses
}

// Create creates an Event.
func (s *eventSink) Create(event *corev1.Event) (*corev1.Event, error) {
	return s.send(event.Namespace, func(ctx context.Context) (*corev1.Event, error) {
		return s.events.CreateWithEventNamespaceWithContext(ctx, event)
	})
}

// Update replaces an Event.
func (s *eventSink) Update(event *corev1.Event) (*corev1.Event, error) {
	return s.send(event.Namespace, func(ctx context.Context) (*corev1.Event, error) {
		return s.events.UpdateWithEventNamespaceWithContext(ctx, event)
	})
}

// Patch changes an Event.
func (s *eventSink) Patch(event *corev1.Event, patch []byte) (*corev1.Event, error) {
	return s.send(event.Namespace, func(ctx context.Context) (*corev1.Event, error) {
		return s.events.PatchWithEventNamespaceWithContext(ctx, event, patch)
	})
}

// send sends a request within eventTimeout. The broadcaster drops an Event after an error with a status, and retries
// after any other.
func (s *eventSink) send(
	namespace string, request func(context.Context) (*corev1.Event, error),
) (*corev1.Event, error) {
	if s.paused.skips(namespace, time.Now()) {
		return nil, apierrors.NewTimeoutError("an earlier Event of the namespace was not accepted in time", 0)
	}
	ctx, cancel := context.WithTimeout(context.Background(), eventTimeout)
	defer cancel()
	event, err := request(ctx)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		s.paused.failed(namespace, time.Now())
		return nil, apierrors.NewTimeoutError("the Event was not accepted within "+eventTimeout.String(), 0)
	}
	return event, err
}
