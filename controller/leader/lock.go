package leader

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"kontroler/apis/kontroler/v1alpha1"
)

// LeaseName is the name of a controller's Lease.
func LeaseName(controllerID string) string { return "kontroler-" + controllerID }

// leaseLabels are the labels of a controller's Lease.
func leaseLabels(controllerID string) map[string]string {
	return map[string]string{v1alpha1.LabelController: controllerID, "app.kubernetes.io/name": "kontroler"}
}

// leaseLock is the Lease as client-go's election sees it, for one term. It also keeps the highest epoch on the Lease and
// knows when this process last renewed: as of the start of the request, by the monotonic clock.
type leaseLock struct {
	leases     coordinationclient.LeaseInterface
	namespace  string
	name       string
	labels     map[string]string
	holder     string
	timeout    time.Duration      // of one request
	freshFor   time.Duration      // how long a renewal is believed
	takenBy    func(other string) // called when a held Lease is found to be another's
	renewed    atomic.Pointer[time.Time]
	mu         sync.Mutex // one request at a time
	lease      *coordinationv1.Lease
	takeAtOnce bool
	epoch      int64
}

var _ resourcelock.Interface = (*leaseLock)(nil)

// fresh reports whether the Lease was renewed so recently that nobody else can hold it.
func (l *leaseLock) fresh() bool {
	renewed := l.renewed.Load()
	return renewed != nil && time.Since(*renewed) < l.freshFor
}

// held reports whether this process has ever held the Lease in this term.
func (l *leaseLock) held() bool { return l.renewed.Load() != nil }

// Get reads the Lease. One that is to be taken at once appears as nobody's.
func (l *leaseLock) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.read(ctx); err != nil {
		return nil, nil, err
	}
	record := resourcelock.LeaseSpecToLeaderElectionRecord(&l.lease.Spec)
	if record.HolderIdentity != l.holder {
		if l.takeAtOnce {
			record.HolderIdentity = ""
		} else if l.held() {
			l.renewed.Store(&time.Time{})
			l.takenBy(record.HolderIdentity)
		}
	}
	raw, err := json.Marshal(record)
	if err != nil {
		return nil, nil, fmt.Errorf("encoding the lease's record: %w", err)
	}
	return record, raw, nil
}

// Create makes the Lease, held by this process.
func (l *leaseLock) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	start := time.Now()
	lease := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: l.name, Namespace: l.namespace},
		Spec:       resourcelock.LeaderElectionRecordToLeaseSpec(&record),
	}
	l.mark(lease)
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	lease, err := l.leases.Create(ctx, lease, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	l.keep(lease)
	l.renewedAt(start)
	return nil
}

// Update takes or renews the Lease.
func (l *leaseLock) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	start := time.Now()
	if err := l.write(ctx, resourcelock.LeaderElectionRecordToLeaseSpec(&record)); err != nil {
		return err
	}
	l.renewedAt(start)
	return nil
}

func (l *leaseLock) renewedAt(start time.Time) {
	l.takeAtOnce = false
	l.renewed.Store(&start)
}

// RecordEvent does nothing: a change of leaders is logged, and seen in the metrics.
func (l *leaseLock) RecordEvent(string) {}

// Identity is the holder.
func (l *leaseLock) Identity() string { return l.holder }

// Describe names the Lease.
func (l *leaseLock) Describe() string { return l.namespace + "/" + l.name }

// highestEpoch is the highest epoch that the Lease has carried, as last read.
func (l *leaseLock) highestEpoch() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.epoch
}

// setEpoch writes an epoch that was taken onto the Lease, while it is still this process's. It is no renewal.
func (l *leaseLock) setEpoch(ctx context.Context, epoch int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.epoch = max(l.epoch, epoch)
	return l.rewrite(ctx, func(spec coordinationv1.LeaseSpec) coordinationv1.LeaseSpec { return spec })
}

// release gives the Lease up, so that the next holder need not wait. One that is another's by now is left alone.
func (l *leaseLock) release(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.renewed.Store(&time.Time{})
	return l.rewrite(ctx, func(spec coordinationv1.LeaseSpec) coordinationv1.LeaseSpec {
		now := metav1.NewTime(time.Now())
		record := resourcelock.LeaderElectionRecord{LeaseDurationSeconds: 1, AcquireTime: now, RenewTime: now}
		if spec.LeaseTransitions != nil {
			record.LeaderTransitions = int(*spec.LeaseTransitions)
		}
		return resourcelock.LeaderElectionRecordToLeaseSpec(&record)
	})
}

// errNotHolder: the Lease is another's.
var errNotHolder = errors.New("the lease is held by another")

// rewrite changes the spec of a Lease that this process holds; a conflict is answered by reading it again.
func (l *leaseLock) rewrite(ctx context.Context, change func(coordinationv1.LeaseSpec) coordinationv1.LeaseSpec) error {
	for {
		if l.lease == nil || l.lease.Spec.HolderIdentity == nil || *l.lease.Spec.HolderIdentity != l.holder {
			return errNotHolder
		}
		err := l.write(ctx, change(*l.lease.Spec.DeepCopy()))
		if !apierrors.IsConflict(err) {
			return err
		}
		if err := l.read(ctx); err != nil {
			return err
		}
	}
}

func (l *leaseLock) read(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	lease, err := l.leases.Get(ctx, l.name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	l.keep(lease)
	return nil
}

// write carries the resourceVersion last seen: it fails when anybody has written since.
func (l *leaseLock) write(ctx context.Context, spec coordinationv1.LeaseSpec) error {
	if l.lease == nil {
		return errors.New("the lease was not read yet")
	}
	lease := l.lease.DeepCopy()
	lease.Spec = spec
	l.mark(lease)
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	lease, err := l.leases.Update(ctx, lease, metav1.UpdateOptions{})
	if err != nil {
		return err
	}
	l.keep(lease)
	return nil
}

// keep remembers the Lease as the API server has it. An annotation that is no number counts as none.
func (l *leaseLock) keep(lease *coordinationv1.Lease) {
	l.lease = lease
	if epoch, err := strconv.ParseInt(lease.Annotations[v1alpha1.AnnotationEpoch], 10, 64); err == nil {
		l.epoch = max(l.epoch, epoch)
	}
}

// mark puts our labels and the highest epoch on a Lease that is to be written.
func (l *leaseLock) mark(lease *coordinationv1.Lease) {
	if lease.Labels == nil {
		lease.Labels = map[string]string{}
	}
	for key, value := range l.labels {
		lease.Labels[key] = value
	}
	if l.epoch == 0 {
		return
	}
	if lease.Annotations == nil {
		lease.Annotations = map[string]string{}
	}
	lease.Annotations[v1alpha1.AnnotationEpoch] = strconv.FormatInt(l.epoch, 10)
}
