package leader

import (
	"context"
	"maps"
	"strconv"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"

	"kontroler/apis/kontroler/v1alpha1"
)

// LeaseName returns the name of a controller's Lease.
func LeaseName(controllerID string) string { return "kontroler-" + controllerID }

// lease is a controller's Lease in the API server, as last read or written, and the highest epoch that it has carried.
// It is not safe for concurrent use.
type lease struct {
	client    coordinationclient.LeaseInterface
	namespace string
	name      string
	labels    map[string]string
	timeout   time.Duration // of one request
	object    *coordinationv1.Lease
	epoch     int64
}

func newLease(client coordinationclient.LeasesGetter, controllerID, namespace string, timeout time.Duration) *lease {
	return &lease{
		client:    client.Leases(namespace),
		namespace: namespace,
		name:      LeaseName(controllerID),
		labels:    map[string]string{v1alpha1.LabelController: controllerID, "app.kubernetes.io/name": "kontroler"},
		timeout:   timeout,
	}
}

func (l *lease) read(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	object, err := l.client.Get(ctx, l.name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	l.keep(object)
	return nil
}

func (l *lease) create(ctx context.Context, spec coordinationv1.LeaseSpec) error {
	object := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: l.name, Namespace: l.namespace}, Spec: spec}
	l.mark(object)
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	object, err := l.client.Create(ctx, object, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	l.keep(object)
	return nil
}

// update writes a spec with the resourceVersion of the last read or write, one of which must have succeeded. It fails
// with a conflict if somebody else has written since.
func (l *lease) update(ctx context.Context, spec coordinationv1.LeaseSpec) error {
	object := l.object.DeepCopy()
	object.Spec = spec
	l.mark(object)
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	object, err := l.client.Update(ctx, object, metav1.UpdateOptions{})
	if err != nil {
		return err
	}
	l.keep(object)
	return nil
}

// holder returns the holder of the Lease, or an empty string if it has none.
func (l *lease) holder() string {
	if l.object == nil || l.object.Spec.HolderIdentity == nil {
		return ""
	}
	return *l.object.Spec.HolderIdentity
}

// keep stores the Lease as the API server returned it. An epoch that is not a number is ignored.
func (l *lease) keep(object *coordinationv1.Lease) {
	l.object = object
	if epoch, err := strconv.ParseInt(object.Annotations[v1alpha1.AnnotationEpoch], 10, 64); err == nil {
		l.epoch = max(l.epoch, epoch)
	}
}

// mark adds the labels and the highest epoch to a Lease before it is written. A Lease that is created again after a
// deletion therefore has its epoch.
func (l *lease) mark(object *coordinationv1.Lease) {
	if object.Labels == nil {
		object.Labels = map[string]string{}
	}
	maps.Copy(object.Labels, l.labels)
	if l.epoch == 0 {
		return
	}
	if object.Annotations == nil {
		object.Annotations = map[string]string{}
	}
	object.Annotations[v1alpha1.AnnotationEpoch] = strconv.FormatInt(l.epoch, 10)
}
